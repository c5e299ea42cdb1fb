# SPDX-License-Identifier: Apache-2.0
"""Image data of an image service of its own (a Glance), for compute hosts that show tickets.

Hosts have no login at that service and get none: who owns a host would own it. So they speak to this face,
which passes the data of just those images on that the conductor gave them a ticket for.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any, Protocol

import falcon

from nova.errors import Unauthorized
from nova.http.app import make_app
from nova.image.app import render_error
from nova.image.tickets import ImageTickets, TicketMiddleware
from nova.image.transfer import chunks, require_octets
from nova.objects.context import RequestContext


class ImageData(Protocol):
    """The service that has the data."""

    def upload(self, context: RequestContext, image_id: str, chunks: Iterable[bytes]) -> object:
        """Store data."""
        ...

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        """Read data."""
        ...


class _NoTokens:
    """Users go to the image service itself."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Refuse, but for the paths that load balancers ask."""
        if req.path not in ("/", ""):
            raise Unauthorized("This address serves compute hosts with tickets only.")


class _File:
    """``/v2/images/{image_id}/file``."""

    def __init__(self, data: ImageData) -> None:
        self._data = data

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Pass data on to a host."""
        resp.content_type = "application/octet-stream"
        resp.stream = self._data.download(req.context.caller, image_id)

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Take data from a host."""
        require_octets(req)
        self._data.upload(req.context.caller, image_id, chunks(req))
        resp.status = 204


class _Root:
    """``/``."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """Nothing to see."""
        resp.status = 204


def make_image_relay(data: ImageData, tickets: ImageTickets) -> Any:
    """The WSGI application."""
    app = make_app(render_error, [TicketMiddleware(tickets, _NoTokens())], face="image")
    app.add_route("/", _Root())
    app.add_route("/v2/images/{image_id}/file", _File(data))
    return app
