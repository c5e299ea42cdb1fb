# SPDX-License-Identifier: Apache-2.0
"""How a group of options becomes a typed, frozen section.

A section is a frozen dataclass; each field is made by ``option(default, help)`` and its annotation gives
the oslo.config type: ``int``, ``int | None``, ``float``, ``bool``, ``str``, ``str | None``,
``tuple[str, ...]`` (a list option), ``dict[str, str]``.
"""

from __future__ import annotations

import dataclasses
from typing import Any, TypeVar, get_type_hints

from oslo_config import cfg

Section = TypeVar("Section")


def option(
    default: Any,
    help_text: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] | None = None,
    secret: bool = False,
    old: tuple[str, ...] = (),
    multi: bool = False,
) -> Any:
    """Declare one option: its default, what it means, and its bounds.

    ``old`` lists former names as ``group.name``; they are still read. A ``multi`` option may be given
    several times; its values may hold commas.
    """
    return dataclasses.field(
        default=default,
        metadata={
            "help": help_text, "min": minimum, "max": maximum, "choices": choices,
            "secret": secret, "old": old, "multi": multi,
        },
    )


def options_of(section: type[Any]) -> list[cfg.Opt]:
    """The oslo.config options that a section class declares."""
    hints = get_type_hints(section)
    return [_option(field, hints[field.name]) for field in dataclasses.fields(section)]


def _option(field: dataclasses.Field[Any], hint: Any) -> cfg.Opt:
    facts = field.metadata
    default: Any = field.default
    common: dict[str, Any] = {
        "help": facts["help"],
        "secret": facts["secret"],
        "deprecated_opts": [
            cfg.DeprecatedOpt(name.rpartition(".")[2], group=name.rpartition(".")[0] or None)
            for name in facts["old"]
        ],
    }
    if hint is bool:
        return cfg.BoolOpt(field.name, default=default, **common)
    if hint is int or hint == (int | None):
        return cfg.IntOpt(
            field.name, default=default, min=facts["min"], max=facts["max"], **common
        )
    if hint is float:
        return cfg.FloatOpt(
            field.name, default=default, min=facts["min"], max=facts["max"], **common
        )
    if facts["multi"]:
        return cfg.MultiStrOpt(field.name, default=list(default), **common)
    if hint == tuple[str, ...]:
        return cfg.ListOpt(field.name, default=list(default), **common)
    if hint == dict[str, str]:
        return cfg.DictOpt(field.name, default=default, **common)
    return cfg.StrOpt(field.name, default=default, choices=facts["choices"], **common)


def read(conf: cfg.ConfigOpts, group: str, section: type[Section]) -> Section:
    """The frozen section of ``group`` as configured."""
    source = conf if group == "DEFAULT" else conf[group]
    values: dict[str, Any] = {}
    for field in dataclasses.fields(section):  # type: ignore[arg-type]
        value = source[field.name]
        values[field.name] = tuple(value) if isinstance(value, list) else value
    return section(**values)
