# SPDX-License-Identifier: Apache-2.0
"""One request as a handler sees it, and the answer it gives."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import falcon

from nova import errors
from nova.api.compute.cloud import Cloud
from nova.api.compute.versions import Features
from nova.objects.context import RequestContext


@dataclasses.dataclass(slots=True)
class ApiRequest:
    """Everything a handler may look at.

    ``minor`` is for field tables only; a handler asks ``features``. ``body`` is the Struct of the route's
    ``Body``; ``path`` holds the path's parameters; ``query`` lists the values of each query parameter.
    ``base`` is ``http://host:port/v2.1`` (or ``/v2/<project>``), ``root`` the same without the version.
    """

    cloud: Cloud
    caller: RequestContext
    minor: int
    legacy: bool
    features: Features
    path: Mapping[str, str]
    query: Mapping[str, list[str]]
    body: Any
    base: str
    root: str
    http: falcon.Request

    def one(self, name: str, default: str | None = None) -> str | None:
        """A query parameter's last value."""
        values = self.query.get(name)
        return values[-1] if values else default

    def integer(self, name: str, default: int | None = None, *, minimum: int = 0) -> int | None:
        """A query parameter as a number that a database takes; ``BadRequest`` for none or too small."""
        text = self.one(name)
        if text is None:
            return default
        try:
            value = int(text)
        except ValueError:
            raise errors.BadRequest(
                f"Invalid input for query parameters {name}. Value: {text[:40]}. "
                f"'{text[:40]}' is not a number."
            ) from None
        if value < minimum:
            raise errors.BadRequest(
                f"Invalid input for query parameters {name}. Value: {text[:40]}. "
                f"It must be at least {minimum}."
            )
        return min(value, 2**31 - 1)

    def allows(
        self, rule: str, *, project_id: str | None = None, user_id: str | None = None
    ) -> bool:
        """Whether the caller passes a policy rule."""
        return self.cloud.policy.allows(
            rule, self.caller, project_id=project_id, user_id=user_id
        )

    def check(
        self, rule: str, *, project_id: str | None = None, user_id: str | None = None
    ) -> None:
        """Raise ``PolicyRefused`` where the caller does not pass."""
        self.cloud.policy.check(rule, self.caller, project_id=project_id, user_id=user_id)


@dataclasses.dataclass(slots=True)
class Answer:
    """A handler's answer where a plain body is not enough.

    ``status`` None takes the route's. ``body`` is encoded as JSON; ``bytes`` are sent as they are.
    """

    body: Any = None
    status: int | None = None
    headers: Mapping[str, str] = dataclasses.field(default_factory=dict)


def page_links(
    request: ApiRequest, collection: str, last_id: str | None
) -> list[dict[str, str]] | None:
    """The ``<collection>_links`` of a list answer, where a next page may follow."""
    if last_id is None:
        return None
    from urllib.parse import urlencode

    pairs = [
        (name, value)
        for name, values in request.query.items()
        if name != "marker"
        for value in values
    ]
    pairs.append(("marker", last_id))
    return [{"rel": "next", "href": f"{request.base}{request.http.path}?{urlencode(pairs)}"}]
