# SPDX-License-Identifier: Apache-2.0
"""One console proxy: its WebSocket server, who is let in, and the bytes that go both ways."""

from __future__ import annotations

import contextlib
import datetime
import http
import logging
import socket
import ssl
import threading
from collections.abc import Callable
from http.cookies import CookieError, SimpleCookie
from typing import Any
from urllib.parse import parse_qs, urlsplit

from websockets.datastructures import Headers
from websockets.http11 import Request, Response
from websockets.sync.server import Server, ServerConnection, serve

from nova.console.pages import Pages
from nova.console.rfb import NegotiationFailed, RfbSecurity, negotiate
from nova.console.streams import BrowserStream, Ended, GuestStream, Stream
from nova.errors import NovaError
from nova.objects.console import ConsoleToken

LOG = logging.getLogger(__name__)

#: Seconds for the connection to a guest, and for both sides' first words.
_PATIENCE = 10.0
#: Most bytes of one message of a browser.
_MESSAGE = 8 << 20
#: Bytes of a hypervisor's answer to CONNECT.
_ANSWER = 8192


class Refused(Exception):
    """A connection that is not let in; the text is told to the client."""

    def __init__(self, status: http.HTTPStatus, text: str) -> None:
        super().__init__(text)
        self.status = status


class ConsoleProxy:
    """Serves consoles of some types until ``stop``.

    ``redeem`` asks the control side what a token opens and makes it void; None for one that is not valid.
    ``rfb`` is set for VNC alone. ``enforce`` closes a console when its token's time is over.
    """

    def __init__(
        self,
        name: str,
        types: frozenset[str],
        host: str,
        port: int,
        redeem: Callable[[str], ConsoleToken | None],
        *,
        pages: Pages | None = None,
        origins: tuple[str, ...] = (),
        tls: ssl.SSLContext | None = None,
        rfb: RfbSecurity | None = None,
        enforce: bool = False,
        connections: int = 500,
    ) -> None:
        self.name = name
        self.host = host
        self.port = port
        self._types = types
        self._redeem = redeem
        self._pages = pages or Pages(None)
        self._origins = frozenset(origin.lower() for origin in origins)
        self._tls = tls
        self._rfb = rfb
        self._enforce = enforce
        self._slots = threading.BoundedSemaphore(connections)
        self._server: Server | None = None
        self._thread: threading.Thread | None = None
        self._lock = threading.Lock()
        #: What the handshake let in and the handler has not yet taken up.
        self._admitted: dict[int, ConsoleToken] = {}
        self._open: set[Stream] = set()

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen. Raises ``OSError`` with the address in its text for a taken port."""
        # It calls every broken handshake of a stranger an error, with a trace.
        words = logging.getLogger(f"{__name__}.websocket")
        words.setLevel(logging.CRITICAL)
        try:
            self._server = serve(
                self._serve, self.host, self.port, ssl=self._tls, compression=None,
                process_request=self._admit, select_subprotocol=_subprotocol, max_size=_MESSAGE,
                server_header=None, open_timeout=_PATIENCE, close_timeout=1.0,
                logger=words,
            )
        except OSError as error:
            raise OSError(
                error.errno, f"cannot listen on {self.host}:{self.port}: {error.strerror}"
            ) from None
        self._thread = threading.Thread(
            target=self._server.serve_forever, name=self.name, daemon=True
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop listening and close what is open."""
        if self._server is None or self._thread is None:
            return
        with self._lock:
            streams = list(self._open)
        for stream in streams:
            stream.abort()
        # It waits for clients in the middle of their handshake, who may take their time.
        end = threading.Thread(target=self._server.shutdown, name=f"{self.name}-end", daemon=True)
        end.start()
        end.join(5)
        self._thread.join(5)

    # --- who is let in ---------------------------------------------------------------------------

    def _admit(self, connection: ServerConnection, request: Request) -> Response | None:
        """None lets a WebSocket in; else the answer: a page, or a refusal."""
        if "websocket" not in request.headers.get("Upgrade", "").lower():
            return self._page(request.path)
        try:
            opened = self._opened_by(request)
        except Refused as error:
            LOG.info("%s: refused a connection: %s", self.name, error)
            # Without a body: clients that have asked for a WebSocket take what follows for its frames.
            return connection.respond(error.status, "")
        except NovaError as error:
            LOG.warning("%s: a token could not be checked: %s", self.name, error.message)
            return connection.respond(
                http.HTTPStatus.SERVICE_UNAVAILABLE, "The token cannot be checked now.\n"
            )
        with self._lock:
            self._admitted[id(connection)] = opened
        return None

    def _page(self, target: str) -> Response:
        found = self._pages.find(target)
        if found is None:
            text = "There is no such page here.\n"
            if not self._pages.present:
                text = (
                    "This proxy serves no pages (option web): install noVNC, or open the console with a "
                    "WebSocket client.\n"
                )
            return _response(http.HTTPStatus.NOT_FOUND, text.encode(), "text/plain; charset=utf-8")
        return _response(http.HTTPStatus.OK, *found)

    def _opened_by(self, request: Request) -> ConsoleToken:
        """What the request's token opens. Raises ``Refused``."""
        scheme = self._scheme_of_origin(request)
        token = token_of(request)
        if not token:
            raise Refused(http.HTTPStatus.FORBIDDEN, "There is no token.")
        opened = self._redeem(token)
        if opened is None or opened.console_type not in self._types:
            raise Refused(http.HTTPStatus.FORBIDDEN, "The token is not valid, or was used before.")
        if scheme is not None and scheme not in _schemes(opened.access_url_base):
            raise Refused(
                http.HTTPStatus.FORBIDDEN, "Origin header protocol does not match this host."
            )
        return opened

    def _scheme_of_origin(self, request: Request) -> str | None:
        """The scheme of the page that opens the console; None for a client that is no browser.

        Raises ``Refused`` for a page of a host that is neither this one nor an allowed one.
        """
        origins = request.headers.get_all("Origin")
        if not origins:
            return None
        try:
            origin = urlsplit(origins[0])
            own = urlsplit(f"//{request.headers.get('Host', '')}").hostname
            name = origin.hostname
        except ValueError:
            name, own, origin = None, None, urlsplit("")
        scheme = request.headers.get("X-Forwarded-Proto") or origin.scheme
        if len(origins) > 1 or not name or not scheme:
            raise Refused(http.HTTPStatus.FORBIDDEN, "Origin header not valid.")
        if name != own and name not in self._origins:
            raise Refused(http.HTTPStatus.FORBIDDEN, "Origin header does not match this host.")
        return scheme

    # --- an open console -------------------------------------------------------------------------

    def _serve(self, connection: ServerConnection) -> None:
        with self._lock:
            opened = self._admitted.pop(id(connection))
        if not self._slots.acquire(blocking=False):
            LOG.warning("%s: too many consoles are open (console_connections)", self.name)
            connection.close(1013, "too many consoles are open")
            return
        try:
            self._relay(connection, opened)
        except Exception:
            LOG.exception("%s: the console of %s failed", self.name, opened.instance_uuid)
        finally:
            self._slots.release()

    def _relay(self, connection: ServerConnection, opened: ConsoleToken) -> None:
        browser = BrowserStream(connection)
        where = f"{opened.endpoint.host}:{opened.endpoint.port}"
        try:
            guest = connect(opened)
        except (OSError, Ended, NegotiationFailed) as error:
            LOG.warning("%s: the console of %s at %s: %s", self.name, opened.instance_uuid, where, error)
            connection.close(1011, "the guest's console does not answer")
            return
        try:
            if self._rfb is not None:
                guest = negotiate(browser, guest, self._rfb)
            guest.connection.settimeout(None)
        except (NegotiationFailed, Ended) as error:
            LOG.warning("%s: the console of %s at %s: %s", self.name, opened.instance_uuid, where, error)
            guest.close()
            browser.close()
            return
        LOG.info("%s: the console of %s at %s is open", self.name, opened.instance_uuid, where)
        with self._lock:
            self._open |= {browser, guest}
        timer = self._limit(opened, browser, guest)
        try:
            self._both_ways(browser, guest)
        finally:
            if timer is not None:
                timer.cancel()
            with self._lock:
                self._open -= {browser, guest}
        LOG.info("%s: the console of %s is closed", self.name, opened.instance_uuid)

    def _limit(
        self, opened: ConsoleToken, browser: BrowserStream, guest: GuestStream
    ) -> threading.Timer | None:
        """Close both sides when the token's time is over, where that is to be."""
        if not self._enforce:
            return None
        moment = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)

        def end() -> None:
            guest.abort()
            browser.close()

        seconds = max(0.0, (opened.expires_at - moment).total_seconds())
        timer = threading.Timer(seconds, end)
        timer.daemon = True
        timer.start()
        return timer

    def _both_ways(self, browser: BrowserStream, guest: GuestStream) -> None:
        """Carry bytes until either side ends."""
        other = threading.Thread(
            target=_carry, args=(browser, guest), name=f"{self.name}-in", daemon=True
        )
        other.start()
        _carry(guest, browser)
        other.join(_PATIENCE)


def _carry(source: Stream, target: Stream) -> None:
    """Bytes from one side to the other until one of them ends; then both do."""
    with contextlib.suppress(Ended):
        while True:
            target.write(source.read())
    source.close()
    target.close()


def connect(opened: ConsoleToken) -> GuestStream:
    """The guest's side, ready for its first words.

    Raises ``OSError`` where nobody answers, ``NegotiationFailed`` where the hypervisor's own proxy refuses.
    """
    endpoint = opened.endpoint
    guest = GuestStream(socket.create_connection((endpoint.host, endpoint.port), _PATIENCE))
    guest.connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    if not endpoint.internal_access_path:
        return guest
    guest.write(f"CONNECT {endpoint.internal_access_path} HTTP/1.1\r\n\r\n".encode())
    answer = b""
    while not answer.endswith(b"\r\n\r\n"):
        answer += guest.exactly(1)
        if len(answer) > _ANSWER:
            break
    if b" 200" not in answer.split(b"\r\n", 1)[0]:
        guest.close()
        raise NegotiationFailed("the hypervisor does not connect to the console")
    return guest


def token_of(request: Request) -> str:
    """The token: of the query, of a path in the query (noVNC's page), or of the cookie that noVNC sets."""
    query = parse_qs(urlsplit("//x/" + request.path.lstrip("/")).query)
    if query.get("token"):
        return query["token"][-1]
    for path in query.get("path", ()):
        found = parse_qs(urlsplit("//x/" + path.lstrip("/")).query).get("token")
        if found:
            return found[-1]
    for header in request.headers.get_all("Cookie"):
        for part in header.split(";"):
            with contextlib.suppress(CookieError):
                cookie = SimpleCookie(part.strip())
                if "token" in cookie:
                    return cookie["token"].value
    return ""


def _schemes(base: str) -> tuple[str, ...]:
    """The schemes that a page may have for a console which was handed out under that address."""
    scheme = urlsplit(base).scheme
    return {"ws": ("ws", "http"), "wss": ("wss", "https")}.get(scheme, (scheme,))


def _subprotocol(_connection: ServerConnection, offered: Any) -> Any:
    """Older noVNC asks for "binary"; others ask for nothing."""
    return "binary" if "binary" in offered else None


def _response(status: http.HTTPStatus, body: bytes, kind: str) -> Response:
    return Response(
        status.value, status.phrase,
        Headers(
            [("Content-Type", kind), ("Content-Length", str(len(body))), ("Connection", "close"),
             ("X-Content-Type-Options", "nosniff")]
        ),
        body,
    )
