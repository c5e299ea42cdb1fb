# SPDX-License-Identifier: Apache-2.0
"""Who is asked to look for addresses, what of the answer is believed, and what waits for it."""

from __future__ import annotations

import dataclasses
import datetime
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from nova.conf.network import NetworkSection
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import ServiceUnavailable
from nova.network.allocation import NetworkAllocator
from nova.network.cards import AllocationRequest
from nova.network.probing import AddressesUnprobed, AddressProber
from nova.objects.network import Network
from nova.objects.network import Segment as NetworkSegment

MakeNetwork = Callable[..., Network]

FLAT = dataclasses.replace(
    NetworkSection(), network_manager="nova.network.manager.FlatDHCPManager", probe_pool=4,
    probe_batch=8,
)
MAC = "52:54:00:AA:BB:CC"


class Segment:
    """Stands for the transport to hosts, with strangers on their segment."""

    def __init__(self) -> None:
        self.strangers: dict[str, str] = {}
        self.liars: set[str | None] = set()
        self.asked: list[tuple[str | None, list[str]]] = []
        self.segments: list[NetworkSegment | None] = []
        self.answer: Callable[[Sequence[str]], dict[str, str | None]] | None = None

    def call(self, _topic: str, host: str | None, _method: str, *args: Any) -> Any:
        _network, addresses, segment = args
        self.segments.append(segment)
        self.asked.append((host, list(addresses)))
        if self.answer is not None:
            return self.answer(addresses)
        if host in self.liars:
            return dict.fromkeys(addresses, MAC)
        return {each: self.strangers.get(each) for each in addresses}

    def serve(self, topic: str, host: str | None, endpoint: object) -> None:
        raise AssertionError

    def cast(self, topic: str, host: str | None, method: str, /, *args: Any) -> None:
        raise AssertionError


@pytest.fixture
def segment() -> Segment:
    return Segment()


def prober(db: Database, segment: Segment, section: NetworkSection = FLAT) -> AddressProber:
    return AddressProber(db, segment, section, 60)


def serve(db: Database, network: Network, host: str = "h1") -> None:
    with db.write() as tx:
        tx.host_networks.take_unserved(host)
        tx.services.report_many([("nova-network", host, "network")], now())


def marked(db: Database, network: Network) -> set[str]:
    with db.read() as tx:
        return {each.address for each in tx.fixed_ips.of_network(network.id) if each.used_elsewhere}


def test_the_next_addresses_are_kept_probed(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/28")
    serve(db, network)
    segment.strangers = {"10.0.0.2": MAC, "10.0.0.4": MAC}
    probing = prober(db, segment)
    assert probing.run() == 6, "what is passed over makes room for the next"
    assert segment.asked == [
        ("h1", ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5"]), ("h1", ["10.0.0.6", "10.0.0.7"]),
    ]
    assert marked(db, network) == {"10.0.0.2", "10.0.0.4"}
    with db.read() as tx:
        assert tx.fixed_ips.get("10.0.0.2").seen_mac == MAC.lower()
    assert probing.run() == 0, "a probe holds for a while"


def test_ranges_of_two_networks_that_overlap_are_told_apart(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    first = make_network("10.0.0.0/28")
    serve(db, first)
    with db.write() as tx:
        row = tx.fixed_ips.of_network(first.id)[2]
        tx.probes.record({row.id: MAC}, now())
    assert marked(db, first) == {row.address}


def test_a_host_is_believed_for_what_it_was_asked_only(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/28")
    serve(db, network)
    segment.answer = lambda addresses: {**dict.fromkeys(addresses), "10.0.0.9": MAC}
    prober(db, segment).run()
    assert marked(db, network) == set()


def test_a_host_that_cannot_look_is_left_alone_for_a_while(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/28")
    serve(db, network)

    def refuse(_addresses: Sequence[str]) -> dict[str, str | None]:
        raise ServiceUnavailable("Nobody serves network there.")

    segment.answer = refuse
    probing = prober(db, segment)
    assert probing.run() == 0
    assert probing.run() == 0
    assert len(segment.asked) == 1
    segment.answer = lambda _addresses: {}
    assert prober(db, segment).run() == 0, "a host that does not carry the network says nothing"
    assert marked(db, network) == set()


def test_nobody_waits_where_nobody_can_look(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/28")
    probing = prober(db, segment)
    probing.ready({network.id: 3})
    assert probing.run() == 0
    with db.write() as tx:
        tx.host_networks.take_unserved("h1")
        long_ago = now() - datetime.timedelta(hours=1)
        tx.services.report_many([("nova-network", "h1", "network")], long_ago)
    assert prober(db, segment).run() == 0, "a dead host is not asked"
    serve(db, network)
    assert prober(db, segment, dataclasses.replace(FLAT, probe_addresses=False)).run() == 0
    assert segment.asked == []


def test_a_burst_is_given_up_once_and_served_after_the_probe(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/27")
    serve(db, network)
    allocator = NetworkAllocator(FLAT)
    allocator.prober = prober(db, segment)
    allocator.prober.run()
    segment.strangers = {"10.0.0.6": MAC, "10.0.0.9": MAC}
    segment.asked.clear()
    requests = [
        AllocationRequest(instance_uuid=str(number), project_id="p", host="h1") for number in range(6)
    ]
    with pytest.raises(AddressesUnprobed) as unprobed, db.write() as tx:
        allocator.allocate_many(tx, requests, probed_only=True)
    assert unprobed.value.wanted == {network.id: 6}
    with db.read() as tx:
        assert not any(each.allocated for each in tx.fixed_ips.of_network(network.id))
    allocator.prober.ready(unprobed.value.wanted)
    assert [addresses for _host, addresses in segment.asked] == [
        ["10.0.0.6", "10.0.0.7"], ["10.0.0.8"],
    ]
    with db.write() as tx:
        answers = allocator.allocate_many(tx, requests, probed_only=True)
    given = [answer[0].addresses[0].address for answer in answers]  # type: ignore[index]
    assert given == ["10.0.0.2", "10.0.0.3", "10.0.0.4", "10.0.0.5", "10.0.0.7", "10.0.0.8"]


def test_an_address_given_back_is_probed_again(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/29")
    serve(db, network)
    allocator = NetworkAllocator(FLAT)
    allocator.prober = prober(db, segment, dataclasses.replace(FLAT, probe_pool=8))
    allocator.prober.run()
    with db.write() as tx:
        allocator.allocate_many(
            tx, [AllocationRequest(instance_uuid="i", project_id="p", host="h1")], probed_only=True
        )
    with db.write() as tx:
        allocator.release(tx, ["i"])
    segment.asked.clear()
    allocator.prober.run()
    assert ["10.0.0.2"] in [addresses for _host, addresses in segment.asked]


def test_a_network_that_is_on_no_host_yet_is_asked_for_from_beside(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/28", multi_host=True)
    with db.write() as tx:
        tx.services.report_many([("nova-network", "h1", "network")], now())
    segment.strangers = {"10.0.0.2": MAC}
    allocator = NetworkAllocator(FLAT)
    allocator.prober = prober(db, segment)
    request = AllocationRequest(instance_uuid="i", project_id="p", host="h1")
    allocator.prober.ready({network.id: 1})
    assert [addresses for _host, addresses in segment.asked] == [["10.0.0.2"], ["10.0.0.3"]]
    assert {each.bridge for each in segment.segments if each} == {network.bridge}
    with db.write() as tx:
        (answer,) = allocator.allocate_many(tx, [request], probed_only=True)
    assert answer[0].addresses[0].address == "10.0.0.3"  # type: ignore[index]
    allocator.prober.run()
    segment.asked.clear()
    assert allocator.prober.run() == 0
    assert segment.asked == []


def test_a_host_beside_is_believed_that_an_address_is_in_use_if_a_second_one_finds_it(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/28", multi_host=True)
    with db.write() as tx:
        tx.services.report_many([("nova-network", host, "network") for host in ("h1", "h2")], now())
    segment.strangers = {"10.0.0.3": MAC}
    segment.liars = {("h1", "h2")[network.id % 2]}
    prober(db, segment).run()
    assert marked(db, network) == {"10.0.0.3"}


def test_a_host_that_hangs_keeps_a_boot_for_a_second_at_most(
    db: Database, make_network: MakeNetwork, segment: Segment
) -> None:
    network = make_network("10.0.0.0/28")
    serve(db, network)
    released = threading.Event()

    def hang(addresses: Sequence[str]) -> dict[str, str | None]:
        released.wait(60)
        return dict.fromkeys(addresses)

    segment.answer = hang
    try:
        began = time.monotonic()
        prober(db, segment).ready({network.id: 1})
        assert time.monotonic() - began < 30, "not as long as the host hangs"
    finally:
        released.set()
