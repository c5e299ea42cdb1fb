# SPDX-License-Identifier: Apache-2.0
"""Consoles of guests: where a host serves one, and what a token opens."""

from __future__ import annotations

import datetime

import msgspec

NOVNC = "novnc"
SPICE_HTML5 = "spice-html5"
SPICE_DIRECT = "spice-direct"
SERIAL = "serial"
WEBMKS = "webmks"


class ConsoleEndpoint(msgspec.Struct, frozen=True, kw_only=True):
    """Where a hypervisor serves a guest's console, as a console proxy reaches it.

    ``tls_port`` is that of the same console over TLS (SPICE alone has one). A proxy sends
    ``CONNECT <internal_access_path>`` first where there is one.
    """

    host: str
    port: int
    tls_port: int | None = None
    internal_access_path: str | None = None


class ConsoleToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a valid token opens. ``compute_host`` is the host that the guest is on.

    ``access_url_base`` is the address that the token was handed out under: a proxy compares its scheme
    with the origin of a browser's request.
    """

    instance_uuid: str
    compute_host: str
    console_type: str
    endpoint: ConsoleEndpoint
    access_url_base: str
    expires_at: datetime.datetime
