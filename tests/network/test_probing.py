# SPDX-License-Identifier: Apache-2.0
"""Addresses are looked for on a real segment before guests get them."""

from __future__ import annotations

import dataclasses
import datetime
import socket
import struct
import threading
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from nova.conf.network import NetworkSection
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.db.schema.base import now
from nova.errors import NetworkNotReady
from nova.network.allocation import NetworkAllocator
from nova.network.cards import AllocationRequest
from nova.network.creation import NetworkRequest, create_networks
from nova.network.linux.arp import ROUTED, probe_routed, probe_segment
from nova.network.linux.host_prober import HostProber
from nova.network.probing import AddressesUnprobed, AddressProber
from nova.objects.host_network import HostNetwork
from nova.objects.network import Segment
from nova.rpc.calls import NETWORK
from nova.rpc.transport import InProcessTransport
from tests.network.namespaces import Host, Namespace, needs_root

pytestmark = [needs_root, pytest.mark.timeout(120)]

SECTION = dataclasses.replace(
    NetworkSection(), network_manager="nova.network.manager.FlatDHCPManager", probe_timeout=0.3,
    flat_network_bridge="br100",
)


def test_250_addresses_of_a_segment_within_the_time(host: Host) -> None:
    guests = {host.guest(number).address for number in (5, 77, 200)}
    addresses = [f"10.9.0.{number}" for number in range(2, 252)]
    with host:
        began = time.perf_counter()
        answers = probe_segment("br100", addresses, 0.5)
        took = time.perf_counter() - began
    print(f"250 addresses: {took:.2f} s")
    assert took < 1.5
    assert {address for address, mac in answers.items() if mac} == guests
    macs = {guest.address: guest.mac for guest in host.guests}
    assert {address: answers[address] for address in guests} == macs


def test_all_in_use_is_known_without_waiting(host: Host) -> None:
    guest = host.guest(5)
    with host:
        began = time.perf_counter()
        assert probe_segment("br100", [guest.address], 5.0) == {guest.address: guest.mac}
        assert time.perf_counter() - began < 2.5


def test_a_probe_changes_no_ones_arp_cache(host: Host) -> None:
    guest = host.guest(5)
    with host:
        probe_segment("br100", [guest.address], 0.3)
    assert guest.ip("neigh", "show", "dev", "eth0") == ""


class TaggedStranger:
    """Somebody on a VLAN of a wire: answers for one address, and hears who asks for what."""

    def __init__(self, inside: Namespace, device: str, vlan: int, address: str) -> None:
        self.mac = bytes.fromhex("525400aabbcc")
        self.heard: list[tuple[int | None, str]] = []
        self._vlan, self._address = vlan, socket.inet_aton(address)
        with inside:
            self._raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
            self._raw.bind((device, 3))
        self._raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
        self._raw.settimeout(0.2)
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._answer, daemon=True)
        self._thread.start()

    def _answer(self) -> None:
        while not self._ending.is_set():
            try:
                frame, beside, _flags, origin = self._raw.recvmsg(2048, 256)
            except TimeoutError:
                continue
            if origin[2] == socket.PACKET_OUTGOING or frame[12:14] != b"\x08\x06":
                continue
            tag = None
            for _level, _kind, data in beside:
                status, *_sizes, tci, _type = struct.unpack_from("=IIIHHHH", data)
                tag = tci & 0xFFF if status & 0x10 else None
            asked, asker = frame[38:42], frame[6:12]
            self.heard.append((tag, socket.inet_ntoa(asked)))
            if (tag, asked) != (self._vlan, self._address):
                continue
            body = struct.pack("!HHBBH", 1, 0x0800, 6, 4, 2) + self.mac + asked + asker + bytes(4)
            head = asker + self.mac + struct.pack("!HH", 0x8100, self._vlan) + b"\x08\x06"
            self._raw.send(head + body)

    def close(self) -> None:
        self._ending.set()
        self._thread.join(10)
        self._raw.close()


def test_a_vlan_that_the_host_has_no_device_of_is_asked_on_the_nic_that_leads_there(host: Host) -> None:
    wire = Namespace("wire")
    stranger = None
    try:
        host.ip("link", "add", "eth1", "type", "veth", "peer", "name", "port", "netns", wire.name)
        host.ip("link", "set", "eth1", "up")
        wire.ip("link", "set", "port", "up")
        host.wait_for_link("eth1")
        stranger = TaggedStranger(wire, "port", 401, "10.40.1.2")
        before = host.ip("-o", "link", "show")
        segment = Segment(cidr="10.40.1.0/24", bridge="br401", vlan=401)
        with host:
            section = dataclasses.replace(SECTION, vlan_interface="eth1", probe_timeout=1.0)
            found = HostProber(section).probe_beside(segment, ["10.40.1.2", "10.40.1.3", "10.9.0.2"])
            other = Segment(
                cidr="10.40.1.0/24", bridge="br402", vlan=402, bridge_interface="eth1"
            )
            silent = HostProber(SECTION).probe_beside(other, ["10.40.1.2"])
            with pytest.raises(NetworkNotReady, match="br403"):
                HostProber(SECTION).probe_beside(
                    Segment(cidr="10.40.1.0/24", bridge="br403", vlan=403), ["10.40.1.2"]
                )
        assert found == {"10.40.1.2": stranger.mac.hex(":"), "10.40.1.3": None}
        assert silent == {"10.40.1.2": None}
        assert set(stranger.heard) == {(401, "10.40.1.2"), (401, "10.40.1.3"), (402, "10.40.1.2")}
        assert host.ip("-o", "link", "show") == before, "nothing is set up for a question"
    finally:
        if stranger is not None:
            stranger.close()
        wire.close()


def test_a_nic_in_a_bridge_is_asked_all_the_same(host: Host) -> None:
    guest = host.guest(5)
    with host:
        segment = Segment(cidr="10.9.0.0/24", bridge="br-later", bridge_interface=guest.device)
        found = HostProber(SECTION).probe_beside(segment, [guest.address, "10.9.0.77"])
    assert found == {guest.address: guest.mac, "10.9.0.77": None}


def test_a_routed_range_is_asked_by_echo(host: Host) -> None:
    guest = host.guest(5)
    with host:
        answers = probe_routed([guest.address, "10.9.0.99", "192.0.2.1"], 0.5)
        assert answers == {guest.address: ROUTED, "10.9.0.99": None, "192.0.2.1": None}
        elsewhere = HostNetwork(
            uuid="n", network_uuid="n", label="n", bridge="br-none", cidr="10.9.0.0/24"
        )
        found = HostProber(NetworkSection()).probe(elsewhere, [guest.address, "10.9.0.99", "172.16.0.1"])
        assert found == {guest.address: ROUTED, "10.9.0.99": None}


class NetworkService:
    """The probing half of a host's network service."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.asked: list[int] = []

    def probe(
        self, network_uuid: str, addresses: Sequence[str], segment: Segment | None = None
    ) -> dict[str, str | None]:
        self.asked.append(len(addresses))
        network = HostNetwork(
            uuid=network_uuid, network_uuid=network_uuid, label="n", bridge="br100", cidr="10.9.0.0/24"
        )
        with self.host:
            return HostProber(SECTION).probe(network, addresses)


class Control:
    """The control side: a database with one network, on which the host's service is."""

    def __init__(self, directory: Path, host: Host) -> None:
        self.db = Database(f"sqlite:///{directory}/n.sqlite")
        metadata.create_all(self.db.engine)
        with self.db.write() as tx:
            wanted = NetworkRequest(label="n", cidr="10.9.0.0/24", bridge="br100")
            (self.network,) = create_networks(tx, wanted, SECTION)
            tx.host_networks.take_unserved("h1")
            tx.services.report_many([("nova-network", "h1", "network")], now())
        self.transport = InProcessTransport()
        self.service = NetworkService(host)
        self.transport.serve(NETWORK, "h1", self.service)
        self.allocator = NetworkAllocator(SECTION)
        self.prober = AddressProber(self.db, self.transport, SECTION, 60)
        self.allocator.prober = self.prober

    def boot(self, number: int = 1) -> list[str]:
        """Boot servers as the conductor does: unprobed addresses are asked for between two tries."""
        requests = [
            AllocationRequest(instance_uuid=f"{time.monotonic_ns()}-{each}", project_id="p", host="h1")
            for each in range(number)
        ]
        try:
            with self.db.write() as tx:
                answers = self.allocator.allocate_many(tx, requests, probed_only=True)
        except AddressesUnprobed as unprobed:
            self.prober.ready(unprobed.wanted)
            with self.db.write() as tx:
                answers = self.allocator.allocate_many(tx, requests)
        return [answer[0].addresses[0].address for answer in answers]  # type: ignore[index]


@pytest.fixture
def control(tmp_path: Path, host: Host) -> Control:
    return Control(tmp_path, host)


def test_a_strangers_address_is_skipped_and_the_next_too(control: Control, host: Host) -> None:
    first, second = host.guest(2), host.guest(3)
    control.prober.run()
    assert control.boot() == ["10.9.0.4"]
    with control.db.read() as tx:
        seen = {each.address: each for each in tx.fixed_ips.of_network(control.network.id)}
    for stranger in (first, second):
        assert seen[stranger.address].used_elsewhere
        assert seen[stranger.address].seen_mac == stranger.mac
        assert seen[stranger.address].seen_at is not None
    assert not seen["10.9.0.5"].used_elsewhere


def test_a_burst_beyond_the_pool_is_probed_for_once_and_in_time(control: Control, host: Host) -> None:
    control.prober.run()
    stranger = host.guest(90)
    control.service.asked.clear()
    began = time.perf_counter()
    given = control.boot(150)
    took = time.perf_counter() - began
    assert stranger.address not in given
    assert len(set(given)) == 150
    assert len(control.service.asked) <= 3
    assert took < 5, "a second of probing, and the rest is this machine"


def test_a_boot_finds_its_address_probed_and_does_not_wait(control: Control) -> None:
    control.prober.run()
    control.service.asked.clear()
    for _ in range(5):
        control.boot()
    assert control.service.asked == []


def test_an_address_that_fell_silent_is_given_again(control: Control, host: Host) -> None:
    stranger = host.guest(2)
    control.prober.run()
    stranger.ip("link", "set", "eth0", "down")
    control.prober.run()
    with control.db.read() as tx:
        assert tx.fixed_ips.get("10.9.0.2").used_elsewhere, "not before the probe is old"
    with control.db.write() as tx:
        rows = {each.id: each.seen_mac for each in tx.fixed_ips.of_network(control.network.id)
                if each.used_elsewhere}
        tx.probes.record(rows, now() - datetime.timedelta(seconds=SECTION.probe_age + 1))
    control.prober.run()
    with control.db.read() as tx:
        found = tx.fixed_ips.get("10.9.0.2")
    assert not found.used_elsewhere
    assert found.seen_mac == stranger.mac, "who it was stays readable"
    assert control.boot() == ["10.9.0.2"]
