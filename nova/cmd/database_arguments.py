# SPDX-License-Identifier: Apache-2.0
"""The flags of commands that work on the database: which files say where it is, or it itself."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path

from nova.cmd.manage_session import CommandError
from nova.conf.load import Config, load

DEFAULT_CONFIG_FILE = "/etc/nova/nova.conf"


def parent_parser() -> argparse.ArgumentParser:
    """The flags, as a parent of other parsers; what is not given is not set."""
    common = argparse.ArgumentParser(add_help=False, argument_default=argparse.SUPPRESS)
    common.add_argument(
        "--config-file", action="append", metavar="PATH",
        help=f"configuration file, may be repeated (default: {DEFAULT_CONFIG_FILE})",
    )
    common.add_argument(
        "--state-path", metavar="DIRECTORY", help="directory of nova.sqlite, over state_path"
    )
    common.add_argument(
        "--db", metavar="URL", help="SQLAlchemy URL of the database, over [database] connection"
    )
    return common


def configuration_files(arguments: argparse.Namespace) -> list[str]:
    """The configuration files that the flags name, or the usual one where it is there."""
    files: list[str] | None = getattr(arguments, "config_file", None)
    if files is not None:
        return files
    state_path = getattr(arguments, "state_path", None)
    if state_path is not None:
        # The directory of an all-in-one cloud: its own file says all about it.
        own = Path(state_path) / "nova.conf"
        if own.is_file():
            return [str(own)]
    return [DEFAULT_CONFIG_FILE] if Path(DEFAULT_CONFIG_FILE).is_file() else []


def load_configuration(arguments: argparse.Namespace) -> Config:
    """The configuration that the flags name."""
    files = configuration_files(arguments)
    state_path = getattr(arguments, "state_path", None)
    if state_path is None:
        return load(files)
    if getattr(arguments, "config_file", None) is None and files == [f"{Path(state_path) / 'nova.conf'}"]:
        return load(files, {("DEFAULT", "state_path"): state_path})
    config = load(files)
    default = dataclasses.replace(config.default, state_path=state_path)
    # A named directory means its own database, whatever else is configured.
    database = dataclasses.replace(config.database, connection=None)
    return dataclasses.replace(config, default=default, database=database)


def database_url(arguments: argparse.Namespace, config: Config) -> str:
    """Where the database is. Raises ``CommandError`` where nothing says so."""
    url = getattr(arguments, "db", None) or config.database.connection
    if url:
        return str(url)
    directory = Path(config.default.state_path)
    if not directory.is_dir():
        raise CommandError(
            f"state_path {directory} is not there; give --state-path, --db or --config-file"
        )
    return f"sqlite:///{directory}/nova.sqlite"
