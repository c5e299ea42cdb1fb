# SPDX-License-Identifier: Apache-2.0
"""HTTP resources that tell what the service can: versions, schemas, stores, import methods."""

from __future__ import annotations

from typing import Any

import falcon

from nova.errors import Forbidden, InvalidInput, NotFound
from nova.image import views
from nova.image.resources import IMPORT_METHODS, answer
from nova.image.schemas import SCHEMAS
from nova.image.service import ImageService

#: Newest first. 2.8 is several stores, which this service doesn't have.
VERSIONS = ("v2.9", "v2.7", "v2.6", "v2.5", "v2.4", "v2.3", "v2.2", "v2.1", "v2.0")


class Versions:
    """The versions document: 300 at ``/`` and ``/v2``, 200 at ``/versions``, as Glance answers."""

    def __init__(self, status: int) -> None:
        self._status = status

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All versions; the links carry the host that was called."""
        href = f"{req.prefix}/v2/"
        answer(resp, {
            "versions": [
                {
                    "id": version,
                    "status": "CURRENT" if version == VERSIONS[0] else "SUPPORTED",
                    "links": [{"rel": "self", "href": href}],
                }
                for version in VERSIONS
            ]
        }, self._status)


class Schema:
    """``/v2/schemas/{name}``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response, name: str) -> None:
        """One JSON schema."""
        if name not in SCHEMAS:
            raise NotFound("The resource could not be found.")
        answer(resp, SCHEMAS[name])


class ImportInfo:
    """``/v2/info/import``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The ways of import."""
        answer(resp, {
            "import-methods": {
                "description": "Import methods available.",
                "type": "array",
                "value": list(IMPORT_METHODS),
            }
        })


class StoresInfo:
    """``/v2/info/stores``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The one store there is."""
        answer(resp, {
            "stores": [{"id": views.STORE, "description": "Files of this service", "default": "true"}]
        })


class EmptyList:
    """A list of something that this service never has, such as metadata definitions."""

    def __init__(self, collection: str, **facts: Any) -> None:
        self._body = views.empty_view(collection, facts)

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Nothing."""
        answer(resp, self._body)


class Tasks(EmptyList):
    """``/v2/tasks``: there are none, and none is taken."""

    def __init__(self) -> None:
        super().__init__("tasks", first="/v2/tasks", schema="/v2/schemas/tasks")

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Refuse a task: ``Forbidden`` for members, ``InvalidInput`` for the rest."""
        if not req.context.caller.is_admin:
            raise Forbidden("You are not authorized to complete tasks_api_access action.")
        raise InvalidInput(
            "type",
            "This service takes no tasks. Stage the data of an image and POST to "
            "/v2/images/{image_id}/import.",
        )


class ImageTasks:
    """``/v2/images/{image_id}/tasks``: imports end before their answer, so none is ever waiting."""

    def __init__(self, service: ImageService) -> None:
        self._service = service

    def on_get(self, req: falcon.Request, resp: falcon.Response, image_id: str) -> None:
        """Nothing, for an image that is there."""
        self._service.get(req.context.caller, image_id)
        answer(resp, {"tasks": []})
