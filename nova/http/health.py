# SPDX-License-Identifier: Apache-2.0
"""``/healthcheck`` on every face: 200 or 503 in a word for anyone, everything for administrators.

The path and the plain answer are those of oslo.middleware's healthcheck, which load balancers are set up
for.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import msgspec

from nova.errors import NovaError
from nova.health import Health, Report

if TYPE_CHECKING:
    from nova.http.auth import Authenticator
    from nova.http.slow_clients import WSGIApp

PATH = "/healthcheck"

#: Status line, content type, body.
Answer = tuple[str, str, bytes]


def with_health(app: WSGIApp, health: Health, authenticator: Authenticator | None) -> WSGIApp:
    """The application with ``/healthcheck`` before it; nobody is told details without an authenticator."""

    def serve(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if environ["PATH_INFO"] != PATH:
            return app(environ, start_response)
        return _answer(environ, start_response, health, authenticator)

    return serve


def _answer(
    environ: dict[str, Any],
    start_response: Callable[..., Any],
    health: Health,
    authenticator: Authenticator | None,
) -> Iterable[bytes]:
    # The admin listener of a daemon without a face uses this module as well, and needs no Falcon.
    from nova.http.app import new_request_id

    headers = [("x-openstack-request-id", new_request_id()), ("Cache-Control", "no-store")]
    method = environ["REQUEST_METHOD"]
    if method not in ("GET", "HEAD"):
        status, kind, body = "405 Method Not Allowed", "text/plain", b""
        headers.append(("Allow", "GET, HEAD"))
    elif _is_admin(authenticator, environ.get("HTTP_X_AUTH_TOKEN")):
        status, kind, body = details(health.full())
    else:
        status, kind, body = brief(health, environ.get("HTTP_ACCEPT", ""))
    headers += [("Content-Type", kind), ("Content-Length", str(len(body)))]
    start_response(status, headers)
    return [b"" if method == "HEAD" else body]


def _is_admin(authenticator: Authenticator | None, token: str | None) -> bool:
    """Whether a token is an administrator's; where that cannot be found out it is not."""
    if authenticator is None or token is None:
        return False
    try:
        return authenticator.authenticate(token).is_admin
    except NovaError:
        return False
    except Exception:
        # The identity service may be what is unwell: then the brief answer has to come all the same.
        return False


def brief(health: Health, accept: str) -> Answer:
    """For anyone: ``OK``, or what is missing, as text or as JSON."""
    ok, text = health.short()
    status = "200 OK" if ok else "503 Service Unavailable"
    if "application/json" in accept:
        return status, "application/json", msgspec.json.encode({"detailed": False, "reasons": [text]})
    return status, "text/plain; charset=UTF-8", text.encode()


def details(report: Report) -> Answer:
    """For administrators: every part."""
    body = msgspec.json.encode(
        {"detailed": True, "ok": report.ok, "reasons": report.reasons, "parts": report.parts}
    )
    return "200 OK" if report.ok else "503 Service Unavailable", "application/json", body
