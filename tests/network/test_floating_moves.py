# SPDX-License-Identifier: Apache-2.0
"""Floating addresses from the boot to the wire: the network services of two hosts, and a control side."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nova import wiring_host
from nova.conf import load
from nova.network import floating
from nova.network.linux.arp import speaker
from nova.objects.instance import Instance
from tests.network.namespaces import Namespace
from tests.network.plumbing import ROOT, Client, needs_parts, until
from tests.unit.compute.small_cloud import USER, SmallCloud

pytest.importorskip("pyroute2")
pytestmark = [needs_parts, pytest.mark.timeout(180)]

_OPTIONS = {
    "multi_host": True, "share_dhcp_address": True, "auto_assign_floating_ip": True, "fake_network": False,
    "network_driver": "nova.network.linux_net", "default_floating_pool": "öffentlich",
    "public_interface": "eth0", "probe_addresses": False,
}


class Announcements:
    """Hears who says on a device that it has an address."""

    def __init__(self, inside: Namespace, device: str) -> None:
        with inside:
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
            self._raw.bind((device, 0x0806))
        self._heard: list[tuple[str, str]] = []
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                frame = self._raw.recv(2048)
                said = speaker(frame)
                # Of an announcement both addresses are the speaker's.
                if said is not None and frame[28:32] == frame[38:42]:
                    with self._changed:
                        self._heard.append(said)
                        self._changed.notify_all()

    def hears(self, address: str, mac: str) -> bool:
        """Whether such an announcement comes, or came since it was last asked."""
        with self._changed:
            found = self._changed.wait_for(lambda: (address, mac) in self._heard, 20)
            self._heard.clear()
        return found

    def close(self) -> None:
        self._raw.close()


class Site:
    """Two hosts with a network service each, on one public wire, and a cloud."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.cloud = SmallCloud(directory, fake__hosts=2, **_OPTIONS)
        self.outside = Namespace("outside")
        self.outside.ip("link", "add", "wire", "type", "bridge", "forward_delay", "0")
        self.outside.ip("addr", "add", "203.0.113.9/24", "dev", "wire")
        self.outside.ip("link", "set", "wire", "up")
        script = directory / "dhcpbridge"
        script.write_text(
            f"#!/bin/sh\nPYTHONPATH={ROOT} exec {sys.executable} -S -m nova.cmd.dhcpbridge \"$@\"\n"
        )
        script.chmod(0o755)
        self.hosts = {
            name: self._host(name, number) for number, name in enumerate(self.cloud.managers, 1)
        }

    def _host(self, name: str, number: int) -> Namespace:
        made = Namespace("host")
        port = f"port{number}"
        made.ip("link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", self.outside.name)
        self.outside.ip("link", "set", port, "master", "wire", "up")
        made.ip("addr", "add", f"203.0.113.{number}/24", "dev", "eth0")
        made.ip("link", "set", "eth0", "up")
        config = load(overrides={
            ("DEFAULT", option): value for option, value in {
                **_OPTIONS, "networks_path": str(self.directory / name), "my_ip": f"203.0.113.{number}",
                "dhcpbridge": str(self.directory / "dhcpbridge"), "host": name,
            }.items()
        })
        with made:
            manager = wiring_host.build_network_host(config, self.cloud.transport, name)
            manager.start()
        manager.report()
        self.managers = {**getattr(self, "managers", {}), name: manager}
        return made

    def mac_of(self, host: str) -> str:
        """Of a host's public side."""
        words = self.hosts[host].ip("-o", "link", "show", "eth0").split()
        return words[words.index("link/ether") + 1]

    def carries(self, host: str, address: str) -> bool:
        """Whether a host has a floating address."""
        return f" {address}/32 " in self.hosts[host].ip("-o", "addr", "show", "dev", "eth0")

    def guest(self, server: Instance) -> Client:
        """The server's card on its host, with what DHCP gives it."""
        (vif,) = server.network_info
        assert server.host is not None
        made = Client(self.hosts[server.host], vif.bridge or "", vif.mac, f"tap{vif.id[:11]}")
        assert made.lease(self.directory) == vif.addresses[0].address
        return made

    def close(self) -> None:
        for manager in self.managers.values():
            manager.stop()
        self.cloud.stop()
        for path in self.directory.glob("*/nova-*.pid"):
            with contextlib.suppress(OSError, ValueError):
                pid = int(path.read_text())
                if str(self.directory).encode() in Path(f"/proc/{pid}/cmdline").read_bytes():
                    os.kill(pid, signal.SIGKILL)
        for host in (*self.hosts.values(), self.outside):
            host.close()


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(tmp_path)
    try:
        yield made
    finally:
        made.close()


def _let_ping_in(cloud: SmallCloud) -> None:
    with cloud.db.write() as tx:
        group = tx.security_groups.find("p", "default")
        assert group is not None
        tx.security_groups.add_rule(
            group.id, protocol="icmp", from_port=-1, to_port=-1, cidr="0.0.0.0/0", source_group_id=None
        )


def _live(cloud: SmallCloud, server: Instance) -> None:
    cloud.operations.live_migrate(USER, server, host=None)


def _cold(cloud: SmallCloud, server: Instance) -> None:
    cloud.operations.migrate(USER, server, host=None)
    cloud.settle()
    cloud.operations.confirm_resize(USER, cloud.show(server.uuid))


def test_a_server_gets_a_floating_address_and_takes_it_along_wherever_it_moves(site: Site) -> None:
    cloud = site.cloud
    with cloud.db.write() as tx:
        floating.create_range(tx, "203.0.113.48/30", "öffentlich")
    server = cloud.boot()
    assert server.vm_state == "active", server.fault
    (address,) = server.network_info[0].addresses[0].floating
    _let_ping_in(cloud)
    for manager in site.managers.values():
        manager.refresh("filters", [])
    heard = Announcements(site.outside, "wire")
    guest = site.guest(server)
    moves: tuple[Callable[[SmallCloud, Instance], None], ...] = (_live, _cold)
    try:
        assert server.host is not None
        until(lambda: site.carries(server.host or "", address))
        until(lambda: site.outside.pings(address))
        for move in moves:
            before = server.host or ""
            move(cloud, server)
            cloud.settle()
            server = cloud.show(server.uuid)
            after = server.host or ""
            assert after != before
            assert heard.hears(address, site.mac_of(after)), "the wire is told at once"
            until(lambda before=before: not site.carries(before, address))  # type: ignore[misc]
            assert site.carries(after, address)
            guest.close()
            guest = site.guest(server)
            until(lambda: site.outside.pings(address))
        cloud.operations.delete(USER, server)
        cloud.settle()
        until(lambda: not any(site.carries(host, address) for host in site.hosts))
        assert not site.outside.pings(address)
        with cloud.db.read() as tx:
            found = tx.floating_ips.get_by_address(address)
        assert (found.project_id, found.fixed_ip_id, found.auto_assigned) == (None, None, False)
    finally:
        heard.close()
        guest.close()


def test_a_server_without_a_floating_address_left_in_the_pool_is_not_built(site: Site) -> None:
    failed = site.cloud.boot()
    assert failed.vm_state == "error"
    assert failed.network_info == ()
    assert failed.fault is not None
    assert "floating" in failed.fault.message.lower()
