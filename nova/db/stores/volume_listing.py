# SPDX-License-Identifier: Apache-2.0
"""Pages of volumes and of their snapshots: filters, order, markers."""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, Table, and_, func, or_, select

from nova.objects.volume_record import ListQuery

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq, "neq": operator.ne, "gt": operator.gt, "gte": operator.ge, "lt": operator.lt,
    "lte": operator.le,
}
# Columns that may be NULL sort as the least value of their type, on every database alike.
_LEAST: dict[str, Any] = {"name": "", "description": "", "updated_at": None}


def page(
    connection: Connection, base: Select[Any], table: Table, query: ListQuery, *, whole: bool = False
) -> list[Row[Any]]:
    """The rows of a page; with ``whole`` all that the filters let through.

    Filters on metadata look into documents, and are applied here to what the other filters leave.
    """
    statement = base.where(*_conditions(table, query)).order_by(*_order(table, query))
    by_document = bool(query.metadata or query.image_metadata)
    if not whole:
        if query.marker is not None:
            statement = statement.where(_after(connection, table, query))
        if not by_document:
            if query.limit is not None:
                statement = statement.limit(query.limit)
            elif query.offset:
                # MariaDB knows no OFFSET without a LIMIT.
                statement = statement.limit(2**62)
            if query.offset:
                statement = statement.offset(query.offset)
    rows = list(connection.execute(statement))
    if not by_document:
        return rows
    rows = [row for row in rows if _has(row, query)]
    if whole:
        return rows
    end = None if query.limit is None else query.offset + query.limit
    return rows[query.offset:end]


def _has(row: Row[Any], query: ListQuery) -> bool:
    found = row._mapping
    return _includes(found["metadata"], query.metadata) and (
        not query.image_metadata or _includes(found["image_metadata"], query.image_metadata)
    )


def _includes(document: Mapping[str, str], wanted: Mapping[str, str]) -> bool:
    return all(document.get(name) == value for name, value in wanted.items())


def _conditions(table: Table, query: ListQuery) -> list[ColumnElement[bool]]:
    conditions: list[ColumnElement[bool]] = []
    if query.project_id is not None:
        conditions.append(table.c.project_id == query.project_id)
    for name, value in query.equal.items():
        conditions.append(
            table.c[name].in_(value) if isinstance(value, tuple) else table.c[name] == value
        )
    for name, value in query.like.items():
        conditions.append(table.c[name].contains(value, autoescape=True))
    for name, comparison, moment in query.times:
        conditions.append(_OPERATORS[comparison](table.c[name], moment))
    return conditions


def _sort_column(table: Table, name: str) -> ColumnElement[Any]:
    column: ColumnElement[Any] = table.c[name]
    if name == "updated_at":
        return func.coalesce(column, table.c.created_at)
    return func.coalesce(column, _LEAST[name]) if name in _LEAST else column


def _order(table: Table, query: ListQuery) -> list[ColumnElement[Any]]:
    return [
        _sort_column(table, name).desc() if direction == "desc" else _sort_column(table, name).asc()
        for name, direction in query.sort
    ]


def _after(connection: Connection, table: Table, query: ListQuery) -> ColumnElement[bool]:
    """Rows that follow the marker in the query's order (the last sort key is unique)."""
    columns = [_sort_column(table, name) for name, _direction in query.sort]
    marker = connection.execute(select(*columns).where(table.c.id == query.marker)).one()
    following: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for column, (_name, direction), value in zip(columns, query.sort, marker, strict=True):
        beyond = column < value if direction == "desc" else column > value
        following.append(and_(*same, beyond))
        same.append(column == value)
    return or_(*following)
