# SPDX-License-Identifier: Apache-2.0
"""``nova-manage config``: what becomes of the options in a configuration file."""

from __future__ import annotations

import argparse
from collections import Counter
from pathlib import Path

from oslo_config import cfg

from nova.cmd.manage_session import Command, CommandError, Session, argument
from nova.conf import check
from nova.conf.directories import files_in

_DEFAULT_FILE = "/etc/nova/nova.conf"
_EXAMPLES = """\
examples:
  nova-manage config check --config-file /etc/nova/nova.conf
  nova-manage config check --config-file nova.conf --all

It leaves with status 1 where an option is unknown or has a wrong value, which the daemons refuse to start
with. Options that have a new name or no effect any more are told, and are no failure.
"""


def check_files(arguments: argparse.Namespace, session: Session) -> None:
    """Explain every option that is not simply read."""
    files = _files(arguments)
    try:
        findings = check.inspect(files)
    except UnicodeDecodeError as error:
        raise CommandError(f"the file is not UTF-8: {error}") from None
    except cfg.Error as error:
        raise CommandError(str(error)) from None
    except OSError as error:
        raise CommandError(f"{error.filename}: {error.strerror}") from None
    for finding in findings:
        if finding.kind != check.READ or arguments.all:
            session.say(f"{finding.kind:8} {finding}")
    counts = Counter(finding.kind for finding in findings)
    session.say(
        f"{len(findings)} options: {counts[check.READ]} read, {counts[check.RENAMED]} read by a former "
        f"name, {counts[check.IGNORED]} without effect, {counts[check.UNKNOWN]} unknown, "
        f"{counts[check.WRONG]} wrong"
    )
    bad = counts[check.UNKNOWN] + counts[check.WRONG]
    if bad:
        raise CommandError(f"{bad} of {len(findings)} options are unknown or wrong")


def _files(arguments: argparse.Namespace) -> list[str]:
    """The files of --config-file and --config-dir, in the order in which daemons read them."""
    files = list(getattr(arguments, "config_file", None) or [])
    state = getattr(arguments, "state_path", None)
    own = Path(state) / "nova.conf" if state else Path(_DEFAULT_FILE)
    if not files and (own.is_file() or not arguments.config_dir):
        files = [str(own)]
    try:
        files += files_in(arguments.config_dir)
    except ValueError as error:
        raise CommandError(str(error)) from None
    for file in files:
        if not Path(file).is_file():
            raise CommandError(f"{file}: there is no such file")
    return files


GROUPS = {
    "config": (
        "Configuration files.",
        (
            Command(
                "check", "Explain every option that is unknown, renamed, without effect or wrong.",
                check_files,
                (
                    argument(
                        "--config-dir", metavar="DIR", action="append", default=[],
                        help="directory of *.conf files, read after the others; may be repeated",
                    ),
                    argument("--all", action="store_true", help="list the options that are read as well"),
                ),
                _EXAMPLES, needs_schema=False, needs_database=False, needs_config=False,
            ),
        ),
    ),
}
