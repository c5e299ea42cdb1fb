# SPDX-License-Identifier: Apache-2.0
"""[oslo_middleware] and [api]: the addresses in links, for faces behind a proxy."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "api"
MIDDLEWARE_GROUP = "oslo_middleware"


@dataclasses.dataclass(frozen=True)
class ProxyHeadersSection:
    """What is believed of a proxy; by every HTTP face."""

    enable_proxy_headers_parsing: bool = option(
        False,
        "Take the address that clients called from Forwarded, or from X-Forwarded-Proto, "
        "X-Forwarded-Host and X-Forwarded-Prefix, for the links in answers. Only for faces that nobody "
        "but your own proxy can reach.",
    )


@dataclasses.dataclass(frozen=True)
class LinksSection:
    """Where links lead, whatever address a request came to."""

    compute_link_prefix: str | None = option(
        None, "Address that links of the compute API begin with, such as https://cloud.example/compute; "
        "the one that the request came to where not set.", old=("DEFAULT.osapi_compute_link_prefix",),
    )
