# SPDX-License-Identifier: Apache-2.0
"""HTTP resources of image data: upload and download, staging and import. Bodies are streamed."""

from __future__ import annotations

from collections.abc import Iterator

import falcon

from nova.errors import BadRequest, InvalidInput, UnsupportedMediaType
from nova.http.app import read_json
from nova.image.byte_range import parse_range
from nova.image.files import CHUNK
from nova.image.resources import IMPORT_METHODS
from nova.image.service import ImageService

_LONGEST = 2**63 - 1


def _declared_size(req: falcon.Request) -> int | None:
    """Bytes that the sender announced, by its own header or the body's length."""
    length = req.content_length
    announced = req.get_header("X-OpenStack-Image-Size")
    if announced is None:
        return length
    if not (announced.isascii() and announced.isdigit()) or len(announced) > 19:
        raise InvalidInput("X-OpenStack-Image-Size", "It must be a number of bytes.", announced)
    size = int(announced)
    if size > _LONGEST or (length is not None and length != size):
        raise InvalidInput(
            "X-OpenStack-Image-Size", "It must be the length of the body.", announced
        )
    return size


def require_octets(req: falcon.Request) -> None:
    """Raise ``UnsupportedMediaType`` for a body that does not say that it is image data."""
    media_type = (req.content_type or "").partition(";")[0].strip().lower()
    if media_type != "application/octet-stream":
        raise UnsupportedMediaType("Image data must have Content-Type application/octet-stream.")


def chunks(req: falcon.Request) -> Iterator[bytes]:
    """The body as it comes in; a body of declared length ends there at the latest."""
    stream = req.stream if req.content_length is None else req.bounded_stream
    while True:
        try:
            chunk: bytes = stream.read(CHUNK)
        except OSError:
            raise BadRequest("The connection broke before the end of the data.") from None
        if not chunk:
            return
        yield chunk


class ImageFile:
    """``/v2/images/{image_id}/file``."""

    def __init__(self, service: ImageService) -> None:
        self._data = service.data

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Upload."""
        require_octets(req)
        self._data.upload(req.context.caller, image_id, chunks(req), _declared_size(req))
        resp.status = 204

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Download, whole or one range; 204 for an image without data."""
        record = self._data.readable(req.context.caller, image_id)
        if record.status not in ("active", "deactivated") or record.size is None:
            resp.status = 204
            return
        part = parse_range(req.get_header("Range"), record.size)
        start, length = part or (0, record.size)
        resp.content_type = "application/octet-stream"
        resp.set_header("Accept-Ranges", "bytes")
        if record.checksum:
            # The digest in hexadecimal, of the whole image, is what Glance sends and clients check.
            resp.set_header("Content-MD5", record.checksum)
        if part is not None:
            resp.status = 206
            resp.set_header("Content-Range", f"bytes {start}-{start + length - 1}/{record.size}")
        resp.content_length = length
        resp.stream = self._data.read(record, start, length)


class ImageStage:
    """``/v2/images/{image_id}/stage``."""

    def __init__(self, service: ImageService) -> None:
        self._data = service.data

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Take data that an import will use."""
        require_octets(req)
        self._data.stage(req.context.caller, image_id, chunks(req), _declared_size(req))
        resp.status = 204


class ImageImport:
    """``/v2/images/{image_id}/import``."""

    def __init__(self, service: ImageService) -> None:
        self._data = service.data

    def on_post(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Import the staged data; no other way of import is offered."""
        body = read_json(req)
        method = body.get("method") if isinstance(body, dict) else None
        if not isinstance(method, dict):
            raise BadRequest("Import request requires a 'method' field, an object.")
        name = method.get("name")
        if name not in IMPORT_METHODS:
            raise BadRequest(
                f"Unknown import method name '{str(name)[:80]}'. Available: "
                f"{', '.join(IMPORT_METHODS)}."
            )
        self._data.import_staged(req.context.caller, image_id)
        resp.status = 202
