# SPDX-License-Identifier: Apache-2.0
"""Console proxies, spoken to by a WebSocket client of the field: who is let in, what goes through."""

from __future__ import annotations

import contextlib
import datetime
import http.client
import socket
import ssl
import subprocess
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import websocket

from nova.conf import load
from nova.console.build import build_proxy, in_one_process, proxies_in_one_process, rfb_of, tls_of
from nova.console.pages import Pages
from nova.console.proxy import ConsoleProxy
from nova.console.rfb import NONE, RfbSecurity
from nova.console.simulated import NAME, SimulatedConsoles
from nova.errors import InvalidInput, ServiceUnavailable
from nova.objects.console import NOVNC, SERIAL, ConsoleEndpoint, ConsoleToken


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="module")
def simulated() -> Iterator[tuple[int, int]]:
    """The ports of a simulated screen and serial line."""
    ports = free_port(), free_port()
    consoles = SimulatedConsoles("127.0.0.1", *ports)
    consoles.start()
    yield ports
    consoles.stop()


class Tokens:
    """What tokens open, once."""

    def __init__(self) -> None:
        self.known: dict[str, ConsoleToken] = {}
        self.broken = False

    def add(self, token: str, port: int, kind: str = SERIAL, **facts: Any) -> None:
        values: dict[str, Any] = {
            "instance_uuid": "u", "compute_host": "h", "console_type": kind,
            "access_url_base": "http://127.0.0.1:6080/vnc_auto.html",
            "expires_at": datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
            + datetime.timedelta(seconds=facts.pop("seconds", 600)),
            "endpoint": ConsoleEndpoint(
                host="127.0.0.1", port=port, internal_access_path=facts.pop("path", None)
            ),
        }
        self.known[token] = ConsoleToken(**{**values, **facts})

    def redeem(self, token: str) -> ConsoleToken | None:
        if self.broken:
            raise ServiceUnavailable
        return self.known.pop(token, None)


Start = Callable[..., tuple[ConsoleProxy, Tokens]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts proxies and stops them at the end."""
    started: list[ConsoleProxy] = []

    def begin(*types: str, **options: Any) -> tuple[ConsoleProxy, Tokens]:
        tokens = Tokens()
        proxy = ConsoleProxy(
            "test", frozenset(types or (SERIAL,)), "127.0.0.1", free_port(), tokens.redeem, **options
        )
        proxy.start()
        started.append(proxy)
        return proxy, tokens

    yield begin
    for each in started:
        each.stop()


def connect(proxy: ConsoleProxy, path: str = "/?token=t", **options: Any) -> websocket.WebSocket:
    scheme = "wss" if "sslopt" in options else "ws"
    return websocket.create_connection(
        f"{scheme}://127.0.0.1:{proxy.port}{path}", timeout=10, suppress_origin="origin" not in options,
        **options,
    )


def ended(client: websocket.WebSocket) -> bool:
    """Whether the other side has closed, with a goodbye or without."""
    try:
        return client.recv() in (b"", "")
    except (websocket.WebSocketConnectionClosedException, ConnectionError):
        return True
    finally:
        client.close()


def refused(proxy: ConsoleProxy, path: str = "/?token=t", **options: Any) -> int:
    with pytest.raises(websocket.WebSocketBadStatusException) as caught:
        connect(proxy, path, **options)
    return int(caught.value.status_code)


# --- tokens ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("path, header", [
    ("/?token=t", []), ("/websockify?token=t", []), ("//?token=t", []), ("/?path=%3Ftoken%3Dt", []),
    ("/websockify", ["Cookie: other=1; token=t"]), ("/", ["Cookie: bad[co okie; =; token=t"]),
])
def test_a_token_opens_a_console(
    start: Start, simulated: tuple[int, int], path: str, header: list[str]
) -> None:
    proxy, tokens = start()
    tokens.add("t", simulated[1])
    client = connect(proxy, path, header=header)
    assert NAME.encode() in client.recv()
    client.send("hej å\r")
    assert client.recv() == "hej å\r\n".encode()
    client.send_binary(b"\x00\xff")
    assert client.recv() == b"\x00\xff"
    client.close()


def test_a_token_opens_one_console(start: Start, simulated: tuple[int, int]) -> None:
    proxy, tokens = start()
    tokens.add("t", simulated[1])
    connect(proxy).close()
    assert refused(proxy) == 403


@pytest.mark.parametrize("path", ["/", "/?token=", "/?token=unknown", "/?other=t"])
def test_without_a_valid_token_nothing_opens(start: Start, path: str) -> None:
    proxy, tokens = start()
    tokens.add("t", 1)
    assert refused(proxy, path) == 403


def test_a_refusal_is_followed_by_nothing_that_could_be_taken_for_frames(start: Start) -> None:
    proxy, _tokens = start()
    with socket.create_connection((proxy.host, proxy.port), timeout=20) as client:
        client.sendall(
            b"GET /?token=bad HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: x3JJHMbDL1EzLkh9GBhXDw==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        answer = b""
        while piece := client.recv(4096):
            answer += piece
    assert answer.startswith(b"HTTP/1.1 403")
    assert answer.endswith(b"\r\n\r\n")


def test_a_token_of_another_type_opens_nothing(start: Start, simulated: tuple[int, int]) -> None:
    proxy, tokens = start(NOVNC)
    tokens.add("t", simulated[1], SERIAL)
    assert refused(proxy) == 403


def test_where_tokens_cannot_be_checked_the_client_is_told(start: Start) -> None:
    proxy, tokens = start()
    tokens.broken = True
    assert refused(proxy) == 503


# --- origins ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("origin, header, admitted", [
    ("http://127.0.0.1:6080", [], True),
    ("http://dashboard.example", [], True),
    ("http://DASHBOARD.example", [], True),
    ("http://evil.example", [], False),
    ("http://127.0.0.1.evil.example", [], False),
    ("https://127.0.0.1", [], False),
    ("https://127.0.0.1", ["X-Forwarded-Proto: http"], True),
    ("http://127.0.0.1", ["X-Forwarded-Proto: https"], False),
    ("null", [], False),
    ("http://[", [], False),
    ("", [], False),
])
def test_pages_of_other_hosts_open_nothing(
    start: Start, simulated: tuple[int, int], origin: str, header: list[str], admitted: bool
) -> None:
    proxy, tokens = start(origins=("dashboard.example",))
    tokens.add("t", simulated[1])
    if admitted:
        connect(proxy, origin=origin, header=header).close()
    else:
        assert refused(proxy, origin=origin, header=header) == 403


def test_a_foreign_page_does_not_spend_the_token(start: Start, simulated: tuple[int, int]) -> None:
    proxy, tokens = start()
    tokens.add("t", simulated[1])
    assert refused(proxy, origin="http://evil.example") == 403
    connect(proxy).close()


def test_a_serial_console_is_opened_from_pages_of_like_security(
    start: Start, simulated: tuple[int, int]
) -> None:
    proxy, tokens = start()
    tokens.add("t", simulated[1], access_url_base="wss://127.0.0.1:6083/")
    assert refused(proxy, origin="http://127.0.0.1") == 403
    tokens.add("t", simulated[1], access_url_base="wss://127.0.0.1:6083/")
    connect(proxy, origin="https://127.0.0.1").close()


# --- pages -----------------------------------------------------------------------------------------


def _get(proxy: ConsoleProxy, path: str) -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", proxy.port, timeout=10)
    connection.putrequest("GET", path, skip_accept_encoding=True)
    connection.endheaders()
    answer = connection.getresponse()
    found = answer.status, answer.headers["Content-Type"], answer.read()
    connection.close()
    return found


def test_pages_are_served_and_nothing_else(start: Start, tmp_path: Path) -> None:
    web = tmp_path / "web"
    (web / "core").mkdir(parents=True)
    (web / "vnc.html").write_text("<p>å")
    (web / "core" / "rfb.js").write_text("export {}")
    (tmp_path / "secret").write_text("no")
    proxy, _tokens = start(pages=Pages(web))
    assert _get(proxy, "/vnc.html?path=%3Ftoken%3Dt") == (200, "text/html", "<p>å".encode())
    assert _get(proxy, "/core/rfb.js")[:2] == (200, "text/javascript")
    for path in ("/", "/core", "/nope", "/../secret", "/%2e%2e/secret", "/core/../../secret", "//../secret",
                 "/%00", "/vnc.html/x"):
        assert _get(proxy, path)[0] == 404, path


def test_a_proxy_without_pages_says_so(start: Start, tmp_path: Path) -> None:
    proxy, _tokens = start(pages=Pages(tmp_path / "nothing"))
    status, _kind, text = _get(proxy, "/vnc.html")
    assert (status, b"noVNC" in text) == (404, True)


# --- VNC -------------------------------------------------------------------------------------------


def test_an_rfb_handshake_reaches_the_picture(start: Start, simulated: tuple[int, int]) -> None:
    proxy, tokens = start(NOVNC, rfb=RfbSecurity())
    tokens.add("t", simulated[0], NOVNC)
    client = connect(proxy, subprotocols=["binary"])
    assert client.getsubprotocol() == "binary"
    assert client.recv() == b"RFB 003.008\n"
    client.send_binary(b"RFB 003.008\n")
    assert client.recv() == b"\x01\x01"
    client.send_binary(b"\x01")
    assert client.recv() == b"\0\0\0\0"
    client.send_binary(b"\x01")
    assert NAME.encode() in client.recv()
    client.send_binary(b"\x03\x00" + b"\0\0\0\0" + (320).to_bytes(2) + (200).to_bytes(2))
    received = b""
    while len(received) < 16 + 320 * 200 * 4:
        received += client.recv()
    assert received[:4] == b"\0\0\0\1"
    client.close()


class Vnc(threading.Thread):
    """A VNC server that says what it is told to; what it hears is in ``heard``."""

    def __init__(self, *said: bytes, listen: tuple[int, ...] = ()) -> None:
        super().__init__(daemon=True)
        self.server = socket.create_server(("127.0.0.1", 0))
        self.port = int(self.server.getsockname()[1])
        self._said, self._listen = said, listen
        self.heard: list[bytes] = []
        self.start()

    def run(self) -> None:
        client, _peer = self.server.accept()
        with client, contextlib.suppress(OSError):
            client.settimeout(10)
            for said, count in zip(self._said, self._listen, strict=True):
                client.sendall(said)
                self.heard.append(client.recv(count) if count else b"")


@pytest.mark.parametrize("said, listen, answer", [
    ((b"RFB 003.003\n",), (1,), b""),
    ((b"RFB 003.008\n", b"\0\0\0\0\4nej!"), (12, 1), b"RFB 003.008\n\0\0\0\0\4nej!"),
    ((b"RFB 003.008\n", b"\x01\x02"), (12, 1),
     b"RFB 003.008\n\x01\x01\0\0\0\1\0\0\0\x28Unable to negotiate security with server"),
    ((b"RFB 003.008\n", b"\x01\x10"), (12, 1),
     b"RFB 003.008\n\x01\x01\0\0\0\1\0\0\0\x28Unable to negotiate security with server"),
])
def test_vnc_servers_that_do_not_fit(
    start: Start, said: tuple[bytes, ...], listen: tuple[int, ...], answer: bytes
) -> None:
    vnc = Vnc(*said, listen=listen)
    proxy, tokens = start(NOVNC, rfb=RfbSecurity((NONE,)))
    tokens.add("t", vnc.port, NOVNC)
    client = connect(proxy)
    client.send_binary(b"RFB 003.008\n\x01")
    received = b""
    with contextlib.suppress(websocket.WebSocketConnectionClosedException):
        while data := client.recv():
            received += data if isinstance(data, bytes) else data.encode()
    client.close()
    assert received == answer
    vnc.join(10)


def test_a_browser_that_wants_other_security_is_refused(
    start: Start, simulated: tuple[int, int]
) -> None:
    proxy, tokens = start(NOVNC, rfb=RfbSecurity())
    tokens.add("t", simulated[0], NOVNC)
    client = connect(proxy)
    client.send_binary(b"RFB 003.008\n\x02")
    received = b""
    with contextlib.suppress(websocket.WebSocketConnectionClosedException):
        while data := client.recv():
            received += data if isinstance(data, bytes) else data.encode()
    client.close()
    assert b"Only the security type None" in received


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority and a certificate by it: ca.pem, cert.pem, key.pem."""
    directory = tmp_path_factory.mktemp("tls")
    for command in (
        "req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca.pem -subj /CN=ca -days 2",
        "req -newkey rsa:2048 -nodes -keyout key.pem -out request.pem -subj /CN=host",
        "x509 -req -in request.pem -CA ca.pem -CAkey ca-key.pem -CAcreateserial -out cert.pem -days 2",
    ):
        subprocess.run(
            ["openssl", *command.split()], cwd=directory, check=True, capture_output=True, timeout=60
        )
    return directory


def test_a_vnc_server_with_certificates(start: Start, certificates: Path) -> None:
    """VeNCrypt: the server's side in TLS, the browser's without any security."""
    server = socket.create_server(("127.0.0.1", 0))
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(certificates / "ca.pem"))
    context.load_cert_chain(certificates / "cert.pem", certificates / "key.pem")
    context.verify_mode = ssl.CERT_REQUIRED
    heard: list[bytes] = []

    def serve() -> None:
        plain, _peer = server.accept()
        plain.settimeout(10)
        for said, count in ((b"RFB 003.008\n", 12), (b"\x01\x13", 1), (b"\0\2", 2),
                            (b"\0\x02" + (261).to_bytes(4) + (260).to_bytes(4), 4)):
            plain.sendall(said)
            heard.append(plain.recv(count))
        plain.sendall(b"\1")
        with context.wrap_socket(plain, server_side=True) as secure:
            secure.sendall(b"\0\0\0\0")
            heard.append(secure.recv(1))
            secure.sendall(b"hemligt")

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    config = load(overrides={
        ("vnc", "auth_schemes"): ["vencrypt", "none"],
        ("vnc", "vencrypt_ca_certs"): str(certificates / "ca.pem"),
        ("vnc", "vencrypt_client_cert"): str(certificates / "cert.pem"),
        ("vnc", "vencrypt_client_key"): str(certificates / "key.pem"),
    })
    proxy, tokens = start(NOVNC, rfb=rfb_of(config))
    tokens.add("t", int(server.getsockname()[1]), NOVNC)
    client = connect(proxy)
    assert client.recv() == b"RFB 003.008\n"
    client.send_binary(b"RFB 003.008\n")
    assert client.recv() == b"\x01\x01"
    client.send_binary(b"\x01")
    assert client.recv() == b"\0\0\0\0"
    client.send_binary(b"\x01")
    assert client.recv() == b"hemligt"
    client.close()
    thread.join(10)
    assert heard == [b"RFB 003.008\n", b"\x13", b"\0\2", (260).to_bytes(4), b"\x01"]
    server.close()


# --- TLS, ends, limits -----------------------------------------------------------------------------


def test_browsers_over_tls(start: Start, simulated: tuple[int, int], certificates: Path) -> None:
    config = load(overrides={
        ("DEFAULT", "cert"): str(certificates / "cert.pem"),
        ("DEFAULT", "key"): str(certificates / "key.pem"), ("DEFAULT", "ssl_only"): True,
        ("console", "ssl_minimum_version"): "tlsv1_3",
    })
    proxy, tokens = start(tls=tls_of(config))
    tokens.add("t", simulated[1], access_url_base="wss://127.0.0.1:6083/")
    trust = {"ca_certs": str(certificates / "ca.pem"), "check_hostname": False}
    client = connect(proxy, sslopt=trust, origin="https://127.0.0.1")
    assert NAME.encode() in client.recv()
    client.close()
    with pytest.raises((websocket.WebSocketException, OSError)):
        connect(proxy)
    with pytest.raises((ssl.SSLError, OSError)):
        connect(proxy, sslopt={**trust, "ssl_version": ssl.PROTOCOL_TLSv1_2})


def test_when_one_side_ends_the_other_does(start: Start) -> None:
    server = socket.create_server(("127.0.0.1", 0))
    proxy, tokens = start()
    tokens.add("t", int(server.getsockname()[1]))
    client = connect(proxy)
    guest, _peer = server.accept()
    guest.settimeout(10)
    client.close()
    assert guest.recv(1) == b""
    guest.close()
    tokens.add("t", int(server.getsockname()[1]))
    client = connect(proxy)
    guest, _peer = server.accept()
    guest.close()
    assert ended(client)
    server.close()


def test_a_console_ends_with_its_token_where_that_is_enforced(
    start: Start, simulated: tuple[int, int]
) -> None:
    proxy, tokens = start(enforce=True)
    tokens.add("t", simulated[1], seconds=0.3)
    client = connect(proxy)
    client.recv()
    assert ended(client)


def test_a_guest_that_does_not_answer_ends_the_connection(start: Start) -> None:
    proxy, tokens = start()
    tokens.add("t", free_port())
    client = connect(proxy)
    assert ended(client)


def test_open_consoles_are_counted(start: Start, simulated: tuple[int, int]) -> None:
    proxy, tokens = start(connections=1)
    for token in ("a", "b", "c"):
        tokens.add(token, simulated[1])
    first = connect(proxy, "/?token=a")
    assert first.recv()
    assert ended(connect(proxy, "/?token=b"))
    first.close()
    for _ in range(100):
        tokens.add("c", simulated[1])
        if not ended(connect(proxy, "/?token=c")):
            return
    pytest.fail("the place of a closed console is not free again")


def test_a_hypervisors_own_proxy_is_asked_for_the_console(start: Start) -> None:
    for answer, opens in ((b"HTTP/1.1 200 OK\r\nA: b\r\n\r\nwelcome", True),
                          (b"HTTP/1.1 403 No\r\n\r\n", False)):
        hypervisor = Vnc(b"", answer, listen=(100, 1))
        proxy, tokens = start()
        tokens.add("t", hypervisor.port, path="/console?ref=1")
        client = connect(proxy)
        if opens:
            assert client.recv() == b"welcome"
        else:
            assert ended(client)
        client.close()
        assert hypervisor.heard[0] == b"CONNECT /console?ref=1 HTTP/1.1\r\n\r\n"


def test_stopping_closes_what_is_open(start: Start, simulated: tuple[int, int]) -> None:
    proxy, tokens = start()
    tokens.add("t", simulated[1])
    client = connect(proxy)
    client.recv()
    proxy.stop()
    assert ended(client)
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", proxy.port), 5)


# --- options ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [
    {("DEFAULT", "ssl_only"): True},
    {("DEFAULT", "cert"): "/nowhere.pem"},
    {("vnc", "auth_schemes"): ["vnc"]},
    {("vnc", "auth_schemes"): []},
    {("vnc", "auth_schemes"): ["vencrypt"]},
    {("vnc", "auth_schemes"): ["vencrypt"], ("vnc", "vencrypt_ca_certs"): "/nowhere.pem"},
])
def test_options_that_cannot_be(options: dict[tuple[str, str], Any]) -> None:
    with pytest.raises(InvalidInput):
        build_proxy(load(overrides=options), "nova-novncproxy", lambda _token: None)


def test_kilos_names_of_options(tmp_path: Path) -> None:
    file = tmp_path / "nova.conf"
    file.write_text(
        "[DEFAULT]\nnovncproxy_host = 192.0.2.1\nnovncproxy_port = 7000\nvncserver_listen = 0.0.0.0\n"
        "novncproxy_base_url = https://cloud/vnc.html\nvncserver_proxyclient_address = 192.0.2.2\n"
        "vnc_enabled = false\nconsole_token_ttl = 60\n[serial_console]\nenabled = true\n"
        "serialproxy_host = 192.0.2.3\nserialproxy_port = 7001\n"
    )
    config = load([str(file)])
    vnc = build_proxy(config, "nova-novncproxy", lambda _token: None)
    serial = build_proxy(config, "nova-serialproxy", lambda _token: None)
    assert (vnc.host, vnc.port, serial.host, serial.port) == ("192.0.2.1", 7000, "192.0.2.3", 7001)
    assert config.vnc.server_proxyclient_address == "192.0.2.2"
    assert (config.compute_host.vnc_enabled, config.compute_host.vncserver_listen) == (False, "0.0.0.0")
    assert config.consoleauth.token_ttl == 60
    assert in_one_process(config, "h", 5).vnc.novncproxy_base_url == "https://cloud/vnc.html"


def test_a_cloud_in_one_process_tells_its_own_addresses() -> None:
    config = in_one_process(load(), "192.0.2.9", 100)
    assert config.vnc.novncproxy_base_url == "http://192.0.2.9:6180/vnc_auto.html"
    assert config.serial_console.base_url == "ws://192.0.2.9:6183/"
    assert (config.fake.console_port, config.fake.serial_port) == (7069, 7071)
    assert proxies_in_one_process(config) == ["nova-novncproxy", "nova-serialproxy"]
    real = load(overrides={("DEFAULT", "compute_driver"): "libvirt.LibvirtDriver",
                           ("spice", "enabled"): True})
    assert proxies_in_one_process(real) == ["nova-novncproxy", "nova-spicehtml5proxy"]
