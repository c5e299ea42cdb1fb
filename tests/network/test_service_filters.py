# SPDX-License-Identifier: Apache-2.0
"""Filters, floating addresses and probes through a host's whole network service."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nova.objects.host_filters import EVERYTHING, FilterGroup, FilterPort, FilterRule, HostFilters
from nova.objects.host_network import HostNetworkState
from tests.network.namespaces import Guest
from tests.network.plumbing import PlumbedHost, Says, needs_parts, network

pytestmark = [needs_parts, pytest.mark.timeout(120)]

PING = FilterRule(protocol="icmp", first=8, last=0, cidr="0.0.0.0/0")
SSH = FilterRule(protocol="tcp", first=22, last=22, cidr="0.0.0.0/0")


class SaysFilters(Says):
    """A conductor that knows filters as well."""

    def __init__(self) -> None:
        super().__init__()
        self.filters = HostFilters()
        self.filters_asked = 0

    def network_state(self, host, network_uuids=None) -> HostNetworkState:  # type: ignore[no-untyped-def]
        state = super().network_state(host, network_uuids)
        return msgspec.structs.replace(state, filters=self.filters)

    def host_filters(self, host: str) -> HostFilters:
        self.filters_asked += 1
        return self.filters


@pytest.fixture
def served(tmp_path: Path) -> Iterator[PlumbedHost]:
    """A host that serves 10.1.0.0/24 with two guests in it, the first filtered."""
    made = PlumbedHost(tmp_path)
    made.conductor = SaysFilters()
    guests: list[Guest] = []
    try:
        made.start()
        made.set(network(1))
        guests += [Guest(made, "br100", f"10.1.0.{number}/24") for number in (10, 11)]
        made.guests = guests  # type: ignore[attr-defined]
        yield made
    finally:
        for guest in guests:
            guest.close()
        made.close()


def let_in(served: PlumbedHost, device: str, *rules: FilterRule) -> None:
    """Change the rules and tell the service, as the conductor does; returns when they hold."""
    conductor = served.conductor
    assert isinstance(conductor, SaysFilters)
    conductor.filters = HostFilters(
        groups=(FilterGroup(1, rules, EVERYTHING),), ports=(FilterPort(device=device, groups=(1,)),)
    )
    manager = served.manager
    assert manager is not None
    for _ in range(50):
        manager.refresh("filters", [])
    # What comes after the notes in the service's one thread comes after their work.
    manager.prepare([network(1).uuid])


def test_a_message_changes_the_rules_and_many_cost_one_question(served: PlumbedHost) -> None:
    guest, other = served.guests  # type: ignore[attr-defined]
    assert other.pings(guest.address)
    let_in(served, guest.device)
    assert not other.pings(guest.address)
    conductor = served.conductor
    assert isinstance(conductor, SaysFilters)
    conductor.filters_asked = 0
    let_in(served, guest.device, PING)
    assert other.pings(guest.address)
    assert conductor.filters_asked < 10


def test_the_service_stops_and_starts_without_a_lost_packet_or_a_gap(served: PlumbedHost) -> None:
    guest, other = served.guests  # type: ignore[attr-defined]
    let_in(served, guest.device, PING, SSH)
    lost: list[int] = []
    slipped: list[int] = []
    done = threading.Event()

    def stream() -> None:
        with guest.listen(22) as server:
            client = other.connect(guest.address, 22)
            assert client is not None
            inside = server.accept()[0]
            number = 0
            while not done.is_set():
                number += 1
                client.sendall(number.to_bytes(4, "big"))
                if int.from_bytes(inside.recv(4), "big") != number:
                    lost.append(number)
                time.sleep(0.005)
            client.close()
            inside.close()

    def knocking() -> None:
        with guest.listen(23):
            while not done.is_set():
                held = other.connect(guest.address, 23, wait=0.05)
                if held is not None:
                    slipped.append(1)
                    held.close()

    threads = [threading.Thread(target=stream), threading.Thread(target=knocking)]
    for thread in threads:
        thread.start()
    pinging = threading.Thread(target=lambda: lost.extend([] if _pings(other, guest) else [-1]))
    pinging.start()
    try:
        for _ in range(3):
            served.restart()
    finally:
        pinging.join(30)
        done.set()
        for thread in threads:
            thread.join(30)
    assert not lost
    assert not slipped


def _pings(source: Guest, target: Guest) -> bool:
    """A ping of 30 packets, none lost."""
    from tests.network.namespaces import run

    with source:
        said = run(
            "busybox", "ping", "-c", "30", "-A", "-W", "2", target.address, check=False
        ).stdout
    return " 0% packet loss" in said


def test_the_service_probes_its_segments(served: PlumbedHost) -> None:
    guest, _other = served.guests  # type: ignore[attr-defined]
    assert served.manager is not None
    with served:
        found = served.manager.probe(network(1).uuid, [guest.address, "10.1.0.99"])
    assert found == {guest.address: guest.mac, "10.1.0.99": None}
    assert served.manager.probe("another", [guest.address]) == {}
