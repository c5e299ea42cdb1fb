# SPDX-License-Identifier: Apache-2.0
"""The ``self`` and ``bookmark`` links of things."""

from __future__ import annotations

from urllib.parse import quote

from nova.api.compute.request import ApiRequest
from nova.api.compute.servers_view import bookmark_base


class LinkBases:
    """The two addresses under which the things of one collection are, for one request."""

    def __init__(self, request: ApiRequest, collection: str) -> None:
        self._own = f"{request.base}/{collection}/"
        self._bookmark = f"{bookmark_base(request)}/{collection}/"

    def of(self, identifier: str) -> list[dict[str, str]]:
        """The links of one thing."""
        path = quote(identifier)
        return [
            {"rel": "self", "href": self._own + path},
            {"rel": "bookmark", "href": self._bookmark + path},
        ]
