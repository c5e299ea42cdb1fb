# SPDX-License-Identifier: Apache-2.0
"""The version documents of the compute API, and 300 for everything outside it.

Samples: ``versions/versions-get-resp.json``, ``v21-version-get-resp.json``, ``v2-version-get-resp.json``.
"""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from nova.api.compute.versions import MAXIMUM, MINIMUM


def _entry(root: str, name: str) -> dict[str, Any]:
    modern = name == "v2.1"
    return {
        "id": "v2.1" if modern else "v2.0",
        "status": "CURRENT" if modern else "DEPRECATED",
        "version": f"2.{MAXIMUM}" if modern else "",
        "min_version": f"2.{MINIMUM}" if modern else "",
        "updated": "2013-07-23T11:33:21Z" if modern else "2011-01-21T11:33:21Z",
        "links": [{"rel": "self", "href": f"{root}/{name}/"}],
    }


def _media_types(name: str) -> list[dict[str, str]]:
    number = "2.1" if name == "v2.1" else "2"
    return [
        {
            "base": "application/json",
            "type": f"application/vnd.openstack.compute+json;version={number}",
        }
    ]


class Versions:
    """``GET /``: both APIs."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List them."""
        root = req.context.root
        resp.data = msgspec.json.encode({"versions": [_entry(root, "v2"), _entry(root, "v2.1")]})
        resp.content_type = "application/json"

    on_head = on_get


class Version:
    """``GET /v2/`` and ``GET /v2.1/``."""

    def __init__(self, name: str) -> None:
        self._name = name

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Show one."""
        entry = _entry(req.context.root, self._name)
        entry["links"].append(
            {"rel": "describedby", "type": "text/html", "href": "https://docs.openstack.org/"}
        )
        entry["media-types"] = _media_types(self._name)
        resp.data = msgspec.json.encode({"version": entry})
        resp.content_type = "application/json"

    on_head = on_get


def multiple_choices(req: falcon.Request, resp: falcon.Response, **_path: str) -> None:
    """``300`` with where the same path may be found, for paths under no version."""
    root = req.context.root
    choices = []
    for name in ("v2", "v2.1"):
        entry = _entry(root, name)
        choices.append(
            {
                "id": entry["id"], "status": entry["status"],
                "links": [{"rel": "self", "href": f"{root}/{name}{req.context.outside}"}],
                "media-types": _media_types(name),
            }
        )
    resp.status = 300
    resp.data = msgspec.json.encode({"choices": choices})
    resp.content_type = "application/json"
