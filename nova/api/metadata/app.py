# SPDX-License-Identifier: Apache-2.0
"""The metadata service as a Falcon application: every path of the tree, and the password's POST."""

from __future__ import annotations

import posixpath
from typing import Any

import falcon

from nova.api.metadata.callers import Callers
from nova.api.metadata.guests import Guests
from nova.errors import BadRequest, MethodNotAllowed, NotFound, NovaError, TooLarge
from nova.http.app import make_app, read_body
from nova.metadata.tree import TEXT, listing_of_versions

#: Most bytes of a password that a guest may post (nova/api/metadata, since Grizzly).
PASSWORD_LIMIT = 1020


def make_metadata_app(callers: Callers, guests: Guests) -> Any:
    """The WSGI application."""
    app = make_app(_render_error, [_PlainErrors()], face="metadata")
    app.add_sink(_Service(callers, guests), "/")
    return app


def _render_error(error: NovaError, _request: falcon.Request) -> bytes:
    return f"{error.status} {error.message}\n".encode()


class _PlainErrors:
    """Guests are told what is wrong as plain text, as EC2 does."""

    def process_response(
        self, _req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        if resp.status_code >= 400:
            resp.content_type = TEXT


class _Service:
    def __init__(self, callers: Callers, guests: Guests) -> None:
        self._callers = callers
        self._guests = guests

    def __call__(self, req: falcon.Request, resp: falcon.Response, **_: Any) -> None:
        path = posixpath.normpath("/" + req.path)
        if path in ("/", "//"):
            _allow_reading(req)
            resp.data, resp.content_type = listing_of_versions(), TEXT
            return
        tree = self._callers.find(req)
        found = tree.lookup(path) if tree is not None else None
        if tree is None or found is None:
            raise NotFound("There is nothing here.")
        if _is_password(path):
            if req.method == "POST":
                self._guests.set_password(tree.instance.uuid, _password(req))
                return
            if req.method not in ("GET", "HEAD"):
                raise BadRequest("GET and POST only are supported.")
        else:
            _allow_reading(req)
        resp.data, resp.content_type = found.data, found.media_type


def _allow_reading(req: falcon.Request) -> None:
    if req.method not in ("GET", "HEAD"):
        raise MethodNotAllowed(["GET", "HEAD"])


def _is_password(path: str) -> bool:
    parts = path.strip("/").split("/")
    return len(parts) == 3 and parts[0] == "openstack" and parts[2] == "password"


def _password(req: falcon.Request) -> str:
    try:
        return read_body(req, PASSWORD_LIMIT).decode()
    except TooLarge:
        raise BadRequest(f"Request is too large: a password has {PASSWORD_LIMIT} bytes at most.") from None
    except UnicodeDecodeError:
        raise BadRequest("The password is no text.") from None
