# SPDX-License-Identifier: Apache-2.0
"""The service catalogue: regions, services, endpoints."""

from __future__ import annotations

from sqlalchemy import Connection, exists, select

from nova.db.schema import identity as schema
from nova.db.stores.identity_records import RecordStore
from nova.objects.identity import CatalogEndpoint, CatalogService, Region


class RegionStore(RecordStore[Region]):
    """Regions."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.regions, Region, "region")

    def in_use(self, region_id: str) -> bool:
        """Whether an endpoint is in the region or a region below it."""
        table = schema.regions
        level, seen = [region_id], {region_id}
        while level:
            statement = select(exists().where(schema.endpoints.c.region_id.in_(level)))
            if self._connection.execute(statement).scalar():
                return True
            children = self._connection.execute(
                select(table.c.id).where(table.c.parent_region_id.in_(level))
            ).scalars()
            level = [child for child in children if child not in seen]
            seen.update(level)
        return False

    def children(self, region_id: str) -> list[Region]:
        """The regions directly below."""
        return list(self._all(self._table.c.parent_region_id == region_id))


class ServiceStore(RecordStore[CatalogService]):
    """Services of the catalogue."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.services, CatalogService, "service")


class EndpointStore(RecordStore[CatalogEndpoint]):
    """Endpoints of the catalogue."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.endpoints, CatalogEndpoint, "endpoint")
