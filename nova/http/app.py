# SPDX-License-Identifier: Apache-2.0
"""The base of every Falcon application: request ids, error answers, bodies with a limit.

A face hands in ``render_error``, which turns a ``NovaError`` into that API's own error body, so that a
client meets the shape it knows whatever went wrong.
"""

from __future__ import annotations

import logging
import os
import time
from binascii import hexlify
from collections.abc import Callable
from typing import Any

import falcon
import msgspec

from nova import errors, log, metrics
from nova.decoding import decode_json

LOG = logging.getLogger(__name__)
ACCESS = log.ACCESS

#: Largest JSON body, bytes; the original's `max_request_body_size` default (oslo.middleware).
MAX_BODY = 114688

ErrorRenderer = Callable[[errors.NovaError, falcon.Request], bytes]



def new_request_id() -> str:
    """A fresh ``req-<uuid>``."""
    raw = hexlify(os.urandom(16)).decode()
    return f"req-{raw[:8]}-{raw[8:12]}-4{raw[13:16]}-a{raw[17:20]}-{raw[20:]}"


class RequestLog:
    """Gives every request its id, writes one access line for it and counts it for its face."""

    def __init__(self, face: str) -> None:
        self._face = face

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Name the request."""
        context = req.context
        context.request_id = new_request_id()
        context.started = time.perf_counter()
        log.belongs_to(context.request_id)
        resp.set_header("x-openstack-request-id", context.request_id)

    def process_response(
        self, req: falcon.Request, resp: falcon.Response, _resource: object, _succeeded: bool
    ) -> None:
        """One line per request, at INFO."""
        elapsed = time.perf_counter() - req.context.started
        status = resp.status_code
        metrics.request_answered(self._face, req.method, status, elapsed)
        if ACCESS.isEnabledFor(logging.INFO):
            ACCESS.info("%s %s %s %.1f ms", req.method, req.relative_uri, status, elapsed * 1000)


def make_app(
    render_error: ErrorRenderer, middleware: list[Any] | None = None, *, face: str = "other"
) -> Any:
    """A Falcon WSGI application whose errors all come out through ``render_error``.

    Its requests are counted under ``face``.
    """
    app = falcon.App(middleware=[RequestLog(face), *(middleware or [])])
    app.req_options.strip_url_path_trailing_slash = True
    app.req_options.auto_parse_qs_csv = False
    app.req_options.keep_blank_qs_values = True

    def answer(req: falcon.Request, resp: falcon.Response, error: errors.NovaError) -> None:
        resp.status = error.status
        resp.data = render_error(error, req)
        resp.text = None
        resp.content_type = "application/json"
        for name, value in error.headers.items():
            resp.set_header(name, value)

    def on_nova_error(
        req: falcon.Request, resp: falcon.Response, error: errors.NovaError, _params: object
    ) -> None:
        answer(req, resp, error)

    def on_http_error(
        req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, _params: object
    ) -> None:
        answer(req, resp, _from_falcon(error))

    def on_bug(
        req: falcon.Request, resp: falcon.Response, error: Exception, _params: object
    ) -> None:
        LOG.exception("%s %s failed", req.method, req.path)
        answer(
            req, resp,
            errors.NovaError(
                "Unexpected API Error. The trace is in the server's log under request id "
                f"{req.context.request_id}. {type(error)}"
            ),
        )

    app.add_error_handler(Exception, on_bug)
    app.add_error_handler(falcon.HTTPError, on_http_error)
    app.add_error_handler(errors.NovaError, on_nova_error)
    return app


def _from_falcon(error: falcon.HTTPError) -> errors.NovaError:
    """Falcon's own refusals (no route, wrong method, bad header) as ours."""
    status = error.status_code
    if status == 405:
        allowed = dict(error.headers or {}).get("Allow", "")
        return errors.MethodNotAllowed([m.strip() for m in allowed.split(",") if m.strip()])
    kinds: dict[int, type[errors.NovaError]] = {
        404: errors.NotFound,
        413: errors.TooLarge,
        415: errors.UnsupportedMediaType,
    }
    if status == 404:
        return errors.NotFound("The resource could not be found.")
    kind = kinds.get(status, errors.BadRequest if status < 500 else errors.NovaError)
    return kind(error.description or error.title or None)


def read_body(req: falcon.Request, limit: int = MAX_BODY) -> bytes:
    """The request's body, whole.

    Raises ``TooLarge`` for more than ``limit`` bytes, before reading them where the length is declared.
    """
    length = req.content_length
    if length is not None and length > limit:
        raise errors.TooLarge(f"Request is too large. At most {limit} bytes are taken.")
    data: bytes = req.bounded_stream.read() if length else req.stream.read(limit + 1)
    if len(data) > limit:
        raise errors.TooLarge(f"Request is too large. At most {limit} bytes are taken.")
    return data


def read_json(req: falcon.Request, limit: int = MAX_BODY) -> Any:
    """The request's body as JSON; ``BadRequest`` where it is missing or malformed."""
    data = read_body(req, limit)
    try:
        return decode_json(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise errors.BadRequest("Malformed request body: it is not valid JSON.") from None
