# SPDX-License-Identifier: Apache-2.0
"""``nova-manage network``: networks are made, listed, changed and removed."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from nova.cmd.manage_session import (
    Argument,
    Command,
    CommandError,
    Session,
    argument,
    true_or_false,
)
from nova.network.creation import NetworkRequest, create_networks
from nova.objects.network import Network, NetworkUsage

if TYPE_CHECKING:
    from nova.db.engine import Transaction

#: The flag of each field of a request whose name is another.
FLAGS_OF_FIELDS = {
    "cidr": "--fixed_range_v4", "cidr_v6": "--fixed_range_v6", "vpn_start": "--vpn",
    "ip_range": "--ip_range", "name": "--name", "network_manager": "network_manager",
}

_ADDRESS = "ADDRESS"
_WHICH: tuple[Argument, ...] = (
    argument("--fixed_range", metavar="CIDR", help="the network with this range"),
    argument("--uuid", help="the network with this uuid"),
)
_CREATE: tuple[Argument, ...] = (
    argument("--label", help="name of the network; several get _0, _1 ... behind it"),
    argument("--fixed_range_v4", dest="cidr", metavar="CIDR", help="IPv4 range to carve from"),
    argument("--fixed_range_v6", dest="cidr_v6", metavar="CIDR", help="IPv6 range"),
    argument("--num_networks", type=int, metavar="N", help="networks to make"),
    argument("--network_size", type=int, metavar="N", help="addresses of each, a power of two"),
    argument(
        "--vlan", type=int, metavar="ID",
        help="VLAN id; networks with one id share its bridge br<ID>",
    ),
    argument("--vlan_start", type=int, metavar="ID", help="first id where --vlan is not given"),
    argument("--vpn", dest="vpn_start", type=int, metavar="PORT", help="first port for VPNs"),
    argument("--gateway", metavar=_ADDRESS, help="default: the first address"),
    argument("--gateway_v6", metavar=_ADDRESS, help="default: the first address"),
    argument("--bridge", metavar="DEVICE", help="bridge of a flat network"),
    argument("--bridge_interface", metavar="DEVICE", help="what the bridge or VLAN runs over"),
    argument("--multi_host", type=true_or_false, metavar="T|F", help="a gateway on every host"),
    argument("--dns1", metavar=_ADDRESS, help="first DNS server"),
    argument("--dns2", metavar=_ADDRESS, help="second DNS server"),
    argument("--uuid", help="uuid of the network"),
    argument("--fixed_cidr", metavar="CIDR", help="part of the range that guests may have"),
    argument("--project_id", metavar="ID", help="project that owns the network"),
    argument("--priority", type=int, metavar="N", help="order of the cards in a server"),
    argument("--mtu", type=int, metavar="BYTES", help="largest packet"),
    argument("--enable_dhcp", type=true_or_false, metavar="T|F", help="serve DHCP (default T)"),
    argument("--dhcp_server", metavar=_ADDRESS, help="default: the gateway"),
    argument(
        "--share_address", type=true_or_false, metavar="T|F",
        help="one DHCP address on all hosts",
    ),
    argument("--allowed_start", metavar=_ADDRESS, help="first address for guests"),
    argument("--allowed_end", metavar=_ADDRESS, help="last address for guests"),
)


def create(arguments: argparse.Namespace, session: Session) -> None:
    """Make networks and show them."""
    given = {
        name: value
        for name in NetworkRequest.__struct_fields__
        if (value := getattr(arguments, name, None)) not in (None, "")
    }

    def write(tx: Transaction) -> tuple[list[Network], dict[int, NetworkUsage]]:
        made = create_networks(tx, NetworkRequest(**given), session.config.network)
        usage = tx.networks.usage([each.id for each in made])
        return made, usage

    made, usage = session.db.run(write)
    for network in made:
        counts = usage.get(network.id)
        addresses = f", {counts.free} addresses free, {counts.vips} virtual IPs" if counts else ""
        session.say(f"{network.uuid} {network.label}: {_range(network)}{addresses}")


def show_all(_arguments: argparse.Namespace, session: Session) -> None:
    """List all networks."""
    with session.db.read() as tx:
        networks = sorted(tx.networks.every(), key=lambda each: each.id)
        usage = tx.networks.usage()
    rows = []
    for each in networks:
        counts = usage.get(each.id)
        rows.append(
            (
                each.id, each.cidr, each.cidr_v6, each.dhcp_start, each.dns1, each.dns2,
                each.vlan, each.project_id, each.uuid, each.label, counts.free if counts else 0,
                f"{counts.vips_claimed}/{counts.vips}" if counts else "-",
            )
        )
    session.table(
        ("id", "IPv4", "IPv6", "start address", "DNS1", "DNS2", "VlanID", "project", "uuid",
         "label", "free", "virtual IPs"),
        rows,
    )


def delete(arguments: argparse.Namespace, session: Session) -> None:
    """Remove a network."""

    def write(tx: Transaction) -> Network:
        network = _network(tx, arguments)
        tx.networks.delete(network.uuid)
        return network

    network = session.db.run(write)
    session.say(f"deleted {network.uuid} {network.label}")


def modify(arguments: argparse.Namespace, session: Session) -> None:
    """Bind a network to a project or host, or unbind it."""
    for given, taken in (("project", "disassociate_project"), ("host", "disassociate_host")):
        if getattr(arguments, given) and getattr(arguments, taken):
            raise CommandError(f"--{given} and --{taken.replace('_', '-')} exclude each other")
    project, host = arguments.project, arguments.host
    if not (project or host or arguments.disassociate_project or arguments.disassociate_host):
        raise CommandError("nothing to change: give --project, --host or one of --disassociate-*")

    def write(tx: Transaction) -> Network:
        uuid = _network(tx, arguments).uuid
        if project or arguments.disassociate_project:
            tx.networks.set_project(uuid, project or None)
        if host or arguments.disassociate_host:
            tx.networks.set_host(uuid, host or None)
        return tx.networks.get(uuid)

    network = session.db.run(write)
    session.say(
        f"{network.uuid} {network.label}: project {network.project_id or '-'}, "
        f"host {network.host or '-'}"
    )


def named_network(tx: Transaction, uuid: str | None, cidr: str | None) -> Network:
    """The network with a uuid or a range.

    Raises ``CommandError`` unless exactly one of them is given, ``NetworkNotFound`` without it.
    """
    if uuid and not cidr:
        return tx.networks.get(uuid)
    if cidr and not uuid:
        return tx.networks.get_by_cidr(cidr)
    raise CommandError("give one of --uuid and --fixed_range")


def _network(tx: Transaction, arguments: argparse.Namespace) -> Network:
    return named_network(tx, arguments.uuid, arguments.fixed_range)


def _range(network: Network) -> str:
    parts = [each for each in (network.cidr, network.cidr_v6) if each]
    if network.vlan is not None:
        parts.append(f"VLAN {network.vlan}")
    parts.append(f"bridge {network.bridge}")
    return ", ".join(parts)


GROUPS = {
    "network": (
        "Networks: make, list, change and remove them.",
        (
            Command(
                "create", "Make one or more networks.", create, _CREATE,
                "examples:\n"
                "  nova-manage network create --label blue --fixed_range_v4 10.20.0.0/24 "
                "--vlan 401\n"
                "  nova-manage network create --label more --fixed_range_v4 10.20.1.0/26 "
                "--vlan 401\n"
                "      a second subnet on the same VLAN and bridge\n",
            ),
            Command("list", "List all networks.", show_all),
            Command(
                "delete", "Remove a network that nobody uses.", delete, _WHICH,
                "examples:\n  nova-manage network delete --fixed_range 10.20.0.0/24\n",
            ),
            Command(
                "modify", "Bind a network to a project or host, or unbind it.", modify,
                (
                    *_WHICH,
                    argument("--project", metavar="ID", help="project to own the network"),
                    argument("--host", help="host to serve the network"),
                    argument(
                        "--disassociate-project", action="store_true",
                        help="let it belong to nobody",
                    ),
                    argument(
                        "--disassociate-host", action="store_true", help="let no host serve it"
                    ),
                ),
                "examples:\n"
                "  nova-manage network modify --fixed_range 10.20.0.0/24 --project 5f0d2a\n",
            ),
        ),
    ),
}
