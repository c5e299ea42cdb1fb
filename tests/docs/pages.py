# SPDX-License-Identifier: Apache-2.0
"""The documents of the project, and the parts of them that tests look at."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_MARKED = re.compile(r"^<!-- run(?: as (\S+))? -->\n```\w*\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def documents() -> list[Path]:
    """Every document that is written for people."""
    return sorted(
        [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("nova/**/*.md"), ROOT / "NOTICE"]
    )


def name_of(path: Path) -> str:
    """A document's path in the project, for the names of tests."""
    return str(path.relative_to(ROOT))


def marked_blocks(path: Path) -> list[tuple[str | None, str]]:
    """The blocks that stand behind ``<!-- run -->`` or ``<!-- run as FILE -->``: (FILE, text)."""
    return [(found[1], found[2]) for found in _MARKED.finditer(path.read_text())]


def shell_blocks(path: Path) -> list[str]:
    """All blocks of shell commands."""
    return [found[2] for found in _FENCED.finditer(path.read_text()) if found[1] == "sh"]


def prose(path: Path) -> str:
    """A document without its blocks of code."""
    return _FENCED.sub("", path.read_text())
