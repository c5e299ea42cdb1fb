# SPDX-License-Identifier: Apache-2.0
"""The service catalogue: regions, services and endpoints, and how a token shows them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from nova.db.stores.identity import IdentityStore
from nova.errors import BadRequest, Forbidden, InvalidInput, NotFound
from nova.identity.core import IdentityCore, new_id
from nova.identity.fields import Field, check, extras
from nova.identity.reference import Reference
from nova.objects.identity import CatalogEndpoint, CatalogService, Filter, Page, Region

INTERFACES = ("public", "internal", "admin")

REGION_FIELDS = (
    Field(name="id", nullable=True, maximum=255),
    Field(name="parent_region_id", nullable=True, maximum=255),
    Field(name="description", nullable=True),
)
SERVICE_FIELDS = (
    Field(name="type", required=True, minimum=1, maximum=255),
    Field(name="name", nullable=True, maximum=255),
    Field(name="description", nullable=True),
    Field(name="enabled", kind="boolean"),
)
ENDPOINT_FIELDS = (
    Field(name="interface", required=True, choices=INTERFACES),
    Field(name="service_id", required=True, minimum=1, maximum=64),
    Field(name="region_id", nullable=True, maximum=255),
    Field(name="region", nullable=True, maximum=255),
    Field(name="url", required=True, minimum=1, maximum=2048),
    Field(name="enabled", kind="boolean"),
)

_VARIABLE = re.compile(r"[$%]\((\w+)\)s")
_KNOWN_VARIABLES = frozenset(("project_id", "tenant_id", "user_id"))


class CatalogOperations:
    """Makes, changes and deletes regions, services and endpoints."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def get_region(self, region_id: str) -> Region:
        """The region; ``NotFound``."""
        with self._core.read() as stores:
            return _require_region(stores, region_id)

    def regions(self, filters: Sequence[Filter], page: Page) -> list[Region]:
        """Regions."""
        with self._core.read() as stores:
            return stores.regions.list(filters, page)

    def create_region(self, values: Mapping[str, Any]) -> Region:
        """A new region from the ``region`` object of a request."""
        check(values, REGION_FIELDS, "region")

        def write(stores: IdentityStore) -> Region:
            parent = values.get("parent_region_id")
            if parent is not None:
                _require_region(stores, parent)
            region_id = values.get("id") or new_id()
            if parent == region_id:
                raise _circle(region_id)
            return stores.regions.create(
                {
                    "id": region_id,
                    "parent_region_id": parent,
                    "description": values.get("description") or "",
                    "extra": extras(values, REGION_FIELDS, "region"),
                }
            )

        return self._core.run(write)

    def update_region(self, region_id: str, values: Mapping[str, Any]) -> Region:
        """Change a region."""
        check(values, REGION_FIELDS, "region", partial=True)

        def write(stores: IdentityStore) -> Region:
            present = _require_region(stores, region_id)
            if values.get("id") not in (None, region_id):
                raise InvalidInput("region.id", "It cannot be changed.")
            changes: dict[str, Any] = {}
            if "description" in values:
                changes["description"] = values["description"] or ""
            if "parent_region_id" in values:
                _refuse_circle(stores, region_id, values["parent_region_id"])
                changes["parent_region_id"] = values["parent_region_id"]
            extra = extras(values, REGION_FIELDS, "region")
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.regions.update(region_id, changes)
            return _require_region(stores, region_id)

        return self._core.run(write)

    def delete_region(self, region_id: str) -> None:
        """Delete a region and those below it; ``Forbidden`` where an endpoint is in one."""

        def write(stores: IdentityStore) -> None:
            _require_region(stores, region_id)
            if stores.regions.in_use(region_id):
                raise Forbidden(
                    f"Unable to delete region {region_id} because it or its child regions have "
                    "associated endpoints."
                )
            level, seen = [region_id], {region_id}
            while level:
                children = [child.id for one in level for child in stores.regions.children(one)]
                for one in level:
                    stores.regions.delete(one)
                level = [child for child in children if child not in seen]
                seen.update(level)

        self._core.run(write)

    def get_service(self, service_id: str) -> CatalogService:
        """The service; ``NotFound``."""
        with self._core.read() as stores:
            return _require_service(stores, service_id)

    def services(self, filters: Sequence[Filter], page: Page) -> list[CatalogService]:
        """Services."""
        with self._core.read() as stores:
            return stores.services.list(filters, page)

    def create_service(self, values: Mapping[str, Any]) -> CatalogService:
        """A new service from the ``service`` object of a request."""
        check(values, SERVICE_FIELDS, "service")

        def write(stores: IdentityStore) -> CatalogService:
            return stores.services.create(
                {
                    "id": new_id(),
                    "type": values["type"],
                    "name": values.get("name"),
                    "description": values.get("description"),
                    "enabled": values.get("enabled", True),
                    "extra": extras(values, SERVICE_FIELDS, "service"),
                }
            )

        return self._core.run(write)

    def update_service(self, service_id: str, values: Mapping[str, Any]) -> CatalogService:
        """Change a service."""
        check(values, SERVICE_FIELDS, "service", partial=True)

        def write(stores: IdentityStore) -> CatalogService:
            present = _require_service(stores, service_id)
            names = ("type", "name", "description", "enabled")
            changes = {name: values[name] for name in names if name in values}
            extra = extras(values, SERVICE_FIELDS, "service")
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.services.update(service_id, changes)
            return _require_service(stores, service_id)

        return self._core.run(write)

    def delete_service(self, service_id: str) -> None:
        """Delete a service with its endpoints."""

        def write(stores: IdentityStore) -> None:
            _require_service(stores, service_id)
            stores.endpoints.delete_where(service_id=service_id)
            stores.services.delete(service_id)

        self._core.run(write)

    def get_endpoint(self, endpoint_id: str) -> CatalogEndpoint:
        """The endpoint; ``NotFound``."""
        with self._core.read() as stores:
            return _require_endpoint(stores, endpoint_id)

    def endpoints(self, filters: Sequence[Filter], page: Page) -> list[CatalogEndpoint]:
        """Endpoints."""
        with self._core.read() as stores:
            return stores.endpoints.list(filters, page)

    def create_endpoint(self, values: Mapping[str, Any]) -> CatalogEndpoint:
        """A new endpoint from the ``endpoint`` object of a request.

        The old name ``region`` for its region makes the region where it is missing.
        """
        check(values, ENDPOINT_FIELDS, "endpoint")
        check_url(values["url"], "endpoint.url")

        def write(stores: IdentityStore) -> CatalogEndpoint:
            _check_service(stores, values["service_id"])
            return stores.endpoints.create(
                {
                    "id": new_id(),
                    "interface": values["interface"],
                    "service_id": values["service_id"],
                    "region_id": _region_of(stores, values),
                    "url": values["url"],
                    "enabled": values.get("enabled", True),
                    "extra": extras(values, ENDPOINT_FIELDS, "endpoint"),
                }
            )

        return self._core.run(write)

    def update_endpoint(self, endpoint_id: str, values: Mapping[str, Any]) -> CatalogEndpoint:
        """Change an endpoint."""
        check(values, ENDPOINT_FIELDS, "endpoint", partial=True)
        if "url" in values:
            check_url(values["url"], "endpoint.url")

        def write(stores: IdentityStore) -> CatalogEndpoint:
            present = _require_endpoint(stores, endpoint_id)
            names = ("interface", "service_id", "url", "enabled")
            changes = {name: values[name] for name in names if name in values}
            if "service_id" in changes:
                _check_service(stores, changes["service_id"])
            if "region_id" in values or "region" in values:
                changes["region_id"] = _region_of(stores, values)
            extra = extras(values, ENDPOINT_FIELDS, "endpoint")
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.endpoints.update(endpoint_id, changes)
            return _require_endpoint(stores, endpoint_id)

        return self._core.run(write)

    def delete_endpoint(self, endpoint_id: str) -> None:
        """Delete an endpoint."""

        def write(stores: IdentityStore) -> None:
            _require_endpoint(stores, endpoint_id)
            stores.endpoints.delete(endpoint_id)

        self._core.run(write)


def check_url(url: str, where: str) -> None:
    """Refuse a URL with a variable that a catalogue cannot fill in."""
    unknown = [name for name in _VARIABLE.findall(url) if name not in _KNOWN_VARIABLES]
    left = _VARIABLE.sub("", url)
    if unknown or "$(" in left or "%(" in left:
        raise BadRequest(
            f"Invalid input for field/attribute {where}. Cannot create an endpoint with an "
            f"invalid URL: {url[:200]}."
        )


def fill_in(url: str, user_id: str, project_id: str | None) -> str | None:
    """An endpoint's URL for one caller; None where it needs a project and there is none."""
    if "(" not in url:
        return url
    values = {"user_id": user_id, "project_id": project_id, "tenant_id": project_id}
    names = _VARIABLE.findall(url)
    if any(values.get(name) is None for name in names):
        return None
    return _VARIABLE.sub(lambda found: str(values[found.group(1)]), url)


def catalog_v3(
    reference: Reference, user_id: str, project_id: str | None
) -> list[dict[str, Any]]:
    """The catalogue as a v3 token has it."""
    result: list[dict[str, Any]] = []
    for service, endpoints in reference.catalog:
        shown = []
        for endpoint in endpoints:
            url = fill_in(endpoint.url, user_id, project_id)
            if url is not None:
                shown.append(
                    {
                        "id": endpoint.id,
                        "interface": endpoint.interface,
                        "region_id": endpoint.region_id,
                        "region": endpoint.region_id,
                        "url": url,
                    }
                )
        result.append(
            {
                "id": service.id,
                "type": service.type,
                "name": service.name or "",
                "endpoints": shown,
            }
        )
    return result


def catalog_v2(reference: Reference, user_id: str, project_id: str) -> list[dict[str, Any]]:
    """The catalogue as a v2.0 token has it: one entry a region with up to three URLs."""
    result: list[dict[str, Any]] = []
    for service, endpoints in reference.catalog:
        regions: dict[str | None, dict[str, Any]] = {}
        for endpoint in endpoints:
            url = fill_in(endpoint.url, user_id, project_id)
            if url is None:
                continue
            if service.type == "identity":
                # A v2.0 client speaks v2.0 to whatever address it finds here.
                url = re.sub(r"/v3/?$", "/v2.0", url)
            entry = regions.setdefault(endpoint.region_id, {"region": endpoint.region_id})
            entry[f"{endpoint.interface}URL"] = url
            if endpoint.interface == "public" or "id" not in entry:
                entry["id"] = endpoint.id
        # v2.0 clients read publicURL without asking whether it is there.
        shown = [entry for entry in regions.values() if "publicURL" in entry]
        for entry in shown:
            entry.setdefault("internalURL", entry["publicURL"])
            entry.setdefault("adminURL", entry["publicURL"])
        if shown:
            result.append(
                {
                    "type": service.type,
                    "name": service.name or "",
                    "endpoints": shown,
                    "endpoints_links": [],
                }
            )
    return result


def _region_of(stores: IdentityStore, values: Mapping[str, Any]) -> str | None:
    region_id: str | None = values.get("region_id")
    if region_id is not None:
        if stores.regions.get(region_id) is None:
            raise InvalidInput("endpoint.region_id", "There is no such region.", region_id)
        return region_id
    old_name: str | None = values.get("region")
    if old_name is not None and stores.regions.get(old_name) is None:
        stores.regions.create(
            {"id": old_name, "parent_region_id": None, "description": "", "extra": {}}
        )
    return old_name


def _check_service(stores: IdentityStore, service_id: str) -> None:
    if stores.services.get(service_id) is None:
        raise InvalidInput("endpoint.service_id", "There is no such service.", service_id)


def _require_region(stores: IdentityStore, region_id: str) -> Region:
    found = stores.regions.get(region_id)
    if found is None:
        raise NotFound(f"Could not find region: {region_id}.")
    return found


def _require_service(stores: IdentityStore, service_id: str) -> CatalogService:
    found = stores.services.get(service_id)
    if found is None:
        raise NotFound(f"Could not find service: {service_id}.")
    return found


def _require_endpoint(stores: IdentityStore, endpoint_id: str) -> CatalogEndpoint:
    found = stores.endpoints.get(endpoint_id)
    if found is None:
        raise NotFound(f"Could not find endpoint: {endpoint_id}.")
    return found


def _refuse_circle(stores: IdentityStore, region_id: str, parent_id: str | None) -> None:
    above = parent_id
    while above is not None:
        if above == region_id:
            raise _circle(parent_id)
        above = _require_region(stores, above).parent_region_id


def _circle(parent_id: str | None) -> BadRequest:
    return BadRequest(
        f"The specified parent region {parent_id} would create a circular region hierarchy."
    )
