# SPDX-License-Identifier: Apache-2.0
"""Which image data a host may read or store: those that an operation at this host is about."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Protocol

from nova.compute.images import Images
from nova.conductor.held import held
from nova.db.engine import Database
from nova.errors import HostRefused
from nova.image.tickets import HEADER, ImageTickets
from nova.objects.context import RequestContext, internal_context
from nova.objects.image_ticket import ImageTicket
from nova.objects.instance import Instance
from nova.objects.operation import Operation

#: Steps that store an image.
_STORES = frozenset({"snapshot", "backup", "shelve"})


class ImageWays(Protocol):
    """How hosts reach image data; another image service than ours has its own way."""

    def way(self, use: str, image_id: str, owner: RequestContext) -> tuple[str, dict[str, str]]:
        """The address of the data and the headers of the request."""
        ...


class OwnImageService:
    """Tickets that the built-in image service honours."""

    def __init__(self, tickets: ImageTickets, address: str) -> None:
        self._tickets = tickets
        self._address = address.rstrip("/")

    def way(self, use: str, image_id: str, owner: RequestContext) -> tuple[str, dict[str, str]]:
        """The image API's own route, with a ticket for a token."""
        ticket = self._tickets.issue(
            "store" if use == "store" else "read", image_id, owner.user_id, owner.project_id or "",
            owner.request_id,
        )
        return f"{self._address}/v2/images/{image_id}/file", {HEADER: ticket}


class ImageAccess:
    """Answers hosts. ``always`` names images that every operation may read, such as the rescue image."""

    def __init__(
        self, db: Database, images: Images, ways: ImageWays, always: Iterable[str | None] = ()
    ) -> None:
        self._db = db
        self._images = images
        self._ways = ways
        self._always = frozenset(always)

    def ticket(self, host: str, operation_id: int | None, image_id: str, store: bool) -> ImageTicket:
        """The way to an image's data; raises ``HostRefused`` where it is none of this host's business.

        Without an operation only what everybody may read is open.
        """
        if operation_id is None:
            image = self._images.show(internal_context(), image_id)
            if store or image.visibility != "public":
                raise HostRefused(f"Image {image_id} is not open to host {host} now.")
            owner = internal_context()
        else:
            operation, instance = held(self._db, host, operation_id)
            owner = RequestContext(
                user_id=instance.user_id, project_id=instance.project_id, roles=("member", "reader"),
                request_id=operation.request_id,
            )
            if not self._about(operation, instance, image_id, store):
                raise HostRefused(f"The operation {operation.flow} is not about image {image_id}.")
            image = self._images.show(internal_context(operation.request_id), image_id)
        url, headers = self._ways.way("store" if store else "read", image_id, owner)
        return ImageTicket(
            url=url, headers=headers, status=image.status, disk_format=image.disk_format, size=image.size,
            checksum=image.checksum, os_hash_algo=image.os_hash_algo, os_hash_value=image.os_hash_value,
        )

    def _about(self, operation: Operation, instance: Instance, image_id: str, store: bool) -> bool:
        if store:
            return operation.flow in _STORES and operation.payload.get("image_id") == image_id
        return bool(image_id) and image_id in {
            instance.image_ref, instance.kernel_id, instance.ramdisk_id,
            operation.payload.get("image_ref"), instance.system_metadata.get("shelved_image_id"),
            *self._always,
        }
