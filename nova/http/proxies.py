# SPDX-License-Identifier: Apache-2.0
"""What a proxy in front of a face says of the address that its client called.

Facts: oslo.middleware's http_proxy_to_wsgi, which the original's services have in their pipelines: of
``Forwarded`` (RFC 7239) the first element counts, without it the older headers do.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nova.http.slow_clients import WSGIApp

_SCHEMES = ("http", "https")


def with_proxy_headers(app: WSGIApp, enabled: bool) -> WSGIApp:
    """The application that believes the headers of a proxy; the application itself where not ``enabled``."""
    if not enabled:
        return app

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        _believe(environ)
        return app(environ, start_response)

    return serve


def _believe(environ: dict[str, Any]) -> None:
    """Put scheme, host and prefix where an application looks for its own."""
    forwarded = environ.get("HTTP_FORWARDED")
    if forwarded:
        said = _first_element(forwarded)
        scheme, host = said.get("proto", ""), said.get("host", "")
    else:
        scheme = _first(environ.get("HTTP_X_FORWARDED_PROTO", ""))
        host = _first(environ.get("HTTP_X_FORWARDED_HOST", ""))
    if scheme.lower() in _SCHEMES:
        environ["wsgi.url_scheme"] = scheme.lower()
    if host:
        environ["HTTP_HOST"] = host
    prefix = environ.get("HTTP_X_FORWARDED_PREFIX", "").strip("/ ")
    if prefix:
        environ["SCRIPT_NAME"] = f"/{prefix}{environ.get('SCRIPT_NAME', '')}"


def _first(values: str) -> str:
    """The value of the proxy next to the client, which wrote first."""
    return values.partition(",")[0].strip()


def _first_element(forwarded: str) -> dict[str, str]:
    """The pairs of the first element of a ``Forwarded`` header, names in lower case."""
    pairs = (pair.partition("=") for pair in _first(forwarded).split(";"))
    return {name.strip().lower(): value.strip().strip('"') for name, _, value in pairs}
