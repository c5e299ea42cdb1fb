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
        60, "How long a step may go without a sign of life before another takes it.", minimum=5
    )
    recovery_interval: int = option(10, "Seconds between two looks for lost operations.", minimum=1)
    max_attempts: int = option(
        3, "Hosts tried for one boot before it fails.", minimum=1,
        old=("scheduler.max_attempts", "DEFAULT.scheduler_max_attempts"),
    )
    place_batch: int = option(
        64, "Most boots that are placed in one transaction.", minimum=1
    )
