# SPDX-License-Identifier: Apache-2.0
"""Host aggregates, and the availability zones that they make."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, delete, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.hosts import aggregate_hosts, aggregates
from nova.errors import AlreadyExists, BadRequest, Conflict, NotFound
from nova.objects.host import Aggregate

ZONE = "availability_zone"

# Inside the class ``list`` is the method.
Aggregates = list[Aggregate]
Hosts = list[str]


class AggregateStore:
    """Host aggregates. A host is in one zone at most: a second is refused."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        name: str,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Aggregate:
        """Add an aggregate without hosts. Raises ``AlreadyExists`` for a name in use."""
        facts = dict(metadata or {})
        if availability_zone is not None:
            facts[ZONE] = availability_zone
        try:
            with self._connection.begin_nested():
                done = self._connection.execute(
                    insert(aggregates).values(
                        uuid=str(uuid.uuid4()), name=name, metadata=facts, created_at=now()
                    )
                )
        except IntegrityError as error:
            raise AlreadyExists(f"Aggregate {name} already exists.") from error
        assert done.inserted_primary_key is not None
        return self.get(done.inserted_primary_key[0])

    def list(self) -> Aggregates:
        """All aggregates by id, with their hosts."""
        return self._select()

    def get(self, aggregate_id: int) -> Aggregate:
        """The aggregate of this id, or ``NotFound``."""
        found = self._select(aggregates.c.id == aggregate_id)
        if not found:
            raise NotFound(f"Aggregate {aggregate_id} could not be found.")
        return found[0]

    def update(
        self, aggregate_id: int, name: str | None = None, availability_zone: str | None = None
    ) -> Aggregate:
        """Rename, or set the zone.

        Raises ``NotFound``; ``AlreadyExists`` for a name in use; ``BadRequest`` if a host of it is
        in another zone already.
        """
        before = self.get(aggregate_id)
        values: dict[str, Any] = {"updated_at": now()}
        if availability_zone is not None:
            self._refuse_second_zone(before, availability_zone, "update aggregate")
            values["metadata"] = {**before.metadata, ZONE: availability_zone}
        if name is not None:
            values["name"] = name
        try:
            with self._connection.begin_nested():
                self._write(aggregate_id, values)
        except IntegrityError as error:
            raise AlreadyExists(f"Aggregate {name} already exists.") from error
        return self.get(aggregate_id)

    def set_metadata(self, aggregate_id: int, changes: Mapping[str, str | None]) -> Aggregate:
        """Set keys, and remove those whose value is ``None``.

        Raises ``NotFound``; ``BadRequest`` if a host of it is in another zone already.
        """
        before = self.get(aggregate_id)
        zone = changes.get(ZONE)
        if zone is not None:
            self._refuse_second_zone(before, zone, "update aggregate metadata")
        merged = {**before.metadata, **changes}
        kept = {key: value for key, value in merged.items() if value is not None}
        self._write(aggregate_id, {"metadata": kept, "updated_at": now()})
        return self.get(aggregate_id)

    def add_host(self, aggregate_id: int, host: str) -> Aggregate:
        """Put a host in.

        Raises ``NotFound`` for the aggregate; ``AlreadyExists`` if the host is in it; ``Conflict``
        if the host is in another zone already.
        """
        before = self.get(aggregate_id)
        if host in before.hosts:
            raise AlreadyExists(f"Aggregate {aggregate_id} already has host {host}.")
        zone = before.metadata.get(ZONE)
        if zone is not None:
            others = self._zones((host,), except_aggregate=aggregate_id) - {zone}
            if others:
                raise Conflict(
                    f"Cannot add host to aggregate {aggregate_id}. Reason: host {host} is already "
                    f"in availability zone(s) {', '.join(sorted(others))}."
                )
        try:
            with self._connection.begin_nested():
                self._connection.execute(
                    insert(aggregate_hosts).values(aggregate_id=aggregate_id, host=host)
                )
        except IntegrityError as error:
            raise AlreadyExists(f"Aggregate {aggregate_id} already has host {host}.") from error
        self._write(aggregate_id, {"updated_at": now()})
        return self.get(aggregate_id)

    def remove_host(self, aggregate_id: int, host: str) -> Aggregate:
        """Take a host out. Raises ``NotFound`` for the aggregate, or a host that is not in it."""
        done = self._connection.execute(
            delete(aggregate_hosts).where(
                aggregate_hosts.c.aggregate_id == aggregate_id, aggregate_hosts.c.host == host
            )
        )
        if not done.rowcount:
            self.get(aggregate_id)
            raise NotFound(f"Aggregate {aggregate_id} has no host {host}.")
        self._write(aggregate_id, {"updated_at": now()})
        return self.get(aggregate_id)

    def delete(self, aggregate_id: int) -> None:
        """Remove an aggregate. Raises ``NotFound``; ``BadRequest`` while hosts are in it."""
        members = select(aggregate_hosts.c.host).where(
            aggregate_hosts.c.aggregate_id == aggregate_id
        )
        done = self._connection.execute(
            delete(aggregates).where(aggregates.c.id == aggregate_id, ~members.exists())
        )
        if not done.rowcount:
            self.get(aggregate_id)
            raise BadRequest(
                f"Cannot delete aggregate {aggregate_id}. Reason: Host aggregate is not empty."
            )

    def zones_of_hosts(self) -> dict[str, str]:
        """The zone of each host that is in one; the others are in the default zone."""
        query = (
            select(aggregate_hosts.c.host, aggregates.c.metadata)
            .join(aggregates, aggregates.c.id == aggregate_hosts.c.aggregate_id)
            .order_by(aggregates.c.id)
        )
        return {
            host: metadata[ZONE]
            for host, metadata in self._connection.execute(query)
            if ZONE in metadata
        }

    def _select(self, *conditions: ColumnElement[bool]) -> Aggregates:
        query = select(aggregates).where(*conditions).order_by(aggregates.c.id)
        rows = self._connection.execute(query).all()
        if not rows:
            return []
        members = select(aggregate_hosts).order_by(aggregate_hosts.c.host)
        if conditions:
            members = members.where(aggregate_hosts.c.aggregate_id.in_([row.id for row in rows]))
        hosts: dict[int, Hosts] = {}
        for aggregate_id, host in self._connection.execute(members):
            hosts.setdefault(aggregate_id, []).append(host)
        return [_aggregate(row, hosts.get(row.id, [])) for row in rows]

    def _write(self, aggregate_id: int, values: dict[str, Any]) -> None:
        self._connection.execute(
            update(aggregates).where(aggregates.c.id == aggregate_id).values(values)
        )

    def _zones(self, hosts: tuple[str, ...], *, except_aggregate: int) -> set[str]:
        query = (
            select(aggregates.c.metadata)
            .join(aggregate_hosts, aggregates.c.id == aggregate_hosts.c.aggregate_id)
            .where(aggregate_hosts.c.host.in_(hosts), aggregates.c.id != except_aggregate)
            .distinct()
        )
        found = self._connection.scalars(query)
        return {metadata[ZONE] for metadata in found if ZONE in metadata}

    def _refuse_second_zone(self, aggregate: Aggregate, zone: str, action: str) -> None:
        if not aggregate.hosts:
            return
        others = self._zones(aggregate.hosts, except_aggregate=aggregate.id) - {zone}
        if others:
            raise BadRequest(
                f"Cannot {action}. Reason: One or more hosts already in availability zone(s) "
                f"{', '.join(sorted(others))}."
            )


def _aggregate(row: Row[Any], hosts: list[str]) -> Aggregate:
    return Aggregate(
        id=row.id,
        uuid=row.uuid,
        name=row.name,
        # By mapping: ``row.metadata`` is an attribute of SQLAlchemy's own.
        metadata=row._mapping[aggregates.c.metadata],
        hosts=tuple(hosts),
        created_at=row.created_at,
        updated_at=row.updated_at,
    )
