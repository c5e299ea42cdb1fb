# SPDX-License-Identifier: Apache-2.0
"""Security groups on a real bridge: what comes in, what does not, and when that changes."""

from __future__ import annotations

import time

import msgspec
import pytest

from nova.api.network.security_group_rules import PROTOCOLS
from nova.network.linux.firewall import Firewall
from nova.network.linux.nftables import Nftables
from nova.objects.host_filters import (
    EVERYTHING,
    FilterGroup,
    FilterPort,
    FilterRule,
    GroupMembers,
    HostFilters,
)
from tests.network.namespaces import Guest, Host, needs_root

pytestmark = [needs_root, pytest.mark.timeout(120)]

SSH = FilterRule(protocol="tcp", first=22, last=22, cidr="0.0.0.0/0")
SSH6 = FilterRule(protocol="tcp", first=22, last=22, cidr="::/0")
PING = FilterRule(protocol="icmp", first=8, last=0, cidr="0.0.0.0/0")
PING6 = FilterRule(protocol="icmp", first=-1, last=-1, cidr="::/0")
DNS = FilterRule(protocol="udp", first=53, last=53, cidr="0.0.0.0/0")


class Filtered:
    """A host with a firewall, run inside the host's namespace."""

    def __init__(self, host: Host) -> None:
        self.host = host
        self.firewall = Firewall()
        with host:
            self.firewall.start()
        self.ports: dict[str, FilterPort] = {}
        self.members: tuple[GroupMembers, ...] = ()

    def guard(self, guest: Guest, *groups: int) -> None:
        """Filter a guest by groups from the next change on."""
        self.ports[guest.device] = FilterPort(device=guest.device, groups=groups)

    def rules(
        self, *rules: FilterRule, group: int = 1, leaving: tuple[FilterRule, ...] = EVERYTHING
    ) -> int:
        """Give a group its rules; returns how many commands that took."""
        filters = HostFilters(
            groups=(FilterGroup(group, rules, leaving),), members=self.members,
            ports=tuple(self.ports.values()),
        )
        with self.host:
            return self.firewall.set(filters)


@pytest.fixture
def filtered(host: Host) -> Filtered:
    return Filtered(host)


def test_only_what_a_rule_names_comes_in(filtered: Filtered) -> None:
    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    with server.listen(22), server.listen(80), server.datagrams(53) as dns, server.datagrams(54) as other:
        filtered.rules()
        assert not client.reaches(server.address, 22)
        assert not client.reaches(server.address_v6, 22)
        assert not client.pings(server.address)
        assert not client.pings(server.address_v6)
        filtered.rules(SSH, PING, DNS)
        assert client.reaches(server.address, 22)
        assert not client.reaches(server.address, 80)
        assert client.pings(server.address)
        assert not client.reaches(server.address_v6, 22), "a rule of IPv4 says nothing of IPv6"
        assert not client.pings(server.address_v6)
        with client.datagrams() as asking:
            asking.sendto(b"let in", (server.address, 53))
            data, sender = dns.recvfrom(99)
            assert data == b"let in"
            dns.sendto(b"answer", sender)
            assert asking.recv(99) == b"answer"
            asking.sendto(b"held back", (server.address, 54))
            with pytest.raises(TimeoutError):
                other.recvfrom(99)
        filtered.rules(SSH6, PING6)
        assert client.reaches(server.address_v6, 22)
        assert client.pings(server.address_v6)
        assert not client.pings(server.address)


def test_a_guest_gets_answers_to_what_it_began(filtered: Filtered) -> None:
    guest, outside = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(guest, 1)
    filtered.rules()
    with outside.listen(8080), outside.datagrams(53) as dns, guest.datagrams() as asking:
        assert guest.reaches(outside.address, 8080)
        assert guest.reaches(outside.address_v6, 8080)
        assert guest.pings(outside.address)
        assert guest.pings(outside.address_v6)
        assert guest.pings("10.9.0.1"), "the host's answers come through too"
        asking.sendto(b"question", (outside.address, 53))
        _data, sender = dns.recvfrom(99)
        dns.sendto(b"answer", sender)
        assert asking.recv(99) == b"answer"
        assert not outside.pings(guest.address)
        # An error about what the guest sent belongs to it.
        asking.connect((outside.address, 9))
        asking.send(b"nobody listens")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(99)


def test_the_host_itself_and_what_it_routes_are_held_to_the_rules(filtered: Filtered) -> None:
    guest = filtered.host.guest(2)
    filtered.guard(guest, 1)
    filtered.rules()
    with guest.listen(22):
        assert not filtered.host.reaches(guest.address, 22)
        filtered.rules(SSH)
        assert filtered.host.reaches(guest.address, 22)


def test_a_rule_taken_away_ends_the_connection_that_it_let_in(filtered: Filtered) -> None:
    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    web = FilterRule(protocol="tcp", first=80, last=80, cidr="0.0.0.0/0")
    filtered.rules(SSH, web)
    with server.listen(22) as ssh, server.listen(80) as http:
        doomed, kept = client.connect(server.address, 22), client.connect(server.address, 80)
        assert doomed is not None
        assert kept is not None
        inside, inside_kept = ssh.accept()[0], http.accept()[0]
        filtered.rules(web)
        inside.settimeout(0.8)
        doomed.sendall(b"more")
        with pytest.raises(TimeoutError):
            inside.recv(99)
        # That the server goes on talking does not open it again.
        inside.sendall(b"still there?")
        doomed.sendall(b"more")
        with pytest.raises(TimeoutError):
            inside.recv(99)
        kept.sendall(b"goes on")
        assert inside_kept.recv(99) == b"goes on"
        filtered.rules(SSH, web)
        inside.settimeout(10)
        assert inside.recv(99) == b"moremore", "let in again, what was held back comes"
        for each in (doomed, kept, inside, inside_kept):
            each.close()


def test_members_of_a_group_come_in_and_others_do_not(filtered: Filtered) -> None:
    server, member, stranger = (filtered.host.guest(number) for number in (2, 3, 4))
    filtered.guard(server, 1)
    from_members = FilterRule(protocol="tcp", first=22, last=22, remote_group=7)
    filtered.members = (GroupMembers(7, (member.address, member.address_v6)),)
    filtered.rules(from_members)
    with server.listen(22):
        assert member.reaches(server.address, 22)
        assert member.reaches(server.address_v6, 22)
        assert not stranger.reaches(server.address, 22)
        assert not stranger.reaches(server.address_v6, 22)
        filtered.members = (GroupMembers(7, (stranger.address,)),)
        filtered.rules(from_members)
        assert stranger.reaches(server.address, 22)
        assert not member.reaches(server.address, 22)


def test_one_more_member_among_500_is_one_element(filtered: Filtered) -> None:
    server, member = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    crowd = tuple(f"10.8.{number // 250}.{number % 250 + 1}" for number in range(500))
    rule = FilterRule(remote_group=1)
    filtered.members = (GroupMembers(1, crowd),)
    filtered.rules(rule)
    filtered.members = (GroupMembers(1, (*crowd, member.address)),)
    began = time.perf_counter()
    commands = filtered.rules(rule)
    took = time.perf_counter() - began
    # The element, and the two that change the digest's name.
    assert commands == 3
    assert took < 0.5
    assert member.pings(server.address)


def test_an_address_that_a_guest_takes_on_answers(filtered: Filtered) -> None:
    first, second, client = (filtered.host.guest(number) for number in (2, 3, 4))
    for each in (first, second):
        filtered.guard(each, 1)
    filtered.rules(PING, SSH)
    for holder, former in ((first, None), (second, first)):
        if former is not None:
            former.ip("addr", "del", "10.9.0.100/24", "dev", "eth0")
        holder.ip("addr", "add", "10.9.0.100/24", "dev", "eth0")
        with holder:
            from tests.network.namespaces import run

            run("busybox", "arping", "-U", "-c", "1", "-w", "2", "-I", "eth0", "10.9.0.100", check=False)
        assert client.pings("10.9.0.100")
        with holder.listen(22), holder.listen(80):
            assert client.reaches("10.9.0.100", 22)
            assert not client.reaches("10.9.0.100", 80), "the groups hold for it too"


def test_fragments_belong_to_their_datagram(filtered: Filtered) -> None:
    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    filtered.rules(DNS)
    with server.datagrams(53) as dns, server.datagrams(54) as other, client.datagrams() as asking:
        asking.sendto(bytes(6000), (server.address, 53))
        data, sender = dns.recvfrom(9999)
        assert len(data) == 6000
        dns.sendto(bytes(5000), sender)
        assert len(asking.recv(9999)) == 5000
        asking.sendto(bytes(6000), (server.address, 54))
        with pytest.raises(TimeoutError):
            other.recvfrom(9999)


def test_neighbours_of_its_own_network_may_always_come_in(filtered: Filtered) -> None:
    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.ports[server.device] = FilterPort(device=server.device, neighbours=("10.9.0.0/24",))
    filtered.rules()
    assert client.pings(server.address)
    assert not client.pings(server.address_v6)


def test_a_port_without_filters_is_open_and_a_removed_one_leaves_nothing(filtered: Filtered) -> None:
    server, client, open_one = (filtered.host.guest(number) for number in (2, 3, 4))
    filtered.guard(server, 1)
    filtered.rules()
    assert client.pings(open_one.address)
    assert not client.pings(server.address)
    del filtered.ports[server.device]
    filtered.rules()
    assert client.pings(server.address)
    with filtered.host:
        from tests.network.namespaces import run

        listing = run("nft", "list", "table", "bridge", "nova").stdout
    assert server.device not in listing
    assert "chain port_" not in listing


def test_a_second_start_changes_nothing_and_a_stream_runs_on(filtered: Filtered) -> None:
    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    filtered.rules(SSH, PING)
    with server.listen(22) as ssh:
        stream = client.connect(server.address, 22)
        assert stream is not None
        inside = ssh.accept()[0]
        again = Filtered(filtered.host)
        again.ports = filtered.ports
        assert again.rules(SSH, PING) == 0
        stream.sendall(b"runs on")
        assert inside.recv(99) == b"runs on"
        assert again.rules(SSH, PING, DNS) > 0
        stream.sendall(b"and on")
        assert inside.recv(99) == b"and on"
        stream.close()
        inside.close()


def test_tables_that_somebody_took_away_come_back(filtered: Filtered) -> None:
    from nova.objects.host_network import HostNetworkState
    from tests.network.namespaces import run

    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    filtered.rules()
    with filtered.host:
        run("nft", "flush", "ruleset")
        assert client.pings(server.address)
        filters = HostFilters(groups=(FilterGroup(1),), ports=tuple(filtered.ports.values()))
        state = HostNetworkState(host="h", whole=True, filters=filters)
        filtered.firewall.apply(state, {"any"})
    assert not client.pings(server.address)
    # A change that meets other tables than it left puts in all of its own.
    with filtered.host:
        run("nft", "delete", "table", "bridge", "nova")
        more = msgspec.structs.replace(filters, groups=(FilterGroup(1, (PING,)),))
        filtered.firewall.set(more)
    assert client.pings(server.address)


def test_a_refused_change_leaves_what_was_there(filtered: Filtered) -> None:
    from nova.network.linux.libnftables import FilterError
    from nova.network.linux.nftables import Chain, Table

    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    filtered.rules()
    with filtered.host, pytest.raises(FilterError):
        Nftables().apply([Table("bridge", "nova", chains={"broken": Chain(("no such thing",))})])
    assert not client.pings(server.address)


def test_2000_ports_and_one_change(filtered: Filtered) -> None:
    groups = tuple(
        FilterGroup(number, (SSH, PING, FilterRule(remote_group=number)), EVERYTHING)
        for number in range(1, 101)
    )
    members = tuple(
        GroupMembers(number, tuple(f"10.{number}.0.{each}" for each in range(1, 21)))
        for number in range(1, 101)
    )
    ports = tuple(
        FilterPort(
            device=f"tap{number:011d}", groups=(number % 100 + 1, (number // 100) + 1),
            dhcp=(f"10.{number % 200}.0.1",),
        )
        for number in range(2000)
    )
    whole = HostFilters(groups=groups, members=members, ports=ports)
    firewall = Firewall()
    with filtered.host:
        began = time.perf_counter()
        firewall.set(whole)
        first = time.perf_counter() - began
        times = []
        for number in range(5):
            one_more = msgspec.structs.replace(SSH, last=30 + number)
            changed = msgspec.structs.replace(
                whole, groups=(FilterGroup(1, (*groups[0].rules, one_more), EVERYTHING), *groups[1:])
            )
            began = time.perf_counter()
            assert firewall.set(changed) > 0
            times.append(time.perf_counter() - began)
    print(f"2,000 ports: {first:.2f} s; one change: {min(times) * 1e3:.1f} ms")
    # The figures asked for are 2 s and 0.02 s on a quiet machine; benchmarks/network.py prints them.
    assert first < 6
    assert min(times) < 0.2


def test_rules_that_were_there_before_the_bridge_hold() -> None:
    late = Host()
    try:
        late.ip("link", "del", "br100")
        filtered = Filtered(late)
        filtered.rules(SSH)
        late.ip("link", "add", "br100", "type", "bridge", "forward_delay", "0")
        late.ip("link", "set", "br100", "up")
        server, client = late.guest(2), late.guest(3)
        filtered.guard(server, 1)
        filtered.rules(SSH)
        assert not client.pings(server.address)
        with server.listen(22):
            assert client.reaches(server.address, 22)
    finally:
        late.close()


def test_the_kernel_takes_every_kind_of_rule_and_what_it_would_not_is_left_out(
    filtered: Filtered,
) -> None:
    server, client = filtered.host.guest(2), filtered.host.guest(3)
    filtered.guard(server, 1)
    names = [*(name for name in PROTOCOLS if name != "hopopt"), "any", "-1", "0", "6", "47", "255"]
    every = [
        FilterRule(protocol=name, first=first, last=last, ethertype=ethertype, cidr=cidr)
        for name in names
        for first, last in ((None, None), (-1, -1), (3, 1), (0, 0), (22, 23), (1, 65535))
        for ethertype, cidr in (
            (None, None), ("IPv4", None), ("IPv6", None), ("IPv4", "10.8.7.6/24"), ("IPv6", "2001:db8::1/64"),
        )
        if cidr is not None or name in ("tcp", "gre", "icmp")
    ]
    every = [each for each in every if each.protocol != "icmp" or each.cidr is not None]
    wrong = [
        FilterRule(protocol="nonsense"), FilterRule(protocol="256"), FilterRule(protocol="²"),
        FilterRule(protocol="tcp", first=5, last=4), FilterRule(protocol="udp", first=5, last=70000),
        FilterRule(protocol="icmp", first=300, last=0), FilterRule(remote_group=99),
    ]
    filtered.rules(*every, *wrong)
    assert not client.pings(server.address)
    filtered.rules(*every, *wrong, PING)
    assert client.pings(server.address)
