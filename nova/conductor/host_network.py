# SPDX-License-Identifier: Apache-2.0
"""What a host's network service may ask: the networks of its own guests and those that it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import msgspec

from nova.conductor.host_filters import filters_in
from nova.conf.network import NetworkSection
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.network.manager import manager_named
from nova.network.names import names_of_host
from nova.objects.host_network import HostLease, HostNetwork, HostNetworkState, LeaseEvent
from nova.objects.network import Network


def network_state(
    db: Database,
    section: NetworkSection,
    host: str,
    network_uuids: Sequence[str] | None = None,
    *,
    may_serve: bool = True,
    default_zone: str = "nova",
) -> HostNetworkState:
    """The networks of a host: all, or those named as far as they are the host's.

    Networks may be named as clients know them or by the uuid of a row. A network that no host serves yet
    becomes this host's when it asks for all, if it ``may_serve``. ``default_zone`` is that of hosts in no
    aggregate with a zone.
    """

    def write(tx: Transaction) -> HostNetworkState | None:
        if network_uuids is None and may_serve:
            tx.host_networks.take_unserved(host)
        return _state(tx, section, host, network_uuids, default_zone=default_zone)

    with db.read() as tx:
        found = None
        if network_uuids is not None or not may_serve or not tx.host_networks.unserved():
            found = _state(
                tx, section, host, network_uuids, may_write=False, default_zone=default_zone
            )
    if found is None:
        found = db.run(write)
        assert found is not None
    return found


def network_report(db: Database, host: str) -> None:
    """The host's network service lives."""
    db.run(lambda tx: tx.services.report_many([("nova-network", host, "network")], now()))


def host_names(db: Database, host: str, default_zone: str) -> tuple[tuple[str, str], ...]:
    """The names that a host's DNS answers beside those of guests: (address, full name)."""
    with db.read() as tx:
        return names_of_host(tx, host, default_zone)


def lease_changed(db: Database, host: str, event: LeaseEvent) -> bool:
    """Record what DHCP says of a lease; false where the address is not the host's business."""
    return db.run(
        lambda tx: tx.host_networks.lease_seen(
            host, event.mac.lower(), event.address, event.kind != "del"
        )
    )


def _state(
    tx: Transaction,
    section: NetworkSection,
    host: str,
    network_uuids: Sequence[str] | None,
    *,
    default_zone: str,
    may_write: bool = True,
) -> HostNetworkState | None:
    """The state; None where an address for the host has yet to be taken and it may not write."""
    rows = tx.host_networks.of_host(host)
    if network_uuids is not None:
        wanted = set(network_uuids)
        rows = [row for row in rows if row.uuid in wanted or row.network_uuid in wanted]
    # Under the flat manager hosts are no gateways and give no addresses.
    serving = manager_named(section.network_manager).dhcp
    here = [row for row in rows if serving and row.multi_host]
    all_of_it = [row for row in rows if serving and not row.multi_host and row.host == host]
    served = {row.id for row in (*here, *all_of_it)}
    leases = tx.host_networks.leases([row.id for row in here], host)
    leases |= tx.host_networks.leases([row.id for row in all_of_it])
    leaves = section.teardown_unused_network_gateway and network_uuids is None
    own: dict[int, str] = {}
    if leaves or any(not _shared(row, section) for row in here):
        own = tx.fixed_ips.addresses_of_host(host)
    if leaves and (left := own.keys() - {row.id for row in rows}):
        # It takes the bridges of these networks down, and with them its addresses on them.
        if not may_write:
            return None
        tx.fixed_ips.give_up_for_host(host, sorted(left))
    names: dict[int, list[HostLease]] = {}
    if section.update_dns_entries:
        names = tx.host_networks.leases([row.id for row in here])
    off = tx.routers.switched_off({row.project_id for row in rows if row.project_id is not None})
    networks = []
    for row in rows:
        address = None
        if row.id in served:
            address = _address_of(tx, section, row, host, own, may_write=may_write)
            if address is None and row.cidr is not None and not may_write:
                return None
        neighbours = tuple((each.address, each.hostname) for each in names.get(row.id, ()))
        described = _described(
            row, section, address, leases.get(row.id, []), serves=row.id in served
        )
        networks.append(
            msgspec.structs.replace(
                described, neighbours=neighbours, routed=row.project_id not in off
            )
        )
    return HostNetworkState(
        host=host, whole=network_uuids is None, networks=tuple(networks),
        filters=filters_in(tx, section, host),
        names=names_of_host(tx, host, default_zone) if network_uuids is None else None,
    )


def _shared(row: Network, section: NetworkSection) -> bool:
    return not row.multi_host or row.share_address or section.share_dhcp_address


def _address_of(
    tx: Transaction,
    section: NetworkSection,
    row: Network,
    host: str,
    own: Mapping[int, str],
    *,
    may_write: bool,
) -> str | None:
    """The address that a host serves a network from: the network's, or in networks of many hosts that
    share none, one of its ``own``. None where there is none left, or where it must not be taken now.
    """
    if row.cidr is None:
        return None
    if _shared(row, section):
        return row.dhcp_server or row.gateway
    if row.id in own or not may_write:
        return own.get(row.id)
    mine = tx.fixed_ips.take_for_host(row.id, host)
    return mine.address if mine is not None else None


def _router(row: Network, section: NetworkSection, address: str | None) -> str | None:
    """Whom guests are told as their router: this host where it is one, at whichever address it has."""
    elsewhere = row.gateway != (row.dhcp_server or row.gateway)
    return row.gateway if row.gateway is None or elsewhere or _shared(row, section) else address


def _described(
    row: Network,
    section: NetworkSection,
    address: str | None,
    leases: Sequence[HostLease],
    *,
    serves: bool,
) -> HostNetwork:
    return HostNetwork(
        uuid=row.uuid, network_uuid=row.network_uuid, label=row.label, bridge=row.bridge or "",
        bridge_interface=row.bridge_interface, vlan=row.vlan,
        mtu=row.mtu or section.network_device_mtu, cidr=row.cidr, broadcast=row.broadcast,
        gateway=_router(row, section, address), routes=row.routes, host_address=address,
        dhcp_start=row.dhcp_start, enable_dhcp=row.enable_dhcp, cidr_v6=row.cidr_v6,
        gateway_v6=row.gateway_v6,
        dns=row.dns,
        project_id=row.project_id, multi_host=row.multi_host, share_address=_shared(row, section),
        serves=serves, leases=tuple(leases) if serves else (),
    )
