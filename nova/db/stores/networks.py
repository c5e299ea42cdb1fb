# SPDX-License-Identifier: Apache-2.0
"""Networks (each row is one subnet) and the addresses made with them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any
from uuid import uuid4

import msgspec
from sqlalchemy import Connection, bindparam, delete, func, insert, or_, select, true, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.network import NEVER, fixed_ips, networks, virtual_interfaces
from nova.errors import Conflict, NetworkNotFound
from nova.objects.network import Network, NetworkUsage, PlannedAddress, PlannedNetwork

_EVERY = select(networks).order_by(
    networks.c.priority.is_(None), networks.c.priority, networks.c.id
)
_BY_UUID = select(networks).where(networks.c.uuid == bindparam("network_uuid"))
_BY_ID = select(networks).where(networks.c.id == bindparam("network_id"))
_COUNT_PROJECT = (
    select(func.count()).select_from(networks).where(
        networks.c.project_id == bindparam("project"), networks.c.segment_uuid.is_(None)
    )
)
_INSERT_ADDRESSES = insert(fixed_ips)
_STORED_FIELDS = tuple(name for name in Network.__struct_fields__ if name != "id")


_RANGE4 = (
    "cidr", "netmask", "gateway", "broadcast", "dhcp_server", "dhcp_start", "vpn_private_address",
    "dns1", "dns2", "enable_dhcp",
)
_RANGE6 = ("cidr_v6", "netmask_v6", "gateway_v6")


def _subnet_uuids(network: Network) -> dict[str, str | None]:
    """The uuids of a row's subnets: those it has, new ones for ranges that have none yet."""
    return {
        "subnet_uuid": network.subnet_uuid or (str(uuid4()) if network.cidr else None),
        "subnet_uuid_v6": network.subnet_uuid_v6 or (str(uuid4()) if network.cidr_v6 else None),
    }


def _network(row: Any) -> Network:
    return Network(*row)


class NetworkStore:
    """Networks in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, planned: PlannedNetwork) -> Network:
        """Store a planned network and all its addresses.

        Raises ``Conflict`` where its uuid is taken already.
        """
        values = {name: getattr(planned.network, name) for name in _STORED_FIELDS}
        values["created_at"] = now()
        values |= _subnet_uuids(planned.network)
        try:
            result = self._connection.execute(insert(networks).values(**values))
        except IntegrityError as error:
            raise Conflict(
                f"A network with uuid {planned.network.uuid} exists already."
            ) from error
        key = result.inserted_primary_key
        assert key is not None
        network_id = int(key[0])
        self._add_addresses(network_id, planned.addresses)
        return msgspec.structs.replace(
            planned.network, id=network_id, created_at=values["created_at"],
            subnet_uuid=values["subnet_uuid"], subnet_uuid_v6=values["subnet_uuid_v6"],
        )

    def fill(self, network_id: int, planned: PlannedNetwork) -> None:
        """Give a network that has no such range yet the range of ``planned``, with its addresses.
        """
        names = _RANGE4 if planned.network.cidr is not None else _RANGE6
        values = {name: getattr(planned.network, name) for name in names}
        values |= {
            name: value
            for name, value in _subnet_uuids(planned.network).items()
            if value is not None
        }
        self.change(network_id, values)
        self._add_addresses(network_id, planned.addresses)

    def empty(self, network_id: int, *, version: int) -> None:
        """Take its IPv4 or IPv6 range from a network; ``Conflict`` while an address is in use."""
        if version == 4:
            self._refuse_used(network_id)
            self._connection.execute(delete(fixed_ips).where(fixed_ips.c.network_id == network_id))
            names: tuple[str, ...] = (*_RANGE4, "subnet_uuid")
            names = tuple(name for name in names if name != "enable_dhcp")
        else:
            names = (*_RANGE6, "subnet_uuid_v6")
        self.change(network_id, dict.fromkeys(names))

    def change(self, network_id: int, values: Mapping[str, Any]) -> None:
        """Set columns of a network and count the change."""
        self._connection.execute(
            update(networks)
            .where(networks.c.id == network_id)
            .values({"updated_at": now(), "revision": networks.c.revision + 1, **values})
        )

    def change_segment(self, uuid: str, values: Mapping[str, Any]) -> None:
        """Set columns of all rows of a network."""
        self._connection.execute(
            update(networks)
            .where(or_(networks.c.uuid == uuid, networks.c.segment_uuid == uuid))
            .values({"updated_at": now(), "revision": networks.c.revision + 1, **values})
        )

    def set_roles(self, network_id: int, addresses: Sequence[str], role: str | None) -> int:
        """Reserve unused addresses under a role, or free those that have one; returns how many."""
        changed = 0
        for start in range(0, len(addresses), 500):
            changed += self._connection.execute(
                update(fixed_ips)
                .where(
                    fixed_ips.c.network_id == network_id,
                    fixed_ips.c.address.in_(addresses[start : start + 500]),
                    fixed_ips.c.vip_project_id.is_(None),
                )
                .values(role=role, reserved=role is not None)
            ).rowcount
        return changed

    def _add_addresses(self, network_id: int, addresses: Sequence[PlannedAddress]) -> None:
        if not addresses:
            return
        self._connection.execute(
            _INSERT_ADDRESSES,
            [
                {
                    "address": each.address,
                    "network_id": network_id,
                    "position": position,
                    "allocated": False,
                    "leased": False,
                    "reserved": each.role is not None,
                    "role": each.role,
                    "used_elsewhere": False,
                    "released_at": NEVER,
                }
                for position, each in enumerate(addresses)
            ],
        )

    def _refuse_used(self, network_id: int) -> None:
        used = self._connection.execute(
            select(fixed_ips.c.address)
            .where(
                fixed_ips.c.network_id == network_id,
                or_(fixed_ips.c.allocated == true(), fixed_ips.c.vip_project_id.is_not(None)),
            )
            .limit(1)
        ).scalar_one_or_none()
        if used is not None:
            raise Conflict(f"Address {used} is in use.")

    def every(self) -> list[Network]:
        """All networks by priority (none last), then by age."""
        return [_network(row) for row in self._connection.execute(_EVERY)]

    def visible_to(self, project_id: str) -> list[Network]:
        """The project's own networks and those that belong to nobody, in the order of ``every``."""
        statement = _EVERY.where(
            or_(networks.c.project_id == project_id, networks.c.project_id.is_(None))
        )
        return [_network(row) for row in self._connection.execute(statement)]

    def owned_by(self, project_id: str) -> list[Network]:
        """The networks bound to a project, in the order of ``every``."""
        statement = _EVERY.where(networks.c.project_id == project_id)
        return [_network(row) for row in self._connection.execute(statement)]

    def on_vlan(self, vlan: int) -> list[Network]:
        """The networks that share one VLAN id, and so one bridge."""
        return [_network(row) for row in self._connection.execute(_EVERY.where(
            networks.c.vlan == vlan
        ))]

    def of_segment(self, uuid: str) -> list[Network]:
        """The rows of a network: its further subnets, then itself."""
        further = [_network(row) for row in self._connection.execute(
            select(networks).where(networks.c.segment_uuid == uuid).order_by(networks.c.id)
        )]
        first = self.find(uuid)
        return further if first is None else [*further, first]

    def find(self, uuid: str) -> Network | None:
        """The network of that uuid, if there is one."""
        row = self._connection.execute(_BY_UUID, {"network_uuid": uuid}).one_or_none()
        return None if row is None else _network(row)

    def get(self, uuid: str) -> Network:
        """The network of that uuid; ``NetworkNotFound`` without it."""
        found = self.find(uuid)
        if found is None:
            raise NetworkNotFound(uuid)
        return found

    def get_by_id(self, network_id: int) -> Network:
        """The network of that row id; ``NetworkNotFound`` without it."""
        row = self._connection.execute(_BY_ID, {"network_id": network_id}).one_or_none()
        if row is None:
            raise NetworkNotFound(str(network_id))
        return _network(row)

    def get_by_label(self, label: str) -> Network:
        """The only network of that label.

        Raises ``NetworkNotFound`` for none and ``Conflict`` for more than one.
        """
        return self._only_one(networks.c.label == label, label)

    def get_by_cidr(self, cidr: str) -> Network:
        """The network whose IPv4 or IPv6 range is ``cidr``; ``NetworkNotFound`` without it."""
        return self._only_one(or_(networks.c.cidr == cidr, networks.c.cidr_v6 == cidr), cidr)

    def delete(self, uuid: str, *, require_disassociated: bool = True) -> None:
        """Remove a network and its addresses.

        Raises ``NetworkNotFound``, or ``Conflict`` while an address is allocated or claimed, or
        while the network is bound to a project (unless ``require_disassociated`` is false).
        """
        network = self.get(uuid)
        if require_disassociated and network.project_id is not None:
            raise Conflict(
                f"Network {uuid} must be disassociated from project {network.project_id} "
                "before it can be deleted."
            )
        for each in self.of_segment(uuid):
            self._delete_row(each)

    def _delete_row(self, network: Network) -> None:
        uuid = network.uuid
        in_use = self._connection.execute(
            select(fixed_ips.c.address)
            .where(
                fixed_ips.c.network_id == network.id,
                or_(fixed_ips.c.allocated == true(), fixed_ips.c.vip_project_id.is_not(None)),
            )
            .limit(1)
        ).scalar_one_or_none()
        interface = self._connection.execute(
            select(virtual_interfaces.c.instance_uuid, virtual_interfaces.c.uuid)
            .where(virtual_interfaces.c.network_id == network.id)
            .limit(1)
        ).one_or_none()
        if in_use is not None or interface is not None:
            holder = in_use
            if interface is not None and holder is None:
                instance, port = interface
                holder = f"an interface of instance {instance}" if instance else f"port {port}"
            raise Conflict(f"Network {uuid} is still in use: {holder}.")
        self._connection.execute(delete(fixed_ips).where(fixed_ips.c.network_id == network.id))
        self._connection.execute(delete(networks).where(networks.c.id == network.id))

    def set_project(self, uuid: str, project_id: str | None) -> Network:
        """Bind a network to a project, or to none; ``NetworkNotFound`` without it."""
        return self._set(uuid, project_id=project_id)

    def set_host(self, uuid: str, host: str | None) -> Network:
        """Bind a network to the host that serves it, or to none; ``NetworkNotFound`` without it."""
        return self._set(uuid, host=host)

    def claim_unowned(self, network_id: int, project_id: str) -> bool:
        """Bind a network that belongs to nobody to a project; false if somebody else has it by now.
        """
        result = self._connection.execute(
            update(networks)
            .where(networks.c.id == network_id, networks.c.project_id.is_(None))
            .values(project_id=project_id, updated_at=now())
        )
        return result.rowcount == 1

    def count_owned_by(self, project_id: str) -> int:
        """How many networks are bound to a project; their further subnets are none."""
        return int(self._connection.execute(_COUNT_PROJECT, {"project": project_id}).scalar_one())

    def usage(self, network_ids: Sequence[int] | None = None) -> dict[int, NetworkUsage]:
        """How the addresses of networks (all where not given) are used, by network id.

        ``reserved`` does not count an address that was reserved while an instance held it.
        """
        columns = fixed_ips.c
        kinds = (
            columns.network_id, columns.allocated, columns.reserved, columns.role,
            columns.vip_project_id.is_not(None), columns.used_elsewhere,
        )
        statement = select(*kinds, func.count()).group_by(*kinds)
        if network_ids is not None:
            statement = statement.where(columns.network_id.in_(network_ids))
        sums: dict[int, list[int]] = {}
        for key, allocated, reserved, role, claimed, elsewhere, number in self._connection.execute(
            statement
        ):
            counts = sums.setdefault(key, [0] * 6)
            idle = not allocated
            for index, counted in enumerate(
                (True, allocated, reserved and idle, role == "vip", claimed,
                 elsewhere and idle and not reserved)
            ):
                counts[index] += number if counted else 0
        return {key: NetworkUsage(key, *counts) for key, counts in sums.items()}

    def _only_one(self, condition: Any, name: str) -> Network:
        rows = self._connection.execute(_EVERY.where(condition).limit(2)).all()
        if not rows:
            raise NetworkNotFound(name)
        if len(rows) > 1:
            raise Conflict(f"More than one network is called {name}; use the uuid.")
        return _network(rows[0])

    def _set(self, uuid: str, **values: Any) -> Network:
        result = self._connection.execute(
            update(networks).where(networks.c.uuid == uuid).values(updated_at=now(), **values)
        )
        if result.rowcount != 1:
            raise NetworkNotFound(uuid)
        return self.get(uuid)
