# SPDX-License-Identifier: Apache-2.0
"""The documents from which clients learn which versions there are.

Wire facts: the identity API reference, "API versions"; the answer for the root is 300.
"""

from __future__ import annotations

from typing import Any

import falcon

from nova.identity.api.request import Face, answer, base_url


def version_3(req: falcon.Request) -> dict[str, Any]:
    """Version 3."""
    return {
        "id": "v3.14",
        "status": "stable",
        "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base_url(req)}/v3/"}],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v3+json",
            }
        ],
    }


def version_2(req: falcon.Request) -> dict[str, Any]:
    """Version 2.0."""
    return {
        "id": "v2.0",
        "status": "deprecated",
        "updated": "2016-08-04T00:00:00Z",
        "links": [{"rel": "self", "href": f"{base_url(req)}/v2.0/"}],
        "media-types": [
            {
                "base": "application/json",
                "type": "application/vnd.openstack.identity-v2.0+json",
            }
        ],
    }


class DiscoveryResource(Face):
    """``/``, ``/v3`` and ``/v2.0``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """All versions."""
        answer(resp, {"versions": {"values": [version_3(req), version_2(req)]}}, 300)
        resp.set_header("Location", f"{base_url(req)}/v3/")

    def on_get_v3(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Version 3."""
        answer(resp, {"version": version_3(req)})

    def on_get_v2(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Version 2.0."""
        answer(resp, {"version": version_2(req)})

    def on_get_extensions(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The extensions of version 2.0."""
        values = [
            {
                "alias": alias,
                "name": name,
                "namespace": f"https://docs.openstack.org/identity/api/ext/{alias}/v1.0",
                "updated": "2013-07-11T17:14:00-00:00",
                "description": name,
                "links": [],
            }
            for alias, name in (
                ("OS-KSADM", "OpenStack Keystone Admin"),
                ("OS-EC2", "OpenStack EC2 API"),
            )
        ]
        answer(resp, {"extensions": {"values": values}})
