# SPDX-License-Identifier: Apache-2.0
"""``nova-manage fixed``, ``floating`` and ``vip``: addresses."""

from __future__ import annotations

import argparse

from nova.cmd.manage_network import named_network
from nova.cmd.manage_session import Command, Session, argument
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.network import floating, vips
from nova.objects.network import FixedIP

_ONE = (argument("--address", required=True, help="the address"),)


def list_fixed(arguments: argparse.Namespace, session: Session) -> None:
    """List fixed addresses, of all or of one host's servers."""
    with session.db.read() as tx:
        found = tx.fixed_ips.details(host=arguments.host)
    session.table(
        ("network", "IP address", "hostname", "host", "state", "seen MAC", "seen at"),
        [
            (
                each.cidr, each.fixed_ip.address, each.hostname,
                each.instance_host or each.fixed_ip.host, _state(each.fixed_ip),
                each.fixed_ip.seen_mac, each.fixed_ip.seen_at,
            )
            for each in found
        ],
    )


def _state(fixed: FixedIP) -> str:
    if fixed.allocated:
        return f"used by {fixed.instance_uuid}"
    if fixed.vip_project_id is not None:
        return f"vip of {fixed.vip_project_id}"
    if fixed.reserved:
        return f"reserved ({fixed.role})" if fixed.role else "reserved"
    if fixed.used_elsewhere:
        return "used elsewhere"
    return "free" if fixed.is_free(now()) else "held back"


def reserve(arguments: argparse.Namespace, session: Session) -> None:
    """Keep an address from being handed out."""
    fixed = session.db.run(lambda tx: tx.fixed_ips.reserve(arguments.address))
    session.say(f"{fixed.address}: {_state(fixed)}")


def unreserve(arguments: argparse.Namespace, session: Session) -> None:
    """Let an address be handed out again."""
    fixed = session.db.run(lambda tx: tx.fixed_ips.unreserve(arguments.address))
    session.say(f"{fixed.address}: {_state(fixed)}")


def create_floating(arguments: argparse.Namespace, session: Session) -> None:
    """Add floating addresses to a pool."""
    pool = arguments.pool or session.config.network.default_floating_pool
    interface = arguments.interface or session.config.network.public_interface
    added = session.db.run(
        lambda tx: floating.create_range(tx, arguments.ip_range, pool, interface)
    )
    session.say(f"added {len(added)} floating addresses to pool {pool}")


def delete_floating(arguments: argparse.Namespace, session: Session) -> None:
    """Remove floating addresses, and give projects their quota for them back."""

    def write(tx: Transaction) -> int:
        before = len(tx.floating_ips.every())
        for project_id, number in floating.delete_range(tx, arguments.ip_range).items():
            tx.quotas.release(project_id, {"floating_ips": number})
        return before - len(tx.floating_ips.every())

    removed = session.db.run(write)
    session.say(f"removed {removed} floating addresses")


def list_floating(arguments: argparse.Namespace, session: Session) -> None:
    """List floating addresses, of all or of one host."""
    with session.db.read() as tx:
        found = tx.floating_ips.every(arguments.host)
    session.table(
        ("project", "address", "instance", "fixed", "pool", "interface", "host"),
        [
            (
                each.project_id, each.address, each.instance_uuid, each.fixed_address, each.pool,
                each.interface, each.host,
            )
            for each in found
        ],
    )


def list_vips(arguments: argparse.Namespace, session: Session) -> None:
    """List virtual IPs."""
    with session.db.read() as tx:
        network = None
        if arguments.uuid or arguments.fixed_range:
            network = named_network(tx, arguments.uuid, arguments.fixed_range)
        networks = {each.id: each for each in tx.networks.every()}
        found = vips.list_vips(tx, network, project_id=arguments.project)
        servers = tx.virtual_ips.servers_of([each.id for each in found])
    session.table(
        ("network", "address", "project", "name", "instances"),
        [
            (
                networks[each.network_id].cidr, each.address, each.vip_project_id, each.vip_name,
                ", ".join(servers.get(each.id, ())),
            )
            for each in found
        ],
    )


def claim_vip(arguments: argparse.Namespace, session: Session) -> None:
    """Claim a virtual IP for a project."""

    def write(tx: Transaction) -> FixedIP:
        network = named_network(tx, arguments.uuid, arguments.fixed_range)
        return vips.claim_vip(
            tx, arguments.project, arguments.name, network, arguments.address, arguments.instance or ()
        )

    claimed = session.db.run(write)
    session.say(claimed.address)


def release_vip(arguments: argparse.Namespace, session: Session) -> None:
    """Give a virtual IP back."""
    session.db.run(lambda tx: vips.release_vip(tx, arguments.address))
    session.say(f"released {arguments.address}")


_RANGE = argument("--ip_range", required=True, metavar="ADDRESS|CIDR", help="which addresses")
_NETWORK = (
    argument("--fixed_range", metavar="CIDR", help="of the network with this range"),
    argument("--uuid", help="of the network with this uuid"),
)

GROUPS = {
    "fixed": (
        "Fixed addresses: list them, keep some from being handed out.",
        (
            Command(
                "list", "List fixed addresses and what each is used for.", list_fixed,
                (argument("--host", help="only those of this host's servers"),),
                "'used elsewhere' is an address that answered on the wire although nobody here\n"
                "has it; the MAC that answered and the time are shown. It is looked for again.\n"
                "'held back' is that of a deleted server whose DHCP lease may still run.\n",
            ),
            Command("reserve", "Keep an address from being handed out.", reserve, _ONE),
            Command("unreserve", "Let a reserved address be handed out.", unreserve, _ONE),
        ),
    ),
    "floating": (
        "Floating addresses: fill and empty their pools.",
        (
            Command(
                "create", "Add an address, or the hosts of a CIDR, to a pool.", create_floating,
                (
                    _RANGE,
                    argument("--pool", help="default: default_floating_pool"),
                    argument("--interface", help="device that carries them on the hosts"),
                ),
                "examples:\n"
                "  nova-manage floating create --ip_range 192.0.2.0/28 --pool public\n"
                "  nova-manage floating create --ip_range 192.0.2.77\n",
            ),
            Command(
                "delete", "Remove addresses that lead nowhere.", delete_floating, (_RANGE,)
            ),
            Command(
                "list", "List floating addresses.", list_floating,
                (argument("--host", help="only those that this host serves"),),
            ),
        ),
    ),
    "vip": (
        "Virtual IPs: addresses that a network keeps for projects to set up in their guests.",
        (
            Command(
                "list", "List virtual IPs and who claimed them.", list_vips,
                (*_NETWORK, argument("--project", metavar="ID", help="claimed by this project")),
            ),
            Command(
                "claim", "Claim a virtual IP for a project; prints the address.", claim_vip,
                (
                    *_NETWORK,
                    argument("--project", metavar="ID", required=True, help="who claims it"),
                    argument("--name", required=True, help="what it is for"),
                    argument("--address", help="default: the first that nobody has"),
                    argument(
                        "--instance", metavar="UUID", action="append",
                        help="a server that is to hold it; may be given several times",
                    ),
                ),
                "examples:\n"
                "  nova-manage vip claim --fixed_range 10.20.0.0/24 --project 5f0d2a --name web\n",
            ),
            Command("release", "Give a virtual IP back.", release_vip, _ONE),
        ),
    ),
}
