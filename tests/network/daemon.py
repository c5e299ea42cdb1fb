# SPDX-License-Identifier: Apache-2.0
"""The nova-network daemon as a process of an ordinary user in a namespace, over a real RabbitMQ."""

from __future__ import annotations

import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

import pika

from nova.rpc.calls import CONDUCTOR
from nova.rpc.envelope import CONTROL, Clock, Envelope
from nova.rpc.keys import ControlKeys, new_key, write_key
from nova.rpc.link import Retry
from nova.rpc.rabbit import RabbitSettings, RabbitTransport
from tests.network.namespaces import Namespace
from tests.network.plumbing import HOST, ROOT, Says, until
from tests.services.broker import Broker

#: Nobody, on every Linux.
USER = 65534
_CAPABILITIES = "+net_admin,+net_raw,+net_bind_service"


class Relay:
    """A port of a namespace behind which is a server outside of it."""

    def __init__(self, inside: Namespace, port: int) -> None:
        self._port = port
        with inside:
            self._listener = socket.create_server(("127.0.0.1", port))
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                near, _peer = self._listener.accept()
                threading.Thread(target=self._carry, args=(near,), daemon=True).start()

    def _carry(self, near: socket.socket) -> None:
        with near, contextlib.suppress(OSError), socket.create_connection(
            ("127.0.0.1", self._port)
        ) as far:
            while True:
                for source in select.select([near, far], [], [])[0]:
                    data = source.recv(65536)
                    if not data:
                        return
                    (far if source is near else near).sendall(data)

    def close(self) -> None:
        self._listener.close()


class NetworkDaemon:
    """The daemon of host ``one``, and the conductor that it asks."""

    def __init__(self, inside: Namespace, broker: Broker) -> None:
        self.inside = inside
        # Below /tmp, as nobody cannot come into what pytest keeps for root.
        self.directory = Path(tempfile.mkdtemp(prefix="nova-network-"))
        self.conductor = Says()
        self._process: subprocess.Popen[bytes] | None = None
        self._relay = Relay(inside, broker.port)
        self.control = self._serve(broker)
        for name in ("log", "networks", "keys"):
            (self.directory / name).mkdir()
        write_key(self.directory / "keys" / f"{HOST}.key", self._key)
        bridge = self.directory / "dhcpbridge"
        bridge.write_text(
            f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -S -m nova.cmd.dhcpbridge \"$@\"\n"
        )
        bridge.chmod(0o755)
        (self.directory / "nova.conf").write_text(
            f"[DEFAULT]\nhost = {HOST}\nmy_ip = 127.0.0.1\nnetworks_path = {self.directory}/networks\n"
            f"state_path = {self.directory}\ntransport_url = {broker.url}\ndhcp_lease_time = 120\n"
            f"dhcpbridge = {bridge}\n"
            f"[host_identity]\nkey_directory = {self.directory}/keys\n[metrics]\nlisten_port = 0\n"
        )
        for path in (self.directory, *self.directory.rglob("*")):
            os.chown(path, USER, USER)

    def _serve(self, broker: Broker) -> RabbitTransport:
        self._key = new_key(HOST)
        ring = ControlKeys(new_key(CONTROL), lambda host: [self._key] if host == HOST else [])
        transport = RabbitTransport(
            [pika.ConnectionParameters(
                "127.0.0.1", broker.port, credentials=pika.PlainCredentials("nova", "nova")
            )],
            Envelope(ring, frozenset({CONTROL}), Clock()), RabbitSettings(retry=Retry(0.1, 0.1, 0.5)),
        )
        transport.start()
        transport.serve(CONDUCTOR, None, self.conductor)
        assert transport.wait_ready(30)
        return transport

    @property
    def log(self) -> str:
        """What it wrote down."""
        path = self.directory / "log" / "nova-network.log"
        return path.read_text() if path.exists() else ""

    @property
    def pid(self) -> int:
        """The daemon's process."""
        assert self._process is not None
        return self._process.pid

    def dnsmasq(self, bridge: str) -> int:
        """The process that serves a bridge; 0 while there is none."""
        try:
            return int((self.directory / "networks" / f"nova-{bridge}.pid").read_text())
        except (OSError, ValueError):
            return 0

    def start(self) -> None:
        """Begin, as operators do; returns when it says that it is ready."""
        ready = self.log.count("nova-network is ready")
        # Python and what is tested may lie in directories that only root reads.
        capabilities = f"-all,{_CAPABILITIES},+dac_read_search"
        command = [
            "ip", "netns", "exec", self.inside.name, "setpriv", f"--reuid={USER}", f"--regid={USER}",
            "--clear-groups", f"--inh-caps={capabilities}", f"--ambient-caps={capabilities}",
            f"--bounding-set={capabilities}", *_program(), f"--log-dir={self.directory}/log",
            "--log-file=nova-network.log", f"--config-file={self.directory}/nova.conf", "-v", "-d",
        ]
        with (self.directory / "out").open("ab") as output:
            self._process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, start_new_session=True,
                cwd=self.directory,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1"},
            )

        def is_ready() -> bool:
            assert self._process is not None
            assert self._process.poll() is None, (self.directory / "out").read_text() + self.log[-3000:]
            return self.log.count("nova-network is ready") > ready

        until(is_ready, 60)

    def end(self, number: int) -> None:
        """Send it a signal and wait for its end; what it started stays."""
        process, self._process = self._process, None
        if process is not None:
            process.send_signal(number)
            process.wait(60)

    def close(self) -> None:
        """End it and all that it started."""
        self.end(signal.SIGKILL)
        self.control.close(1)
        self._relay.close()
        for path in (self.directory / "networks").glob("nova-*.pid"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text())
                if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.directory, ignore_errors=True)


def _program() -> list[str]:
    """The command as it is installed beside Python, or its module."""
    installed = Path(sys.executable).with_name("nova-network")
    return [str(installed)] if installed.exists() else [sys.executable, "-m", "nova.cmd.network"]
