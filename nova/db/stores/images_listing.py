# SPDX-License-Identifier: Apache-2.0
"""The statement behind a list of images: what the caller may see, filters, order, paging."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

from sqlalchemy import ColumnElement, Select, and_, func, or_, select

from nova.db.schema.image import image_members, image_properties, image_tags, images
from nova.objects.image_record import ImageComparison, ImageQuery, ImageRecord, ImageViewer

_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "eq": operator.eq,
    "neq": operator.ne,
    "gt": operator.gt,
    "gte": operator.ge,
    "lt": operator.lt,
    "lte": operator.le,
}
# Columns that may be NULL sort as the least value of their type, on every database alike.
_LEAST: dict[str, Any] = {
    "name": "", "container_format": "", "disk_format": "", "size": -1, "virtual_size": -1,
}


def listing(query: ImageQuery, viewer: ImageViewer, marker: ImageRecord | None) -> Select[Any]:
    """The one statement for a page of images."""
    conditions = [
        *_visible(query, viewer),
        *(_comparison(comparison) for comparison in query.comparisons),
        *(
            images.c.id.in_(select(image_tags.c.image_id).where(image_tags.c.tag == tag))
            for tag in query.tags
        ),
        *(_property(name, value) for name, value in query.properties),
    ]
    if marker is not None:
        conditions.append(_after(query, marker))
    statement = select(images).where(*conditions).order_by(*_order(query))
    return statement if query.limit is None else statement.limit(query.limit)


def _comparison(comparison: ImageComparison) -> ColumnElement[bool]:
    column = images.c[comparison.field]
    if comparison.operator == "in":
        return column.in_(comparison.value)
    result: ColumnElement[bool] = _OPERATORS[comparison.operator](column, comparison.value)
    return result


def _property(name: str, value: str) -> ColumnElement[bool]:
    return images.c.id.in_(
        select(image_properties.c.image_id).where(
            image_properties.c.name == name, image_properties.c.value == value
        )
    )


def _visible(query: ImageQuery, viewer: ImageViewer) -> list[ColumnElement[bool]]:
    """Community images of others appear only to those who ask for that visibility."""
    conditions: list[ColumnElement[bool]] = []
    if not viewer.is_admin:
        choices: list[ColumnElement[bool]] = [images.c.visibility.in_(("public", "community"))]
        if viewer.project_id is not None:
            shared = select(image_members.c.image_id).where(
                image_members.c.member == viewer.project_id
            )
            if query.member_status != "all":
                shared = shared.where(image_members.c.status == query.member_status)
            choices.append(images.c.owner == viewer.project_id)
            choices.append(and_(images.c.visibility == "shared", images.c.id.in_(shared)))
        conditions.append(or_(*choices))
    if query.visibility is None:
        listed = images.c.visibility != "community"
        if viewer.project_id is None:
            conditions.append(listed)
        else:
            conditions.append(or_(listed, images.c.owner == viewer.project_id))
    elif query.visibility != "all":
        conditions.append(images.c.visibility == query.visibility)
    return conditions


def _sort_column(name: str) -> ColumnElement[Any]:
    column = images.c[name]
    return func.coalesce(column, _LEAST[name]) if name in _LEAST else column


def _order(query: ImageQuery) -> list[ColumnElement[Any]]:
    return [
        _sort_column(name).desc() if direction == "desc" else _sort_column(name).asc()
        for name, direction in query.sort
    ]


def _after(query: ImageQuery, marker: ImageRecord) -> ColumnElement[bool]:
    """Rows that follow ``marker`` in the query's order (the last sort key is unique)."""
    following: list[ColumnElement[bool]] = []
    same: list[ColumnElement[bool]] = []
    for name, direction in query.sort:
        column = _sort_column(name)
        value = getattr(marker, name)
        if value is None:
            value = _LEAST[name]
        beyond = column < value if direction == "desc" else column > value
        following.append(and_(*same, beyond))
        same.append(column == value)
    return or_(*following)
