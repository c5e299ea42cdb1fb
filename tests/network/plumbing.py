# SPDX-License-Identifier: Apache-2.0
"""A host's network service in a namespace, a conductor that says what the test wants, and DHCP clients."""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import msgspec
import pytest

from nova import wiring_host
from nova.conf import load
from nova.errors import ServiceUnavailable
from nova.network.host_manager import HostNetworkManager
from nova.network.linux.dhcp import Dhcp
from nova.objects.host_network import HostLease, HostNetwork, HostNetworkState, LeaseEvent
from nova.rpc.calls import CONDUCTOR
from nova.rpc.transport import InProcessTransport
from tests.network.namespaces import Namespace, run

HOST = "one"
ROOT = Path(__file__).parents[2]

MISSING = [name for name in ("ip", "nft", "busybox", "dnsmasq") if shutil.which(name) is None]
needs_parts = pytest.mark.skipif(
    os.geteuid() != 0 or bool(MISSING), reason=f"needs root and {', '.join(MISSING) or 'nothing else'}"
)

_DHCP_SCRIPT = """#!/bin/sh
case "$1" in
bound|renew)
  busybox ip addr flush dev $interface
  busybox ip addr add $ip/$mask dev $interface
  [ -n "$router" ] && busybox ip route replace default via ${router%% *}
  printf '%s' "$ip/$mask router=$router dns=$dns domain=$domain mtu=$mtu server=$serverid" > "$RESULT"
  echo " routes=$staticroutes" >> "$RESULT";;
esac
"""


def network(number: int, bridge: str = "br100", **values: object) -> HostNetwork:
    """A network 10.N.0.0/24 that this host serves."""
    name = str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{number}-{bridge}"))
    facts: dict[str, object] = {
        "uuid": name, "network_uuid": name, "label": f"net{number}", "bridge": bridge,
        "cidr": f"10.{number}.0.0/24", "broadcast": f"10.{number}.0.255", "gateway": f"10.{number}.0.1",
        "host_address": f"10.{number}.0.1", "dhcp_start": f"10.{number}.0.3",
    }
    return HostNetwork(**{**facts, **values})  # type: ignore[arg-type]


def lease(number: int, place: int, name: str | None = None, **values: object) -> HostLease:
    """Address PLACE in network NUMBER."""
    facts: dict[str, object] = {
        "mac": f"fa:16:3e:{number:02x}:{place >> 8:02x}:{place & 255:02x}",
        "address": str(ipaddress.ip_address(f"10.{number}.0.0") + place),
        "hostname": name or f"guest-{number}-{place}", "instance_uuid": str(uuid.uuid4()),
        "vif_id": str(uuid.uuid4()),
    }
    return HostLease(**{**facts, **values})  # type: ignore[arg-type]


class Says:
    """Stands for the conductor."""

    def __init__(self) -> None:
        self.networks: dict[str, HostNetwork] = {}
        self.names: tuple[tuple[str, str], ...] = ()
        self.events: list[LeaseEvent] = []
        self.asked = 0
        self.silent = False
        self.heard = threading.Condition()

    def set(self, *networks: HostNetwork) -> None:
        """There are these, and no others."""
        self.networks = {each.uuid: each for each in networks}

    def network_state(
        self, host: str, network_uuids: Sequence[str] | None = None
    ) -> HostNetworkState:
        self.asked += 1
        if self.silent:
            raise ServiceUnavailable("The conductor is away.")
        found = tuple(
            each for each in self.networks.values()
            if network_uuids is None or each.uuid in network_uuids or each.network_uuid in network_uuids
        )
        whole = network_uuids is None
        return HostNetworkState(
            host=host, whole=whole, networks=found, names=self.names if whole else None
        )

    def host_names(self, host: str) -> tuple[tuple[str, str], ...]:
        return self.names

    def network_report(self, host: str) -> None:
        """It lives."""

    def lease_changed(self, host: str, event: LeaseEvent) -> bool:
        with self.heard:
            self.events.append(event)
            self.heard.notify_all()
        return True

    def hears(self, kind: str, address: str, timeout: float = 20) -> bool:
        """Whether such an event comes."""
        with self.heard:
            return self.heard.wait_for(
                lambda: any(each.kind == kind and each.address == address for each in self.events), timeout
            )


class PlumbedHost(Namespace):
    """A namespace with a network service in it, in this process."""

    def __init__(self, directory: Path, **options: object) -> None:
        super().__init__("host")
        self.directory = directory
        # dnsmasq and its files are read by whoever it runs as.
        self.conductor = Says()
        script = directory / "dhcpbridge"
        script.write_text(
            f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -S -m nova.cmd.dhcpbridge \"$@\"\n"
        )
        script.chmod(0o755)
        self.config = load(overrides={
            ("DEFAULT", name): value for name, value in {
                "networks_path": str(directory / "networks"), "dhcpbridge": str(script), "host": HOST,
                "dhcp_lease_time": 120, "network_sync_interval": 600, **options,
            }.items()
        })
        self.manager: HostNetworkManager | None = None
        self._transport: InProcessTransport | None = None
        self.clients: list[Client] = []
        self.pids_seen: set[int] = set()

    def start(self) -> HostNetworkManager:
        """Begin; returns when the network was applied."""
        self._transport = InProcessTransport(threads=4)
        self._transport.serve(CONDUCTOR, None, self.conductor)
        with self:
            self.manager = wiring_host.build_network_host(self.config, self._transport)
            self.manager.start()
        return self.manager

    def stop(self) -> None:
        """End as a daemon does that is told to: what serves stays."""
        if self.manager is not None and self._transport is not None:
            self.pids_seen |= set(self.pids().values())
            self.manager.stop()
            self._transport.close()
            self.manager = None

    def restart(self) -> HostNetworkManager:
        """Stop and start."""
        self.stop()
        return self.start()

    def set(self, *networks: HostNetwork) -> None:
        """Let the network be this; returns when it is."""
        self.conductor.set(*networks)
        assert self.manager is not None
        self.manager.refresh("networks", [])
        if networks:
            self.manager.prepare([each.uuid for each in networks])

    def dhcp(self) -> Dhcp:
        assert self.manager is not None
        return next(each for each in self.manager.parts if isinstance(each, Dhcp))

    def pids(self) -> dict[str, int]:
        """dnsmasq by bridge."""
        return self.dhcp().pids

    def client(self, bridge: str, mac: str) -> Client:
        """A guest on a bridge."""
        made = Client(self, bridge, mac)
        self.clients.append(made)
        return made

    def addresses(self, device: str) -> set[str]:
        """The addresses of a device."""
        shown = self.ip("-o", "addr", "show", "dev", device, "scope", "global")
        return {line.split()[3] for line in shown.splitlines()}

    def log(self, bridge: str) -> str:
        """What dnsmasq says."""
        return (self.directory / "networks" / f"nova-{bridge}.log").read_text()

    def end(self, pid: int) -> None:
        """End a dnsmasq that was started in this namespace."""
        with contextlib.suppress(OSError):
            if b"dnsmasq" in Path(f"/proc/{pid}/cmdline").read_bytes():
                os.kill(pid, signal.SIGKILL)

    def close(self) -> None:
        with contextlib.suppress(Exception):
            self.pids_seen |= set(self.pids().values())
        self.stop()
        for client in self.clients:
            client.close()
        for path in (self.directory / "networks").glob("*.pid"):
            with contextlib.suppress(ValueError, OSError):
                self.pids_seen.add(int(path.read_text()))
        for pid in self.pids_seen:
            with contextlib.suppress(OSError):
                if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        super().close()


class Client(Namespace):
    """A guest that gets its address by DHCP."""

    def __init__(self, host: Namespace, bridge: str, mac: str, device: str | None = None) -> None:
        super().__init__("guest")
        self.mac = mac
        self.device = device or f"tap{uuid.uuid4().hex[:11]}"
        host.ip(
            "link", "add", self.device, "type", "veth", "peer", "name", "eth0", "address", mac,
            "netns", self.name,
        )
        host.ip("link", "set", self.device, "master", bridge, "up")
        self.ip("link", "set", "eth0", "up")
        self.answer = ""

    def lease(self, directory: Path, tries: int = 8) -> str | None:
        """Ask for an address with a real client; returns it, None where nobody gives one."""
        script = directory / "udhcpc.sh"
        if not script.exists():
            script.write_text(_DHCP_SCRIPT)
            script.chmod(0o755)
        result = directory / f"result-{self.name}"
        result.unlink(missing_ok=True)
        with self:
            subprocess.run(
                ["busybox", "udhcpc", "-i", "eth0", "-n", "-q", "-f", "-t", str(tries), "-T", "1", "-s",
                 str(script), "-O", "mtu", "-O", "staticroutes"],
                env={**os.environ, "RESULT": str(result)}, capture_output=True, timeout=60, check=False,
            )
        self.answer = result.read_text() if result.exists() else ""
        return self.answer.partition("/")[0] or None

    def renew(self, address: str, server: str, tries: int = 5) -> str:
        """Renew by unicast as at T1 (RFC 2131, 4.3.2): ACK, NAK or silence."""
        hardware = bytes.fromhex(self.mac.replace(":", ""))
        with self:
            client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            client.bind((address, 68))
        client.settimeout(1)
        with client:
            for attempt in range(tries):
                message = struct.pack(
                    "!BBBBIHH4s12x16s192x", 1, 1, 6, 0, 77 + attempt, 0, 0, socket.inet_aton(address),
                    hardware,
                ) + b"\x63\x82\x53\x63\x35\x01\x03\xff"
                client.sendto(message, (server, 67))
                with contextlib.suppress(TimeoutError):
                    data = client.recv(2048)
                    kind = data[data.index(b"\x35\x01", 240) + 2]
                    return {5: "ACK", 6: "NAK"}.get(kind, str(kind))
        return "silence"

    def resolve(self, name: str, server: str) -> str | None:
        """Look a name up."""
        with self:
            done = run("busybox", "nslookup", name, server, check=False)
        tail = done.stdout.partition("Name:")[2]
        return next((line.split()[-1] for line in tail.splitlines() if line.startswith("Address")), None)


class Pinger:
    """A ping that runs all the while, five a second."""

    def __init__(self, inside: Namespace, address: str) -> None:
        with inside:
            self._process = subprocess.Popen(
                ["busybox", "ping", "-i", "0.2", address], stdout=subprocess.PIPE, text=True
            )

    def stop(self) -> tuple[int, int]:
        """Ends it; (sent, received)."""
        self._process.send_signal(signal.SIGINT)
        output, _ = self._process.communicate(timeout=20)
        words = next(line for line in output.splitlines() if "transmitted" in line).split()
        return int(words[0]), int(words[3])


def until(condition: Callable[[], object], timeout: float = 30) -> None:
    """Wait for something that no event tells of."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, "it did not come about"
        time.sleep(0.02)


def with_leases(base: HostNetwork, leases: Iterable[HostLease]) -> HostNetwork:
    """The network with these guests."""
    return msgspec.structs.replace(base, leases=tuple(leases))
