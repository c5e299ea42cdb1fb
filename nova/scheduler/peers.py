# SPDX-License-Identifier: Apache-2.0
"""How several schedulers that see each other late fill hosts evenly together.

Each levels what it places itself exactly, and turns only its share of what it sees of the others
into action; see docs/operators/scheduling.md for why.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nova.objects.host import Service


def follow_others(
    followed: NDArray[np.float64],
    others: NDArray[np.float64],
    pool_of: NDArray[np.int64],
    share: float,
    unit: float,
) -> None:
    """Move ``followed``, the damped view of the load others placed, towards ``others`` in place.

    What all hosts have in common is followed at once (it orders nothing). What a pool of hosts
    (those in the same aggregates) differs from the rest, and a host from its pool, is followed by
    ``share``, as each of the other schedulers answers to it too. Within a pool, differences up to
    ``unit`` (one server) are the rounding of the others' own levelling and no reason to act.
    """
    if not len(followed):
        return
    change = others - followed
    common = float(change.mean())
    sizes = np.bincount(pool_of)
    pools = np.bincount(pool_of, weights=change) / np.maximum(sizes, 1)
    of_pool = pools[pool_of]
    alone = change - of_pool
    alone = np.sign(alone) * np.maximum(0.0, np.abs(alone) - unit)
    followed += common + share * (of_pool - common) + share * alone


def place_among(
    services: Iterable[Service],
    binary: str,
    host: str,
    now: datetime.datetime,
    down_after: float,
) -> tuple[int, int]:
    """Which of how many live services of ``binary`` the one on ``host`` is; (0, 1) if none other
    lives.

    All of them come to the same numbering, as it is by id.
    """
    alive = [
        each
        for each in sorted(services, key=lambda each: each.id)
        if each.binary == binary and (each.host == host or each.is_up(now, down_after))
    ]
    for place, each in enumerate(alive):
        if each.host == host:
            return place, len(alive)
    return 0, 1
