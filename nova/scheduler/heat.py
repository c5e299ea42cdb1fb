# SPDX-License-Identifier: Apache-2.0
"""Heat: what makes a host busier than its servers explain, in coarse steps.

What hosts measure is never the same twice. Taken as it is, it would scatter servers over hosts that are
filled evenly. So only what stands out counts: what a host measures beyond what the quieter hosts of its
pool (those in the same aggregates) measure with as many servers, and the builds that it has under way
beyond theirs. It counts in steps of a quarter, and noise as large as ``NOISE`` up and down never moves a
host from one step to another and back.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nova.objects.host import ComputeNode

_Floats = NDArray[np.float64]
_Integers = NDArray[np.int64]

#: One step of heat, as a part of a host.
STEP = 0.25
#: How far a measurement may go up and down without meaning anything, as a part of a host.
NOISE = 0.1
#: The excess around which the first step is taken: noise on both sides of it, and as much again below,
#: since the hosts compared with may be as low as noise makes them.
_FIRST = 2 * NOISE

#: What is usual is what a quarter of the hosts are at or below.
_QUIETER = 4
#: Pools of fewer hosts than this say nothing on what is usual; all hosts do.
_SMALL_POOL = 4


def measured(node: ComputeNode) -> tuple[float, float]:
    """(CPU, memory) in use on the host, as parts of what it has; NaN where it does not say."""
    cpu, memory = node.metrics.get("cpu_percent"), node.metrics.get("memory_mb_used")
    return (
        float("nan") if cpu is None else float(cpu) / 100.0,
        float("nan") if memory is None or node.memory_mb <= 0 else float(memory) / node.memory_mb,
    )


def usual(values: _Floats, pool_of: _Integers) -> _Floats:
    """For each host what the quieter hosts of its pool have: the lower quartile, NaN left out.

    0 where no host says anything.
    """
    known = ~np.isnan(values)
    count = int(known.sum())
    if not count:
        return np.zeros(len(values))
    everywhere = np.partition(values[known], (count - 1) // _QUIETER)[(count - 1) // _QUIETER]
    sizes = np.bincount(pool_of)
    counts = np.bincount(pool_of[known], minlength=len(sizes))
    # NaN sorts last, so the known ones of a pool stand at its start.
    order = np.lexsort((values, pool_of))
    starts = np.cumsum(sizes) - sizes
    places = np.minimum(starts + np.maximum(counts - 1, 0) // _QUIETER, len(values) - 1)
    of_pool = np.where(counts >= _SMALL_POOL, values[order[places]], everywhere)
    found: _Floats = of_pool[pool_of]
    return found


def unexplained(values: _Floats, committed: _Floats, pool_of: _Integers) -> _Floats:
    """What of ``values`` (0..1, NaN for unknown) what is committed does not explain.

    A host may measure what is usual, and in proportion more where more than usual is committed on it;
    where nothing is usually committed, as much as is.
    """
    usually, as_usual = usual(values, pool_of), usual(committed, pool_of)
    explained = np.where(
        as_usual > 0,
        usually * np.maximum(1.0, committed / np.maximum(as_usual, 1e-9)),
        np.maximum(usually, committed),
    )
    excess: _Floats = np.nan_to_num(values - explained)
    return excess


def crowding(building: _Integers, full: float, pool_of: _Integers) -> _Floats:
    """Builds under way beyond what is usual, where ``full`` more than twice the usual are a third.

    Where sizes differ, hosts that are filled evenly by load have very different numbers of builds.
    """
    counts = building.astype(np.float64)
    usually = usual(counts, pool_of)
    excess: _Floats = (counts - usually) / (3.0 * (full + usually))
    return excess


def steps(before: _Floats, excess: _Floats) -> _Floats:
    """Heat, 0 to 1: the step that each host was on, or the next one that its excess calls for."""
    up = np.floor((excess - _FIRST - NOISE) / STEP + 1.0 + 1e-9)
    down = np.floor((excess - _FIRST + NOISE) / STEP + 1.0 + 1e-9)
    heat: _Floats = np.clip(np.clip(before / STEP, up, down) * STEP, 0.0, 1.0)
    return heat
