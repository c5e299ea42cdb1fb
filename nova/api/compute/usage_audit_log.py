# SPDX-License-Identifier: Apache-2.0
"""``os-instance_usage_audit_log``: which hosts reported the usage of their servers for a period.

Hosts of this cloud send no usage audits, as usage is read from the database whenever it is asked
for (``os-simple-tenant-usage``); so every compute host is among those that did not run one.
"""

from __future__ import annotations

import datetime
from typing import Any

from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.db.schema.base import now
from nova.errors import BadRequest
from nova.policy import Rule

_ROOT = "os_compute_api:os-instance-usage-audit-log"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", ADMIN, "List the usage audits of the last period."),
    Rule(f"{_ROOT}:show", ADMIN, "Show the usage audits of an earlier period."),
)


def last_completed_period(
    unit: str, before: datetime.datetime
) -> tuple[datetime.datetime, datetime.datetime]:
    """Begin and end of the last whole hour, day, month or year before a moment."""
    hour = before.replace(minute=0, second=0, microsecond=0)
    if unit == "hour":
        return hour - datetime.timedelta(hours=1), hour
    day = hour.replace(hour=0)
    if unit == "day":
        return day - datetime.timedelta(days=1), day
    end = day.replace(day=1)
    if unit == "year":
        end = end.replace(month=1)
        return end.replace(year=end.year - 1), end
    return (end - datetime.timedelta(days=1)).replace(day=1), end


def _audits(request: ApiRequest, before: datetime.datetime) -> dict[str, Any]:
    try:
        begin, end = last_completed_period(
            request.cloud.config.default.instance_usage_audit_period, before
        )
    except (OverflowError, ValueError):
        raise BadRequest(f"Invalid timestamp for date {before}") from None
    with request.cloud.db.read() as tx:
        hosts = sorted(
            {each.host for each in tx.services.list("nova-compute")}
        )
    done = "ALL" if not hosts else f"0 of {len(hosts)}"
    return {
        "period_beginning": str(begin),
        "period_ending": str(end),
        "num_hosts": len(hosts),
        "num_hosts_done": 0,
        "num_hosts_running": 0,
        "num_hosts_not_run": len(hosts),
        "hosts_not_run": hosts,
        "total_instances": 0,
        "total_errors": 0,
        "overall_status": f"{done} hosts done. 0 errors.",
        "log": {},
    }


def index(request: ApiRequest) -> Any:
    """The audits of the last completed period."""
    return {"instance_usage_audit_logs": _audits(request, now())}


def show(request: ApiRequest) -> Any:
    """The audits of the last period completed before a time (``2012-07-05 10:00:00[.000000]``)."""
    text = request.path["before_timestamp"]
    form = "%Y-%m-%d %H:%M:%S.%f" if "." in text else "%Y-%m-%d %H:%M:%S"
    try:
        before = datetime.datetime.strptime(text, form)
    except ValueError:
        raise BadRequest(f"Invalid timestamp for date {text[:40]}") from None
    return {"instance_usage_audit_log": _audits(request, before)}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-instance_usage_audit_log", index, rule=f"{_ROOT}:list"),
    Route("GET", "/os-instance_usage_audit_log/{before_timestamp}", show, rule=f"{_ROOT}:show"),
)
