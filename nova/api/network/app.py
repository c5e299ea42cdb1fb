# SPDX-License-Identifier: Apache-2.0
"""The network API as one WSGI application."""

from __future__ import annotations

from typing import Any

import falcon

from nova.api.compute.cloud import Cloud
from nova.api.network import discovery, quotas, views
from nova.api.network.error_body import render_error
from nova.api.network.routing import Plain, mount
from nova.api.network.tables import RESOURCES
from nova.http.app import make_app
from nova.http.auth import Authenticator, TokenMiddleware

PUBLIC = frozenset({"", "/v2.0"})


class JsonSuffix:
    """Takes the ``.json`` off paths: older clients write it."""

    def process_request(self, req: falcon.Request, _resp: falcon.Response) -> None:
        """Rewrite the path."""
        if req.path.endswith(".json"):
            req.path = req.path.removesuffix(".json")


def make_network_app(cloud: Cloud, authenticator: Authenticator, identity_url: str) -> Any:
    """The WSGI application; ``identity_url`` is shown to callers without a token."""
    app = make_app(
        render_error, [JsonSuffix(), TokenMiddleware(authenticator, identity_url, PUBLIC)],
        face="network",
    )
    app.add_route("/", discovery.Versions())
    app.add_route("/v2.0", discovery.Version())
    app.add_route("/v2.0/extensions", discovery.Extensions())
    app.add_route("/v2.0/extensions/{alias}", discovery.Extension())
    for path, handlers in {**quotas.PATHS, **views.PATHS}.items():
        app.add_route(path, Plain(cloud, handlers))
    for resource in RESOURCES:
        mount(app, cloud, resource)
    return app
