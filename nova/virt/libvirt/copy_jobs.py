# SPDX-License-Identifier: Apache-2.0
"""Copies of disks that QEMU makes: waited for; those of a migration ended where libvirt does not end them.

libvirt 9 may wait without end for the copy of a disk whose receiver is gone. QEMU's monitor takes commands
during a migration, and once the copy is cancelled there libvirt goes on (QMP, ``block-job-cancel``).
"""

from __future__ import annotations

import json
import logging
import time
from typing import Any

import libvirt

from nova.errors import VirtError

LOG = logging.getLogger(__name__)

_POLL = 0.1
#: Of a copy that makes no progress, in seconds.
_STALLED = 300.0


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


def wait_for_job(domain: Any, target: str, *, ready: bool) -> None:
    """Until a copy is the same (``ready``), or the job is over."""
    seen, since = -1, time.monotonic()
    while True:
        info = domain.blockJobInfo(target, 0)
        if not info:
            if ready:
                raise VirtError(f"The copy of the disk {target} broke off.")
            return
        if ready and info["end"] > 0 and info["cur"] == info["end"]:
            return
        if info["cur"] != seen:
            seen, since = info["cur"], time.monotonic()
        elif time.monotonic() - since > _STALLED:
            raise VirtError(f"The copy of the disk {target} makes no progress.")
        time.sleep(_POLL)
