# SPDX-License-Identifier: Apache-2.0
"""``nova-manage host``: the hosts of the cloud and the keys that they prove themselves with."""

from __future__ import annotations

import argparse
from pathlib import Path

from nova.cmd.manage_cloud import zone_of
from nova.cmd.manage_session import Command, CommandError, Session, argument
from nova.conductor.enrolment import enrol, revoke
from nova.rpc.envelope import CONTROL, Key
from nova.rpc.keys import new_key, read_key, write_key


def list_hosts(arguments: argparse.Namespace, session: Session) -> None:
    """List hosts and their zones."""
    with session.db.read() as tx:
        services = tx.services.list()
        zones = tx.aggregates.zones_of_hosts()
    rows = dict.fromkeys((each.host, zone_of(each, zones, session)) for each in services)
    session.table(
        ("host", "zone"), [row for row in rows if arguments.zone in (None, row[1])]
    )


def make_control_key(arguments: argparse.Namespace, session: Session) -> None:
    """Make the control side's own key."""
    path = Path(arguments.output or session.config.host_identity.control_key_file)
    try:
        write_key(path, new_key(CONTROL))
    except FileExistsError:
        raise CommandError(
            f"{path} is there already. Another one would make all hosts' keys worthless; to begin anew, move "
            "it away and enrol every host again."
        ) from None
    session.say(f"{path}: copy it to every machine of the control side, and to no host")


def enrol_host(arguments: argparse.Namespace, session: Session) -> None:
    """Give a host a key."""
    control = _control_key(session)
    path = Path(arguments.output or f"{arguments.name}.key")
    if path.exists():
        raise CommandError(f"{path} is there already; name another file with --output")
    key = enrol(session.db, control, arguments.name)
    write_key(path, key)
    directory = session.config.host_identity.key_directory
    session.say(
        f"{arguments.name} has the key {key.key_id}: move {path} to {directory}/{arguments.name}.key on that "
        "host, owned by the user that Nova runs as, mode 0600"
    )
    if arguments.revoke_others:
        ended = revoke(session.db, arguments.name, but=key.key_id)
        session.say(f"{ended} former keys are worthless now")


def list_keys(arguments: argparse.Namespace, session: Session) -> None:
    """List the keys that hosts were given."""
    with session.db.read() as tx:
        keys = tx.host_identity.keys(arguments.name)
    session.table(
        ("Host", "Key", "Given", "Revoked"),
        [(each.host, each.key_id, each.created_at, each.revoked_at) for each in keys],
    )


def revoke_keys(arguments: argparse.Namespace, session: Session) -> None:
    """Take a host's keys back."""
    ended = revoke(session.db, arguments.name)
    session.say(f"{ended} keys of {arguments.name} are worthless now; nothing that it says counts any more")


def _control_key(session: Session) -> Key:
    return read_key(Path(session.config.host_identity.control_key_file))


_NAME = argument("name", help="the host's name, as `host` in its nova.conf or its host name has it")

GROUPS = {
    "host": (
        "Hosts of the cloud, and the keys that they prove themselves with.",
        (
            Command(
                "list", "List hosts and their zones.", list_hosts,
                (argument("zone", nargs="?", help="only those in this zone"),),
            ),
            Command(
                "control_key", "Make the control side's key, once for a cloud.", make_control_key,
                (argument("--output", metavar="FILE", help="in place of control_key_file"),),
                needs_database=False,
            ),
            Command(
                "enrol", "Give a host a key; without one nothing that it says counts.", enrol_host,
                (
                    _NAME,
                    argument("--output", metavar="FILE", help="where to put it (default: NAME.key)"),
                    argument(
                        "--revoke_others", action="store_true",
                        help="make its former keys worthless, for one that may have been copied",
                    ),
                ),
                "examples:\n"
                "  nova-manage host enrol node7 --output /root/node7.key\n"
                "  scp /root/node7.key node7:/etc/nova/host-keys/node7.key && rm /root/node7.key\n",
            ),
            Command(
                "keys", "List the keys that hosts were given.", list_keys,
                (argument("name", nargs="?", help="only of this host"),),
            ),
            Command(
                "revoke", "Take a host's keys back: it is out of the cloud.", revoke_keys, (_NAME,),
                "examples:\n  nova-manage host revoke node7\n",
            ),
        ),
    ),
}
