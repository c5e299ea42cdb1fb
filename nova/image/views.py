# SPDX-License-Identifier: Apache-2.0
"""How images and members look on the wire (Image API v2)."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

from nova.objects.image_record import ImageMember, ImageRecord

#: The one store: the files of this service. Clients wait for its name in an image after an import.
STORE = "file"

_WITH_DATA = ("active", "deactivated")


def _time(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def image_view(record: ImageRecord) -> dict[str, Any]:
    """One image; its free properties stand beside its fields."""
    path = f"/v2/images/{record.id}"
    stored = {"stores": STORE} if record.status in _WITH_DATA else {}
    return {
        **record.properties,
        **stored,
        "name": record.name,
        "disk_format": record.disk_format,
        "container_format": record.container_format,
        "visibility": record.visibility,
        "size": record.size,
        "virtual_size": record.virtual_size,
        "status": record.status,
        "checksum": record.checksum,
        "protected": record.protected,
        "min_ram": record.min_ram,
        "min_disk": record.min_disk,
        "owner": record.owner,
        "os_hidden": record.os_hidden,
        "os_hash_algo": record.os_hash_algo,
        "os_hash_value": record.os_hash_value,
        "id": record.id,
        "created_at": _time(record.created_at),
        "updated_at": _time(record.updated_at),
        "tags": record.tags,
        "self": path,
        "file": f"{path}/file",
        "schema": "/v2/schemas/image",
    }


def page_view(
    records: Sequence[ImageRecord], parameters: Sequence[tuple[str, str]], full: bool
) -> dict[str, Any]:
    """A page of images; ``full`` where more may follow, which ``next`` leads to then."""
    kept = [(name, value) for name, value in parameters if name != "marker"]
    query = urlencode(kept)
    page: dict[str, Any] = {
        "images": [image_view(record) for record in records],
        "first": f"/v2/images?{query}" if query else "/v2/images",
        "schema": "/v2/schemas/images",
    }
    if full and records:
        page["next"] = f"/v2/images?{urlencode([*kept, ('marker', records[-1].id)])}"
    return page


def member_view(member: ImageMember) -> dict[str, Any]:
    """One membership."""
    return {
        "member_id": member.member,
        "image_id": member.image_id,
        "status": member.status,
        "created_at": _time(member.created_at),
        "updated_at": _time(member.updated_at),
        "schema": "/v2/schemas/member",
    }


def empty_view(collection: str, facts: Mapping[str, Any]) -> dict[str, Any]:
    """A list of a kind of thing that this service never has."""
    return {collection: [], **facts}
