# SPDX-License-Identifier: Apache-2.0
"""[compute]: which CPUs of a host are for pinned guests and which for others."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "compute"


@dataclasses.dataclass(frozen=True)
class ComputeCpusSection:
    """Options of a host's CPUs; sets are such as 4-12,^8,15."""

    cpu_dedicated_set: str | None = option(
        None, "Host CPUs kept apart for pinned guests. Without it pinned guests and others share what "
        "vcpu_pin_set names, or all CPUs.",
    )
    cpu_shared_set: str | None = option(
        None, "Host CPUs that unpinned guests, and emulators with the policy share, run on.",
    )
    packing_host_numa_cells_allocation_strategy: bool = option(
        False, "Fill the NUMA cells of a host one after another instead of the emptiest first.",
    )
