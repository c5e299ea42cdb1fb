# SPDX-License-Identifier: Apache-2.0
"""Network namespaces as hosts and guests. Everything made is named apart and taken away again."""

from __future__ import annotations

import ctypes
import os
import shutil
import socket
import subprocess
import time
import uuid
from types import TracebackType

import pytest

_CLONE_NEWNET = 0x40000000
_LIBC = ctypes.CDLL(None, use_errno=True)

MISSING = [name for name in ("ip", "nft", "busybox") if shutil.which(name) is None]
needs_root = pytest.mark.skipif(
    os.geteuid() != 0 or bool(MISSING), reason=f"needs root and {', '.join(MISSING) or 'nothing else'}"
)


def run(*command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run a command; its error text is the exception's."""
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    if check and done.returncode != 0:
        raise AssertionError(f"{' '.join(command)}: {done.stderr.strip() or done.stdout.strip()}")
    return done


class Namespace:
    """A network namespace; the calling thread is inside it within ``with``.

    A socket that was made inside stays there.
    """

    def __init__(self, label: str) -> None:
        self.name = f"nt-{label}-{uuid.uuid4().hex[:6]}"
        self._outside: list[int] = []
        run("ip", "netns", "add", self.name)
        run("ip", "-n", self.name, "link", "set", "lo", "up")

    def ip(self, *arguments: str) -> str:
        """Run ``ip`` for this namespace."""
        return run("ip", "-n", self.name, *arguments).stdout

    def wait_for_link(self, device: str) -> None:
        """Return once a device carries frames."""
        deadline = time.monotonic() + 10
        while "LOWER_UP" not in (shown := self.ip("-o", "link", "show", device)) or "state UP" not in shown:
            assert time.monotonic() < deadline, shown
            time.sleep(0.01)

    def __enter__(self) -> Namespace:
        self._outside.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY))
        inside = os.open(f"/run/netns/{self.name}", os.O_RDONLY)
        try:
            _enter(inside)
        finally:
            os.close(inside)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        outside = self._outside.pop()
        try:
            _enter(outside)
        finally:
            os.close(outside)

    def close(self) -> None:
        """Take it away, with all devices in it."""
        run("ip", "netns", "del", self.name, check=False)

    # -- what a guest does -------------------------------------------------------------------------

    def pings(self, address: str, *, size: int = 56, wait: int = 1) -> bool:
        """Whether an address answers an echo request."""
        program = "ping6" if ":" in address else "ping"
        with self:
            done = run(
                "busybox", program, "-c", "1", "-s", str(size), "-W", str(wait), address, check=False
            )
        return done.returncode == 0

    def listen(self, port: int, address: str = "::") -> socket.socket:
        """A TCP server of both families; closed with the test."""
        with self:
            server = socket.socket(socket.AF_INET6, socket.SOCK_STREAM)
            server.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 0)
            server.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            server.bind((address, port))
            server.listen(16)
        server.settimeout(5)
        return server

    def connect(self, address: str, port: int, *, wait: float = 0.6) -> socket.socket | None:
        """A TCP connection; None where it is not let in."""
        with self:
            client = socket.socket(
                socket.AF_INET6 if ":" in address else socket.AF_INET, socket.SOCK_STREAM
            )
        client.settimeout(wait)
        try:
            client.connect((address, port))
        except OSError:
            client.close()
            return None
        client.settimeout(2)
        return client

    def reaches(self, address: str, port: int, *, wait: float = 0.6) -> bool:
        """Whether a TCP connection comes about."""
        client = self.connect(address, port, wait=wait)
        if client is None:
            return False
        client.close()
        return True

    def datagrams(self, port: int = 0) -> socket.socket:
        """A UDP socket."""
        with self:
            made = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            made.bind(("0.0.0.0", port))
        made.settimeout(0.6)
        return made


def _enter(namespace: int) -> None:
    if _LIBC.setns(namespace, _CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")


class Guest(Namespace):
    """A namespace with one card on a bridge. ``device`` is the card's name on the host."""

    def __init__(self, host: Namespace, bridge: str, address: str, address_v6: str | None = None) -> None:
        super().__init__("guest")
        self.address = address.partition("/")[0]
        self.address_v6 = address_v6.partition("/")[0] if address_v6 else ""
        self.device = f"tap{uuid.uuid4().hex[:11]}"
        host.ip("link", "add", self.device, "type", "veth", "peer", "name", "eth0", "netns", self.name)
        host.ip("link", "set", self.device, "master", bridge, "up")
        self.ip("addr", "add", address, "dev", "eth0")
        if address_v6:
            self.ip("addr", "add", address_v6, "dev", "eth0", "nodad")
        self.ip("link", "set", "eth0", "up")
        # The kernel tells of a new carrier up to a second late; until then what is sent is lost.
        self.wait_for_link("eth0")
        host.wait_for_link(self.device)
        host.wait_for_link(bridge)

    @property
    def mac(self) -> str:
        """Of its card."""
        words = self.ip("-o", "link", "show", "eth0").split()
        return words[words.index("link/ether") + 1]


class Host(Namespace):
    """A namespace with a bridge that guests are put on."""

    def __init__(self, bridge: str = "br100", address: str | None = "10.9.0.1/24") -> None:
        super().__init__("host")
        self.bridge = bridge
        self.guests: list[Guest] = []
        self.ip("link", "add", bridge, "type", "bridge", "forward_delay", "0")
        if address:
            self.ip("addr", "add", address, "dev", bridge)
        self.ip("addr", "add", "fd09::1/64", "dev", bridge, "nodad")
        self.ip("link", "set", bridge, "up")

    def guest(self, number: int, *, network: str = "10.9.0", v6: str | None = "fd09::") -> Guest:
        """A new guest with an address of that number."""
        made = Guest(self, self.bridge, f"{network}.{number}/24", f"{v6}{number}/64" if v6 else None)
        self.guests.append(made)
        return made

    def close(self) -> None:
        for guest in self.guests:
            guest.close()
        super().close()
