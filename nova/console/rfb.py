# SPDX-License-Identifier: Apache-2.0
"""The beginning of an RFB (VNC) connection, spoken with both sides by the proxy.

The browser proved itself by its token and is offered no security at all; what a guest's VNC server asks for
is between it and the proxy. Sources: RFC 6143, sections 7.1.1 to 7.1.3, and for VeNCrypt
https://github.com/rfbproto/rfbproto/blob/master/rfbproto.rst.
"""

from __future__ import annotations

import dataclasses
import ssl
import struct

from nova.console.streams import BrowserStream, Ended, GuestStream

VERSION = b"RFB 003.008\n"
NONE = 1
VENCRYPT = 19
_X509_NONE = 260
#: A server's reason for a refusal is cut here; it may announce up to 4 GiB.
_REASON = 256

#: [vnc] auth_schemes
SCHEMES = {"none": NONE, "vencrypt": VENCRYPT}


class NegotiationFailed(Exception):
    """The two sides and the options do not fit together; the text is for the log."""


@dataclasses.dataclass(frozen=True)
class RfbSecurity:
    """What the proxy accepts of VNC servers, best first, and its side of TLS."""

    schemes: tuple[int, ...] = (NONE,)
    client_cert: str | None = None
    client_key: str | None = None
    ca_certs: str | None = None

    def context(self) -> ssl.SSLContext:
        """For TLS to a VNC server, whose certificate has to be ours; hosts go by addresses, not names."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(cafile=self.ca_certs)
        if self.client_cert:
            context.load_cert_chain(self.client_cert, self.client_key)
        return context


def negotiate(browser: BrowserStream, guest: GuestStream, security: RfbSecurity) -> GuestStream:
    """Bring both sides to where the security result comes; returns the guest's side, perhaps in TLS.

    Raises ``NegotiationFailed``; the browser has been told so in RFB then. ``Ended`` where a side left.
    """
    if guest.exactly(len(VERSION)) != VERSION:
        raise NegotiationFailed("the VNC server does not speak RFB 3.8")
    guest.write(VERSION)
    browser.write(VERSION)
    if browser.exactly(len(VERSION)) != VERSION:
        raise NegotiationFailed("the client does not speak RFB 3.8")
    count = guest.exactly(1)[0]
    if count == 0:
        (length,) = struct.unpack("!I", guest.exactly(4))
        reason = guest.exactly(min(length, _REASON))
        browser.write(b"\0" + struct.pack("!I", len(reason)) + reason)
        raise NegotiationFailed(f"the VNC server refuses: {reason.decode('latin-1')}")
    offered = guest.exactly(count)
    browser.write(bytes((1, NONE)))
    if browser.exactly(1)[0] != NONE:
        _fail(browser, "Only the security type None is supported")
        raise NegotiationFailed("the client wants a security type that it was not offered")
    chosen = next((scheme for scheme in security.schemes if scheme in offered), None)
    if chosen is None:
        guest.write(b"\0")
        _fail(browser, "Unable to negotiate security with server")
        raise NegotiationFailed(
            f"the VNC server offers security types {list(offered)}, [vnc] auth_schemes accepts "
            f"{list(security.schemes)}"
        )
    guest.write(bytes((chosen,)))
    if chosen == NONE:
        return guest
    try:
        return _secured(guest, security)
    except (NegotiationFailed, Ended, OSError) as error:
        _fail(browser, "Unable to negotiate security with server")
        raise NegotiationFailed(f"VeNCrypt: {error or 'the VNC server closed'}") from error


def _fail(browser: BrowserStream, text: str) -> None:
    """A SecurityResult that says no."""
    reason = text.encode()
    browser.write(struct.pack("!II", 1, len(reason)) + reason)


def _secured(guest: GuestStream, security: RfbSecurity) -> GuestStream:
    """VeNCrypt 0.2 with X509None: both sides show certificates, and nothing more is asked."""
    version = guest.exactly(2)
    if version != b"\0\2":
        raise NegotiationFailed(f"version {version[0]}.{version[1]} is not 0.2")
    guest.write(version)
    if guest.exactly(1) != b"\0":
        raise NegotiationFailed("the VNC server does not take version 0.2")
    count = guest.exactly(1)[0]
    kinds = struct.unpack(f"!{count}I", guest.exactly(4 * count))
    if _X509_NONE not in kinds:
        raise NegotiationFailed(f"X509None is none of {kinds}")
    guest.write(struct.pack("!I", _X509_NONE))
    # Unlike elsewhere in RFB, 1 is yes here; the document leaves this byte out, QEMU sends it.
    if guest.exactly(1) != b"\1":
        raise NegotiationFailed("the VNC server does not take X509None")
    return GuestStream(security.context().wrap_socket(guest.connection))
