# SPDX-License-Identifier: Apache-2.0
"""The page of all options, from the sections of ``nova/conf``."""

from __future__ import annotations

import ast
import socket
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import nova
from nova.conf.load import SECTIONS
from nova.conf.section import options_of

_INTRODUCTION = """\
<!-- Made by tools/generate_docs.py from nova/conf. Do not edit. -->
# Configuration

Options are read once, at the start, from files in the format of `nova.conf` (oslo.config):

    [DEFAULT]
    osapi_compute_listen = 192.0.2.10

    [fake]
    hosts = 40
    zones = east,west

| command | reads |
| --- | --- |
| `nova-all-in-one` | `--config-file FILE` (may be repeated), else `nova.conf` in the state directory |
| `nova-manage` | `--config-file FILE` (may be repeated), else `nova.conf` in the directory that \
`--state-path` names, else `/etc/nova/nova.conf` |

`nova-all-in-one` writes a first `nova.conf` where its state directory has none, and leaves it alone after
that. `nova-all-in-one --set GROUP.OPTION=VALUE` sets one option over the files.

A list is written with commas. A value of the wrong type, or outside its bounds, stops the start with
a message; so does an unknown name given by `--set`. Unknown names in files are ignored.
Former names are still read.

Options marked **not used yet** are read and checked, but no part of this release acts on them."""

_TYPES = {
    "BoolOpt": "true or false", "IntOpt": "integer", "FloatOpt": "number", "ListOpt": "list",
    "DictOpt": "pairs", "StrOpt": "text", "MultiStrOpt": "text, repeatable",
}


def configuration_page() -> Iterator[str]:
    """The lines of the page."""
    yield _INTRODUCTION
    groups: dict[str, list[tuple[str, type[Any]]]] = {}
    for attribute, (group, section) in SECTIONS.items():
        groups.setdefault(group, []).append((attribute, section))
    for group, sections in groups.items():
        yield f"\n## [{group}]"
        for attribute, section in sections:
            yield f"\n{(section.__doc__ or '').splitlines()[0]}\n"
            yield "| option | type | default | meaning |"
            yield "| --- | --- | --- | --- |"
            for option in options_of(section):
                yield _row(attribute, option)


def _row(attribute: str, option: Any) -> str:
    meaning = [option.help, *_bounds(option)]
    former = [f"`[{old.group or 'DEFAULT'}] {old.name}`" for old in option.deprecated_opts]
    if former:
        meaning.append(f"Former names: {', '.join(former)}.")
    if option.secret:
        meaning.append("Never logged.")
    if not _is_used(attribute, option.name):
        meaning.append("**Not used yet.**")
    kind = _TYPES[type(option).__name__]
    text = " ".join(meaning).replace("|", "\\|")
    return f"| `{option.name}` | {kind} | {_default(option)} | {text} |"


def _default(option: Any) -> str:
    if option.name == "host" and option.default == socket.gethostname():
        return "the machine's name"
    if option.default is None or option.default in ("", [], {}):
        return "none"
    if isinstance(option.default, list):
        return ", ".join(f"`{each}`" for each in option.default)
    if isinstance(option.default, bool):
        return f"`{str(option.default).lower()}`"
    return f"`{option.default}`"


def _bounds(option: Any) -> list[str]:
    kind = option.type
    choices = getattr(kind, "choices", None)
    if choices:
        return [f"One of {', '.join(f'`{each}`' for each in choices)}."]
    low, high = getattr(kind, "min", None), getattr(kind, "max", None)
    if low is not None and high is not None:
        return [f"{low} to {high}."]
    if low is not None:
        return [f"At least {low}."]
    return []


def _is_used(attribute: str, name: str) -> bool:
    """Whether code outside nova/conf reads the option from its section.

    Quota options are read all at once; weighers name their multiplier as a text.
    """
    if attribute == "quota":
        return True
    owners, texts = _mentions()
    if attribute == "scheduler" and name in texts:
        return True
    held_as = {attribute, attribute.rpartition("_")[2], "section", "options"}
    return bool(owners.get(name, set()) & held_as)


@cache
def _mentions() -> tuple[dict[str, set[str]], set[str]]:
    """Of whom each attribute is read, and the texts in the scheduler's code."""
    owners: dict[str, set[str]] = {}
    texts: set[str] = set()
    root = Path(nova.__file__).parent
    for path in sorted(root.rglob("*.py")):
        parts = path.relative_to(root).parts
        if parts[0] == "conf":
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Attribute):
                owner = ast.unparse(node.value).rpartition(".")[2].lstrip("_")
                owners.setdefault(node.attr, set()).add(owner)
            elif (
                isinstance(node, ast.Constant) and isinstance(node.value, str)
                and parts[0] == "scheduler"
            ):
                texts.add(node.value)
    return owners, texts
