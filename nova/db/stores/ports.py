# SPDX-License-Identifier: Apache-2.0
"""Ports: network cards as the network API sees them, with or without a server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.compute import instances
from nova.db.schema.network import (
    fixed_ips,
    floating_ips,
    networks,
    security_group_members,
    security_groups,
    virtual_interfaces,
)
from nova.errors import MacInUse, NotFound
from nova.objects.network import PortRecord, PortServer, VirtualInterface

_vif = virtual_interfaces.c
_fixed = fixed_ips.c
_member = security_group_members.c
_WIDTH = len(virtual_interfaces.c)
_CHUNK = 500

_PORTS = (
    select(
        virtual_interfaces, instances.c.host, instances.c.power_state,
        instances.c.availability_zone, instances.c.task_state,
    )
    .select_from(
        virtual_interfaces.outerjoin(instances, instances.c.uuid == _vif.instance_uuid)
    )
    .order_by(_vif.id)
)
_ADDRESSES = (
    select(_fixed.virtual_interface_uuid, _fixed.id, _fixed.address, _fixed.network_id)
    .select_from(
        fixed_ips.join(virtual_interfaces, _vif.uuid == _fixed.virtual_interface_uuid)
    )
    .order_by(_fixed.id)
)
_ONE = _PORTS.where(_vif.uuid == bindparam("the_uuid"))
_ADDRESSES_OF_ONE = (
    select(_fixed.virtual_interface_uuid, _fixed.id, _fixed.address, _fixed.network_id)
    .where(_fixed.virtual_interface_uuid == bindparam("the_uuid"))
    .order_by(_fixed.id)
)
_GROUPS = (
    select(_member.instance_uuid, security_groups.c.uuid)
    .select_from(security_group_members.join(security_groups))
    .where(_member.instance_uuid.in_(bindparam("uuids", expanding=True)))
    .order_by(security_groups.c.name)
)
_HOLD = (
    update(fixed_ips)
    .where(
        _fixed.id == bindparam("row"), _fixed.allocated == false(),
    )
    .values(virtual_interface_uuid=bindparam("port"), allocated=True)
)
_CREATE = insert(virtual_interfaces)


class PortStore:
    """Ports in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- reading -----------------------------------------------------------------------------------

    def matching(
        self,
        *,
        project_id: str | None = None,
        uuids: Sequence[str] | None = None,
        instance_uuids: Sequence[str] | None = None,
        network_uuids: Sequence[str] | None = None,
        addresses: Sequence[str] | None = None,
    ) -> list[PortRecord]:
        """Ports, oldest first; all that is given has to hold.

        ``project_id`` also finds the ports of others in that project's own networks.
        """
        conditions: list[Any] = []
        if project_id is not None:
            mine = select(networks.c.id).where(networks.c.project_id == project_id)
            conditions.append(or_(_vif.project_id == project_id, _vif.network_id.in_(mine)))
        for column, values in ((_vif.uuid, uuids), (_vif.instance_uuid, instance_uuids)):
            if values is not None:
                conditions.append(column.in_(values))
        if network_uuids is not None:
            rows = select(networks.c.id).where(
                or_(networks.c.uuid.in_(network_uuids), networks.c.segment_uuid.in_(network_uuids))
            )
            conditions.append(_vif.network_id.in_(rows))
        if addresses is not None:
            holders = select(_fixed.virtual_interface_uuid).where(_fixed.address.in_(addresses))
            conditions.append(_vif.uuid.in_(holders))
        rows_ = self._connection.execute(_PORTS.where(*conditions)).all()
        if not rows_:
            return []
        held: dict[str, list[tuple[int, str, int]]] = {}
        for port, row, address, network in self._connection.execute(
            _ADDRESSES.where(*conditions)
        ).all():
            held.setdefault(port, []).append((row, address, network))
        return [_record(row, held.get(row.uuid, ())) for row in rows_]

    def find(self, uuid: str) -> PortRecord | None:
        """The port of that uuid, if there is one."""
        row = self._connection.execute(_ONE, {"the_uuid": uuid}).one_or_none()
        if row is None:
            return None
        held = self._connection.execute(_ADDRESSES_OF_ONE, {"the_uuid": uuid}).all()
        return _record(row, [(each[1], each[2], each[3]) for each in held])

    def get(self, uuid: str) -> PortRecord:
        """The port of that uuid; ``NotFound`` without it."""
        found = self.find(uuid)
        if found is None:
            raise NotFound(f"Port {uuid} could not be found.")
        return found

    def count_of(self, project_id: str) -> int:
        """How many ports a project has."""
        statement = select(func.count()).where(_vif.project_id == project_id)
        return int(self._connection.execute(statement).scalar_one())

    def groups_of(self, members: Sequence[str]) -> dict[str, list[str]]:
        """The uuids of the security groups of servers, and of ports that have none."""
        groups: dict[str, list[str]] = {}
        for start in range(0, len(members), _CHUNK):
            for member, group in self._connection.execute(
                _GROUPS, {"uuids": members[start : start + _CHUNK]}
            ).all():
                groups.setdefault(member, []).append(group)
        return groups


    # -- writing -----------------------------------------------------------------------------------

    def create(self, values: Mapping[str, Any]) -> None:
        """Store a port without a server; ``MacInUse`` where its MAC is taken."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(
                _CREATE,
                {"instance_uuid": None, "tag": None, "kept": True, "revision": 0,
                 "created_at": now(), **values},
            )
        except IntegrityError:
            savepoint.rollback()
            raise MacInUse(values["address"]) from None
        savepoint.commit()

    def hold(self, port_uuid: str, rows: Sequence[int]) -> bool:
        """Give free addresses to a port without a server; false where one was taken meanwhile."""
        return all(
            self._connection.execute(_HOLD, {"row": row, "port": port_uuid}).rowcount == 1
            for row in rows
        )

    def let_go(self, rows: Sequence[int]) -> None:
        """Free addresses that a port held."""
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.id.in_(rows))
            .values(
                instance_uuid=None, virtual_interface_uuid=None, allocated=False, leased=False,
                released_at=now(),
            )
        )
        self._connection.execute(
            update(floating_ips)
            .where(floating_ips.c.fixed_ip_id.in_(rows))
            .values(fixed_ip_id=None, host=None, updated_at=now())
        )

    def bind(
        self, port: PortRecord, instance_uuid: str, tag: str | None, host: str | None
    ) -> bool:
        """Give a port to a server, as its newest card; false where somebody else was faster.

        One that was reserved for it goes to the end of its cards.
        """
        taken = self._connection.execute(
            delete(virtual_interfaces).where(
                _vif.uuid == port.card.uuid,
                or_(_vif.instance_uuid.is_(None), _vif.instance_uuid == instance_uuid),
            )
        ).rowcount
        if not taken:
            return False
        # The cards of a server are in the order of their rows: a bound port goes to the end.
        values = {
            name: getattr(port.card, name)
            for name in VirtualInterface.__struct_fields__
            if name != "id"
        }
        values |= {"instance_uuid": instance_uuid, "tag": tag, "updated_at": now()}
        self._connection.execute(_CREATE, values)
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.virtual_interface_uuid == port.card.uuid)
            .values(instance_uuid=instance_uuid)
        )
        rows = [row for row, _address, _network in port.addresses]
        if rows:
            self._connection.execute(
                update(floating_ips)
                .where(floating_ips.c.fixed_ip_id.in_(rows))
                .values(host=host, updated_at=now())
            )
        return True

    def unbind(self, port_uuids: Sequence[str]) -> None:
        """Take ports away from their servers; they keep their addresses."""
        self._connection.execute(
            update(virtual_interfaces)
            .where(_vif.uuid.in_(port_uuids))
            .values(instance_uuid=None, tag=None, updated_at=now())
        )
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.virtual_interface_uuid.in_(port_uuids))
            .values(instance_uuid=None, leased=False)
        )

    def update(self, port_uuid: str, values: Mapping[str, Any]) -> None:
        """Change columns of a port, and count the change."""
        self._connection.execute(
            update(virtual_interfaces)
            .where(_vif.uuid == port_uuid)
            .values({"updated_at": now(), "revision": _vif.revision + 1, **values})
        )

    def delete(self, port_uuid: str) -> None:
        """Remove a port and its memberships; its addresses must have been let go."""
        self._connection.execute(delete(virtual_interfaces).where(_vif.uuid == port_uuid))
        self._connection.execute(
            delete(security_group_members).where(_member.instance_uuid == port_uuid)
        )

    def mac_taken(self, mac: str) -> bool:
        """Whether any card has that MAC."""
        statement = select(_vif.id).where(_vif.address == mac)
        return self._connection.execute(statement).first() is not None


def _record(row: Any, held: Sequence[tuple[int, str, int]]) -> PortRecord:
    card = VirtualInterface(*row[:_WIDTH])
    server = None if card.instance_uuid is None else PortServer(*row[_WIDTH:])
    return PortRecord(card, tuple(held), server)
