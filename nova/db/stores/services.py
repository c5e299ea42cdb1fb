# SPDX-License-Identifier: Apache-2.0
"""Services: daemons and their heartbeats."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, bindparam, delete, select, update

from nova.db.insert_new import insert_new
from nova.db.schema.base import now as present
from nova.db.schema.hosts import services
from nova.errors import NotFound
from nova.objects.host import Service

_CHUNK = 500

# Inside the class ``list`` is the method.
Services = list[Service]
Hosts = list[str]

_BY_HOST = select(services).where(
    services.c.host == bindparam("of_host"), services.c.binary == bindparam("of_binary")
)


def _service(row: Row[Any]) -> Service:
    return Service(*tuple(row))


class ServiceStore:
    """Daemons: who reported when, and which are disabled or forced down."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def report_many(self, reports: Sequence[tuple[str, str, str]], now: datetime.datetime) -> None:
        """Note signs of life of many services at once: (binary, host, topic) each."""
        kinds: dict[tuple[str, str], Hosts] = {}
        for binary, host, topic in reports:
            kinds.setdefault((binary, topic), []).append(host)
        for (binary, topic), hosts in kinds.items():
            for start in range(0, len(hosts), _CHUNK):
                self._report_chunk(binary, topic, hosts[start : start + _CHUNK], now)

    def _report_chunk(self, binary: str, topic: str, hosts: Hosts, now: datetime.datetime) -> None:
        touched = self._beat(binary, topic, hosts, now)
        if touched == len(set(hosts)):
            return
        seen = set(
            self._connection.scalars(
                select(services.c.host).where(
                    services.c.binary == binary,
                    services.c.host.in_(hosts),
                    services.c.last_seen_up == now,
                )
            )
        )
        missing = sorted(set(hosts) - seen)
        # The same daemon may have been added on another connection meanwhile: both signs of life count.
        self._connection.execute(
            insert_new(services, self._connection.dialect.name, "host"),
            [_new(binary, host, topic, now) for host in missing],
        )
        self._beat(binary, topic, missing, now)

    def _beat(self, binary: str, topic: str, hosts: Hosts, now: datetime.datetime) -> int:
        """Note the signs of life; how many of the services are there."""
        return self._connection.execute(
            update(services)
            .where(services.c.binary == binary, services.c.host.in_(hosts))
            .values(
                last_seen_up=now,
                updated_at=now,
                topic=topic,
                report_count=services.c.report_count + 1,
            )
        ).rowcount

    def list(self, binary: str | None = None, host: str | None = None) -> Services:
        """Services by id, of one binary or host if named."""
        query: Select[Any] = select(services).order_by(services.c.id)
        if binary is not None:
            query = query.where(services.c.binary == binary)
        if host is not None:
            query = query.where(services.c.host == host)
        return [_service(row) for row in self._connection.execute(query)]

    def get_by_id(self, service_id: int) -> Service:
        """The service of this internal id, or ``NotFound``."""
        return self._one(services.c.id == service_id, service_id)

    def get_by_uuid(self, service_uuid: str) -> Service:
        """The service of this uuid, or ``NotFound``."""
        return self._one(services.c.uuid == service_uuid, service_uuid)

    def get_by_host(self, binary: str, host: str) -> Service | None:
        """The service ``binary`` of ``host``, or ``None``."""
        row = self._connection.execute(_BY_HOST, {"of_host": host, "of_binary": binary}).first()
        return None if row is None else _service(row)

    def set_disabled(self, service_id: int, disabled: bool, reason: str | None = None) -> Service:
        """Disable or enable; the reason is kept only while disabled. Raises ``NotFound``."""
        return self._set(
            service_id, disabled=disabled, disabled_reason=reason if disabled else None
        )

    def set_forced_down(self, service_id: int, forced_down: bool) -> Service:
        """Force down, or back to what its reports say. Raises ``NotFound``."""
        return self._set(service_id, forced_down=forced_down)

    def delete(self, service_id: int) -> None:
        """Remove the service. Raises ``NotFound``."""
        done = self._connection.execute(delete(services).where(services.c.id == service_id))
        if not done.rowcount:
            raise _not_found(service_id)

    def _set(self, service_id: int, **values: Any) -> Service:
        self._connection.execute(
            update(services)
            .where(services.c.id == service_id)
            .values(updated_at=present(), **values)
        )
        return self.get_by_id(service_id)

    def _one(self, condition: Any, shown: object) -> Service:
        row = self._connection.execute(select(services).where(condition)).first()
        if row is None:
            raise _not_found(shown)
        return _service(row)


def _new(binary: str, host: str, topic: str, now: datetime.datetime) -> dict[str, Any]:
    return {
        "uuid": str(uuid.uuid4()),
        "binary": binary,
        "host": host,
        "topic": topic,
        "report_count": 0,
        "disabled": False,
        "forced_down": False,
        "last_seen_up": now,
        "created_at": now,
    }


def _not_found(shown: object) -> NotFound:
    return NotFound(f"Service {shown} could not be found.")
