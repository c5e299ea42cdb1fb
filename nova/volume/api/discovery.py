# SPDX-License-Identifier: Apache-2.0
"""The versions document, which needs no token."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from nova.volume.api.versions import NEWEST


class Versions:
    """``/`` (300) and ``/v3/`` (200)."""

    def __init__(self, status: int) -> None:
        self._status = status

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The one version; its link carries the host that was called."""
        resp.status = self._status
        resp.content_type = "application/json"
        resp.data = msgspec.json.encode({"versions": [_version(req.prefix)]})


def _version(prefix: str) -> dict[str, Any]:
    return {
        "id": "v3.0", "status": "CURRENT", "version": f"3.{NEWEST}", "min_version": "3.0",
        "updated": "2026-01-01T00:00:00Z",
        "links": [
            {
                "rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/",
            },
            {"rel": "self", "href": f"{prefix}/v3/"},
        ],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.volume+json;version=3",
            }
        ],
    }
