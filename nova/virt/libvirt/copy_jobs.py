# SPDX-License-Identifier: Apache-2.0
"""Copies of disks that QEMU makes for a migration, ended past libvirt where libvirt does not end them.

libvirt 9 may wait without end for the copy of a disk whose receiver is gone. QEMU's monitor takes commands
during a migration, and once the copy is cancelled there libvirt goes on (QMP, ``block-job-cancel``).
"""

from __future__ import annotations

import json
import logging
from typing import Any

import libvirt

LOG = logging.getLogger(__name__)


def cancel_copies(domain: Any) -> int:
    """Cancel all mirrors of a running guest's disks; returns how many there were.

    Raises ``libvirt.libvirtError`` where the monitor does not answer.
    """
    import libvirt_qemu

    def ask(command: str, **arguments: Any) -> Any:
        text = json.dumps({"execute": command, "arguments": arguments})
        return json.loads(libvirt_qemu.qemuMonitorCommand(domain, text, 0))

    jobs = [each for each in ask("query-block-jobs").get("return", ()) if each.get("type") == "mirror"]
    for job in jobs:
        answer = ask("block-job-cancel", device=job["device"], force=True)
        if "error" in answer:
            LOG.info("the copy %s is not cancelled: %s", job["device"], answer["error"].get("desc"))
    return len(jobs)


def cancel_quietly(domain: Any) -> None:
    """As ``cancel_copies``; what goes wrong is written down, for the caller goes on waiting anyhow."""
    try:
        LOG.warning("libvirt does not end a migration; %d copies of disks cancelled", cancel_copies(domain))
    except (libvirt.libvirtError, ValueError, KeyError) as error:
        LOG.warning("the copies of a migration cannot be cancelled: %s", error)
