# SPDX-License-Identifier: Apache-2.0
"""What a real DHCP client is told of routers and routes, and that a change reaches it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from tests.network.plumbing import PlumbedHost, lease, needs_parts, network, until, with_leases

pytestmark = [needs_parts, pytest.mark.timeout(120)]


@pytest.fixture
def plumbed(tmp_path: Path) -> Iterator[PlumbedHost]:
    tmp_path.chmod(0o755)
    host = PlumbedHost(tmp_path)
    try:
        yield host
    finally:
        host.close()


def test_guests_are_told_the_router_that_the_network_has_now(plumbed: PlumbedHost, tmp_path: Path) -> None:
    served = with_leases(network(1, routes=(("10.77.0.0/16", "10.1.0.9"),)), [lease(1, 10)])
    plumbed.conductor.set(served)
    plumbed.start()
    guest = plumbed.client("br100", served.leases[0].mac)
    assert guest.lease(tmp_path) == "10.1.0.10"
    assert "router=10.1.0.1 " in guest.answer
    assert "routes=10.77.0.0/16 10.1.0.9 0.0.0.0/0 10.1.0.1" in guest.answer

    without = msgspec.structs.replace(served, gateway=None, routes=())
    plumbed.set(without)
    assert guest.lease(tmp_path) == "10.1.0.10"
    assert "router= " in guest.answer
    assert "routes=169.254.169.254/32 10.1.0.1" in guest.answer

    elsewhere = msgspec.structs.replace(served, gateway="10.1.0.77", routes=())
    plumbed.set(elsewhere)
    assert guest.lease(tmp_path) == "10.1.0.10"
    assert "router=10.1.0.77 " in guest.answer
    assert "routes=\n" in guest.answer
    assert plumbed.addresses("br100") == {"10.1.0.1/24"}, "the host keeps its address for DHCP"

    moved = msgspec.structs.replace(served, gateway="10.1.0.2", host_address="10.1.0.2", routes=())
    plumbed.set(moved)
    assert guest.lease(tmp_path) == "10.1.0.10"
    assert "router=10.1.0.2 " in guest.answer
    assert plumbed.addresses("br100") == {"10.1.0.2/24"}, "the host's address moved with it"


def test_options_of_a_port_reach_its_guest_alone_and_change_with_it(
    plumbed: PlumbedHost, tmp_path: Path
) -> None:
    wanted = (("mtu", "1390"), ("nonsense", "x"), ("6", "10.1.0.53"))
    plain, special = lease(1, 10), lease(1, 11, options=wanted)
    base = network(1)
    plumbed.conductor.set(with_leases(base, [plain, special]))
    plumbed.start()
    guests = {each.address: plumbed.client("br100", each.mac) for each in (plain, special)}
    assert guests[special.address].lease(tmp_path) == special.address, "a wrong option spoils no others"
    assert "mtu=1390 " in guests[special.address].answer
    assert "dns=10.1.0.53 " in guests[special.address].answer
    assert guests[plain.address].lease(tmp_path) == plain.address
    assert "mtu= " in guests[plain.address].answer
    changed = msgspec.structs.replace(special, options=(("mtu", "1380"),))
    plumbed.set(with_leases(base, [plain, changed]))

    def told(text: str) -> bool:
        return guests[special.address].lease(tmp_path) == special.address and (
            text in guests[special.address].answer
        )

    until(lambda: told("mtu=1380 "))
    plumbed.set(with_leases(base, [plain, msgspec.structs.replace(special, options=())]))
    until(lambda: told("mtu= "))
