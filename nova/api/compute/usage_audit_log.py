# SPDX-License-Identifier: Apache-2.0
"""``os-instance_usage_audit_log``: which hosts reported the usage of their servers for a period.

The conductors write the records where ``instance_usage_audit`` is on (``nova/conductor/usage_audit``); where
it is off, every compute host is among those that did not run one.
"""

from __future__ import annotations

import collections
import datetime
from typing import Any

from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.compute.audit_periods import last_completed_period
from nova.db.schema.base import now
from nova.errors import BadRequest
from nova.policy import Rule

_ROOT = "os_compute_api:os-instance-usage-audit-log"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", ADMIN, "List the usage audits of the last period."),
    Rule(f"{_ROOT}:show", ADMIN, "Show the usage audits of an earlier period."),
)


def _audits(request: ApiRequest, before: datetime.datetime) -> dict[str, Any]:
    try:
        begin, end = last_completed_period(
            request.cloud.config.default.instance_usage_audit_period, before
        )
    except (OverflowError, ValueError):
        raise BadRequest(f"Invalid timestamp for date {before}") from None
    with request.cloud.db.read() as tx:
        hosts = {each.host for each in tx.services.list("nova-compute")}
        audits = tx.usage_audits.of_period(begin, end)
    states = collections.Counter(audit.state for audit in audits)
    missing = sorted(hosts - {audit.host for audit in audits})
    errors = sum(audit.errors for audit in audits)
    done = "ALL" if states["DONE"] == len(hosts) else f"{states['DONE']} of {len(hosts)}"
    return {
        "period_beginning": str(begin),
        "period_ending": str(end),
        "num_hosts": len(hosts),
        "num_hosts_done": states["DONE"],
        "num_hosts_running": states["RUNNING"],
        "num_hosts_not_run": len(missing),
        "hosts_not_run": missing,
        "total_instances": sum(audit.instances for audit in audits),
        "total_errors": errors,
        "overall_status": f"{done} hosts done. {errors} errors.",
        "log": {
            audit.host: {
                "state": audit.state, "instances": audit.instances, "errors": audit.errors,
                "message": audit.message,
            }
            for audit in audits
        },
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
