# SPDX-License-Identifier: Apache-2.0
"""Requests as bytes: what no HTTP client would send."""

from __future__ import annotations

import contextlib
import re
import socket
from collections.abc import Iterator

PATHS = {
    "compute": "/v2.1/servers", "identity": "/v3/users", "image": "/v2/images",
    "network": "/v2.0/networks",
}

#: The client's fault, told so.
REFUSED = frozenset(range(400, 500))
_FINE = frozenset({200, 300})


class Raw:
    """Writes bytes to one port and reads one answer."""

    def __init__(self, port: int, token: str) -> None:
        self.port = port
        self.token = token

    def send(self, request: bytes) -> tuple[int, bytes]:
        """(status, body) of the answer; status 0 where there is none."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=8) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(request)
            return _answer(connection)

    def send_hundred_megabytes(self, face: str, *, chunked: bool) -> tuple[int, bytes]:
        """Sends until the other side closes or all is sent."""
        megabyte = b"x" * 2**20
        length = b"Transfer-Encoding: chunked" if chunked else b"Content-Length: %d" % (100 * 2**20)
        with socket.create_connection(("127.0.0.1", self.port), timeout=8) as connection:
            with contextlib.suppress(OSError):
                connection.sendall(_head("POST", PATHS[face], self.token, length))
                for _ in range(100):
                    connection.sendall(
                        b"%x\r\n%s\r\n" % (len(megabyte), megabyte) if chunked else megabyte
                    )
            return _answer(connection)

    @contextlib.contextmanager
    def silent(self, face: str, count: int) -> Iterator[None]:
        """So many clients that promise a body and send a part of it."""
        with contextlib.ExitStack() as closing:
            for _ in range(count):
                connection = closing.enter_context(
                    socket.create_connection(("127.0.0.1", self.port), timeout=8)
                )
                connection.sendall(
                    _head("POST", PATHS[face], self.token, b"Content-Length: 999") + b'{"a":'
                )
            yield


def requests_for(face: str, token: str) -> Iterator[tuple[str, frozenset[int], bytes]]:
    """(name, allowed statuses, request)."""
    path = PATHS[face]

    def post(body: bytes, *headers: bytes) -> bytes:
        return _head("POST", path, token, b"Content-Length: %d" % len(body), *headers) + body

    def get(place: bytes, *headers: bytes) -> bytes:
        return _head("GET", place.decode("latin-1"), token, *headers)

    for name, body in {
        "cut JSON": b'{"a":', "UTF-16": b"\xff\xfe{\x00}\x00", "bad UTF-8": b'{"a":"\xff"}',
        "no text": b"", "NaN": b'{"a":NaN}', "byte order mark": b"\xef\xbb\xbf{}",
        "depth": b"[" * 50_000 + b"]" * 50_000, "lone surrogate": b'{"server":{"name":"\\ud800"}}',
        "NUL": b'{"server":{"name":"a\\u0000b"}}', "list": b"[]", "number": b"1", "null": b"null",
        "two values": b"{}{}", "long number": b'{"server":{"min_count":' + b"9" * 5000 + b"}}",
        "single quotes": b"{'server': {}}",
    }.items():
        yield f"body: {name}", REFUSED, post(body)
    yield "no length", REFUSED, _head("POST", path, token)
    yield "compressed", REFUSED, post(b"\x1f\x8b", b"Content-Encoding: gzip")
    for length in (b"-1", b"abc", b"9" * 30, b"1, 2", b"0x2"):
        yield f"length {length!r}", REFUSED, _head("POST", path, token, b"Content-Length: " + length)
    two = _head("POST", path, token, b"Content-Length: 2", b"Content-Length: 3")
    yield "two lengths", REFUSED, two + b"{} "
    yield "bad chunk", REFUSED, _head("POST", path, token, b"Transfer-Encoding: chunked") + b"zz\r\n{}\r\n"
    prefix = path.encode()
    for name, place in {
        "dots": prefix + b"/../../../etc/passwd", "encoded dots": prefix + b"/%2e%2e/%2e%2e/etc/passwd",
        "NUL": prefix + b"/a%00b", "raw NUL": prefix + b"/a\x00b", "not UTF-8": prefix + b"/%ff%fe",
        "raw bytes": prefix + b"/\xff\xfe", "bad percent": prefix + b"/%zz",
        "backslash": prefix + b"/..%5c..%5cetc", "encoded slash": prefix + b"/a%2fb",
    }.items():
        yield f"path: {name}", REFUSED, get(place)
    slashes = prefix.replace(b"/", b"//")
    yield "path: double slashes", REFUSED | _FINE, get(slashes)
    for name, query in {
        "not UTF-8": b"name=%ff", "NUL": b"name=%00", "raw bytes": b"name=\xff",
        "many": b"&".join(b"a%d=1" % number for number in range(1000)),
    }.items():
        expected = REFUSED | _FINE if face == "identity" else REFUSED
        yield f"query: {name}", expected, get(prefix + b"?" + query)
    yield "query: long", REFUSED | _FINE, get(prefix + b"?name=" + b"a" * 60_000)
    for method in ("FROB", "TRACE", "CONNECT", "get", "A" * 300):
        yield f"method {method[:10]}", REFUSED, _head(method, path, token)
    yield "many headers", REFUSED, get(prefix, *(b"X-%d: 1" % number for number in range(10_000)))
    yield "long header", REFUSED, get(prefix, b"X-Long: " + b"a" * 900_000)
    yield "header without a colon", REFUSED, get(prefix, b"nonsense")
    yield "not HTTP", REFUSED, b"\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"
    yield "HTTP/9", REFUSED, b"GET / HTTP/9.9\r\nHost: x\r\n\r\n"
    yield "odd host", REFUSED | _FINE, get(prefix, b"X-Forwarded-Host: a\"<>", b"X-Forwarded-Proto: data")
    if face == "compute":
        for version in (b"2." + b"9" * 5000, b"3.1", b"2.99999", b"x", b"2.1.1", b"-2.1", b"2.01", b"2"):
            header = b"OpenStack-API-Version: compute " + version
            yield f"version {version[:9]!r}", REFUSED, get(prefix, header)


def _head(method: str, path: str, token: str, *headers: bytes) -> bytes:
    lines = [
        f"{method} {path} HTTP/1.1".encode("latin-1"), b"Host: 127.0.0.1",
        b"X-Auth-Token: " + token.encode(), b"Content-Type: application/json", *headers,
    ]
    return b"\r\n".join(lines) + b"\r\n\r\n"


def _answer(connection: socket.socket) -> tuple[int, bytes]:
    received = b""
    while True:
        head, end, body = received.partition(b"\r\n\r\n")
        if end:
            length = re.search(rb"content-length: (\d+)", head.lower())
            if length is not None and len(body) >= int(length.group(1)):
                break
        try:
            more = connection.recv(65536)
        except OSError:
            break
        if not more:
            break
        received += more
    head, _, body = received.partition(b"\r\n\r\n")
    found = re.match(rb"HTTP/1\.[01] (\d+)", head)
    return (int(found.group(1)) if found else 0), body
