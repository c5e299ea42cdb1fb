# SPDX-License-Identifier: Apache-2.0
"""[conductor]: how operations are carried out."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "conductor"


@dataclasses.dataclass(frozen=True)
class ConductorSection:
    """Options of the conductor."""

    lease_seconds: int = option(
        40, "How long a step may go without a sign of life before another takes it.", minimum=5
    )
    recovery_interval: int = option(10, "Seconds between two looks for lost operations.", minimum=1)
    upkeep_interval: int = option(
        60, "Most seconds between two looks for servers whose time is over (reclaim_instance_interval, "
        "resize_confirm_window and the like).", minimum=1,
    )
    claims_audit_interval: int = option(
        600, "Seconds between two comparisons of claims with servers and hosts; 0 never.", minimum=0
    )
    max_attempts: int = option(
        3, "Hosts tried for one boot before it fails.", minimum=1,
        old=("scheduler.max_attempts", "DEFAULT.scheduler_max_attempts"),
    )
    place_batch: int = option(
        64, "Most boots that are placed in one transaction.", minimum=1
    )
