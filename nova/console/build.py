# SPDX-License-Identifier: Apache-2.0
"""From options to console proxies."""

from __future__ import annotations

import dataclasses
import ssl
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from nova.conf import Config
from nova.conf.console import SerialConsoleSection, SpiceSection, VncSection
from nova.conf.fake import FakeSection
from nova.console.pages import Pages
from nova.console.proxy import ConsoleProxy
from nova.console.rfb import NONE, SCHEMES, VENCRYPT, RfbSecurity
from nova.errors import InvalidInput
from nova.objects.console import NOVNC, SERIAL, SPICE_HTML5, ConsoleToken

NOVNC_PROXY = "nova-novncproxy"
SERIAL_PROXY = "nova-serialproxy"
SPICE_PROXY = "nova-spicehtml5proxy"

Redeem = Callable[[str], ConsoleToken | None]


def build_proxy(
    config: Config, name: str, redeem: Redeem, *, host: str | None = None, port: int | None = None
) -> ConsoleProxy:
    """The proxy of that name; nothing listens yet. ``host`` and ``port`` stand for those configured.

    Raises ``InvalidInput`` naming an option that cannot be.
    """
    types, own_host, own_port = {
        NOVNC_PROXY: (NOVNC, config.vnc.novncproxy_host, config.vnc.novncproxy_port),
        SERIAL_PROXY: (
            SERIAL, config.serial_console.serialproxy_host, config.serial_console.serialproxy_port
        ),
        SPICE_PROXY: (SPICE_HTML5, config.spice.html5proxy_host, config.spice.html5proxy_port),
    }[name]
    section = config.console_daemon
    return ConsoleProxy(
        name, frozenset({types}), host or own_host, port or own_port, redeem,
        # A serial console has no page; it is opened by the API's user, not by a browser's.
        pages=Pages(Path(section.web) if section.web and name != SERIAL_PROXY else None),
        origins=config.console_access.allowed_origins,
        tls=tls_of(config), rfb=rfb_of(config) if name == NOVNC_PROXY else None,
        enforce=config.console_session.enforce_session_timeout,
        connections=section.console_connections,
    )


def tls_of(config: Config) -> ssl.SSLContext | None:
    """TLS towards browsers; None without a certificate.

    Raises ``InvalidInput`` for files that cannot be used, or where there has to be a certificate.
    """
    section = config.console_daemon
    if section.cert is None:
        if section.ssl_only:
            raise InvalidInput("ssl_only", "There is no certificate: set cert, and key.")
        return None
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    oldest = config.console_access.ssl_minimum_version
    if oldest != "default":
        context.minimum_version = {
            "tlsv1_2": ssl.TLSVersion.TLSv1_2, "tlsv1_3": ssl.TLSVersion.TLSv1_3,
        }[oldest]
    try:
        context.load_cert_chain(section.cert, section.key)
    except OSError as error:
        raise InvalidInput("cert", f"Certificate and key cannot be used: {error}.", section.cert) from None
    return context


def rfb_of(config: Config) -> RfbSecurity:
    """What is accepted of VNC servers. Raises ``InvalidInput`` for schemes that there are none of."""
    section = config.vnc_security
    unknown = [name for name in section.auth_schemes if name not in SCHEMES]
    if unknown or not section.auth_schemes:
        raise InvalidInput(
            "auth_schemes", f"Schemes are {' and '.join(SCHEMES)}.", ", ".join(section.auth_schemes)
        )
    security = RfbSecurity(
        tuple(SCHEMES[name] for name in section.auth_schemes), section.vencrypt_client_cert,
        section.vencrypt_client_key, section.vencrypt_ca_certs,
    )
    if VENCRYPT in security.schemes:
        try:
            security.context()
        except (OSError, TypeError) as error:
            raise InvalidInput(
                "vencrypt_ca_certs", f"Certificates for vencrypt cannot be used: {error}.",
                section.vencrypt_ca_certs,
            ) from None
    assert {NONE, VENCRYPT} >= set(security.schemes)
    return security


# --- the cloud in one process ----------------------------------------------------------------------


def in_one_process(config: Config, host: str, offset: int) -> Config:
    """The options with every console port ``offset`` higher, and addresses of ``host`` where none are set."""
    vnc, spice, serial = config.vnc, config.spice, config.serial_console
    return dataclasses.replace(
        config,
        vnc=dataclasses.replace(
            vnc, novncproxy_port=vnc.novncproxy_port + offset,
            novncproxy_base_url=_address(
                vnc.novncproxy_base_url, VncSection.novncproxy_base_url, config, host,
                vnc.novncproxy_port + offset,
            ),
        ),
        spice=dataclasses.replace(
            spice, html5proxy_port=spice.html5proxy_port + offset,
            html5proxy_base_url=_address(
                spice.html5proxy_base_url, SpiceSection.html5proxy_base_url, config, host,
                spice.html5proxy_port + offset,
            ),
        ),
        serial_console=dataclasses.replace(
            serial, serialproxy_port=serial.serialproxy_port + offset,
            base_url=_address(
                serial.base_url, SerialConsoleSection.base_url, config, host,
                serial.serialproxy_port + offset,
            ),
        ),
        fake=dataclasses.replace(
            config.fake, console_port=config.fake.console_port + offset
        ),
    )


def _address(given: str, default: str, config: Config, host: str, port: int) -> str:
    """The address that users are given, unless one is configured."""
    if given != default:
        return given
    parts = urlsplit(default)
    scheme = f"{parts.scheme}s" if config.console_daemon.cert else parts.scheme
    shown = f"[{host}]" if ":" in host else host
    return urlunsplit(parts._replace(scheme=scheme, netloc=f"{shown}:{port}"))


def proxies_in_one_process(config: Config) -> list[str]:
    """The proxies that have something to show."""
    simulated = "fake" in config.default.compute_driver
    wanted = {
        NOVNC_PROXY: simulated or config.compute_host.vnc_enabled,
        SERIAL_PROXY: simulated or config.serial_console.enabled,
        SPICE_PROXY: config.spice.enabled,
    }
    return [name for name, there in wanted.items() if there]


def simulated_here(config: Config) -> bool:
    """Whether consoles are simulated, and nobody else was named to do it."""
    return (
        "fake" in config.default.compute_driver
        and config.fake.console_host == FakeSection.console_host
    )
