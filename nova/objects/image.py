# SPDX-License-Identifier: Apache-2.0
"""An image as compute sees it, whichever image service holds it."""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec


class Image(msgspec.Struct, frozen=True, kw_only=True):
    """An image's facts. ``size`` is bytes, ``min_disk`` GiB, ``min_ram`` MiB.

    ``status`` is the image service's (queued, saving, active, deactivated, deleted, killed);
    ``properties`` are the free ones.
    """

    id: str
    name: str = ""
    status: str = "queued"
    owner: str | None = None
    visibility: str = "private"
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
    properties: dict[str, Any] = {}
    tags: tuple[str, ...] = ()
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


def snapshot_format(properties: Mapping[str, Any] | None) -> str:
    """The format of a snapshot of a server made of an image with these properties: qcow2 or raw."""
    return "qcow2" if (properties or {}).get("disk_format") == "qcow2" else "raw"
