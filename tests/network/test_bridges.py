# SPDX-License-Identifier: Apache-2.0
"""Bridges of a host: made, taken over, left alone; the host's own addresses; many networks at once."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.errors import NetworkNotReady
from tests.network.namespaces import Namespace, run
from tests.network.plumbing import (
    ROOT,
    Pinger,
    PlumbedHost,
    lease,
    needs_parts,
    network,
    until,
    with_leases,
)

pytestmark = needs_parts

MANAGEMENT = "192.168.77.2"
OUTSIDE = "192.168.77.1"


@pytest.fixture
def plumbed(tmp_path: Path) -> Iterator[PlumbedHost]:
    tmp_path.chmod(0o755)
    host = PlumbedHost(tmp_path, send_arp_for_ha=True, use_ipv6=True)
    try:
        yield host
    finally:
        host.close()


@pytest.fixture
def outside(plumbed: PlumbedHost) -> Iterator[Namespace]:
    """What is behind the host's NIC eth1, which carries the host's own address and default route."""
    made = Namespace("outside")
    plumbed.ip("link", "add", "eth1", "type", "veth", "peer", "name", "eth0", "netns", made.name)
    made.ip("addr", "add", f"{OUTSIDE}/24", "dev", "eth0")
    made.ip("addr", "add", "fd77::1/64", "dev", "eth0", "nodad")
    made.ip("link", "set", "eth0", "up")
    set_up_nic(plumbed)
    yield made
    made.close()


def set_up_nic(plumbed: PlumbedHost) -> None:
    """What the host's own configuration gives its NIC at each start."""
    for address in (f"{MANAGEMENT}/24", "fd77::2/64"):
        plumbed.ip("addr", "add", address, "dev", "eth1", *(["nodad"] if ":" in address else []))
    plumbed.ip("link", "set", "eth1", "up")
    plumbed.ip("route", "add", "default", "via", OUTSIDE)
    plumbed.ip("-6", "route", "add", "default", "via", "fd77::1")
    plumbed.ip("route", "add", "10.200.0.0/16", "via", "192.168.77.9", "metric", "50")
    plumbed.ip("route", "add", "10.201.0.0/16", "dev", "eth1", "scope", "link")


def routes(host: Namespace) -> set[str]:
    """The routes that somebody set, without the device."""
    lines = host.ip("route", "show").splitlines() + host.ip("-6", "route", "show", "default").splitlines()
    found = set()
    for line in lines:
        words = line.split()
        if "proto" not in words or words[words.index("proto") + 1] != "kernel":
            where = words.index("dev")
            kept = words[:where] + words[where + 2 :]
            found.add(" ".join(each for each in kept if each not in ("linkdown", "onlink")))
    return found


def test_a_nic_goes_into_the_bridge_with_the_hosts_addresses_and_routes(
    plumbed: PlumbedHost, outside: Namespace
) -> None:
    assert plumbed.pings(OUTSIDE)
    before = routes(plumbed)
    assert len(before) == 4
    mac = plumbed.ip("-o", "link", "show", "eth1").partition("link/ether ")[2].split()[0]
    pinger = Pinger(outside, MANAGEMENT)
    flat = network(1, bridge_interface="eth1")
    plumbed.conductor.set(flat)
    plumbed.start()
    assert plumbed.addresses("br100") == {"10.1.0.1/24", f"{MANAGEMENT}/24", "fd77::2/64"}
    assert plumbed.addresses("eth1") == set()
    assert routes(plumbed) == before
    assert plumbed.pings(OUTSIDE)
    assert plumbed.pings("fd77::1")
    assert mac in plumbed.ip("-o", "link", "show", "br100"), "neighbours need not ask again"
    time.sleep(0.5)
    sent, received = pinger.stop()
    assert sent - received <= 1
    shown = plumbed.ip("-4", "addr")
    plumbed.restart()
    assert plumbed.ip("-4", "addr") == shown
    # A network of the VLAN kind on a missing interface is told, and disturbs nobody.
    plumbed.conductor.set(flat, network(2, "br2", bridge_interface="eth9"))
    assert plumbed.manager is not None
    plumbed.manager.refresh("networks", [])
    with pytest.raises(NetworkNotReady, match="eth9, which is not on this host"):
        plumbed.manager.prepare([network(2, "br2").uuid])
    plumbed.manager.prepare([flat.uuid])


def test_after_a_start_of_the_host_its_addresses_are_on_the_bridge_again(
    plumbed: PlumbedHost, outside: Namespace
) -> None:
    before = routes(plumbed)
    plumbed.conductor.set(network(1, bridge_interface="eth1"), network(2, bridge_interface="eth1"))
    plumbed.start()
    addresses = plumbed.addresses("br100")
    assert addresses == {"10.1.0.1/24", "10.2.0.1/24", f"{MANAGEMENT}/24", "fd77::2/64"}
    pids = plumbed.pids()
    plumbed.stop()
    # What a new start of the kernel leaves.
    for pid in pids.values():
        plumbed.end(pid)
    plumbed.ip("link", "del", "br100")
    set_up_nic(plumbed)
    plumbed.conductor.silent = True
    plumbed.start()
    assert plumbed.addresses("br100") == addresses
    assert plumbed.addresses("eth1") == set()
    assert routes(plumbed) == before
    until(lambda: outside.pings(MANAGEMENT))
    until(lambda: outside.pings("fd77::2"))


def test_what_is_there_is_taken_over_and_what_is_something_else_is_left_alone(
    plumbed: PlumbedHost,
) -> None:
    plumbed.ip("link", "add", "br1", "type", "bridge")
    plumbed.ip("addr", "add", "172.31.0.1/24", "dev", "br1")
    plumbed.ip("link", "add", "br2", "type", "veth", "peer", "name", "br2-end")
    plumbed.conductor.set(network(1, "br1", mtu=1400), network(2, "br2"), network(3, "br3"))
    plumbed.start()
    assert plumbed.addresses("br1") == {"172.31.0.1/24", "10.1.0.1/24"}
    assert "mtu 1400" in plumbed.ip("link", "show", "br1")
    assert plumbed.addresses("br3") == {"10.3.0.1/24"}, "one that cannot be disturbs no other"
    assert plumbed.addresses("br2") == set()
    assert plumbed.manager is not None
    with pytest.raises(NetworkNotReady, match="br2 is there, but it is no bridge"):
        plumbed.manager.prepare([network(2, "br2").uuid])
    # What was in the way is gone: it comes by itself with whatever comes next.
    plumbed.ip("link", "del", "br2")
    plumbed.manager.prepare([network(2, "br2").uuid])
    assert plumbed.addresses("br2") == {"10.2.0.1/24"}


def test_guests_find_the_same_gateway_whichever_of_them_come_and_go(plumbed: PlumbedHost) -> None:
    plumbed.conductor.set(network(6, "br6"))
    plumbed.start()

    def mac() -> str:
        words = plumbed.ip("-o", "link", "show", "br6").split()
        return words[words.index("link/ether") + 1]

    before = mac()
    guest = plumbed.client("br6", "fa:16:3e:06:00:0a")
    plumbed.ip("link", "set", guest.device, "down")
    plumbed.ip("link", "set", guest.device, "address", "02:00:00:00:00:01", "up")
    assert mac() == before, "a port with a lower MAC would hand its own on to the bridge"


def test_a_bridge_with_a_guest_stays_when_its_network_goes(tmp_path: Path) -> None:
    tmp_path.chmod(0o755)
    host = PlumbedHost(tmp_path, teardown_unused_network_gateway=True)
    try:
        host.conductor.set(network(1, "br1"), network(2, "br2"))
        host.start()
        guest = host.client("br1", "fa:16:3e:00:00:01")
        host.set()
        until(lambda: host.pids() == {})
        until(lambda: "br2" not in host.ip("link"))
        assert guest.device in host.ip("link", "show", "master", "br1")
        assert host.addresses("br1") == set()
        until(lambda: list((tmp_path / "networks").glob("nova-br*")) == [])
    finally:
        host.close()


def test_a_virtual_ip_moves_between_guests_within_one_announcement(
    plumbed: PlumbedHost, tmp_path: Path
) -> None:
    base = with_leases(network(4, "br4"), [lease(4, 10), lease(4, 11), lease(4, 12)])
    plumbed.conductor.set(base)
    plumbed.start()
    one, two, asker = (plumbed.client("br4", each.mac) for each in base.leases)
    for each in (one, two, asker):
        assert each.lease(tmp_path)
    one.ip("addr", "add", "10.4.0.250/24", "dev", "eth0")
    assert asker.pings("10.4.0.250")
    assert plumbed.pings("10.4.0.250")
    one.ip("addr", "del", "10.4.0.250/24", "dev", "eth0")
    two.ip("addr", "add", "10.4.0.250/24", "dev", "eth0")
    with two:  # as keepalived does when it becomes the master
        from nova.network.linux.announce import announce

        announce("eth0", two.mac, "10.4.0.250", 1)
    assert asker.pings("10.4.0.250")
    assert plumbed.pings("10.4.0.250")
    assert two.mac in asker.ip("neigh", "show", "10.4.0.250")


def test_the_address_of_a_host_is_announced(plumbed: PlumbedHost) -> None:
    plumbed.ip("link", "add", "br5", "type", "bridge")
    plumbed.ip("link", "set", "br5", "up")
    guest = plumbed.client("br5", "fa:16:3e:00:00:05")
    with guest:
        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(0x0806))
    raw.settimeout(20)
    plumbed.conductor.set(network(5, "br5"))
    plumbed.start()
    announced = socket.inet_aton("10.5.0.1")
    with raw:
        while True:
            frame = raw.recv(100)
            if frame[28:32] == announced == frame[38:42]:
                break


def test_guests_of_ipv6_ranges_hear_of_their_prefix(plumbed: PlumbedHost) -> None:
    if not Path("/proc/sys/net/ipv6").exists():
        pytest.skip("this kernel has no IPv6")
    six = network(6, "br6", cidr_v6="fd06::/64", gateway_v6="fd06::1")
    plumbed.conductor.set(six)
    plumbed.start()
    assert plumbed.addresses("br6") == {"10.6.0.1/24", "fd06::1/64"}
    guest = plumbed.client("br6", "fa:16:3e:00:00:06")
    until(lambda: "fd06::f816:3eff:fe00:6/64" in guest.ip("-6", "addr", "show", "dev", "eth0"))


def test_hosts_of_one_vlan_serve_their_own_guests_only(tmp_path: Path) -> None:
    """Two hosts whose bridges are joined by their uplinks; both have the same DHCP address."""
    hosts = []
    try:
        for index in (1, 2):
            directory = tmp_path / str(index)
            directory.mkdir()
            directory.chmod(0o755)
            hosts.append(PlumbedHost(directory))
        one, two = hosts
        one.ip("link", "add", "up0", "type", "veth", "peer", "name", "up0", "netns", two.name)
        for index, host in enumerate(hosts):
            base = network(7, "br7", multi_host=True, share_address=True, bridge_interface="up0")
            host.conductor.set(with_leases(base, [lease(7, 10 + index)]))
            host.start()
        guests = [
            host.client("br7", lease(7, 10 + index).mac) for index, host in enumerate(hosts)
        ]
        for index, guest in enumerate(guests):
            assert guest.lease(hosts[index].directory) == f"10.7.0.{10 + index}"
            assert guest.renew(f"10.7.0.{10 + index}", "10.7.0.1") == "ACK"
            assert guest.pings("10.7.0.1")
            there = hosts[1 - index].ip("-o", "link", "show", "br7").partition("ether ")[2].split()[0]
            assert there not in guest.ip("neigh", "show", "10.7.0.1"), "it is its own host's"
        assert guests[0].pings("10.7.0.11"), "guests of both hosts are on one segment"
        assert "fa:16:3e:07:00:0b" not in one.log("br7")
    finally:
        for host in hosts:
            host.close()


def test_two_hundred_networks_and_two_thousand_ports_from_nothing(plumbed: PlumbedHost) -> None:
    networks = [
        with_leases(network(number, f"br{number}"), [lease(number, place) for place in range(10, 20)])
        for number in range(1, 201)
    ]
    plumbed.conductor.set(*networks)
    began = time.perf_counter()
    plumbed.start()
    taken = time.perf_counter() - began
    links = plumbed.ip("-o", "link", "show", "type", "bridge").splitlines()
    assert len(links) == 200
    assert len(plumbed.pids()) == 200
    assert plumbed.addresses("br200") == {"10.200.0.1/24"}
    assert len(list((plumbed.directory / "networks").glob("nova-*.hosts/*"))) == 2000
    assert taken < 60
    assert plumbed.manager is not None
    began = time.perf_counter()
    plumbed.set(*networks)
    assert time.perf_counter() - began < 20, "looking at all that is right already"
    guest = plumbed.client("br77", networks[76].leases[0].mac)
    assert guest.lease(plumbed.directory) == "10.77.0.10"


def test_it_runs_with_three_capabilities_and_names_one_that_is_missing(plumbed: PlumbedHost) -> None:
    if shutil.which("setpriv") is None:
        pytest.skip("setpriv is not installed")
    script = (
        "import sys, tempfile, pathlib\n"
        "from nova import wiring_host\nfrom nova.conf import load\n"
        "from nova.rpc.transport import InProcessTransport\nfrom nova.rpc.calls import CONDUCTOR\n"
        "from tests.network.plumbing import Says, network, lease, with_leases\n"
        "says = Says(); says.set(with_leases(network(8, 'br8'), [lease(8, 10)]))\n"
        "transport = InProcessTransport(threads=2); transport.serve(CONDUCTOR, None, says)\n"
        "config = load(overrides={('DEFAULT', 'networks_path'): sys.argv[1], ('DEFAULT', 'host'): 'one'})\n"
        "manager = wiring_host.build_network_host(config, transport)\n"
        "manager.start(); manager.stop()\n"
        "print('done')\n"
    )
    directory = Path(tempfile.mkdtemp(prefix="nova-network-"))
    os.chown(directory, 65534, 65534)

    def as_nobody(capabilities: str) -> subprocess.CompletedProcess[str]:
        # Python may lie in a directory that only root reads.
        capabilities += ",+dac_read_search"
        return run(
            "ip", "netns", "exec", plumbed.name, "setpriv", "--reuid=65534", "--regid=65534",
            "--clear-groups", f"--inh-caps=-all,{capabilities}", f"--ambient-caps=-all,{capabilities}",
            f"--bounding-set=-all,{capabilities}", "env", f"PYTHONPATH={ROOT}",
            "PYTHONDONTWRITEBYTECODE=1", sys.executable, "-c", script, str(directory), check=False,
        )

    lacking = as_nobody("+net_raw,+net_bind_service")
    assert "lacks CAP_NET_ADMIN (bridges" in lacking.stderr
    done = as_nobody("+net_admin,+net_raw,+net_bind_service")
    assert done.stdout == "done\n", done.stderr
    guest = plumbed.client("br8", lease(8, 10).mac)
    assert guest.lease(plumbed.directory) == "10.8.0.10"
    assert plumbed.addresses("br8") == {"10.8.0.1/24"}
    plumbed.end(int((directory / "nova-br8.pid").read_text()))
    shutil.rmtree(directory)
