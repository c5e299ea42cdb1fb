# SPDX-License-Identifier: Apache-2.0
"""What a host is given to move an image's data."""

from __future__ import annotations

import msgspec


class ImageTicket(msgspec.Struct, frozen=True, kw_only=True):
    """Where an image's data are, the headers that open the way, and what the image service says of them."""

    url: str
    headers: dict[str, str]
    status: str
    disk_format: str | None = None
    size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None
