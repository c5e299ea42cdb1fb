# SPDX-License-Identifier: Apache-2.0
"""What every command of ``nova-manage`` is made of, and what it is given."""

from __future__ import annotations

import argparse
import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, TextIO

from nova.conf.load import Config
from nova.db.engine import Database

Argument = tuple[tuple[str, ...], dict[str, Any]]


class CommandError(Exception):
    """Why a command cannot be carried out, for the person who typed it."""


@dataclasses.dataclass(frozen=True)
class Session:
    """What a command works on."""

    config: Config
    database: Database | None
    output: TextIO

    @property
    def db(self) -> Database:
        """The database; only a command that needs none has none."""
        assert self.database is not None
        return self.database

    def say(self, line: str) -> None:
        """Write one line."""
        self.output.write(f"{line}\n")

    def table(self, headings: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Write rows in columns, as wide as they need; None is shown as ``-``."""
        cells = [["-" if cell is None else str(cell) for cell in row] for row in rows]
        widths = [
            max(len(line[index]) for line in (list(headings), *cells))
            for index in range(len(headings))
        ]
        for line in (list(headings), *cells):
            padded = (cell.ljust(width) for cell, width in zip(line, widths, strict=True))
            self.say("  ".join(padded).rstrip())


@dataclasses.dataclass(frozen=True)
class Command:
    """One command: its name and help, its arguments for argparse, and what carries it out."""

    name: str
    summary: str
    handler: Callable[[argparse.Namespace, Session], None]
    arguments: tuple[Argument, ...] = ()
    examples: str | None = None
    needs_schema: bool = True
    needs_database: bool = True
    needs_config: bool = True


def argument(*flags: str, **options: Any) -> Argument:
    """One argument as ``argparse.ArgumentParser.add_argument`` takes it."""
    return flags, options


def true_or_false(text: str) -> bool:
    """``T`` or ``F``, as the original writes them, or true/false, yes/no, 1/0 in any case."""
    lowered = text.lower()
    if lowered in ("t", "true", "yes", "1"):
        return True
    if lowered in ("f", "false", "no", "0"):
        return False
    raise argparse.ArgumentTypeError(f"{text!r} is neither T nor F")
