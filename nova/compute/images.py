# SPDX-License-Identifier: Apache-2.0
"""The image service as compute needs it; the built-in one and an external Glance both provide it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Protocol

from nova.objects.context import RequestContext
from nova.objects.image import Image


class Images(Protocol):
    """What compute asks of images. Every method acts with the rights of ``context``."""

    def show(self, context: RequestContext, image_id: str) -> Image:
        """An image; raises ``ImageNotFound`` where it is missing or not visible."""
        ...

    def list(
        self,
        context: RequestContext,
        *,
        filters: Mapping[str, str],
        limit: int | None,
        marker: str | None,
    ) -> list[Image]:
        """Visible images that match."""
        ...

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
        """Make a record without data."""
        ...

    def upload(self, context: RequestContext, image_id: str, chunks: Iterable[bytes]) -> Image:
        """Store the data; the image is then active."""
        ...

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        """The data, in pieces."""
        ...

    def update_properties(
        self,
        context: RequestContext,
        image_id: str,
        properties: Mapping[str, Any],
        *,
        purge: bool = False,
    ) -> Image:
        """Set properties; with ``purge`` those not named are removed."""
        ...

    def delete(self, context: RequestContext, image_id: str) -> None:
        """Delete; raises ``ImageNotFound`` or ``Forbidden``."""
        ...
