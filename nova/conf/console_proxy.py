# SPDX-License-Identifier: Apache-2.0
"""Options of the console proxies themselves: who may connect, over what, and how they reach guests."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "DEFAULT"
CONSOLE_GROUP = "console"
VNC_GROUP = "vnc"
SESSION_GROUP = "consoleauth"


@dataclasses.dataclass(frozen=True)
class ConsoleProxySection:
    """What all proxies share."""

    web: str = option(
        "/usr/share/novnc", "Directory of the pages that a proxy serves, such as noVNC's; none where empty."
    )
    cert: str | None = option(
        None, "Certificate (with its chain) that browsers are shown; with it a proxy speaks TLS only."
    )
    key: str | None = option(None, "Key of the certificate; it is in the same file where not set.")
    ssl_only: bool = option(False, "Refuse to start without a certificate.")
    console_connections: int = option(
        500, "Most consoles that one proxy has open at a time.", minimum=1
    )


@dataclasses.dataclass(frozen=True)
class ConsoleAccessSection:
    """[console]: which pages may open a console."""

    allowed_origins: tuple[str, ...] = option(
        (), "Names of other hosts whose pages may open consoles; the proxy's own host always may.",
        old=("DEFAULT.console_allowed_origins",),
    )
    ssl_minimum_version: str = option(
        "default", "Oldest TLS version that browsers may use.",
        choices=("default", "tlsv1_2", "tlsv1_3"),
    )


@dataclasses.dataclass(frozen=True)
class VncSecuritySection:
    """[vnc]: how the noVNC proxy proves to guests' VNC servers who it is."""

    auth_schemes: tuple[str, ...] = option(
        ("none",), "What is accepted of a VNC server, best first: vencrypt (TLS with certificates), none."
    )
    vencrypt_client_key: str | None = option(None, "Key that VNC servers are shown by TLS.")
    vencrypt_client_cert: str | None = option(
        None, "Certificate that VNC servers are shown by TLS."
    )
    vencrypt_ca_certs: str | None = option(
        None, "Certificates that VNC servers' own are verified with."
    )


@dataclasses.dataclass(frozen=True)
class ConsoleSessionSection:
    """[consoleauth]: open consoles."""

    enforce_session_timeout: bool = option(
        False, "Close a console when the time of the token that opened it is over."
    )
