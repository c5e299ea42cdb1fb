# SPDX-License-Identifier: Apache-2.0
"""Floating addresses and the way out, on a host with a bridge and a public side."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nova.conf.network import NetworkSection
from nova.network.linux import conntrack
from nova.network.linux.floating import FloatingAddresses
from nova.objects.host_filters import HostFilters, HostFloating
from nova.objects.host_network import HostNetwork, HostNetworkState
from tests.network.namespaces import Host, Namespace, needs_root, run

pytest.importorskip("pyroute2")
pytestmark = [needs_root, pytest.mark.timeout(120)]

NETWORK = HostNetwork(
    uuid="n1", network_uuid="n1", label="net", bridge="br100", cidr="10.9.0.0/24", gateway="10.9.0.1",
    host_address="10.9.0.1", multi_host=True,
)


@pytest.fixture
def outside(host: Host) -> Iterator[Namespace]:
    """Somebody on the public side, 203.0.113.0/24, of the host, whose interface is eth0."""
    made = Namespace("outside")
    host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", made.name)
    host.ip("addr", "add", "203.0.113.1/24", "dev", "eth0")
    host.ip("link", "set", "eth0", "up")
    made.ip("addr", "add", "203.0.113.9/24", "dev", "eth0")
    made.ip("link", "set", "eth0", "up")
    with host:
        run("sysctl", "-qw", "net.ipv4.ip_forward=1")
    yield made
    made.close()


def part(section: NetworkSection | None = None) -> FloatingAddresses:
    return FloatingAddresses(section or NetworkSection(), "203.0.113.1")


def state(*floating: HostFloating) -> HostNetworkState:
    return HostNetworkState(
        host="h", whole=True, networks=(NETWORK,), filters=HostFilters(floating=floating)
    )


def led(address: str, fixed: str) -> HostFloating:
    return HostFloating(address=address, fixed_address=fixed, network_uuid="n1")


def test_a_floating_address_is_reachable_and_hidden_again(host: Host, outside: Namespace) -> None:
    guest = host.guest(2)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    floating = part()
    with host, guest.listen(22) as ssh:
        floating.start()
        floating.apply(state(), {"n1"})
        assert not outside.reaches("203.0.113.50", 22)
        floating.apply(state(led("203.0.113.50", guest.address)), set())
        stream = outside.connect("203.0.113.50", 22)
        assert stream is not None
        inside, sender = ssh.accept()
        assert sender[0].endswith("203.0.113.9"), "who comes in is seen as who it is"
        floating.apply(state(), set())
        inside.settimeout(1)
        stream.sendall(b"still there?")
        with pytest.raises(OSError, match=r"timed out|reset"):
            assert inside.recv(99), "a live connection ends with the association"
        assert not outside.reaches("203.0.113.50", 22)
        assert "203.0.113.50" not in host.ip("addr", "show", "dev", "eth0")
        stream.close()
        inside.close()


def test_a_guest_leaves_with_its_floating_address_or_the_hosts(host: Host, outside: Namespace) -> None:
    first, second = host.guest(2), host.guest(3)
    for guest in (first, second):
        guest.ip("route", "add", "default", "via", "10.9.0.1")
    with host, outside.listen(80) as web, second.listen(80) as inner:
        part().apply(state(led("203.0.113.50", first.address)), {"n1"})
        for guest, seen in ((first, "203.0.113.50"), (second, "203.0.113.1")):
            client = guest.connect("203.0.113.9", 80)
            assert client is not None
            accepted, sender = web.accept()
            assert sender[0] == f"::ffff:{seen}"
            client.close()
            accepted.close()
        # Within the network nothing is translated.
        client = first.connect(second.address, 80)
        assert client is not None
        accepted, sender = inner.accept()
        assert sender[0] == f"::ffff:{first.address}"
        client.close()
        accepted.close()


def test_guests_reach_each_other_and_themselves_by_floating_addresses(
    host: Host, outside: Namespace
) -> None:
    first, second = host.guest(2), host.guest(3)
    for guest in (first, second):
        guest.ip("route", "add", "default", "via", "10.9.0.1")
    with host, second.listen(22):
        part().apply(
            state(led("203.0.113.50", first.address), led("203.0.113.51", second.address)), {"n1"}
        )
        assert first.reaches("203.0.113.51", 22)
        assert host.reaches("203.0.113.51", 22), "the host itself too"


def test_a_moved_address_is_announced(host: Host, outside: Namespace) -> None:
    guest = host.guest(2)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    # The address was elsewhere: outside remembers another MAC.
    outside.ip("neigh", "add", "203.0.113.50", "lladdr", "02:00:00:00:00:99", "dev", "eth0", "nud", "stale")
    with outside:
        run("sysctl", "-qw", "net.ipv4.conf.eth0.arp_accept=1")
    with host, guest.listen(22):
        part().apply(state(led("203.0.113.50", guest.address)), {"n1"})
        assert "02:00:00:00:00:99" not in outside.ip("neigh", "show", "203.0.113.50")
        assert outside.reaches("203.0.113.50", 22)


def test_a_second_start_changes_nothing_and_takes_off_what_went_meanwhile(
    host: Host, outside: Namespace
) -> None:
    guest = host.guest(2)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    with host, guest.listen(22) as ssh:
        part().apply(
            state(led("203.0.113.50", guest.address), led("203.0.113.51", guest.address)), {"n1"}
        )
        stream = outside.connect("203.0.113.50", 22)
        assert stream is not None
        inside = ssh.accept()[0]
        again = part()
        again.start()
        again.apply(state(led("203.0.113.50", guest.address)), {"n1"})
        stream.sendall(b"on")
        assert inside.recv(9) == b"on"
        assert "203.0.113.51" not in host.ip("addr", "show", "dev", "eth0")
        assert not outside.reaches("203.0.113.51", 22)
        stream.close()
        inside.close()


def test_a_router_elsewhere_does_not_keep_floating_addresses_from_leading_back(
    host: Host, outside: Namespace
) -> None:
    guest, _router = host.guest(2), host.guest(254)
    guest.ip("route", "add", "default", "via", "10.9.0.254")
    elsewhere = msgspec.structs.replace(NETWORK, gateway="10.9.0.254")
    floating = part()
    with host:
        wanted = state(led("203.0.113.50", "10.9.0.2"))
        floating.start()
        floating.apply(msgspec.structs.replace(wanted, networks=(elsewhere,)), {"n1"})
    assert outside.pings("203.0.113.50"), "the answer leaves by this host, whatever the guest's route says"
    assert guest.pings("10.9.0.254"), "its neighbours are reached as before"
    with host:
        floating.set(HostFilters())
    assert not outside.pings("203.0.113.50")
    assert not guest.pings("203.0.113.9"), "all else goes to its router"


def test_a_forced_range_leaves_by_this_host_though_the_router_is_elsewhere(
    host: Host, outside: Namespace
) -> None:
    guest, _router = host.guest(2), host.guest(254)
    guest.ip("route", "add", "default", "via", "10.9.0.254")
    elsewhere = msgspec.structs.replace(NETWORK, gateway="10.9.0.254")
    section = dataclasses.replace(
        NetworkSection(), force_snat_range=("203.0.113.0/24",), routing_source_ip="203.0.113.1"
    )
    with host:
        carrying = FloatingAddresses(section, "192.0.2.7")
        carrying.apply(msgspec.structs.replace(state(), networks=(elsewhere,)), {"n1"})
    server = outside.listen(7000)
    client = guest.connect("203.0.113.9", 7000, wait=5)
    assert client is not None
    connection, peer = server.accept()
    assert peer[0].removeprefix("::ffff:") == "203.0.113.1", "with the address of this host"
    for each in (client, connection, server):
        each.close()


def test_bridges_pass_packets_on_to_the_interfaces_that_are_named(host: Host, outside: Namespace) -> None:
    guest, other = host.guest(2), host.guest(3)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    for interfaces, reached in ((("eth9",), False), (("eth9", "eth0"), True), (("all",), True)):
        section = dataclasses.replace(NetworkSection(), forward_bridge_interface=interfaces)
        with host:
            part(section).apply(state(), {"n1"})
        assert guest.pings("203.0.113.9") == reached, interfaces
        assert guest.pings(other.address), "within the bridge nothing is kept apart"


def test_ranges_of_a_dmz_see_the_guests_own_address(host: Host, outside: Namespace) -> None:
    guest = host.guest(2)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    outside.ip("route", "add", "10.9.0.0/24", "via", "203.0.113.1")
    section = dataclasses.replace(NetworkSection(), dmz_cidr=("203.0.113.8/30",))
    with host, outside.listen(80) as web:
        part(section).apply(state(), {"n1"})
        client = guest.connect("203.0.113.9", 80)
        assert client is not None
        accepted, sender = web.accept()
        assert sender[0] == f"::ffff:{guest.address}"
        client.close()
        accepted.close()


def test_metadata_is_led_to_the_host_that_is_named(host: Host, outside: Namespace) -> None:
    guest = host.guest(2)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    outside.ip("route", "add", "10.9.0.0/24", "via", "203.0.113.1")
    section = dataclasses.replace(
        NetworkSection(), metadata_host="203.0.113.9", metadata_port=8775
    )
    with host, outside.listen(8775) as metadata:
        part(section).apply(state(), {"n1"})
        client = guest.connect("169.254.169.254", 80)
        assert client is not None
        accepted, sender = metadata.accept()
        assert sender[0] == f"::ffff:{guest.address}", "the service knows the guest by its address"
        client.close()
        accepted.close()


@pytest.mark.parametrize("kernel_searches", [True, False])
def test_connections_of_one_address_are_forgotten_and_no_others(
    host: Host, outside: Namespace, kernel_searches: bool
) -> None:
    guest = host.guest(2)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    outside.ip("route", "add", "10.9.0.0/24", "via", "203.0.113.1")

    listing = Path("/proc/thread-self/net/nf_conntrack")

    def tracked(address: str, *, wanted: bool) -> bool:
        # Not every kernel shows its connections there.
        return not listing.exists() or (f"dst={address} " in listing.read_text()) == wanted

    with host, guest.listen(22):
        part().apply(
            state(led("203.0.113.50", guest.address), led("203.0.113.5", guest.address)), {"n1"}
        )
        streams = [outside.connect(each, 22) for each in ("203.0.113.50", "203.0.113.5")]
        assert all(streams)
        assert tracked("203.0.113.50", wanted=True)
        assert conntrack.forget("203.0.113.50", kernel_searches=kernel_searches)
        assert tracked("203.0.113.50", wanted=False)
        assert tracked("203.0.113.5", wanted=True)
        assert conntrack.forget("203.0.113.77", kernel_searches=kernel_searches), "none is no error"
        for each in streams:
            assert each is not None
            each.close()
