# SPDX-License-Identifier: Apache-2.0
"""Rows of servers for tests, and a stand-in for the operations on them."""

from __future__ import annotations

import datetime
import uuid as uuids
from collections.abc import Callable
from typing import Any

from nova import errors
from nova.db.engine import Database
from nova.objects.context import RequestContext
from nova.objects.flavor import Flavor
from nova.objects.instance import Address, Instance, Vif
from tests.unit.api.conftest import PROJECT

MOMENT = datetime.datetime(2026, 1, 2, 3, 4, 5, 678901)
IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"

FLAVOR = Flavor(
    id=1, flavorid="1", name="m1.tiny", description=None, memory_mb=512, vcpus=1, root_gb=1,
    ephemeral_gb=0, swap=0, rxtx_factor=1.0, is_public=True, disabled=False,
    extra_specs={"hw:numa_nodes": "1"},
)


class OperationsProbe:
    """Stands for the operations: reads servers, and notes what it is asked to do.

    ``answers`` maps the name of a method to what it returns, or to an exception to raise.
    """

    def __init__(self, db: Database) -> None:
        self._db = db
        self.calls: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = []
        self.answers: dict[str, Any] = {}

    def get(self, context: RequestContext, uuid: str) -> Instance:
        """A visible server."""
        with self._db.read() as tx:
            instance = tx.instances.get(uuid)
        if instance is None or not (
            context.is_admin or instance.project_id == context.project_id
        ):
            raise errors.InstanceNotFound(uuid[:64])
        return instance

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("__"):
            raise AttributeError(name)

        def call(_context: RequestContext, *arguments: Any, **options: Any) -> Any:
            self.calls.append((name, arguments, options))
            answer = self.answers.get(name)
            if isinstance(answer, Exception):
                raise answer
            return answer

        return call


def server_row(**changes: Any) -> dict[str, Any]:
    """A row of ``instances``: an active server of ``PROJECT``."""
    row: dict[str, Any] = {
        "uuid": str(uuids.uuid4()), "revision": 1, "project_id": PROJECT, "user_id": "member",
        "name": "web", "description": None, "hostname": "web", "image_ref": IMAGE,
        "image_properties": {"architecture": "x86_64", "owner_specified.x": "no"},
        "kernel_id": "", "ramdisk_id": "", "flavor": FLAVOR, "flavorid": "1", "vcpus": 1,
        "memory_mb": 512, "root_gb": 1, "ephemeral_gb": 0, "vm_state": "active",
        "task_state": None, "power_state": 1, "progress": 0, "host": "host1", "node": "node1",
        "availability_zone": None, "pinned_availability_zone": None,
        "reservation_id": "r-abcdefgh", "launch_index": 0, "key_name": None, "key_data": None,
        "user_data": None, "config_drive": "", "access_ipv4": "", "access_ipv6": "",
        "locked_by": None, "locked_reason": None, "disk_config": "MANUAL",
        "root_device_name": "/dev/vda", "metadata": {}, "system_metadata": {}, "tags": [],
        "network_info": (
            Vif(
                id="b1c1d1e1-0000-4000-8000-000000000001", mac="fa:16:3e:00:00:01",
                network_id="a1c1d1e1-0000-4000-8000-000000000001", label="private",
                addresses=(Address("10.0.0.2", 4, ("203.0.113.7",)),),
            ),
        ),
        "security_groups": ["default"], "block_devices": (), "scheduler_hints": None,
        "trusted_image_certificates": None, "fault": None, "server_group": None,
        "created_at": MOMENT, "updated_at": MOMENT, "launched_at": MOMENT,
        "terminated_at": None, "deleted_at": None, "deleted": 0,
    }
    row.update(changes)
    return row


def add_servers(db: Database, *rows: dict[str, Any]) -> list[str]:
    """Store servers; returns their uuids."""
    with db.write() as tx:
        tx.instances.create(rows)
    return [row["uuid"] for row in rows]
