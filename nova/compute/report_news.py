# SPDX-License-Identifier: Apache-2.0
"""Whether what a host would report is news to the conductor.

The clock always goes on and the CPUs are never as busy as a moment ago: nobody needs to hear of that every
few seconds. What is no news is told with the next report of sizes, within a minute.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nova.objects.host import HostReport

#: A part of what it was by which a measurement has to change; of percentages, so many points.
_CHANGE = 0.05


def is_news(reports: Sequence[HostReport], told: Sequence[HostReport] | None) -> bool:
    """Whether nodes differ from what was told of them by more than the uptime and small measurements."""
    if told is None or len(reports) != len(told):
        return True
    return any(_differ(one, other) for one, other in zip(reports, told, strict=True))


def _differ(one: HostReport, other: HostReport) -> bool:
    alike = msgspec.structs.replace(one, uptime=other.uptime, metrics=other.metrics)
    return alike != other or _moved(one.metrics, other.metrics)


def _moved(now: Mapping[str, float], before: Mapping[str, float]) -> bool:
    if now.keys() != before.keys():
        return True
    return any(
        abs(value - before[name]) > _CHANGE * (100.0 if name.endswith("_percent") else abs(before[name]))
        for name, value in now.items()
    )
