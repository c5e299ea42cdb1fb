# SPDX-License-Identifier: Apache-2.0
"""HTTP resources of images: list, create, show, change, delete, tags, activation, members."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qsl

import falcon
import msgspec

from nova.errors import BadRequest, MethodNotAllowed, NotFound, UnsupportedMediaType
from nova.http.app import read_json
from nova.image import views
from nova.image.fields import split_body
from nova.image.patch import MEDIA_TYPES, parse_patch
from nova.image.query import parse_query
from nova.image.service import ImageService

#: Ways of import that clients may use.
IMPORT_METHODS = ("glance-direct",)

#: Parameters that a query string may have; each may add a condition to the statement.
MOST_PARAMETERS = 200

encode = msgspec.json.Encoder().encode


def answer(resp: falcon.Response, body: Any, status: int = 200) -> None:
    """A JSON answer."""
    resp.status = status
    resp.content_type = "application/json"
    resp.data = encode(body)


def query_parameters(req: falcon.Request) -> list[tuple[str, str]]:
    """The query string in order, repeated names kept; ``BadRequest`` where it is not UTF-8."""
    try:
        # WSGI hands bytes over as if they were Latin-1 (PEP 3333).
        query = req.query_string.encode("latin-1").decode()
        found = parse_qsl(query, keep_blank_values=True, errors="strict")
    except UnicodeError:
        raise BadRequest("The query string is not valid UTF-8.") from None
    if len(found) > MOST_PARAMETERS:
        raise BadRequest(f"A query string has at most {MOST_PARAMETERS} parameters.")
    return found


def _refuse_empty_id(req: falcon.Request) -> None:
    """``/v2/images/`` names no image, whatever Falcon makes of the last slash."""
    if req.env.get("PATH_INFO", "").endswith("/"):
        raise NotFound("The resource could not be found.")


class Images:
    """``/v2/images``."""

    def __init__(self, service: ImageService) -> None:
        self._service = service

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        _refuse_empty_id(req)
        parameters = query_parameters(req)
        query = parse_query(parameters, self._service.section)
        records = self._service.list(req.context.caller, query)
        answer(resp, views.page_view(records, parameters, len(records) == query.limit))

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Register."""
        _refuse_empty_id(req)
        fields, properties = split_body(read_json(req))
        record = self._service.create(req.context.caller, fields, properties)
        resp.location = f"/v2/images/{record.id}"
        resp.set_header("OpenStack-image-import-methods", ",".join(IMPORT_METHODS))
        answer(resp, views.image_view(record), 201)

    def on_delete(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Nothing is deleted without an id."""
        _refuse_empty_id(req)
        raise MethodNotAllowed(["GET", "POST"])


class Image:
    """``/v2/images/{image_id}``."""

    def __init__(self, service: ImageService) -> None:
        self._service = service

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Show."""
        answer(resp, views.image_view(self._service.get(req.context.caller, image_id)))

    def on_patch(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Change fields and properties."""
        media_type = (req.content_type or "").partition(";")[0].strip().lower()
        if media_type not in MEDIA_TYPES:
            expected = ", ".join(sorted(MEDIA_TYPES))
            error = UnsupportedMediaType(f"Image PATCH expects Content-Type one of: {expected}")
            error.headers = {"Accept-Patch": expected}
            raise error
        changes = parse_patch(read_json(req), MEDIA_TYPES[media_type])
        record = self._service.update(req.context.caller, image_id, changes)
        answer(resp, views.image_view(record))

    def on_delete(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Delete."""
        self._service.delete(req.context.caller, image_id)
        resp.status = 204


class ImageTag:
    """``/v2/images/{image_id}/tags/{tag}``."""

    def __init__(self, service: ImageService) -> None:
        self._service = service

    def on_put(self, req: falcon.Request, resp: falcon.Response, image_id: str, tag: str) -> None:
        """Add."""
        self._service.add_tag(req.context.caller, image_id, tag)
        resp.status = 204

    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, tag: str
    ) -> None:
        """Remove."""
        self._service.remove_tag(req.context.caller, image_id, tag)
        resp.status = 204


class ImageActions:
    """``/v2/images/{image_id}/actions/{deactivate|reactivate}``."""

    def __init__(self, service: ImageService) -> None:
        self._actions = {"deactivate": service.deactivate, "reactivate": service.reactivate}

    def on_post(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, action: str
    ) -> None:
        """Switch downloads off or on."""
        if action not in self._actions:
            raise NotFound("The resource could not be found.")
        self._actions[action](req.context.caller, image_id)
        resp.status = 204


def _body_member(req: falcon.Request, name: str) -> object:
    body = read_json(req)
    if not isinstance(body, dict) or name not in body:
        raise BadRequest(f'Expected a body of the form {{"{name}": "..."}}; {name} is missing.')
    return body[name]


class Members:
    """``/v2/images/{image_id}/members``."""

    def __init__(self, service: ImageService) -> None:
        self._members = service.members

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """List."""
        members = self._members.list(req.context.caller, image_id)
        answer(resp, {
            "members": [views.member_view(member) for member in members],
            "schema": "/v2/schemas/members",
        })

    def on_post(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Share with a project."""
        member = self._members.add(req.context.caller, image_id, _body_member(req, "member"))
        answer(resp, views.member_view(member))


class Member:
    """``/v2/images/{image_id}/members/{member_id}``."""

    def __init__(self, service: ImageService) -> None:
        self._members = service.members

    def on_get(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, member_id: str
    ) -> None:
        """Show."""
        member = self._members.show(req.context.caller, image_id, member_id)
        answer(resp, views.member_view(member))

    def on_put(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, member_id: str
    ) -> None:
        """Accept, reject, or leave open."""
        status = _body_member(req, "status")
        member = self._members.answer(req.context.caller, image_id, member_id, status)
        answer(resp, views.member_view(member))

    def on_delete(
        self, req: falcon.Request, resp: falcon.Response, image_id: str, member_id: str
    ) -> None:
        """End the sharing."""
        self._members.remove(req.context.caller, image_id, member_id)
        resp.status = 204
