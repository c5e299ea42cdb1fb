# SPDX-License-Identifier: Apache-2.0
"""``nova-status upgrade check``: whether this release can run on what is there.

Leaves with 0 where all is well, 1 with warnings, 2 with failures, and 255 where it could not look. Exit
codes, table and JSON are those of the original's command, which upgrade scripts read.
"""

from __future__ import annotations

import argparse
import dataclasses
import enum
import sys
import textwrap
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TextIO

import msgspec
from oslo_config import cfg
from sqlalchemy.exc import SQLAlchemyError

from nova import __version__
from nova.cmd.database_arguments import (
    configuration_files,
    database_url,
    load_configuration,
    parent_parser,
)
from nova.cmd.grid import grid
from nova.cmd.manage_session import CommandError
from nova.conf import Config, check
from nova.conf.policy import USUAL, policy_directory
from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import NovaError
from nova.policy import PolicyFileError
from nova.wiring import build_policy

_WIDTH = 60
_BROKEN = 255


class Code(enum.IntEnum):
    """How a check came out; the worst of them is the exit status."""

    SUCCESS = 0
    WARNING = 1
    FAILURE = 2


@dataclasses.dataclass(frozen=True)
class Result:
    """What a check found."""

    code: Code
    details: str | None = None


@dataclasses.dataclass(frozen=True)
class Cloud:
    """What is looked at."""

    config: Config
    files: tuple[str, ...]
    db: Database
    #: Where the policy file is read from, and where else one of before may lie.
    policies: tuple[Path, ...]


_SUCCESS = Result(Code.SUCCESS)


def database_version(cloud: Cloud) -> Result:
    """The tables are at this release's revision, or can be brought there."""
    try:
        found = migrate.revision(cloud.db)
    except migrate.SchemaError as error:
        return Result(Code.FAILURE, error.message)
    if migrate.serves(cloud.db, found):
        return _SUCCESS
    state = "The database is empty" if found is None else f"The database is at revision {found}"
    return Result(
        Code.FAILURE, f"{state}; this release needs {migrate.HEAD}. Run 'nova-manage db sync'."
    )


def cells(_cloud: Cloud) -> Result:
    """There is one database; nothing is to be mapped."""
    return _SUCCESS


def policy_file(cloud: Cloud) -> Result:
    """Rules are read from YAML, and can be read."""
    directory = cloud.policies[0]
    named = directory / cloud.config.policy.policy_file
    if named.suffix == ".json" and named.exists():
        return Result(
            Code.FAILURE,
            f"Your policy file is JSON-formatted: {named}. Write it as YAML, with only the rules that differ "
            "from the defaults, and name it in [oslo_policy] policy_file.",
        )
    for older in (place / "policy.json" for place in cloud.policies):
        if older.exists() and not named.exists():
            return Result(Code.WARNING, f"{older} is there and is not read; {named} would be.")
    try:
        build_policy(cloud.config, directory)
    except PolicyFileError as error:
        return Result(Code.FAILURE, error.message)
    return _SUCCESS


def _policies(arguments: argparse.Namespace, config: Config) -> tuple[Path, ...]:
    """Where daemons look, and for a named state directory that of its all-in-one cloud."""
    named = getattr(arguments, "state_path", None)
    return (policy_directory(config), USUAL) if named is None else (Path(named),)


def configuration(cloud: Cloud) -> Result:
    """No option is unknown or wrong."""
    findings = check.inspect(cloud.files)
    wrong = [f"[{each.group}] {each.name}" for each in findings if each.kind == check.WRONG]
    if wrong:
        return Result(Code.FAILURE, f"Wrong values: {', '.join(wrong)}. {_SEE}")
    unknown = [f"[{each.group}] {each.name}" for each in findings if each.kind == check.UNKNOWN]
    if unknown:
        return Result(Code.WARNING, f"Unknown options: {', '.join(unknown)}. {_SEE}")
    former = sum(1 for each in findings if each.kind in (check.RENAMED, check.IGNORED))
    if former:
        return Result(
            Code.WARNING, f"{former} options have a new name or no effect any more. {_SEE}"
        )
    return _SUCCESS


_SEE = "'nova-manage config check' explains them."


def silent_services(cloud: Cloud) -> Result:
    """Every service that is not disabled reports: one that does not may be of any age."""
    with cloud.db.read() as tx:
        services = tx.services.list()
    moment = now()
    down_after = cloud.config.default.service_down_time
    silent = [
        f"{each.binary} on {each.host}"
        for each in services
        if not each.disabled and not each.is_up(moment, down_after)
    ]
    if not silent:
        return _SUCCESS
    shown = ", ".join(silent[:5]) + (f" and {len(silent) - 5} more" if len(silent) > 5 else "")
    return Result(Code.WARNING, f"Services that do not report: {shown}.")


def old_operations(cloud: Cloud) -> Result:
    """Nothing has been under way for so long that somebody should look at it first."""
    with cloud.db.read() as tx:
        count, oldest = tx.operations.backlog()
    limit = 10 * cloud.config.conductor.lease_seconds
    if oldest is None or (now() - oldest).total_seconds() < limit:
        return _SUCCESS
    return Result(
        Code.WARNING,
        f"{count} operations are under way, the oldest since {oldest:%Y-%m-%d %H:%M:%S} UTC. They go on "
        "after the upgrade, but look why that one does not end.",
    )


#: In the order in which they are made; those that need the tables come after the one that looks for them.
CHECKS: tuple[tuple[str, bool, Callable[[Cloud], Result]], ...] = (
    ("Database Version", False, database_version),
    ("Cells v2", False, cells),
    ("Policy File JSON to YAML Migration", False, policy_file),
    ("Configuration", False, configuration),
    ("Services", True, silent_services),
    ("Operations", True, old_operations),
)


def upgrade_check(cloud: Cloud) -> list[tuple[str, Result]]:
    """Make all checks; those that need tables are left out where these are not right."""
    results: list[tuple[str, Result]] = []
    tables = True
    for name, needs_tables, each in CHECKS:
        if needs_tables and not tables:
            continue
        result = each(cloud)
        results.append((name, result))
        if each is database_version:
            tables = result.code == Code.SUCCESS
    return results


def _write(results: Sequence[tuple[str, Result]], output: TextIO, *, as_json: bool) -> None:
    if as_json:
        document = {
            "name": "Upgrade Check Results",
            "checks": [
                {"check": name, "result": int(result.code), "details": result.details}
                for name, result in results
            ],
        }
        output.write(msgspec.json.encode(document).decode() + "\n")
        return
    blocks = [
        [
            f"Check: {name}", f"Result: {result.code.name.capitalize()}",
            *textwrap.wrap(f"Details: {result.details}", _WIDTH, subsequent_indent="  "),
        ]
        for name, result in results
    ]
    title = "Upgrade Check Results"
    width = max(len(line) for block in [*blocks, [title]] for line in block)
    for block in ([title], *blocks):
        rows = list(grid([block[0].ljust(width)], [[line] for line in block[1:]]))
        # One line between two blocks, and none within: the first row of each is its heading here.
        output.write("\n".join([rows[0], rows[1], *rows[3:-1]]) + "\n")
    output.write("+" + "-" * (width + 2) + "+\n")


def build_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="nova-status", description="Checks whether this release can run on what is there.",
        parents=[parent_parser()], allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=__version__)
    categories = parser.add_subparsers(title="categories", metavar="CATEGORY", required=True)
    actions = categories.add_parser("upgrade", help="about upgrades").add_subparsers(
        title="actions", metavar="ACTION", required=True
    )
    leaf = actions.add_parser(
        "check", help="look at the cloud", parents=[parent_parser()], allow_abbrev=False,
        epilog="status 0: all well; 1: warnings; 2: failures; 255: it could not look",
    )
    leaf.add_argument("--json", action="store_true", help="print JSON instead of a table")
    return parser


def main(argv: Sequence[str] | None = None, output: TextIO | None = None) -> int:
    """Look, print, and return the exit status."""
    try:
        arguments = build_parser().parse_args(argv)
    except SystemExit as leaving:
        return _BROKEN if leaving.code else 0
    try:
        files = configuration_files(arguments)
        config = load_configuration(arguments)
        db = Database(database_url(arguments, config))
        try:
            results = upgrade_check(Cloud(config, tuple(files), db, _policies(arguments, config)))
        finally:
            db.dispose()
    except (CommandError, NovaError, cfg.Error, OSError, SQLAlchemyError) as error:
        cause = getattr(error, "orig", None) or error
        sys.stderr.write(f"nova-status: {(str(cause).splitlines() or [''])[0]}\n")
        return _BROKEN
    _write(results, output or sys.stdout, as_json=arguments.json)
    return int(max((result.code for _name, result in results), default=Code.SUCCESS))


if __name__ == "__main__":
    sys.exit(main())
