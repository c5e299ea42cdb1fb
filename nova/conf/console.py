# SPDX-License-Identifier: Apache-2.0
"""Consoles: the addresses that users are given, and where the proxies listen; under Kilo's names too."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

CONSOLEAUTH_GROUP = "consoleauth"
VNC_GROUP = "vnc"
SPICE_GROUP = "spice"
SERIAL_GROUP = "serial_console"
MKS_GROUP = "mks"


@dataclasses.dataclass(frozen=True)
class ConsoleAuthSection:
    """[consoleauth]: tokens of consoles."""

    token_ttl: int = option(
        600, "Seconds that the address of a console can be opened for.", minimum=1,
        old=("DEFAULT.console_token_ttl",),
    )


@dataclasses.dataclass(frozen=True)
class VncSection:
    """[vnc]: the screen by VNC. Whether guests have one is ``vnc_enabled`` of their host."""

    novncproxy_base_url: str = option(
        "http://127.0.0.1:6080/vnc_auto.html", "Address of the noVNC page that users are given.",
        old=("DEFAULT.novncproxy_base_url",),
    )
    novncproxy_host: str = option(
        "0.0.0.0", "Address that the noVNC proxy listens on.",  # noqa: S104
        old=("DEFAULT.novncproxy_host",),
    )
    novncproxy_port: int = option(
        6080, "Port of the noVNC proxy.", minimum=1, maximum=65535,
        old=("DEFAULT.novncproxy_port",),
    )
    server_proxyclient_address: str = option(
        "127.0.0.1", "Address at which proxies reach the VNC servers of this host's guests.",
        old=("DEFAULT.vncserver_proxyclient_address", "vnc.vncserver_proxyclient_address"),
    )


@dataclasses.dataclass(frozen=True)
class SpiceSection:
    """[spice]: the screen by SPICE."""

    enabled: bool = option(False, "Give every guest a SPICE console.")
    html5proxy_base_url: str = option(
        "http://127.0.0.1:6082/spice_auto.html", "Address of the SPICE page that users are given."
    )
    html5proxy_host: str = option(
        "0.0.0.0", "Address that the SPICE proxy listens on."  # noqa: S104
    )
    html5proxy_port: int = option(6082, "Port of the SPICE proxy.", minimum=1, maximum=65535)
    spice_direct_proxy_base_url: str = option(
        "http://127.0.0.1:13002/nova", "Address of the proxy for native SPICE clients."
    )
    server_listen: str = option("127.0.0.1", "Address that guests' SPICE servers listen on.")
    server_proxyclient_address: str = option(
        "127.0.0.1", "Address at which proxies reach the SPICE servers of this host's guests."
    )


@dataclasses.dataclass(frozen=True)
class SerialConsoleSection:
    """[serial_console]: the interactive serial console."""

    enabled: bool = option(False, "Give every guest a serial console that users can type into.")
    base_url: str = option(
        "ws://127.0.0.1:6083/", "Address of the serial console that users are given."
    )
    serialproxy_host: str = option(
        "0.0.0.0", "Address that the serial proxy listens on."  # noqa: S104
    )
    serialproxy_port: int = option(6083, "Port of the serial proxy.", minimum=1, maximum=65535)
    port_range: str = option(
        "10000:20000", "Ports of this host that guests' serial consoles are served on."
    )
    proxyclient_address: str = option(
        "127.0.0.1", "Address at which proxies reach the serial consoles of this host's guests.",
    )


@dataclasses.dataclass(frozen=True)
class MksSection:
    """[mks]: the screen of VMware's guests."""

    enabled: bool = option(False, "Give every guest an MKS console.")
    mksproxy_base_url: str = option(
        "http://127.0.0.1:6090/", "Address of the WebMKS page that users are given."
    )
