# SPDX-License-Identifier: Apache-2.0
"""The networks of a host: those that its guests are on, and those that it serves for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Subquery, bindparam, false, or_, select, true, union, update

from nova.db.schema.base import now
from nova.db.schema.compute import instances
from nova.db.schema.hosts import claims, compute_nodes
from nova.db.schema.network import fixed_ips, networks, virtual_interfaces
from nova.objects.host_network import HostLease
from nova.objects.network import Network

# A guest is on a host where its row says so, and where it holds a claim: while it is moving, on two.
_GUESTS = union(
    select(instances.c.uuid).where(
        instances.c.host == bindparam("host"), instances.c.deleted == 0
    ),
    select(claims.c.instance_uuid)
    .join(compute_nodes, compute_nodes.c.id == claims.c.node_id)
    .where(compute_nodes.c.host == bindparam("host")),
).subquery("guests")


def guests_of_host() -> Subquery:
    """The uuids of the guests that are on a host, or coming to it; the host is the parameter ``host``."""
    return _GUESTS


_ON_HOST = select(virtual_interfaces.c.network_id).where(
    virtual_interfaces.c.instance_uuid.in_(select(_GUESTS))
)
# A card of a network may have its address from a further subnet of it, which has a row of its own.
_RANGES_ON_HOST = select(fixed_ips.c.network_id).where(
    fixed_ips.c.instance_uuid.in_(select(_GUESTS))
)
_NETWORKS = (
    select(networks)
    .where(
        or_(
            networks.c.id.in_(_ON_HOST),
            networks.c.id.in_(_RANGES_ON_HOST),
            (networks.c.host == bindparam("host")) & (networks.c.multi_host == false()),
        )
    )
    .order_by(networks.c.id)
)
_LEASES = (
    select(
        fixed_ips.c.network_id, virtual_interfaces.c.address, fixed_ips.c.address,
        instances.c.hostname, instances.c.uuid, virtual_interfaces.c.uuid, virtual_interfaces.c.id,
        virtual_interfaces.c.facts,
    )
    .select_from(
        fixed_ips.join(
            virtual_interfaces, virtual_interfaces.c.uuid == fixed_ips.c.virtual_interface_uuid
        ).join(instances, instances.c.uuid == fixed_ips.c.instance_uuid)
    )
    .where(
        fixed_ips.c.network_id.in_(bindparam("networks", expanding=True)),
        fixed_ips.c.allocated == true(),
    )
    .order_by(fixed_ips.c.network_id, fixed_ips.c.position)
)
_LEASES_HERE = _LEASES.where(fixed_ips.c.instance_uuid.in_(select(_GUESTS)))
_CARDS = select(virtual_interfaces.c.instance_uuid, virtual_interfaces.c.id)
_SERVERS = (
    select(instances.c.host, networks.c.host, networks.c.multi_host, networks.c.uuid)
    .select_from(
        fixed_ips.join(networks, networks.c.id == fixed_ips.c.network_id).join(
            instances, instances.c.uuid == fixed_ips.c.instance_uuid
        )
    )
    .where(fixed_ips.c.instance_uuid.in_(bindparam("uuids", expanding=True)))
)
_CARRIERS = union(
    select(instances.c.host, networks.c.uuid)
    .select_from(
        fixed_ips.join(networks, networks.c.id == fixed_ips.c.network_id).join(
            instances, instances.c.uuid == fixed_ips.c.instance_uuid
        )
    )
    .where(
        networks.c.uuid.in_(bindparam("uuids", expanding=True)), instances.c.host.is_not(None),
        instances.c.deleted == 0,
    ),
    select(networks.c.host, networks.c.uuid).where(
        networks.c.uuid.in_(bindparam("uuids", expanding=True)), networks.c.host.is_not(None),
        networks.c.multi_host == false(),
    ),
)
# Who else has guests in the multi-host networks of instances.
_theirs = fixed_ips.alias("theirs")
_NEIGHBOURS = (
    select(instances.c.host, networks.c.uuid)
    .select_from(
        fixed_ips.join(networks, networks.c.id == fixed_ips.c.network_id)
        .join(_theirs, _theirs.c.network_id == networks.c.id)
        .join(instances, instances.c.uuid == _theirs.c.instance_uuid)
    )
    .where(
        fixed_ips.c.instance_uuid.in_(bindparam("uuids", expanding=True)),
        networks.c.multi_host == true(), _theirs.c.allocated == true(),
        instances.c.host.is_not(None), instances.c.deleted == 0,
    )
    .distinct()
)


def _dhcp_options(facts: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    """The options of IPv4 that a port asks for."""
    return tuple(
        (each["opt_name"], each["opt_value"]) for each in facts.get("extra_dhcp_opts") or ()
        if int(each.get("ip_version", 4)) == 4 and each.get("opt_value") is not None
    )


class HostNetworkStore:
    """A host's networks in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def take_unserved(self, host: str) -> None:
        """Let a host serve the networks that no host serves yet; networks of many hosts need none."""
        self._connection.execute(
            update(networks)
            .where(
                networks.c.host.is_(None), networks.c.multi_host == false(),
                or_(networks.c.cidr.is_not(None), networks.c.cidr_v6.is_not(None)),
            )
            .values(host=host, updated_at=now())
        )

    def unserved(self) -> bool:
        """Whether there is a network that needs a host and has none."""
        return self._connection.execute(
            select(networks.c.id)
            .where(
                networks.c.host.is_(None), networks.c.multi_host == false(),
                or_(networks.c.cidr.is_not(None), networks.c.cidr_v6.is_not(None)),
            )
            .limit(1)
        ).first() is not None

    def serving_hosts(self) -> set[str]:
        """The hosts that serve networks for all others."""
        rows = self._connection.execute(
            select(networks.c.host).distinct().where(
                networks.c.host.is_not(None), networks.c.multi_host == false()
            )
        )
        return {row[0] for row in rows}

    def of_host(self, host: str) -> list[Network]:
        """The networks with a guest on the host and those that it serves, oldest first."""
        return [Network(*row) for row in self._connection.execute(_NETWORKS, {"host": host})]

    def leases(self, network_ids: Sequence[int], host: str | None = None) -> dict[int, list[HostLease]]:
        """The guests' addresses in networks, of one host's guests or of all, by network row id."""
        if not network_ids:
            return {}
        values: dict[str, object] = {"networks": network_ids}
        statement = _LEASES
        if host is not None:
            statement, values["host"] = _LEASES_HERE, host
        rows = self._connection.execute(statement, values).all()
        first = self._first_cards({row[4] for row in rows})
        found: dict[int, list[HostLease]] = {}
        for network_id, mac, address, hostname, instance_uuid, vif_uuid, vif_id, facts in rows:
            found.setdefault(network_id, []).append(
                HostLease(
                    mac=mac, address=address, hostname=hostname, instance_uuid=instance_uuid,
                    vif_id=vif_uuid, first=first.get(instance_uuid) == vif_id,
                    options=() if facts is None else _dhcp_options(facts),
                )
            )
        return found

    def servers_of(
        self, instance_uuids: Sequence[str], host: str | None = None
    ) -> set[tuple[str, str]]:
        """Who carries the networks of instances: (host, network row uuid), serving or bridging.

        ``host`` is where they are if their rows do not say so any more.
        """
        found: set[tuple[str, str]] = set()
        rows = self._connection.execute(_SERVERS, {"uuids": instance_uuids})
        for row_host, network_host, multi_host, uuid in rows:
            guest_host = host or row_host
            if guest_host is not None:
                found.add((guest_host, uuid))
            if network_host is not None and not multi_host:
                found.add((network_host, uuid))
        return found

    def carriers_of(self, network_uuids: Sequence[str]) -> set[tuple[str, str]]:
        """The hosts that serve networks or have guests with addresses of them: (host, network row uuid)."""
        if not network_uuids:
            return set()
        rows = self._connection.execute(_CARRIERS, {"uuids": network_uuids})
        return {(row[0], row[1]) for row in rows}

    def neighbours_of(self, instance_uuids: Sequence[str]) -> set[tuple[str, str]]:
        """The hosts of all guests in the multi-host networks of instances: (host, network row uuid)."""
        rows = self._connection.execute(_NEIGHBOURS, {"uuids": instance_uuids})
        return {(row[0], row[1]) for row in rows}

    def lease_seen(self, host: str, mac: str, address: str, leased: bool) -> bool:
        """Record that a lease began or ended; false where the address is no business of the host.

        It is where the card is one of the host's guests, or where the host serves the network.
        """
        mine = (
            select(fixed_ips.c.id)
            .join(networks, networks.c.id == fixed_ips.c.network_id)
            .join(
                virtual_interfaces, virtual_interfaces.c.uuid == fixed_ips.c.virtual_interface_uuid
            )
            .where(
                fixed_ips.c.address == address,
                virtual_interfaces.c.address == mac,
                or_(
                    fixed_ips.c.instance_uuid.in_(select(_GUESTS)),
                    (networks.c.host == bindparam("host")) & (networks.c.multi_host == false()),
                ),
            )
        )
        row = self._connection.execute(mine, {"host": host}).first()
        if row is None:
            return False
        self._connection.execute(
            update(fixed_ips).where(fixed_ips.c.id == row[0]).values(leased=leased)
        )
        return True

    def _first_cards(self, instance_uuids: set[str]) -> dict[str, int]:
        """The row id of the first card of each instance."""
        first: dict[str, int] = {}
        wanted = sorted(instance_uuids)
        for start in range(0, len(wanted), 500):
            rows = self._connection.execute(
                _CARDS.where(virtual_interfaces.c.instance_uuid.in_(wanted[start : start + 500]))
            )
            for uuid, number in rows:
                first[uuid] = min(number, first.get(uuid, number))
        return first
