# SPDX-License-Identifier: Apache-2.0
"""What the built-in image service keeps of an image, its members, and how images are asked for."""

from __future__ import annotations

import datetime
import json
from typing import Any

import msgspec

from nova.objects.image import Image

#: Properties that compute keeps as JSON text in the image service and reads as documents.
JSON_PROPERTIES = ("block_device_mapping", "mappings")


class StagedData(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of image data while it was read. Sizes are bytes, digests hexadecimal."""

    size: int
    virtual_size: int | None
    checksum: str
    os_hash_algo: str
    os_hash_value: str


class ImageRecord(msgspec.Struct, frozen=True, kw_only=True):
    """A row of ``images``; the field order is that of the table's columns.

    ``size`` and ``virtual_size`` are bytes, ``min_disk`` GiB, ``min_ram`` MiB.
    """

    id: str
    name: str | None = None
    status: str = "queued"
    visibility: str = "shared"
    owner: str | None = None
    disk_format: str | None = None
    container_format: str | None = None
    size: int | None = None
    virtual_size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
    min_disk: int = 0
    min_ram: int = 0
    protected: bool = False
    os_hidden: bool = False
    properties: dict[str, str] = {}
    tags: list[str] = []
    created_at: datetime.datetime
    updated_at: datetime.datetime
    upload_id: str | None = None
    staged: StagedData | None = None

    def to_image(self) -> Image:
        """The image as compute sees it."""
        return Image(
            id=self.id, name=self.name or "", status=self.status, owner=self.owner,
            visibility=self.visibility, disk_format=self.disk_format,
            container_format=self.container_format, size=self.size,
            virtual_size=self.virtual_size, checksum=self.checksum,
            os_hash_algo=self.os_hash_algo, os_hash_value=self.os_hash_value, min_disk=self.min_disk,
            min_ram=self.min_ram, protected=self.protected,
            properties=_with_documents(self.properties), tags=tuple(self.tags),
            created_at=self.created_at, updated_at=self.updated_at,
        )


def _with_documents(properties: dict[str, str]) -> dict[str, Any]:
    seen: dict[str, Any] = dict(properties)
    for name in JSON_PROPERTIES:
        if name in seen:
            try:
                seen[name] = json.loads(seen[name])
            except ValueError:
                # A user may have set any text; compute refuses it with a message of its own.
                continue
    return seen


class ImageMember(msgspec.Struct, frozen=True):
    """A project with which an image is shared; ``status`` is pending, accepted or rejected."""

    image_id: str
    member: str
    status: str
    created_at: datetime.datetime
    updated_at: datetime.datetime


class ImageViewer(msgspec.Struct, frozen=True):
    """Whose list of images it is. An administrator sees the images of every project."""

    project_id: str | None
    is_admin: bool = False


class ImageComparison(msgspec.Struct, frozen=True):
    """One condition on a column; ``operator`` is eq, neq, gt, gte, lt, lte or in (a tuple)."""

    field: str
    operator: str
    value: Any


class ImageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which images, in which order. ``sort`` holds (column, "asc" or "desc")."""

    comparisons: tuple[ImageComparison, ...] = ()
    tags: tuple[str, ...] = ()
    properties: tuple[tuple[str, str], ...] = ()
    visibility: str | None = None
    member_status: str = "accepted"
    sort: tuple[tuple[str, str], ...] = (("created_at", "desc"), ("id", "desc"))
    limit: int | None = None
    marker: str | None = None
