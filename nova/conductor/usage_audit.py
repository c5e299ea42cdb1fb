# SPDX-License-Identifier: Apache-2.0
"""The usage audit: at the end of each period, how many servers each host had in it.

``os-instance_usage_audit_log`` shows the records. A host that does not report is left for a later look, so
that the log names it as one that did not run.
"""

from __future__ import annotations

import datetime
import logging
import time

from nova.compute.audit_periods import last_completed_period
from nova.conductor.core import ConductorCore
from nova.db.schema.base import now
from nova.objects.usage import UsageAudit

LOG = logging.getLogger(__name__)


def audit_usage(core: ConductorCore, moment: datetime.datetime | None = None) -> int:
    """Record the last completed period for the hosts that have no record of it; returns how many."""
    begin, end = last_completed_period(
        core.config.default.instance_usage_audit_period, moment or now()
    )
    started = time.monotonic()
    with core.db.read() as tx:
        done = {audit.host for audit in tx.usage_audits.of_period(begin, end)}
        hosts = {service.host for service in tx.services.list("nova-compute")} - done
        wanted = sorted(host for host in hosts if core.hosts.is_up(host))
        if not wanted:
            return 0
        servers = tx.usage_audits.servers_by_host(begin, end)
    seconds = time.monotonic() - started
    audits = [
        UsageAudit(
            host=host, state="DONE", instances=servers.get(host, 0), errors=0,
            message=f"Instance usage audit ran for host {host}, {servers.get(host, 0)} instances "
            f"in {seconds:.2f} seconds.",
        )
        for host in wanted
    ]
    kept = core.db.run(lambda tx: tx.usage_audits.add(begin, end, audits))
    if kept:
        LOG.info("audited the usage of %d hosts from %s to %s", len(audits), begin, end)
    return len(audits) if kept else 0
