# SPDX-License-Identifier: Apache-2.0
"""``nova-manage``: what an operator does on the database directly.

Each group of commands is in its own ``manage_*`` module, which adds its parsers here. A command
that fails says why in one line on standard error and leaves with status 1; wrong usage leaves with
2.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from typing import TextIO

from oslo_config import cfg
from sqlalchemy.exc import SQLAlchemyError

from nova import __version__
from nova.cmd import (
    manage_address,
    manage_cells,
    manage_cloud,
    manage_config,
    manage_host,
    manage_network,
    manage_simulate,
)
from nova.cmd.database_arguments import database_url, load_configuration, parent_parser
from nova.cmd.manage_session import Command, CommandError, Session
from nova.conf.load import load
from nova.db import migrate
from nova.db.engine import Database
from nova.errors import InvalidInput, NovaError

_DESCRIPTION = """\
Manages the networks, addresses, services and limits of a cloud, directly in its database.

The database is that of the configuration ([database] connection), or nova.sqlite in state_path.
"""
_EXAMPLES = """\
examples:
  nova-manage db sync
      make the tables, or bring them to this release
  nova-manage network create --label blue --fixed_range_v4 10.20.0.0/24 --vlan 401 \\
              --bridge_interface bond1 --project_id 5f0d2a
      one VLAN network for one project; .245 to .254 are kept for virtual IPs
  nova-manage network create --label green --fixed_range_v4 10.30.0.0/16 --num_networks 8 \\
              --network_size 256 --vlan_start 500
      eight networks of 256 addresses, each on a VLAN of its own from 500 on
  nova-manage floating create --ip_range 192.0.2.0/28 --pool public
      fourteen floating addresses
  nova-manage vip claim --fixed_range 10.20.0.0/24 --project 5f0d2a --name keepalived
      the first virtual IP of the network that nobody has

'nova-manage GROUP --help' and 'nova-manage GROUP COMMAND --help' tell more.
"""


def main(argv: Sequence[str] | None = None, output: TextIO | None = None) -> int:
    """Run one command; returns the exit status. ``output`` is standard output where not given."""
    parser = build_parser()
    try:
        arguments = parser.parse_args(argv)
    except SystemExit as leaving:
        return leaving.code if isinstance(leaving.code, int) else 2
    try:
        return _run(arguments, output or sys.stdout)
    except CommandError as error:
        return _fail(str(error))
    except InvalidInput as error:
        return _fail(_with_flag(error))
    except NovaError as error:
        return _fail(error.message)
    except cfg.Error as error:
        return _fail(f"configuration: {error}")
    except (OSError, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        return _fail(f"database: {str(cause).splitlines()[0]}")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the whole command line."""
    common = parent_parser()
    parser = argparse.ArgumentParser(
        prog="nova-manage", description=_DESCRIPTION, epilog=_EXAMPLES, parents=[common],
        formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    groups = parser.add_subparsers(title="groups", metavar="GROUP", required=True)
    for name, (summary, commands) in {
        **manage_network.GROUPS, **manage_address.GROUPS, **manage_cloud.GROUPS,
        **manage_host.GROUPS, **manage_config.GROUPS, **manage_cells.GROUPS, **manage_simulate.GROUPS,
    }.items():
        group = groups.add_parser(name, help=summary, description=summary, allow_abbrev=False)
        leaves = group.add_subparsers(title="commands", metavar="COMMAND", required=True)
        for command in commands:
            _add_command(leaves, command, common)
    return parser


def _add_command(
    leaves: argparse._SubParsersAction[argparse.ArgumentParser],
    command: Command,
    common: argparse.ArgumentParser,
) -> None:
    leaf = leaves.add_parser(
        command.name, help=command.summary, description=command.summary, epilog=command.examples,
        parents=[common], formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    for flags, options in command.arguments:
        # The original spells long flags with underscores; with hyphens they mean the same.
        spellings = dict.fromkeys(
            each for flag in flags for each in (flag, _hyphened(flag))
        )
        leaf.add_argument(*spellings, **options)
    leaf.set_defaults(command=command)


def _hyphened(flag: str) -> str:
    return flag.replace("_", "-") if flag.startswith("--") else flag


def _run(arguments: argparse.Namespace, output: TextIO) -> int:
    command: Command = arguments.command
    config = load_configuration(arguments) if command.needs_config else load([])
    handler: Callable[[argparse.Namespace, Session], None] = command.handler
    if not command.needs_database:
        handler(arguments, Session(config, None, output))
        return 0
    db = Database(database_url(arguments, config))
    try:
        if command.needs_schema:
            migrate.require_current(db)
        handler(arguments, Session(config, db, output))
    finally:
        db.dispose()
    return 0


def _with_flag(error: InvalidInput) -> str:
    """The message with the flag of the command line in place of the field's name."""
    flag = manage_network.FLAGS_OF_FIELDS.get(error.field, f"--{error.field}")
    return error.message.replace(
        f"Invalid input for field/attribute {error.field}.", f"{flag}:", 1
    )


def _fail(message: str) -> int:
    sys.stderr.write(f"nova-manage: {message}\n")
    return 1


if __name__ == "__main__":
    sys.exit(main())
