# SPDX-License-Identifier: Apache-2.0
"""The HTTP face of the image service: Image API v2."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import falcon
import msgspec

from nova.errors import NovaError
from nova.http.app import make_app
from nova.http.auth import Authenticator, TokenMiddleware
from nova.image import discovery, resources, transfer
from nova.image.service import ImageService
from nova.image.tickets import ImageTickets, TicketMiddleware

PUBLIC = frozenset({"", "/versions", "/v2"})


def render_error(error: NovaError, _req: falcon.Request) -> bytes:
    """Glance answers HTML here; clients read the status, and of JSON the message."""
    try:
        title = HTTPStatus(error.status).phrase
    except ValueError:
        title = "Error"
    return msgspec.json.encode(
        {"error": {"code": error.status, "title": title, "message": error.message}}
    )


def make_image_app(
    service: ImageService,
    authenticator: Authenticator,
    identity_url: str,
    tickets: ImageTickets | None = None,
) -> Any:
    """The WSGI application; ``identity_url`` is where a caller without a token is sent.

    With ``tickets`` compute hosts may show one of these in place of a token.
    """
    middleware: Any = TokenMiddleware(authenticator, identity_url, PUBLIC)
    if tickets is not None:
        middleware = TicketMiddleware(tickets, middleware)
    app = make_app(
        render_error, [middleware], face="image"
    )
    image = "/v2/images/{image_id}"
    routes: dict[str, object] = {
        "/": discovery.Versions(300),
        "/v2": discovery.Versions(300),
        "/versions": discovery.Versions(200),
        "/v2/images": resources.Images(service),
        image: resources.Image(service),
        f"{image}/file": transfer.ImageFile(service),
        f"{image}/stage": transfer.ImageStage(service),
        f"{image}/import": transfer.ImageImport(service),
        f"{image}/tasks": discovery.ImageTasks(service),
        f"{image}/tags/{{tag}}": resources.ImageTag(service),
        f"{image}/actions/{{action}}": resources.ImageActions(service),
        f"{image}/members": resources.Members(service),
        f"{image}/members/{{member_id}}": resources.Member(service),
        "/v2/schemas/{name}": discovery.Schema(),
        "/v2/info/import": discovery.ImportInfo(),
        "/v2/info/stores": discovery.StoresInfo(),
        "/v2/tasks": discovery.Tasks(),
        "/v2/metadefs/namespaces": discovery.EmptyList(
            "namespaces", first="/v2/metadefs/namespaces",
            schema="/v2/schemas/metadefs/namespaces",
        ),
        "/v2/metadefs/resource_types": discovery.EmptyList("resource_types"),
    }
    for path, resource in routes.items():
        app.add_route(path, resource)
    return app
