# SPDX-License-Identifier: Apache-2.0
"""QEMU's VNC server with certificates, behind the proxy: VeNCrypt on its side, nothing on the browser's."""

from __future__ import annotations

import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import websocket

from nova.conf import load
from nova.console.build import rfb_of
from nova.console.proxy import ConsoleProxy
from nova.objects.console import NOVNC
from tests.host.conftest import _refuse
from tests.unit.console.test_proxy import Tokens, connect, ended, free_port


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Certificates as QEMU names them, and the proxy's own."""
    directory = tmp_path_factory.mktemp("vnc-tls")
    commands = [
        "req -x509 -newkey rsa:2048 -nodes -keyout ca-key.pem -out ca-cert.pem -subj /CN=ca -days 2"
    ]
    for name in ("server", "client"):
        commands += [
            f"req -newkey rsa:2048 -nodes -keyout {name}-key.pem -out {name}.csr -subj /CN={name}",
            f"x509 -req -in {name}.csr -CA ca-cert.pem -CAkey ca-key.pem -CAcreateserial "
            f"-out {name}-cert.pem -days 2",
        ]
    for command in commands:
        subprocess.run(
            ["openssl", *command.split()], cwd=directory, check=True, capture_output=True, timeout=60
        )
    return directory


@pytest.fixture(scope="module")
def vnc_port(certificates: Path) -> Iterator[int]:
    """A QEMU without a guest, whose VNC server asks for certificates."""
    program = shutil.which("qemu-system-x86_64") or shutil.which("qemu-kvm", path="/usr/libexec")
    if program is None:
        _refuse("QEMU is not installed")
    assert program is not None
    port = free_port()
    while port < 5900:
        port = free_port()
    process = subprocess.Popen(
        [program, "-machine", "none", "-nodefaults", "-display", "none", "-object",
         f"tls-creds-x509,id=tls,dir={certificates},endpoint=server,verify-peer=on",
         "-vnc", f"127.0.0.1:{port - 5900},tls-creds=tls"],
        stderr=subprocess.PIPE, text=True,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, process.stderr.read() if process.stderr else ""
            try:
                socket.create_connection(("127.0.0.1", port), 5).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        yield port
    finally:
        process.terminate()
        process.wait(20)


def _open(vnc_port: int, certificates: Path, **changed: object) -> tuple[ConsoleProxy, websocket.WebSocket]:
    values: dict[str, object] = {
        "auth_schemes": ["vencrypt"], "vencrypt_ca_certs": str(certificates / "ca-cert.pem"),
        "vencrypt_client_cert": str(certificates / "client-cert.pem"),
        "vencrypt_client_key": str(certificates / "client-key.pem"), **changed,
    }
    config = load(overrides={("vnc", name): value for name, value in values.items()})
    tokens = Tokens()
    proxy = ConsoleProxy(
        "test", frozenset({NOVNC}), "127.0.0.1", free_port(), tokens.redeem, rfb=rfb_of(config)
    )
    proxy.start()
    tokens.add("t", vnc_port, NOVNC)
    client = connect(proxy)
    assert client.recv() == b"RFB 003.008\n"
    client.send_binary(b"RFB 003.008\n")
    assert client.recv() == b"\x01\x01"
    client.send_binary(b"\x01")
    return proxy, client


def test_the_screen_behind_tls(vnc_port: int, certificates: Path) -> None:
    proxy, client = _open(vnc_port, certificates)
    try:
        assert client.recv() == b"\0\0\0\0"
        client.send_binary(b"\x01")
        assert b"QEMU" in client.recv()
        client.close()
    finally:
        proxy.stop()


@pytest.mark.parametrize("changed", [
    {"auth_schemes": ["none"]},
    {"vencrypt_client_cert": None, "vencrypt_client_key": None},
    {"vencrypt_ca_certs": "other"},
])
def test_who_does_not_fit_sees_nothing(
    vnc_port: int, certificates: Path, changed: dict[str, object], tmp_path: Path
) -> None:
    if changed.get("vencrypt_ca_certs"):
        subprocess.run(
            ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "k", "-out", "c",
             "-subj", "/CN=other", "-days", "2"],
            cwd=tmp_path, check=True, capture_output=True, timeout=60,
        )
        changed = {"vencrypt_ca_certs": str(tmp_path / "c")}
    proxy, client = _open(vnc_port, certificates, **changed)
    try:
        first = client.recv()
        assert not first or (isinstance(first, bytes) and first.startswith(b"\0\0\0\1"))
        client.send_binary(b"\x01")
        assert ended(client)
    except websocket.WebSocketConnectionClosedException:
        pass
    finally:
        proxy.stop()
