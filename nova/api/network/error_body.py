# SPDX-License-Identifier: Apache-2.0
"""The network API's error body (Networking API reference, "Faults"; neutron-lib's exceptions)."""

from __future__ import annotations

import falcon
import msgspec

from nova import errors

_TYPES: tuple[tuple[type[errors.NovaError], str], ...] = (
    (errors.NetworkNotFound, "NetworkNotFound"),
    (errors.PolicyRefused, "PolicyNotAuthorized"),
    (errors.QuotaExceeded, "OverQuota"),
    (errors.NoMoreAddresses, "IpAddressGenerationFailure"),
    (errors.AddressInUse, "IpAddressAlreadyAllocated"),
)
_BY_STATUS = {
    400: "HTTPBadRequest", 401: "HTTPUnauthorized", 403: "HTTPForbidden", 404: "HTTPNotFound",
    405: "HTTPMethodNotAllowed", 409: "Conflict", 412: "HTTPPreconditionFailed",
    413: "HTTPRequestEntityTooLarge", 415: "HTTPUnsupportedMediaType", 501: "HTTPNotImplemented",
    503: "HTTPServiceUnavailable",
}


def render_error(error: errors.NovaError, _req: falcon.Request) -> bytes:
    """``{"NeutronError": {"type": …, "message": …, "detail": ""}}``."""
    return msgspec.json.encode(
        {"NeutronError": {"type": type_of(error), "message": error.message, "detail": ""}}
    )


def type_of(error: errors.NovaError) -> str:
    """The type that clients tell errors apart by."""
    if error.network_type is not None:
        return error.network_type
    for class_, name in _TYPES:
        if isinstance(error, class_):
            return name
    return _BY_STATUS.get(error.status, "HTTPInternalServerError")


def typed(error: errors.NovaError, name: str) -> errors.NovaError:
    """The error with the type that this API's clients know."""
    error.network_type = name
    return error


def as_network_error(error: errors.NovaError) -> errors.NovaError:
    """An error of the network room with the status that this API gives it.

    Taken addresses and full quotas are conflicts here (neutron, ``ipam/exceptions``,
    ``IpAddressAlreadyAllocated``; neutron-lib, ``OverQuota``).
    """
    if isinstance(error, errors.AddressInUse | errors.QuotaExceeded):
        return typed(errors.Conflict(error.message), type_of(error))
    return error
