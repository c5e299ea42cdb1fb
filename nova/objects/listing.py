# SPDX-License-Identifier: Apache-2.0
"""A list of servers as the faces ask for it."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec


class StateChoice(msgspec.Struct, frozen=True):
    """Servers in a vm state; ``tasks`` None takes every task state but those in ``other_tasks``."""

    vm_state: str
    tasks: tuple[str, ...] | None = None
    other_tasks: tuple[str, ...] = ()


class TagChoice(msgspec.Struct, frozen=True):
    """Servers with all of ``every``, one of ``some``, not all of ``not_every``, no ``none_of``."""

    every: tuple[str, ...] = ()
    some: tuple[str, ...] = ()
    not_every: tuple[str, ...] = ()
    none_of: tuple[str, ...] = ()


class SortKey(msgspec.Struct, frozen=True):
    """A column of servers to sort by."""

    column: str
    descending: bool = True


#: Newest first.
NEWEST_FIRST = (SortKey("created_at"), SortKey("id"))


class ServerQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which servers, in which order, how many.

    ``deleted``: False only live ones, True only deleted ones, None both. ``soft_deleted``: whether
    servers that wait for their deletion are among them. ``equal`` maps columns to allowed values;
    ``patterns`` maps columns to regular expressions, of which one has to be found in the value;
    ``addresses`` are regular expressions for fixed and floating addresses, by IP version.
    """

    project_id: str | None = None
    deleted: bool | None = False
    soft_deleted: bool = False
    states: tuple[StateChoice, ...] | None = None
    equal: dict[str, tuple[Any, ...]] = {}
    patterns: dict[str, tuple[str, ...]] = {}
    addresses: dict[int, tuple[str, ...]] = {}
    metadata: dict[str, str] = {}
    tags: TagChoice | None = None
    locked: bool | None = None
    changes_since: datetime.datetime | None = None
    changes_before: datetime.datetime | None = None
    sort: tuple[SortKey, ...] = NEWEST_FIRST
    limit: int | None = None
    marker: str | None = None


class ServerLine(msgspec.Struct, frozen=True):
    """The few facts of a server by which its rendered form is found again."""

    uuid: str
    revision: int
    project_id: str
    host: str | None
    availability_zone: str | None
    name: str
