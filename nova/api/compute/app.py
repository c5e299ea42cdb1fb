# SPDX-License-Identifier: Apache-2.0
"""The compute API as one WSGI application."""

from __future__ import annotations

from typing import Any

from nova.api.compute import discovery
from nova.api.compute.cloud import Cloud
from nova.api.compute.error_body import render_error
from nova.api.compute.negotiation import OUTSIDE, Negotiation, ProjectCheck
from nova.api.compute.outside_networks import without_own_networks
from nova.api.compute.routes import ROUTES
from nova.api.compute.routing import mount
from nova.http.app import make_app
from nova.http.auth import Authenticator, TokenMiddleware

PUBLIC = frozenset({"", "/v2", "/v2.1", OUTSIDE})


def make_compute_app(cloud: Cloud, authenticator: Authenticator, identity_url: str) -> Any:
    """The WSGI application; ``identity_url`` is shown to callers without a token."""
    collections = frozenset(route.path.split("/")[1] for route in ROUTES)
    app = make_app(
        render_error,
        [
            Negotiation(collections, cloud.config.links.compute_link_prefix),
            TokenMiddleware(authenticator, identity_url, PUBLIC),
            ProjectCheck(),
        ],
        face="compute",
    )
    app.add_route("/", discovery.Versions())
    app.add_route("/v2", discovery.Version("v2"))
    app.add_route("/v2.1", discovery.Version("v2.1"))
    own = cloud.networks.outside is None
    mount(app, cloud, ROUTES if own else without_own_networks(ROUTES))
    app.add_sink(discovery.multiple_choices, OUTSIDE)
    return app
