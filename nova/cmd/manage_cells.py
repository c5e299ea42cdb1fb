# SPDX-License-Identifier: Apache-2.0
"""``nova-manage cell_v2`` and ``api_db``: what installers call of newer releases.

There are no cells here: one database serves the whole cloud, and a host belongs to it once it reports.
Installers set cells up all the same, so these commands answer as the original does in a cloud in which
that has been done: a ``cell0`` and one ``cell1`` that holds everything. None of them changes anything.
"""

from __future__ import annotations

import argparse
import uuid

from nova.cmd.grid import grid
from nova.cmd.manage_session import Command, CommandError, Session, argument

CELL0 = "00000000-0000-0000-0000-000000000000"
CELL1 = str(uuid.uuid5(uuid.NAMESPACE_DNS, "cell1.nova.invalid"))
_CELL1_NAME = "cell1"


def list_cells(arguments: argparse.Namespace, session: Session) -> None:
    """List cell0 and the one cell."""
    connection = session.db.url.render_as_string(hide_password=not arguments.verbose)
    rows = [
        ("cell0", CELL0, "none:/", connection, "False"),
        (_CELL1_NAME, CELL1, "none:/", connection, "False"),
    ]
    for line in grid(("Name", "UUID", "Transport URL", "Database Connection", "Disabled"), rows):
        session.say(line)


def list_hosts(arguments: argparse.Namespace, session: Session) -> None:
    """List compute hosts, all of which are in the one cell."""
    wanted = arguments.cell_uuid
    if wanted not in (None, CELL0, CELL1):
        raise CommandError(f"Cell with uuid {wanted} was not found.")
    hosts = [] if wanted == CELL0 else _hosts(session)
    rows = [(_CELL1_NAME, CELL1, host) for host in hosts]
    for line in grid(("Cell Name", "Cell UUID", "Hostname"), rows):
        session.say(line)


def discover_hosts(arguments: argparse.Namespace, session: Session) -> None:
    """Say which hosts there are; each is part of the cloud from its first report on."""
    hosts = _hosts(session)
    if arguments.verbose:
        session.say(f"Found {len(hosts)} compute hosts; all of them are in {_CELL1_NAME}: {CELL1}")
        for host in hosts:
            session.say(f"Checking host '{host}': mapped")
    if arguments.strict and not hosts:
        raise CommandError("no compute host has reported yet")


def simple_cell_setup(_arguments: argparse.Namespace, session: Session) -> None:
    """Nothing is to be set up."""
    session.say("Cell0 is already setup.")
    session.say(f"All hosts are already mapped to cell {CELL1}.")


def map_cell0(_arguments: argparse.Namespace, session: Session) -> None:
    """Nothing is to be set up."""
    session.say("Cell0 is already setup")


def create_cell(arguments: argparse.Namespace, session: Session) -> None:
    """The one cell is there; another cannot be made."""
    if arguments.name not in (None, "", _CELL1_NAME):
        raise CommandError(
            f"there are no cells here: one database serves the whole cloud, as the cell {_CELL1_NAME}"
        )
    session.say(CELL1 if arguments.verbose else f"{_CELL1_NAME} is already there")


def map_cell_and_hosts(arguments: argparse.Namespace, session: Session) -> None:
    """Nothing is to be mapped."""
    create_cell(arguments, session)
    session.say("All hosts are already mapped to cell(s).")


def map_instances(arguments: argparse.Namespace, session: Session) -> None:
    """Nothing is to be mapped."""
    if arguments.cell_uuid != CELL1:
        raise CommandError(f"Cell with uuid {arguments.cell_uuid} was not found.")
    session.say("All instances are mapped.")


def update_cell(arguments: argparse.Namespace, session: Session) -> None:
    """A cell's addresses are those of the configuration."""
    if arguments.cell_uuid not in (CELL0, CELL1):
        raise CommandError(f"Cell with uuid {arguments.cell_uuid} was not found.")
    session.say("The addresses of the cell are those of the configuration; nothing to change.")


def verify_instance(arguments: argparse.Namespace, session: Session) -> None:
    """Say whether there is such a server."""
    with session.db.read() as tx:
        instance = tx.instances.get(arguments.uuid, deleted=True)
    if instance is None:
        raise CommandError(f"Instance {arguments.uuid} is not mapped to a cell (upgrade is incomplete)")
    if not arguments.quiet:
        session.say(f"Instance {arguments.uuid} is in cell: {_CELL1_NAME} ({CELL1})")


def same_database(_arguments: argparse.Namespace, session: Session) -> None:
    """The API database is the database."""
    session.say("there is no API database of its own; 'nova-manage db sync' makes all tables")


def _hosts(session: Session) -> list[str]:
    with session.db.read() as tx:
        return sorted(each.host for each in tx.services.list("nova-compute"))


_CELL = argument("--cell_uuid", metavar="UUID", help="the cell")
_VERBOSE = argument("--verbose", action="store_true", help="say more")
_URLS = (
    argument("--name", help="name of the cell"),
    argument("--database_connection", metavar="URL", help="taken for the sake of scripts; not used"),
    argument("--transport-url", metavar="URL", help="taken for the sake of scripts; not used"),
)
_VERSION = argument("--version", metavar="REVISION", help="taken for the sake of scripts; not used")
_VERSION_GIVEN = argument("version", nargs="?", help="taken for the sake of scripts; not used")

GROUPS = {
    "cell_v2": (
        "Cells, for installers: there is one, and it needs no setting up.",
        (
            Command("list_cells", "List cell0 and the one cell.", list_cells, (_VERBOSE,)),
            Command("list_hosts", "List compute hosts with their cell.", list_hosts, (_CELL,)),
            Command(
                "discover_hosts", "Say which compute hosts there are.", discover_hosts,
                (
                    _CELL, _VERBOSE,
                    argument("--strict", action="store_true", help="fail where there is none"),
                    argument("--by-service", action="store_true", help="it is always so"),
                ),
            ),
            Command(
                "simple_cell_setup", "Answer that all is set up.", simple_cell_setup, _URLS[2:]
            ),
            Command("map_cell0", "Answer that cell0 is set up.", map_cell0, _URLS[1:2]),
            Command(
                "create_cell", "Answer that cell1 is there.", create_cell,
                (*_URLS, _VERBOSE, argument("--disabled", action="store_true", help="not used")),
            ),
            Command(
                "map_cell_and_hosts", "Answer that all hosts are mapped.", map_cell_and_hosts,
                (*_URLS, _VERBOSE),
            ),
            Command(
                "map_instances", "Answer that all servers are mapped.", map_instances,
                (
                    argument("--cell_uuid", metavar="UUID", required=True, help="the cell"),
                    argument("--max-count", type=int, help="not used"),
                    argument("--reset", action="store_true", help="not used"),
                ),
            ),
            Command(
                "update_cell", "Answer that nothing is to be changed.", update_cell,
                (
                    argument("--cell_uuid", metavar="UUID", required=True, help="the cell"), *_URLS,
                    argument("--enable", action="store_true", help="not used"),
                    argument("--disable", action="store_true", help="not used"),
                ),
            ),
            Command(
                "verify_instance", "Say whether there is such a server.", verify_instance,
                (
                    argument("--uuid", required=True, help="the server"),
                    argument("--quiet", action="store_true", help="say nothing; the status tells"),
                ),
            ),
        ),
    ),
    "api_db": (
        "The API database, for installers: it is the same as the database.",
        (
            Command(
                "sync", "Answer that 'db sync' does it.", same_database, (_VERSION, _VERSION_GIVEN),
                needs_schema=False,
            ),
            Command(
                "version", "Answer that 'db version' tells it.", same_database, needs_schema=False
            ),
        ),
    ),
}
