# SPDX-License-Identifier: Apache-2.0
"""Fixed addresses, the virtual interfaces that carry them, and virtual IPs."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    case,
    delete,
    false,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import Timestamp, now
from nova.db.schema.compute import instances
from nova.db.schema.network import fixed_ips, floating_ips, networks, virtual_interfaces
from nova.db.stores.free_addresses import NEXT, take_next, values_at
from nova.errors import AddressInUse, Conflict, NotFound
from nova.objects.network import (
    CLOCK_SKEW,
    FixedIP,
    FixedIPDetail,
    InterfaceAddress,
    VirtualInterface,
)

#: Reserved addresses of these roles belong to the network itself and are never given up.
STRUCTURAL_ROLES = frozenset({"network", "gateway", "dhcp", "vpn", "broadcast"})

_fixed = fixed_ips.c
_vif = virtual_interfaces.c

_INTERFACES = (
    select(
        _vif.instance_uuid, _vif.uuid, _vif.address, _vif.network_id, _vif.tag,
        _fixed.address, floating_ips.c.address,
    )
    .select_from(
        virtual_interfaces.outerjoin(
            fixed_ips,
            # The first condition alone has an index; an instance has few addresses.
            (_fixed.instance_uuid == _vif.instance_uuid)
            & (_fixed.virtual_interface_uuid == _vif.uuid),
        ).outerjoin(floating_ips, floating_ips.c.fixed_ip_id == _fixed.id)
    )
    .order_by(_vif.id, _fixed.position, floating_ips.c.id)
)
_INTERFACES_OF = _INTERFACES.where(_vif.instance_uuid.in_(bindparam("uuids", expanding=True)))
_INTERFACES_OR_MACS = _INTERFACES.where(
    or_(
        _vif.instance_uuid.in_(bindparam("uuids", expanding=True)),
        _vif.address.in_(bindparam("macs", expanding=True)),
    )
)
# The usual boot; lists of values cost as much again as the statement.
_INTERFACES_OR_MAC = _INTERFACES.where(
    or_(_vif.instance_uuid == bindparam("uuid"), _vif.address == bindparam("mac"))
)
_NAMED = (
    select(fixed_ips)
    .where(
        _fixed.network_id == bindparam("network"),
        _fixed.address.in_(bindparam("addresses", expanding=True)),
    )
    .with_for_update()
)
_ASSIGN = (
    update(fixed_ips)
    .where(_fixed.id == bindparam("row"))
    .values(
        instance_uuid=bindparam("instance"),
        virtual_interface_uuid=bindparam("interface"),
        allocated=True,
    )
)
_ADD_INTERFACES = insert(virtual_interfaces)
# In this order: MariaDB sets one column after the other, and goes by what is set already.
_GIVEN_BACK: tuple[tuple[Any, Any], ...] = (
    (
        _fixed.released_at,
        case(
            (_fixed.leased == true(), bindparam("until", type_=Timestamp)),
            else_=bindparam("moment", type_=Timestamp),
        ),
    ),
    (_fixed.leased, False),
    (_fixed.instance_uuid, None),
    (_fixed.virtual_interface_uuid, None),
    (_fixed.allocated, False),
)
_RELEASE = (
    update(fixed_ips)
    .where(_fixed.instance_uuid.in_(bindparam("uuids", expanding=True)))
    .ordered_values(*_GIVEN_BACK)
)
_RELEASE_ONE = update(fixed_ips).where(_fixed.id == bindparam("row")).ordered_values(*_GIVEN_BACK)
_KEPT = select(_vif.uuid).where(
    _vif.instance_uuid.in_(bindparam("uuids", expanding=True)), _vif.kept == true()
)
_DROP_INTERFACES = delete(virtual_interfaces).where(
    _vif.instance_uuid.in_(bindparam("uuids", expanding=True))
)


#: An address is free at once.
NO_TIME = datetime.timedelta()


def _times(hold: datetime.timedelta) -> dict[str, datetime.datetime]:
    moment = now()
    return {"moment": moment, "until": moment + hold + CLOCK_SKEW if hold else moment}


class FixedIPStore:
    """Fixed addresses in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- what the allocator uses -------------------------------------------------------------------

    def interfaces_of(
        self, instance_uuids: Sequence[str], macs: Sequence[str] = ()
    ) -> list[InterfaceAddress]:
        """Interfaces of instances with their fixed and floating addresses, oldest card first.

        Interfaces of any instance that carry one of ``macs`` come along, so that one statement also
        tells which of the MACs about to be used are taken.
        """
        if len(instance_uuids) == len(macs) == 1:
            rows = self._connection.execute(
                _INTERFACES_OR_MAC, {"uuid": instance_uuids[0], "mac": macs[0]}
            )
        elif macs:
            rows = self._connection.execute(
                _INTERFACES_OR_MACS, {"uuids": instance_uuids, "macs": macs}
            )
        else:
            rows = self._connection.execute(_INTERFACES_OF, {"uuids": instance_uuids})
        return [InterfaceAddress(*row) for row in rows]

    def next_free(self, network_id: int, count: int) -> list[tuple[int, str]]:
        """Up to ``count`` free addresses as (row id, address), locked for this transaction.

        Least recently released first, then in the order of the range. On a server database, rows
        that a parallel transaction is handing out are passed over.
        """
        rows = self._connection.execute(NEXT, values_at(now(), network_id, count))
        return [(row[0], row[1]) for row in rows]

    def take_next(
        self,
        network_id: int,
        instance_uuid: str,
        interface_uuid: str,
        probed_since: datetime.datetime | None = None,
    ) -> str | None:
        """Give the next free address of a network to a card, in one statement; returns the address.

        None where there is none, or where it was not looked for on the wire since ``probed_since``.
        """
        return take_next(
            self._connection, now(), network_id, instance_uuid, interface_uuid, probed_since
        )

    def lock(self, network_id: int, addresses: Sequence[str]) -> dict[str, FixedIP]:
        """Named addresses of a network, locked for this transaction; those it lacks are left out.
        """
        rows = self._connection.execute(
            _NAMED, {"network": network_id, "addresses": addresses}
        )
        return {row.address: FixedIP(*row) for row in rows}

    def assign(self, assignments: Sequence[tuple[int, str, str]]) -> None:
        """Give locked free rows to instances: (row id, instance uuid, interface uuid)."""
        self._connection.execute(
            _ASSIGN,
            [
                {"row": row, "instance": instance, "interface": interface}
                for row, instance, interface in assignments
            ],
        )

    def add_interfaces(
        self, interfaces: Sequence[tuple[str, str, int, str, str | None, str | None]]
    ) -> bool:
        """Store cards: (uuid, MAC, network id, instance uuid, tag, project id).

        False, with nothing stored, where a MAC was taken by a parallel transaction in between.
        """
        moment = now()
        rows = [
            {
                "uuid": uuid, "address": mac, "network_id": network_id,
                "instance_uuid": instance, "tag": tag, "created_at": moment,
                "project_id": project_id, "kept": False, "revision": 0,
            }
            for uuid, mac, network_id, instance, tag, project_id in interfaces
        ]
        if self._connection.dialect.name == "sqlite":
            self._connection.execute(_ADD_INTERFACES, rows)
            return True
        if len(rows) == 1 and self._connection.dialect.name != "postgresql":
            # MariaDB undoes the one statement that fails, not the transaction.
            try:
                self._connection.execute(_ADD_INTERFACES, rows)
            except IntegrityError:
                return False
            return True
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(_ADD_INTERFACES, rows)
        except IntegrityError:
            savepoint.rollback()
            return False
        savepoint.commit()
        return True

    def release_instances(
        self, instance_uuids: Sequence[str], hold: datetime.timedelta = NO_TIME
    ) -> None:
        """Free all addresses of instances and remove their cards; those without any are no error.

        Those that DHCP has a lease for are free when the time ``hold`` is over.
        """
        self._connection.execute(_RELEASE, {"uuids": instance_uuids, **_times(hold)})
        self._connection.execute(_DROP_INTERFACES, {"uuids": instance_uuids})

    def kept_ports(self, instance_uuids: Sequence[str]) -> Sequence[str]:
        """The ports of instances that users made: they outlive the instances."""
        return self._connection.execute(_KEPT, {"uuids": instance_uuids}).scalars().all()

    def release_address(
        self, instance_uuid: str, address: str, hold: datetime.timedelta = NO_TIME
    ) -> bool:
        """Free one address of an instance, with its card where that carries no other.

        A card that a user made as a port stays. ``hold`` is as in ``release_instances``.

        False where the instance has no such address.
        """
        row = self._connection.execute(
            select(_fixed.id, _fixed.virtual_interface_uuid).where(
                _fixed.instance_uuid == instance_uuid, _fixed.address == address
            )
        ).one_or_none()
        if row is None:
            return False
        row_id, interface = row
        self._connection.execute(_RELEASE_ONE, {"row": row_id, **_times(hold)})
        carried = select(_fixed.id).where(
            _fixed.instance_uuid == instance_uuid, _fixed.virtual_interface_uuid == interface
        )
        self._connection.execute(
            delete(virtual_interfaces).where(
                _vif.uuid == interface, _vif.kept == false(), ~carried.exists()
            )
        )
        return True

    # -- addresses as administrators see them ------------------------------------------------------

    def get(self, address: str) -> FixedIP:
        """The row of an address; ``NotFound`` where no network has it."""
        row = self._connection.execute(
            select(fixed_ips).where(_fixed.address == address).order_by(_fixed.id).limit(1)
        ).one_or_none()
        if row is None:
            raise NotFound(f"Fixed ip not found for address {address}.")
        return FixedIP(*row)

    def get_by_id(self, fixed_ip_id: int) -> FixedIP:
        """The row of that id; ``NotFound`` without it."""
        row = self._connection.execute(
            select(fixed_ips).where(_fixed.id == fixed_ip_id)
        ).one_or_none()
        if row is None:
            raise NotFound(f"No fixed IP associated with id {fixed_ip_id}.")
        return FixedIP(*row)

    def detail(self, address: str) -> FixedIPDetail:
        """An address with its network's range, its server's name and host; ``NotFound`` without it.
        """
        found = self._details(_fixed.address == address)
        if not found:
            raise NotFound(f"Fixed ip not found for address {address}.")
        return found[0]

    def details(
        self, *, host: str | None = None, network_id: int | None = None
    ) -> list[FixedIPDetail]:
        """All addresses, or those of the instances of one host, or of one network."""
        conditions: list[Any] = []
        if host is not None:
            conditions.append(or_(instances.c.host == host, _fixed.host == host))
        if network_id is not None:
            conditions.append(_fixed.network_id == network_id)
        return self._details(*conditions)

    def of_network(self, network_id: int) -> list[FixedIP]:
        """All addresses of a network in the order of its range."""
        rows = self._connection.execute(
            select(fixed_ips).where(_fixed.network_id == network_id).order_by(_fixed.position)
        )
        return [FixedIP(*row) for row in rows]

    def of_instances(self, instance_uuids: Sequence[str]) -> list[FixedIP]:
        """The addresses that instances hold."""
        rows = self._connection.execute(
            select(fixed_ips).where(_fixed.instance_uuid.in_(instance_uuids)).order_by(_fixed.id)
        )
        return [FixedIP(*row) for row in rows]

    def virtual_interfaces_of(self, instance_uuid: str) -> list[VirtualInterface]:
        """The cards of an instance, oldest first."""
        rows = self._connection.execute(
            select(virtual_interfaces)
            .where(_vif.instance_uuid == instance_uuid)
            .order_by(_vif.id)
        )
        return [VirtualInterface(*row) for row in rows]

    def reserve(self, address: str) -> FixedIP:
        """Keep an address from being handed out; one in use stays with its instance until released.
        """
        found = self.get(address)
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.id == found.id)
            .values(reserved=True, role=found.role or "admin")
        )
        return self.get_by_id(found.id)

    def unreserve(self, address: str) -> FixedIP:
        """Let a reserved address be handed out.

        Raises ``Conflict`` for a claimed virtual IP, a host's own address, and for an address that
        the network itself needs.
        """
        found = self.get(address)
        if found.role in STRUCTURAL_ROLES:
            raise Conflict(
                f"Fixed ip {address} is the {found.role} address of its network and stays reserved."
            )
        if found.vip_project_id is not None:
            raise Conflict(
                f"Fixed ip {address} is a virtual IP of project {found.vip_project_id}; "
                "release it first."
            )
        self._connection.execute(
            update(fixed_ips).where(_fixed.id == found.id).values(reserved=False, role=None)
        )
        return self.get_by_id(found.id)

    def set_leased(self, address: str, leased: bool) -> FixedIP:
        """Record that a DHCP lease began or ended; ``NotFound`` without the address."""
        found = self.get(address)
        self._connection.execute(
            update(fixed_ips).where(_fixed.id == found.id).values(leased=leased)
        )
        return self.get_by_id(found.id)

    def of_host(self, network_id: int, host: str) -> FixedIP | None:
        """The address that a host itself uses in a network, if it has one."""
        mine = select(fixed_ips).where(_fixed.network_id == network_id, _fixed.host == host)
        row = self._connection.execute(mine).one_or_none()
        return FixedIP(*row) if row is not None else None

    def addresses_of_host(self, host: str) -> dict[int, str]:
        """The addresses that a host itself uses, by the networks' row ids."""
        mine = select(_fixed.network_id, _fixed.address).where(_fixed.host == host)
        return {row[0]: row[1] for row in self._connection.execute(mine)}

    def give_up_for_host(self, host: str, network_ids: Sequence[int]) -> None:
        """Free the addresses that a host itself used in networks."""
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.host == host, _fixed.network_id.in_(network_ids))
            .values(host=None, reserved=False, role=None, released_at=now())
        )

    def take_for_host(self, network_id: int, host: str) -> FixedIP | None:
        """The address that a host itself uses in a network: the one it has, or the next free one.

        It is reserved with role ``dhcp``. None where the network has no free address left.
        """
        mine = self.of_host(network_id, host)
        if mine is None:
            # A host that asks again may be answered twice at a time: the second one waits for the first.
            self._connection.execute(
                select(networks.c.id).where(networks.c.id == network_id).with_for_update()
            )
            mine = self.of_host(network_id, host)
        if mine is not None:
            return mine
        free = self.next_free(network_id, 1)
        if not free:
            return None
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.id == free[0][0])
            .values(host=host, reserved=True, role="dhcp")
        )
        return self.get_by_id(free[0][0])

    # -- virtual IPs -------------------------------------------------------------------------------

    def vips(
        self, network_id: int | None = None, *, project_id: str | None = None
    ) -> list[FixedIP]:
        """Addresses kept for virtual IPs, of one network or all, of one project or all."""
        statement = (
            select(fixed_ips)
            .where(_fixed.role == "vip")
            .order_by(_fixed.network_id, _fixed.position)
        )
        if network_id is not None:
            statement = statement.where(_fixed.network_id == network_id)
        if project_id is not None:
            statement = statement.where(_fixed.vip_project_id == project_id)
        return [FixedIP(*row) for row in self._connection.execute(statement)]

    def claim_vip(
        self, network_id: int, project_id: str, name: str, address: str | None = None
    ) -> FixedIP | None:
        """Give a virtual IP to a project: the one named, or the first nobody has.

        None where no unclaimed one is left. Raises ``NotFound`` where the named address is not a
        virtual IP of the network, and ``AddressInUse`` where it is claimed already.
        """
        statement = (
            select(fixed_ips)
            .where(_fixed.network_id == network_id, _fixed.role == "vip")
            .order_by(_fixed.position)
            .limit(1)
            .with_for_update()
        )
        if address is None:
            statement = statement.where(_fixed.vip_project_id.is_(None))
        else:
            statement = statement.where(_fixed.address == address)
        row = self._connection.execute(statement).one_or_none()
        if row is None:
            if address is None:
                return None
            raise NotFound(f"Address {address} is not a virtual IP of this network.")
        if row.vip_project_id is not None or row.allocated:
            raise AddressInUse(row.address)
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.id == row.id)
            .values(vip_project_id=project_id, vip_name=name, reserved=True)
        )
        return self.get_by_id(row.id)

    def release_vip(
        self, address: str, project_id: str | None = None, network_id: int | None = None
    ) -> None:
        """Give a claimed virtual IP back; of one project or network alone where that is given.

        Raises ``NotFound`` where it is not claimed (by that project).
        """
        owned = (
            _fixed.vip_project_id.is_not(None)
            if project_id is None
            else _fixed.vip_project_id == project_id
        )
        statement = update(fixed_ips).where(
            _fixed.address == address, _fixed.role == "vip", owned
        )
        if network_id is not None:
            statement = statement.where(_fixed.network_id == network_id)
        result = self._connection.execute(statement.values(vip_project_id=None, vip_name=None))
        if result.rowcount == 0:
            raise NotFound(f"Virtual IP {address} is not claimed.")

    def reserved_roles(self, network_ids: Sequence[int]) -> list[tuple[int, str, str]]:
        """The addresses that networks keep, as (network id, address, role), in their order.

        Those that an administrator reserved one by one are left out.
        """
        rows = self._connection.execute(
            select(_fixed.network_id, _fixed.address, _fixed.role)
            .where(
                _fixed.network_id.in_(network_ids), _fixed.role.is_not(None),
                _fixed.role != "admin", _fixed.host.is_(None),
            )
            .order_by(_fixed.network_id, _fixed.position)
        )
        return [(row[0], row[1], row[2]) for row in rows]

    def spans(self, network_ids: Sequence[int]) -> dict[int, tuple[str, str]]:
        """The first and the last address that each network keeps rows of."""
        ends = (
            select(_fixed.network_id, func.min(_fixed.id).label("a"), func.max(_fixed.id).label("z"))
            .where(_fixed.network_id.in_(network_ids))
            .group_by(_fixed.network_id)
            .subquery()
        )
        first, last = fixed_ips.alias("first"), fixed_ips.alias("last")
        rows = self._connection.execute(
            select(ends.c.network_id, first.c.address, last.c.address)
            .select_from(ends.join(first, first.c.id == ends.c.a).join(last, last.c.id == ends.c.z))
        )
        return {row[0]: (row[1], row[2]) for row in rows}

    def claimed_vips(self, network_ids: Sequence[int] | None = None) -> list[FixedIP]:
        """The claimed virtual IPs of networks, or of all."""
        statement = (
            select(fixed_ips)
            .where(_fixed.vip_project_id.is_not(None))
            .order_by(_fixed.network_id, _fixed.position)
        )
        if network_ids is not None:
            statement = statement.where(_fixed.network_id.in_(network_ids))
        return [FixedIP(*row) for row in self._connection.execute(statement)]

    def rename_vip(self, fixed_ip_id: int, name: str) -> None:
        """Write what a claimed virtual IP is for."""
        self._connection.execute(
            update(fixed_ips)
            .where(_fixed.id == fixed_ip_id, _fixed.vip_project_id.is_not(None))
            .values(vip_name=name)
        )

    def _details(self, *conditions: Any) -> list[FixedIPDetail]:
        width = len(fixed_ips.c)
        rows = self._connection.execute(
            select(fixed_ips, networks.c.cidr, instances.c.hostname, instances.c.host)
            .select_from(
                fixed_ips.join(networks, networks.c.id == _fixed.network_id).outerjoin(
                    instances,
                    (instances.c.uuid == _fixed.instance_uuid) & (_fixed.allocated == true()),
                )
            )
            .where(*conditions)
            .order_by(_fixed.network_id, _fixed.position)
        )
        return [FixedIPDetail(FixedIP(*row[:width]), *row[width:]) for row in rows]
