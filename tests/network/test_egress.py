# SPDX-License-Identifier: Apache-2.0
"""What leaves a guest, on a real bridge: what its groups let out, what always may, and when that changes."""

from __future__ import annotations

import socket

import pytest

from nova.objects.host_filters import FilterPort, FilterRule, GroupMembers
from tests.network.namespaces import Guest, Host, needs_root, run
from tests.network.test_security_groups import DNS, PING, PING6, SSH, SSH6, Filtered

pytestmark = [needs_root, pytest.mark.timeout(120)]

ALL_IN = (FilterRule(),)


@pytest.fixture
def filtered(host: Host) -> Filtered:
    return Filtered(host)


def held(filtered: Filtered, number: int = 2) -> Guest:
    """A guest of group 1, which everything may come in to."""
    made = filtered.host.guest(number)
    filtered.guard(made, 1)
    return made


def test_a_guest_without_egress_rules_connects_nowhere_until_a_rule_lets_it(filtered: Filtered) -> None:
    guest, other = held(filtered), filtered.host.guest(3)
    filtered.rules(*ALL_IN, leaving=())
    with (
        other.listen(22), other.listen(80), other.datagrams(53) as dns, filtered.host.listen(22),
        guest.datagrams() as asking,
    ):
        for address in (other.address, other.address_v6, "10.9.0.1", "fd09::1"):
            assert not guest.reaches(address, 22), address
        assert not guest.pings(other.address)
        assert not guest.pings(other.address_v6)
        asking.sendto(b"held back", (other.address, 53))
        with pytest.raises(TimeoutError):
            dns.recvfrom(99)
        filtered.rules(*ALL_IN, leaving=(SSH, PING, DNS))
        assert guest.reaches(other.address, 22, wait=10)
        assert guest.reaches("10.9.0.1", 22, wait=10)
        assert guest.pings(other.address, wait=10)
        assert guest.pings("10.9.0.1", wait=10)
        assert not guest.reaches(other.address, 80)
        assert not guest.reaches(other.address_v6, 22), "a rule of IPv4 says nothing of IPv6"
        assert not guest.pings(other.address_v6)
        dns.settimeout(10)
        asking.sendto(b"let out", (other.address, 53))
        assert dns.recvfrom(99)[0] == b"let out"
        filtered.rules(*ALL_IN, leaving=(SSH6, PING6))
        assert guest.reaches(other.address_v6, 22, wait=10)
        assert guest.reaches("fd09::1", 22, wait=10)
        assert guest.pings(other.address_v6, wait=10)
        assert not guest.pings(other.address)


def test_a_guest_that_may_send_nothing_still_answers(filtered: Filtered) -> None:
    guest, client = held(filtered), filtered.host.guest(3)
    filtered.rules(*ALL_IN, leaving=())
    with guest.listen(22) as server, guest.datagrams(53) as dns, client.datagrams() as asking:
        for address in (guest.address, guest.address_v6):
            assert client.reaches(address, 22, wait=10)
            assert client.pings(address, wait=10)
        assert filtered.host.reaches(guest.address, 22, wait=10)
        stream = client.connect(guest.address, 22, wait=10)
        assert stream is not None
        while True:
            inside, sender = server.accept()
            if sender[1] == stream.getsockname()[1]:
                break
            inside.close()
        stream.settimeout(10)
        inside.sendall(b"welcome")
        assert stream.recv(99) == b"welcome"
        inside.close()
        stream.close()
        for each in (dns, asking):
            each.settimeout(10)
        asking.sendto(b"question", (guest.address, 53))
        _data, sender = dns.recvfrom(99)
        dns.sendto(b"answer", sender)
        assert asking.recv(99) == b"answer"
        # An error about what came in belongs to it.
        asking.connect((guest.address, 9))
        asking.send(b"nobody listens")
        with pytest.raises(ConnectionRefusedError):
            asking.recv(99)


def test_a_rule_taken_away_ends_the_connection_that_it_let_out(filtered: Filtered) -> None:
    guest, other = held(filtered), filtered.host.guest(3)
    web = FilterRule(protocol="tcp", first=80, last=80, cidr="0.0.0.0/0")
    filtered.rules(leaving=(SSH, web))
    with other.listen(22) as ssh, other.listen(80) as http:
        doomed, kept = (guest.connect(other.address, port, wait=10) for port in (22, 80))
        assert doomed is not None
        assert kept is not None
        far, far_kept = ssh.accept()[0], http.accept()[0]
        filtered.rules(leaving=(web,))
        far.settimeout(0.8)
        doomed.sendall(b"more")
        with pytest.raises(TimeoutError):
            far.recv(99)
        kept.sendall(b"goes on")
        assert far_kept.recv(99) == b"goes on"
        filtered.rules(leaving=(SSH, web))
        far.settimeout(20)
        assert far.recv(99) == b"more", "let out again, what was held back goes"
        for each in (doomed, kept, far, far_kept):
            each.close()


def test_ranges_ports_and_members_say_where_to(filtered: Filtered) -> None:
    guest, member, stranger = held(filtered), filtered.host.guest(3), filtered.host.guest(4)
    to_member = FilterRule(protocol="tcp", first=22, last=22, remote_group=7)
    filtered.members = (GroupMembers(7, (member.address, member.address_v6)),)
    filtered.rules(leaving=(to_member,))
    with member.listen(22), member.listen(23), stranger.listen(22):
        assert guest.reaches(member.address, 22, wait=10)
        assert guest.reaches(member.address_v6, 22, wait=10)
        assert not guest.reaches(member.address, 23)
        assert not guest.reaches(stranger.address, 22)
        assert not guest.reaches(stranger.address_v6, 22)
        filtered.members = (GroupMembers(7, (stranger.address,)),)
        assert filtered.rules(leaving=(to_member,)) <= 6, "the members changed, and nothing else"
        assert guest.reaches(stranger.address, 22, wait=10)
        assert not guest.reaches(member.address, 22)
        filtered.rules(leaving=(
            FilterRule(protocol="tcp", first=20, last=22, cidr="10.9.0.4/32"),
            FilterRule(protocol="tcp", first=23, last=30, cidr="fd09::3/128"),
        ))
        assert guest.reaches(stranger.address, 22, wait=10)
        assert guest.reaches(member.address_v6, 23, wait=10)
        assert not guest.reaches(member.address, 22)
        assert not guest.reaches(member.address_v6, 22)


def test_both_ends_have_to_agree(filtered: Filtered) -> None:
    guest, other = held(filtered), filtered.host.guest(3)
    filtered.ports[other.device] = FilterPort(device=other.device)
    filtered.rules(leaving=(SSH,))
    with other.listen(22):
        assert not guest.reaches(other.address, 22), "what one may send the other need not take"
        del filtered.ports[other.device]
        filtered.rules(leaving=(SSH,))
        assert guest.reaches(other.address, 22, wait=10)


def test_addresses_neighbours_and_metadata_are_there_without_any_rule(filtered: Filtered) -> None:
    guest = held(filtered)
    filtered.rules(leaving=())
    filtered.host.ip("addr", "add", "169.254.169.254/32", "dev", "lo")
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    with filtered.host, _datagrams6(547) as dhcp6, filtered.host.datagrams(67) as dhcp:
        with filtered.host.listen(80), filtered.host.listen(81):
            assert guest.reaches("169.254.169.254", 80, wait=10)
            assert not guest.reaches("169.254.169.254", 81)
            assert not guest.reaches("10.9.0.1", 80)
        with guest.datagrams(68) as client:
            dhcp.settimeout(10)
            client.sendto(b"discover", ("10.9.0.1", 67))
            assert dhcp.recvfrom(99)[0] == b"discover"
        with guest:
            client = _datagrams6(546)
        with client:
            client.sendto(b"solicit", ("fd09::1", 547))
            assert dhcp6.recvfrom(99)[0] == b"solicit"
    neighbours = guest.ip("-6", "neigh")
    assert "fd09::1" in neighbours, "it found its neighbour"
    assert "FAILED" not in neighbours


def test_metadata_that_is_led_elsewhere_is_still_metadata(filtered: Filtered) -> None:
    """Rules are about the address that the guest named, whatever it is translated to."""
    guest, other = held(filtered), filtered.host.guest(3)
    guest.ip("route", "add", "default", "via", "10.9.0.1")
    with filtered.host:
        run("nft", "add table ip lead; add chain ip lead to { type nat hook prerouting priority -100; }; "
            "add rule ip lead to ip daddr 169.254.169.254 tcp dport 80 dnat to 10.9.0.1:8775; "
            "add rule ip lead to ip daddr 203.0.113.9 dnat to 10.9.0.1")
    only_floating = FilterRule(protocol="tcp", cidr="203.0.113.0/24")
    filtered.rules(leaving=())
    with filtered.host.listen(8775), filtered.host.listen(22), other.listen(22):
        assert guest.reaches("169.254.169.254", 80, wait=10)
        assert not guest.reaches("10.9.0.1", 8775)
        assert not guest.reaches("203.0.113.9", 22)
        filtered.rules(leaving=(only_floating,))
        assert guest.reaches("203.0.113.9", 22, wait=10)
        assert not guest.reaches("10.9.0.1", 22)


def test_of_fragments_the_first_decides(filtered: Filtered) -> None:
    guest, other = held(filtered), filtered.host.guest(3)
    filtered.rules(leaving=(DNS,))
    with other.datagrams(53) as dns, other.datagrams(54) as closed, guest.datagrams() as asking:
        dns.settimeout(10)
        asking.sendto(bytes(6000), (other.address, 53))
        assert len(dns.recvfrom(9999)[0]) == 6000
        asking.sendto(bytes(6000), (other.address, 54))
        with pytest.raises(TimeoutError):
            closed.recvfrom(9999)


def test_what_may_send_everything_is_not_looked_at(filtered: Filtered) -> None:
    guest, other = held(filtered), filtered.host.guest(3)
    filtered.rules(*ALL_IN)
    assert guest.device not in _senders(filtered)
    filtered.rules(*ALL_IN, leaving=(FilterRule(ethertype="IPv4"),))
    assert guest.device in _senders(filtered)
    assert guest.pings(other.address, wait=10)
    assert not guest.pings(other.address_v6)
    filtered.rules(*ALL_IN)
    assert guest.pings(other.address_v6, wait=10)
    del filtered.ports[guest.device]
    filtered.rules(*ALL_IN, leaving=())
    assert guest.pings(other.address, wait=10), "a port without security is not held back either"


def _senders(filtered: Filtered) -> str:
    with filtered.host:
        return run("nft", "list", "map", "bridge", "nova", "senders").stdout


def _datagrams6(port: int) -> socket.socket:
    made = socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)
    made.bind(("::", port))
    made.settimeout(10)
    return made
