# SPDX-License-Identifier: Apache-2.0
"""The images as compute reaches them where the image service runs in the same process."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from nova.errors import Conflict, ImageNotFound
from nova.image import fields, rights
from nova.image.cache import CachedImage
from nova.image.query import parse_query
from nova.image.service import ImageService
from nova.objects.context import RequestContext
from nova.objects.image import Image


class LocalImages:
    """Calls the service directly; ``show`` answers from the cache."""

    def __init__(self, service: ImageService) -> None:
        self._service = service
        self._cache = service.cache

    def show(self, context: RequestContext, image_id: str) -> Image:
        """One image; ``ImageNotFound`` where there is none or the caller may not see it.

        Writes of this process are seen at once, those of others within ``cache.TTL`` seconds.
        """
        entry = self._cache.get(image_id) or self._load(context, image_id)
        if not rights.may_see(context, entry.record, entry.members):
            raise ImageNotFound(image_id)
        return entry.image

    def _load(self, context: RequestContext, image_id: str) -> CachedImage:
        writes = self._cache.writes
        record = self._service.get(context, image_id)
        shared = record.visibility == "shared"
        members = self._service.members_of(record.id) if shared else frozenset[str]()
        return self._cache.keep(record, members, writes)

    def list(
        self,
        context: RequestContext,
        *,
        filters: Mapping[str, str],
        limit: int | None,
        marker: str | None,
    ) -> list[Image]:
        """A page of images, newest first; ``filters`` are those of the Image API's list."""
        parameters = list(filters.items())
        if limit is not None:
            parameters.append(("limit", str(limit)))
        if marker is not None:
            parameters.append(("marker", marker))
        query = parse_query(parameters, self._service.section)
        return [record.to_image() for record in self._service.list(context, query)]

    def create(
        self,
        context: RequestContext,
        *,
        name: str,
        properties: Mapping[str, Any],
        disk_format: str | None,
        container_format: str | None,
        min_disk: int = 0,
        min_ram: int = 0,
        visibility: str = "private",
        owner: str | None = None,
        image_id: str | None = None,
    ) -> Image:
        """Register an image without data; ``min_disk`` in GiB, ``min_ram`` in MiB."""
        body: dict[str, Any] = {
            "name": name, "disk_format": disk_format, "container_format": container_format,
            "min_disk": min_disk, "min_ram": min_ram, "visibility": visibility,
        }
        if owner is not None:
            body["owner"] = owner
        if image_id is not None:
            body["id"] = image_id
        checked = {name: fields.SETTABLE[name](name, value) for name, value in body.items()}
        return self._service.create(context, checked, _as_text(properties)).to_image()

    def upload(self, context: RequestContext, image_id: str, chunks: Iterable[bytes]) -> Image:
        """Fill an image with data; it is active then."""
        return self._service.upload(context, image_id, chunks).to_image()

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        """An image's data in pieces; ``Conflict`` for an image without data."""
        record = self._service.data.readable(context, image_id)
        if record.status not in ("active", "deactivated"):
            raise Conflict(f"Image {image_id} has no data: its status is {record.status}.")
        return self._service.data.read(record)

    def update_properties(
        self,
        context: RequestContext,
        image_id: str,
        properties: Mapping[str, Any],
        *,
        purge: bool = False,
    ) -> Image:
        """Write free properties; with ``purge`` those that are not named are removed."""
        record = self._service.set_properties(
            context, image_id, _as_text(properties), purge=purge
        )
        return record.to_image()

    def delete(self, context: RequestContext, image_id: str) -> None:
        """Delete; ``ImageNotFound`` if it is missing, ``Forbidden`` if protected or another's."""
        self._service.delete(context, image_id)


def _as_text(properties: Mapping[str, Any]) -> dict[str, str]:
    """Properties as the service keeps them: documents as JSON, None left out, the rest as text."""
    kept: dict[str, str] = {}
    for name, value in properties.items():
        if value is None:
            continue
        if isinstance(value, (dict, list, tuple)):
            value = json.dumps(value)
        fields.check_name(name)
        kept[name] = fields.check_property(name, str(value))
    return kept
