# SPDX-License-Identifier: Apache-2.0
"""Rows of servers for tests of what counts and groups them."""

from __future__ import annotations

from typing import Any

from nova.db.schema.base import now
from nova.objects.flavor import Flavor

SMALL = Flavor(1, "1", "m1.tiny", None, 512, 1, 1, 0, 0, 1.0, True, False, {})


def instance_row(uuid: str, **changed: Any) -> dict[str, Any]:
    """A row of ``instances`` for a running server of one CPU and 512 MiB."""
    moment = now()
    row: dict[str, Any] = {
        "uuid": uuid, "project_id": "p", "user_id": "u", "name": uuid, "hostname": uuid,
        "flavor": SMALL, "flavorid": "1", "vcpus": 1, "memory_mb": 512, "root_gb": 1,
        "ephemeral_gb": 0, "vm_state": "active", "host": None, "reservation_id": "r-1",
        "metadata": {}, "system_metadata": {}, "tags": [], "network_info": (),
        "security_groups": [], "block_devices": (), "created_at": moment, "updated_at": moment,
        "deleted": 0,
    }
    return row | changed
