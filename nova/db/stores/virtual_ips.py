# SPDX-License-Identifier: Apache-2.0
"""The servers that a claimed virtual IP is meant for."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection, bindparam, delete, insert, select

from nova.db.schema.compute import instances
from nova.db.schema.network import virtual_ip_servers

_allowed = virtual_ip_servers.c

_OF = (
    select(_allowed.fixed_ip_id, _allowed.instance_uuid)
    .join(instances, instances.c.uuid == _allowed.instance_uuid)
    .where(_allowed.fixed_ip_id.in_(bindparam("rows", expanding=True)), instances.c.deleted == 0)
    .order_by(_allowed.fixed_ip_id, instances.c.id)
)
_FORGET = delete(virtual_ip_servers).where(_allowed.fixed_ip_id == bindparam("row"))
_ALLOW = insert(virtual_ip_servers)
_EXISTING = select(instances.c.uuid).where(
    instances.c.uuid.in_(bindparam("uuids", expanding=True)),
    instances.c.project_id == bindparam("project"), instances.c.deleted == 0,
)


class VirtualIPStore:
    """Servers of virtual IPs in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def servers_of(self, fixed_ip_ids: Sequence[int]) -> dict[int, list[str]]:
        """The servers of virtual IPs, by the addresses' row ids; those that were deleted are left out."""
        found: dict[int, list[str]] = {}
        for row, uuid in self._connection.execute(_OF, {"rows": fixed_ip_ids}):
            found.setdefault(row, []).append(uuid)
        return found

    def missing(self, project_id: str, instance_uuids: Sequence[str]) -> list[str]:
        """Those of these servers that the project does not have."""
        rows = self._connection.execute(_EXISTING, {"uuids": instance_uuids, "project": project_id})
        present = set(rows.scalars())
        return [each for each in instance_uuids if each not in present]

    def allow(self, fixed_ip_id: int, instance_uuids: Sequence[str]) -> None:
        """Let a virtual IP be meant for these servers and no others."""
        self._connection.execute(_FORGET, {"row": fixed_ip_id})
        if instance_uuids:
            self._connection.execute(
                _ALLOW, [{"fixed_ip_id": fixed_ip_id, "instance_uuid": each} for each in instance_uuids]
            )
