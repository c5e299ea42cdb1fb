# SPDX-License-Identifier: Apache-2.0
"""Lists of servers: every filter and sort key in one statement, pages by key instead of by offset.

Regular expressions are matched here and not by the database, so that a pattern means the same on
every database; plain text in a pattern is given to the database to narrow the rows down first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    String,
    and_,
    bindparam,
    case,
    cast,
    exists,
    false,
    func,
    or_,
    select,
)

from nova.db.schema.compute import instance_metadata, instance_tags, instances
from nova.objects.instance import Instance
from nova.objects.listing import (
    NEWEST_FIRST,
    ServerLine,
    ServerQuery,
    SortKey,
    StateChoice,
    TagChoice,
)
from nova.objects.states import SOFT_DELETED

_c = instances.c
_LINE = (_c.uuid, _c.revision, _c.project_id, _c.host, _c.availability_zone, _c.name)

_SHOWN = select(*_LINE).where(_c.uuid == bindparam("the_uuid"), _c.deleted == 0)
_FULL = select(instances).where(_c.uuid == bindparam("the_uuid"))
#: The page that nearly every request asks for: a project's live servers, newest first.
_FIRST_PAGE = (
    select(*_LINE)
    .where(
        _c.project_id == bindparam("the_project"),
        _c.deleted == 0,
        _c.vm_state != SOFT_DELETED,
    )
    .order_by(_c.created_at.desc(), _c.id.desc())
    .limit(bindparam("the_limit"))
)
_CHUNK = 400
_PLAIN = re.compile(r"^\^?([\w @:,/-]*)\$?$", re.ASCII)


class InstanceListing:
    """Reads many servers, or the line of one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def line(self, uuid: str) -> ServerLine | None:
        """The line of a live server."""
        row = self._connection.execute(_SHOWN, {"the_uuid": uuid}).first()
        return None if row is None else ServerLine(*row)

    def full(self, uuids: Collection[str]) -> dict[str, Instance]:
        """Servers by uuid, deleted ones as well."""
        wanted = list(uuids)
        found: dict[str, Instance] = {}
        if len(wanted) == 1:
            row = self._connection.execute(_FULL, {"the_uuid": wanted[0]}).first()
            return {} if row is None else {wanted[0]: Instance(*row)}
        for start in range(0, len(wanted), _CHUNK):
            rows = self._connection.execute(
                select(instances).where(_c.uuid.in_(wanted[start : start + _CHUNK]))
            )
            found.update((row[1], Instance(*row)) for row in rows)
        return found

    def lines(self, query: ServerQuery) -> list[ServerLine] | None:
        """The servers that ``query`` asks for, in its order; None where its marker is unknown."""
        if _is_first_page(query):
            rows = self._connection.execute(
                _FIRST_PAGE, {"the_project": query.project_id, "the_limit": query.limit}
            ).all()
            return [ServerLine(*row) for row in rows]
        order = _complete(query.sort)
        conditions = _conditions(query)
        if query.marker is not None:
            behind = self._behind(query, order)
            if behind is None:
                return None
            conditions.append(behind)
        tests, extra = _tests(query)
        statement: Select[Any] = (
            select(*_LINE, *extra).where(*conditions).order_by(*_order_by(order))
        )
        if not tests:
            if query.limit is not None:
                statement = statement.limit(query.limit)
            return [ServerLine(*row) for row in self._connection.execute(statement).all()]
        return self._tested(statement, tests, query.limit)

    def _tested(
        self, statement: Select[Any], tests: list[Callable[[Any], bool]], limit: int | None
    ) -> list[ServerLine]:
        found: list[ServerLine] = []
        if limit == 0:
            return found
        width = len(_LINE)
        for row in self._connection.execute(statement):
            if all(test(value) for test, value in zip(tests, row[width:], strict=True)):
                found.append(ServerLine(*row[:width]))
                if limit is not None and len(found) == limit:
                    break
        return found

    def _behind(self, query: ServerQuery, order: list[SortKey]) -> ColumnElement[bool] | None:
        """The condition for rows that come after the marker; None where there is no such server."""
        statement = select(*(_sortable(key) for key in order)).where(_c.uuid == query.marker)
        if query.project_id is not None:
            statement = statement.where(_c.project_id == query.project_id)
        row = self._connection.execute(statement).first()
        if row is None:
            return None
        choices: list[ColumnElement[bool]] = []
        equal: list[ColumnElement[bool]] = []
        for key, value in zip(order, row, strict=True):
            column = _sortable(key)
            choices.append(and_(*equal, _after(column, value, key.descending)))
            equal.append(column.is_(None) if value is None else column == value)
        first, value = order[0], row[0]
        if not _nullable(first) and value is not None:
            column = _sortable(first)
            bound = column <= value if first.descending else column >= value
            return and_(bound, or_(*choices))
        return or_(*choices)


def _is_first_page(query: ServerQuery) -> bool:
    return (
        query.project_id is not None
        and query.limit is not None
        and query.marker is None
        and query.sort == NEWEST_FIRST
        and query == ServerQuery(project_id=query.project_id, limit=query.limit)
    )


def _complete(sort: Iterable[SortKey]) -> list[SortKey]:
    """The sort keys, made unambiguous."""
    order: list[SortKey] = []
    for key in sort:
        if all(key.column != known.column for known in order):
            order.append(key)
    descending = order[0].descending if order else True
    for column in ("created_at", "id"):
        if all(column != known.column for known in order):
            order.append(SortKey(column, descending))
    return order


def _sortable(key: SortKey) -> ColumnElement[Any]:
    if key.column == "locked":
        return case((_c.locked_by.is_(None), 0), else_=1)
    return instances.c[key.column]


def _nullable(key: SortKey) -> bool:
    return key.column != "locked" and bool(instances.c[key.column].nullable)


def _order_by(order: list[SortKey]) -> list[Any]:
    terms: list[Any] = []
    for key in order:
        column = _sortable(key)
        if _nullable(key):
            # Where a database puts NULL differs; here it is always last.
            terms.append(case((column.is_(None), 1), else_=0))
        terms.append(column.desc() if key.descending else column.asc())
    return terms


def _after(column: ColumnElement[Any], value: Any, descending: bool) -> ColumnElement[bool]:
    if value is None:
        return false()
    beyond = column < value if descending else column > value
    return or_(beyond, column.is_(None)) if getattr(column, "nullable", False) else beyond


def _conditions(query: ServerQuery) -> list[ColumnElement[bool]]:
    found: list[ColumnElement[bool]] = []
    if query.project_id is not None:
        found.append(_c.project_id == query.project_id)
    found.extend(_liveness(query))
    if query.states is not None:
        found.append(or_(false(), *(_state(choice) for choice in query.states)))
    for column, values in query.equal.items():
        of_column = instances.c[column]
        found.append(of_column == values[0] if len(values) == 1 else of_column.in_(values))
    for column, patterns in query.patterns.items():
        found.extend(_narrowing(column, patterns))
    if query.locked is not None:
        found.append(_c.locked_by.is_not(None) if query.locked else _c.locked_by.is_(None))
    if query.changes_since is not None:
        found.append(_c.updated_at >= query.changes_since)
    if query.changes_before is not None:
        found.append(_c.updated_at <= query.changes_before)
    for key, value in query.metadata.items():
        found.append(
            exists().where(
                instance_metadata.c.instance_uuid == _c.uuid,
                instance_metadata.c.key == key,
                instance_metadata.c.value == value,
            )
        )
    if query.tags is not None:
        found.extend(_tagged(query.tags))
    return found


def _liveness(query: ServerQuery) -> list[ColumnElement[bool]]:
    if query.deleted is None:
        return []
    if query.deleted:
        return [or_(_c.deleted != 0, _c.vm_state == SOFT_DELETED)] if query.soft_deleted else [
            _c.deleted != 0
        ]
    live: list[ColumnElement[bool]] = [_c.deleted == 0]
    if not query.soft_deleted:
        live.append(_c.vm_state != SOFT_DELETED)
    return live


def _state(choice: StateChoice) -> ColumnElement[bool]:
    of_vm = _c.vm_state == choice.vm_state
    if choice.tasks is not None:
        return and_(of_vm, _c.task_state.in_(choice.tasks))
    if choice.other_tasks:
        return and_(
            of_vm, or_(_c.task_state.is_(None), _c.task_state.not_in(choice.other_tasks))
        )
    return of_vm


def _tagged(tags: TagChoice) -> list[ColumnElement[bool]]:
    def has(*names: str) -> ColumnElement[bool]:
        return exists().where(
            instance_tags.c.instance_uuid == _c.uuid, instance_tags.c.tag.in_(names)
        )

    found = [has(tag) for tag in tags.every]
    if tags.some:
        found.append(has(*tags.some))
    if tags.not_every:
        found.append(~and_(*(has(tag) for tag in tags.not_every)))
    if tags.none_of:
        found.append(~has(*tags.none_of))
    return found


def _narrowing(column: str, patterns: tuple[str, ...]) -> list[ColumnElement[bool]]:
    """A condition met by every row that matches one of the patterns; none if it is not simple."""
    of_column = instances.c[column]
    if not isinstance(of_column.type, String):
        return []
    choices: list[ColumnElement[bool]] = []
    for pattern in patterns:
        plain = _PLAIN.match(pattern)
        if plain is None or not plain.group(1):
            return []
        text = plain.group(1).replace("!", "!!").replace("%", "!%").replace("_", "!_")
        start = "" if pattern.startswith("^") else "%"
        end = "" if pattern.endswith("$") else "%"
        choices.append(of_column.like(f"{start}{text}{end}", escape="!"))
    return [or_(*choices)]


def _tests(query: ServerQuery) -> tuple[list[Callable[[Any], bool]], list[Any]]:
    """Tests in Python, and the column that each of them looks at."""
    tests: list[Callable[[Any], bool]] = []
    columns: list[Any] = []
    for column, patterns in query.patterns.items():
        of_column = instances.c[column]
        textual = isinstance(of_column.type, String)
        columns.append(
            of_column if textual else func.coalesce(cast(of_column, String(64)), "")
        )
        tests.append(_found_in_text(patterns))
    for version, patterns in query.addresses.items():
        columns.append(_c.network_info)
        tests.append(_found_in_addresses(version, patterns))
    return tests, columns


def _found_in_text(patterns: tuple[str, ...]) -> Callable[[Any], bool]:
    searches = [re.compile(pattern).search for pattern in patterns]
    return lambda value: value is not None and any(search(value) for search in searches)


def _found_in_addresses(version: int, patterns: tuple[str, ...]) -> Callable[[Any], bool]:
    searches = [re.compile(pattern).search for pattern in patterns]

    def test(network_info: Any) -> bool:
        for vif in network_info:
            for address in vif.addresses:
                texts = [address.address] if address.version == version else []
                if version == 4:
                    texts.extend(address.floating)
                if any(search(text) for text in texts for search in searches):
                    return True
        return False

    return test
