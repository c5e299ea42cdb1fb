# SPDX-License-Identifier: Apache-2.0
"""The compute API's error body (API guide, "Faults")."""

from __future__ import annotations

import falcon
import msgspec

from nova import errors

_NAMES = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound",
    405: "badMethod", 409: "conflictingRequest", 413: "overLimit", 415: "badMediaType",
    429: "overLimit", 501: "notImplemented", 503: "serviceUnavailable",
}


def render_error(error: errors.NovaError, req: falcon.Request) -> bytes:
    """``{"<name>": {"code": …, "message": …}}``."""
    status = error.status
    body: dict[str, object] = {"code": status, "message": error.message}
    if status in (413, 429):
        body["retryAfter"] = "0"
    return msgspec.json.encode({_NAMES.get(status, "computeFault"): body})
