# SPDX-License-Identifier: Apache-2.0
"""A router that is switched off: its network is cut off from others, and is served all the same."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec
import pytest

from nova.conf.network import NetworkSection
from nova.network.linux.floating import FloatingAddresses
from nova.network.linux.routers import Routers
from nova.objects.host_filters import HostFilters, HostFloating
from nova.objects.host_network import HostNetwork, HostNetworkState
from tests.network.namespaces import Host, Namespace, needs_root, run
from tests.network.plumbing import until

pytest.importorskip("pyroute2")
pytestmark = [needs_root, pytest.mark.timeout(120)]

NETWORK = HostNetwork(
    uuid="n1", network_uuid="n1", label="net", bridge="br100", cidr="10.9.0.0/24", gateway="10.9.0.1",
    host_address="10.9.0.1", cidr_v6="fd09::/64", gateway_v6="fd09::1", multi_host=True,
)


@pytest.fixture
def outside(host: Host) -> Iterator[Namespace]:
    """Somebody on the other side of the host."""
    made = Namespace("outside")
    host.ip("link", "add", "eth0", "type", "veth", "peer", "name", "eth0", "netns", made.name)
    host.ip("addr", "add", "203.0.113.1/24", "dev", "eth0")
    host.ip("addr", "add", "fd0a::1/64", "dev", "eth0", "nodad")
    host.ip("link", "set", "eth0", "up")
    made.ip("addr", "add", "203.0.113.9/24", "dev", "eth0")
    made.ip("addr", "add", "fd0a::9/64", "dev", "eth0", "nodad")
    made.ip("link", "set", "eth0", "up")
    made.ip("-6", "route", "add", "fd09::/64", "via", "fd0a::1")
    made.wait_for_link("eth0")
    with host:
        run("sysctl", "-qw", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
    yield made
    made.close()


def test_nothing_is_passed_on_for_a_router_that_is_off(host: Host, outside: Namespace) -> None:
    guest, neighbour = host.guest(2), host.guest(3)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    guest.ip("-6", "route", "add", "default", "via", "fd09::1")
    floating = FloatingAddresses(NetworkSection(), "203.0.113.1")
    routers = Routers()
    led = HostFloating(address="203.0.113.50", fixed_address=guest.address, network_uuid="n1")

    def apply(*, routed: bool) -> None:
        network = msgspec.structs.replace(NETWORK, routed=routed)
        state = HostNetworkState(
            host="h", whole=True, networks=(network,), filters=HostFilters(floating=(led,))
        )
        with host:
            routers.apply(state, {"n1"})
            floating.apply(state, {"n1"})

    with outside.listen(80) as web, guest.listen(22), neighbour.listen(22), host.listen(80):
        apply(routed=True)
        stream = guest.connect("203.0.113.9", 80, wait=10)
        assert stream is not None
        far = web.accept()[0]
        # A new interface takes a second or two until it sends neighbour discovery.
        until(lambda: guest.reaches("fd0a::9", 80))
        assert outside.reaches("203.0.113.50", 22, wait=10)
        apply(routed=False)
        far.settimeout(1)
        stream.sendall(b"still there?")
        with pytest.raises(TimeoutError):
            far.recv(99)
        assert not guest.reaches("203.0.113.9", 80)
        assert not guest.reaches("fd0a::9", 80)
        assert not outside.reaches("203.0.113.50", 22), "nor does its floating address lead there"
        assert not outside.reaches(guest.address_v6, 22)
        assert guest.reaches("10.9.0.1", 80, wait=10), "the host itself serves"
        assert guest.reaches(neighbour.address, 22, wait=10), "the network itself is as it was"
        assert neighbour.reaches(guest.address_v6, 22, wait=10)
        apply(routed=True)
        far.settimeout(20)
        assert far.recv(99) == b"still there?"
        assert outside.reaches("203.0.113.50", 22, wait=10)
        stream.close()
        far.close()


def test_metadata_that_another_machine_answers_is_passed_on(host: Host, outside: Namespace) -> None:
    guest = host.guest(2)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    outside.ip("route", "add", "10.9.0.0/24", "via", "203.0.113.1")
    with host:
        run("nft", "add table ip lead; add chain ip lead to { type nat hook prerouting priority -100; }; "
            "add rule ip lead to ip daddr 169.254.169.254 tcp dport 80 dnat to 203.0.113.9:8775")
        Routers().apply(HostNetworkState(
            host="h", whole=True, networks=(msgspec.structs.replace(NETWORK, routed=False),),
        ), {"n1"})
    with outside.listen(8775):
        assert guest.reaches("169.254.169.254", 80, wait=10)
        assert not guest.reaches("203.0.113.9", 8775)


def test_a_host_that_routes_for_nobody_writes_nothing(host: Host) -> None:
    with host:
        Routers(routes=False).apply(HostNetworkState(
            host="h", whole=True, networks=(msgspec.structs.replace(NETWORK, routed=False),),
        ), {"n1"})
        assert "nova_routers" not in run("nft", "list", "tables").stdout
