# SPDX-License-Identifier: Apache-2.0
"""The shared ``MetaData`` and the column types that all tables use.

Times are naive UTC with microseconds. Documents (small JSON values that are read and written whole)
are encoded by msgspec. Every table has a primary key (Galera refuses tables without one).
"""

from __future__ import annotations

import datetime
from typing import Any

import msgspec
from sqlalchemy import Column, DateTime, MetaData, Text, TypeDecorator
from sqlalchemy.dialects import mysql
from sqlalchemy.engine import Dialect
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.schema import CreateTable

from nova.decoding import decode_json, json_decoder

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

Timestamp = DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql", "mariadb")
LongText = Text().with_variant(mysql.MEDIUMTEXT(), "mysql", "mariadb")



@compiles(CreateTable, "mysql", "mariadb")
def _create_table(element: CreateTable, compiler: Any, **options: Any) -> str:
    """Tables of MariaDB compare text byte by byte, as those of SQLite and PostgreSQL do.

    The server's default takes "Web" and "web", or "Jose" and "José", for the same name.
    """
    made: str = compiler.visit_create_table(element, **options)
    return f"{made.rstrip()} ENGINE=InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin"


_encoder = msgspec.json.Encoder()


class Document(TypeDecorator[Any]):
    """A JSON value in a text column; ``None`` is SQL NULL."""

    impl = LongText
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Encode for the database."""
        return None if value is None else _encoder.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decode from the database."""
        return None if value is None else decode_json(value)


class TypedDocument(TypeDecorator[Any]):
    """A JSON value that decodes straight into a msgspec type."""

    impl = LongText
    cache_ok = True

    def __init__(self, type_: Any) -> None:
        super().__init__()
        self.type_ = type_
        self._decode = json_decoder(type_).decode

    def process_bind_param(self, value: Any, dialect: Dialect) -> str | None:
        """Encode for the database."""
        return None if value is None else _encoder.encode(value).decode()

    def process_result_value(self, value: str | None, dialect: Dialect) -> Any:
        """Decode from the database."""
        return None if value is None else self._decode(value)


def now() -> datetime.datetime:
    """The present time as the tables keep it: naive UTC."""
    return datetime.datetime.now(datetime.UTC).replace(tzinfo=None)


def created_updated() -> list[Column[Any]]:
    """The two time columns that most tables carry."""
    return [
        Column("created_at", Timestamp, nullable=False, default=now),
        Column("updated_at", Timestamp),
    ]
