# SPDX-License-Identifier: Apache-2.0
"""What the identity tables have in common: records with an id, listed by filters and pages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Generic, TypeVar

import msgspec
from sqlalchemy import ColumnElement, Connection, Table, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.errors import AlreadyExists
from nova.objects.identity import Filter, Page

Record = TypeVar("Record", bound=msgspec.Struct)


class RecordStore(Generic[Record]):
    """Records of one table by id. The fields of the record type name the columns to read."""

    def __init__(
        self, connection: Connection, table: Table, record: type[Record], label: str
    ) -> None:
        self._connection = connection
        self._table = table
        self._record = record
        self._label = label
        self._select = select(*[table.c[name] for name in record.__struct_fields__])

    def create(self, values: Mapping[str, Any]) -> Record:
        """Insert a record; ``values`` by column. ``AlreadyExists`` for a name or id in use."""
        row = {**values, "created_at": now()}
        try:
            self._connection.execute(insert(self._table).values(row))
        except IntegrityError:
            raise AlreadyExists(self._conflict(values)) from None
        fields = {k: v for k, v in values.items() if k in self._record.__struct_fields__}
        return self._record(**fields)

    def get(self, record_id: str) -> Record | None:
        """The record with that id."""
        return self._first(self._table.c.id == record_id)

    def get_many(self, ids: Iterable[str]) -> dict[str, Record]:
        """Those of ``ids`` that exist, by id."""
        wanted = list(set(ids))
        found: dict[str, Record] = {}
        for start in range(0, len(wanted), 500):
            part = self._table.c.id.in_(wanted[start : start + 500])
            for record in self._all(part):
                found[record.id] = record  # type: ignore[attr-defined]
        return found

    def find(self, **equal: Any) -> Record | None:
        """The record whose columns have these values."""
        return self._first(*[self._table.c[name] == value for name, value in equal.items()])

    def update(self, record_id: str, values: Mapping[str, Any]) -> None:
        """Change columns of a record. ``AlreadyExists`` for a name in use."""
        statement = update(self._table).where(self._table.c.id == record_id)
        try:
            self._connection.execute(statement.values({**values, "updated_at": now()}))
        except IntegrityError:
            raise AlreadyExists(self._conflict(values)) from None

    def delete(self, record_id: str) -> None:
        """Delete a record."""
        self._connection.execute(delete(self._table).where(self._table.c.id == record_id))

    def delete_where(self, **equal: Any) -> None:
        """Delete the records whose columns have these values."""
        self._connection.execute(
            delete(self._table).where(*[self._table.c[k] == v for k, v in equal.items()])
        )

    def list(self, filters: Sequence[Filter] = (), page: Page | None = None) -> list[Record]:
        """The records that pass all filters, by id; one more than the page's limit if any."""
        page = page or Page()
        statement = self._select.where(*[self._condition(one) for one in filters])
        if page.marker is not None:
            statement = statement.where(self._table.c.id > page.marker)
        statement = statement.order_by(self._table.c.id)
        if page.limit is not None:
            statement = statement.limit(page.limit + 1)
        return [self._record(**row) for row in self._connection.execute(statement).mappings()]

    def _first(self, *conditions: ColumnElement[bool]) -> Record | None:
        row = self._connection.execute(self._select.where(*conditions)).mappings().first()
        return None if row is None else self._record(**row)

    def _all(self, *conditions: ColumnElement[bool]) -> Iterable[Record]:
        rows = self._connection.execute(self._select.where(*conditions)).mappings()
        return [self._record(**row) for row in rows]

    def _condition(self, one: Filter) -> ColumnElement[bool]:
        column = self._table.c[one.field]
        condition: ColumnElement[bool]
        if one.comparator == "equals":
            condition = column.is_(None) if one.value is None else column == one.value
        elif one.comparator == "in":
            condition = column.in_(list(one.value))
        elif one.comparator.startswith("i"):
            method = getattr(func.lower(column), one.comparator[1:])
            condition = method(str(one.value).lower(), autoescape=True)
        else:
            condition = getattr(column, one.comparator)(one.value, autoescape=True)
        return condition

    def _conflict(self, values: Mapping[str, Any]) -> str:
        """The message that the identity API has for a duplicate."""
        if "name" not in values:
            return (
                f"Conflict occurred attempting to store {self._label} - "
                f"Duplicate ID, {values.get('id', '')}."
            )
        place = f" at domain ID {values['domain_id']}" if values.get("domain_id") else ""
        return (
            f"Conflict occurred attempting to store {self._label} - "
            f"Duplicate entry found with name {values['name']}{place}."
        )
