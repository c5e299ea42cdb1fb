# SPDX-License-Identifier: Apache-2.0
"""Image data for hosts with a process of their own: by HTTP, with tickets from the conductor."""

from __future__ import annotations

import http.client
import urllib.parse
from collections.abc import Iterable, Iterator

from nova.errors import Conflict, ImageNotFound, NovaError, ServiceUnavailable, VirtError
from nova.objects.image_ticket import ImageTicket
from nova.objects.operation import StepTask
from nova.rpc.calls import CONDUCTOR
from nova.rpc.transport import Transport
from nova.virt.driver import SourceImage

_PIECE = 1 << 20
_TIMEOUT = 60.0


class RemoteHostImages:
    """``HostImages`` of one host."""

    def __init__(self, transport: Transport, host: str) -> None:
        self._transport = transport
        self._host = host

    def source(self, task: StepTask, image_id: str) -> SourceImage:
        """An image to read, as the conductor allows it."""
        return self._source(task.operation_id, image_id)

    def to_cache(self, image_id: str) -> SourceImage:
        """An image that everybody may read."""
        return self._source(None, image_id)

    def upload(self, task: StepTask, image_id: str, chunks: Iterable[bytes]) -> None:
        """Store the data; what an earlier try of this step has stored is kept."""
        ticket = self._ticket(task.operation_id, image_id, True)
        if ticket.status == "active" and task.resumed:
            return
        connection, path = _connect(ticket)
        try:
            connection.request(
                "PUT", path, body=iter(chunks), encode_chunked=True,
                headers={
                    **ticket.headers, "Content-Type": "application/octet-stream",
                    "Transfer-Encoding": "chunked",
                },
            )
            _check(connection.getresponse(), image_id)
        except (OSError, http.client.HTTPException) as error:
            raise ServiceUnavailable(f"The image service did not take image {image_id}: {error}") from None
        finally:
            connection.close()

    def _source(self, operation_id: int | None, image_id: str) -> SourceImage:
        ticket = self._ticket(operation_id, image_id, False)
        return SourceImage(
            id=image_id, read=lambda: _download(ticket, image_id), disk_format=ticket.disk_format,
            size=ticket.size, checksum=ticket.checksum, os_hash_algo=ticket.os_hash_algo,
            os_hash_value=ticket.os_hash_value,
        )

    def _ticket(self, operation_id: int | None, image_id: str, store: bool) -> ImageTicket:
        ticket: ImageTicket = self._transport.call(
            CONDUCTOR, None, "image_ticket", self._host, operation_id, image_id, store
        )
        return ticket


def _connect(ticket: ImageTicket) -> tuple[http.client.HTTPConnection, str]:
    parts = urllib.parse.urlsplit(ticket.url)
    kind = http.client.HTTPSConnection if parts.scheme == "https" else http.client.HTTPConnection
    if not parts.hostname:
        raise VirtError("The conductor knows no address of the image service ([image] host_url).")
    return kind(parts.hostname, parts.port, timeout=_TIMEOUT), parts.path


def _download(ticket: ImageTicket, image_id: str) -> Iterator[bytes]:
    connection, path = _connect(ticket)
    try:
        connection.request("GET", path, headers=ticket.headers)
        response = connection.getresponse()
        _check(response, image_id)
        while piece := response.read(_PIECE):
            yield piece
    except (OSError, http.client.HTTPException) as error:
        raise ServiceUnavailable(f"The image service did not give image {image_id}: {error}") from None
    finally:
        connection.close()


def _check(response: http.client.HTTPResponse, image_id: str) -> None:
    if response.status < 300:
        return
    text = response.read(2000).decode(errors="replace")
    if response.status == 404:
        raise ImageNotFound(image_id)
    if response.status == 409:
        raise Conflict(f"Image {image_id}: {text}")
    if response.status == 503:
        raise ServiceUnavailable(f"The image service is not available: {text}")
    raise NovaError(f"The image service answered {response.status} for image {image_id}: {text}")
