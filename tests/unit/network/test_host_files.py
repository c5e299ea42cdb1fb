# SPDX-License-Identifier: Apache-2.0
"""What a host writes down for dnsmasq and nft, and what it needs of the kernel; nothing is touched."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import msgspec
import pytest

from nova.conf.network import NetworkSection
from nova.network.linux.announce import announcement
from nova.network.linux.bridges import HostAddresses, wanted_addresses
from nova.network.linux.capabilities import missing
from nova.network.linux.dhcp import host_line, host_name, lease_lines
from nova.network.linux.dnsmasq import (
    configuration,
    name_servers,
    option_lines,
    serves_anything,
)
from nova.network.linux.isolation import rules
from nova.network.linux.release import release_message
from nova.network.linux.state_files import StateFiles, write
from nova.objects.host_network import HostLease, HostNetwork

SECTION = NetworkSection()
LEASE = HostLease(
    mac="fa:16:3e:00:00:01", address="10.0.0.5", hostname="web", instance_uuid="i", vif_id="v"
)
NETWORK = HostNetwork(
    uuid="aaa", network_uuid="aaa", label="blue", bridge="br401", vlan=401, cidr="10.0.0.0/24",
    broadcast="10.0.0.255", gateway="10.0.0.1", host_address="10.0.0.1", dhcp_start="10.0.0.3",
    leases=(LEASE,),
)


def _with(**values: object) -> NetworkSection:
    return dataclasses.replace(SECTION, **values)  # type: ignore[arg-type]


def test_the_file_of_a_guest() -> None:
    assert host_line(LEASE, SECTION) == "fa:16:3e:00:00:01,web.novalocal,10.0.0.5"
    assert host_line(LEASE, _with(dhcp_domain="")) == "fa:16:3e:00:00:01,web,10.0.0.5"
    second = msgspec.structs.replace(LEASE, first=False)
    assert host_line(second, SECTION) == host_line(LEASE, SECTION)
    assert "set:no-gateway," in host_line(second, _with(use_single_default_gateway=True))
    assert "set:" not in host_line(LEASE, _with(use_single_default_gateway=True))
    long = msgspec.structs.replace(LEASE, hostname="ab" + "c" * 70 + "z")
    assert host_name(long, _with(dhcp_domain="")) == "ab-" + "c" * 59 + "z"


def test_the_configuration_of_a_bridge(tmp_path: Path) -> None:
    other = msgspec.structs.replace(
        NETWORK, uuid="bbb", cidr="10.0.1.0/26", gateway="10.0.1.1", host_address="10.0.1.1",
        dhcp_start=None, mtu=1450, dns=("192.0.2.9",),
    )
    files = StateFiles(tmp_path)
    lines = configuration("br401", [NETWORK, other], SECTION, files, "/bin/bridge").splitlines()
    assert "dhcp-range=set:aaa,10.0.0.3,static,255.255.255.0,86400s" in lines
    assert "dhcp-range=set:bbb,10.0.1.2,static,255.255.255.192,86400s" in lines
    assert "dhcp-option=tag:bbb,option:mtu,1450" in lines
    assert "dhcp-option=tag:aaa,tag:!no-gateway,option:router,10.0.0.1" in lines
    assert "dhcp-lease-max=320" in lines
    assert f"dhcp-hostsdir={tmp_path}/nova-br401-aaa.hosts" in lines
    assert "interface=br401" in lines
    assert not any(line.startswith(("server=", "no-resolv", "enable-ra")) for line in lines)
    text = configuration(
        "br401", [NETWORK, other],
        _with(dns_server=("192.0.2.1",), use_network_dns_servers=True, dnsmasq_config_file="/etc/d.conf"),
        files, "/bin/bridge",
    )
    assert "no-resolv\nserver=192.0.2.1\nserver=192.0.2.9\nconf-file=/etc/d.conf\n" in text
    told = configuration("br401", [NETWORK], SECTION, files, "/bin/bridge", watching=False)
    assert "dhcp-hostsfile=" in told
    assert "dhcp-hostsdir=" not in told
    assert "no-resolv" in told


def test_routes_come_with_the_router_and_without_one_lead_to_metadata(tmp_path: Path) -> None:
    def routes(**values: object) -> list[str]:
        network = msgspec.structs.replace(NETWORK, **values)
        lines = configuration("br401", [network], SECTION, StateFiles(tmp_path), "/bin/b").splitlines()
        return [line for line in lines if "static-route" in line or "option:router" in line]

    assert not any("static-route" in line for line in routes())
    further = (("10.9.0.0/16", "10.0.0.7"),)
    assert routes(routes=further)[2:] == [
        "dhcp-option=tag:aaa,tag:!no-gateway,option:classless-static-route,"
        "10.9.0.0/16,10.0.0.7,0.0.0.0/0,10.0.0.1",
        "dhcp-option=tag:aaa,tag:no-gateway,option:classless-static-route,10.9.0.0/16,10.0.0.7",
    ]
    assert routes(gateway=None)[0] == "dhcp-option=tag:aaa,tag:!no-gateway,option:router"
    assert routes(gateway=None, host_address="10.0.0.2")[2] == (
        "dhcp-option=tag:aaa,tag:!no-gateway,option:classless-static-route,169.254.169.254/32,10.0.0.2"
    )


def test_options_of_a_port_are_its_own(tmp_path: Path) -> None:
    lease = msgspec.structs.replace(
        LEASE, vif_id="0123456789abcdef", options=(("bootfile-name", "pxe.0"), ("150", "10.0.0.9"))
    )
    assert host_line(lease, SECTION).startswith("fa:16:3e:00:00:01,set:port-0123456789a,web")
    network = msgspec.structs.replace(NETWORK, leases=(lease, LEASE))
    assert option_lines([network]) == [
        "tag:port-0123456789a,option:bootfile-name,pxe.0", "tag:port-0123456789a,150,10.0.0.9",
    ]
    files = StateFiles(tmp_path)
    assert f"dhcp-optsfile={tmp_path}/nova-br401.options" in configuration(
        "br401", [network], SECTION, files, "/bin/b"
    )
    assert "optsfile" not in configuration("br401", [NETWORK], SECTION, files, "/bin/b")


def test_name_servers_of_this_host(tmp_path: Path) -> None:
    file = tmp_path / "resolv.conf"
    file.write_text("# nameserver 1.1.1.1\nsearch x\nnameserver 192.0.2.3\nnameserver\n")
    assert name_servers(file) == ["192.0.2.3"]
    assert name_servers(tmp_path / "none") == []


def test_ipv6_is_announced_where_it_is_used(tmp_path: Path) -> None:
    six = msgspec.structs.replace(
        NETWORK, cidr=None, host_address=None, cidr_v6="fd00:1::/64", gateway_v6="fd00:1::1"
    )
    text = configuration("br401", [six], _with(use_ipv6=True), StateFiles(tmp_path), "/bin/bridge")
    assert "dhcp-range=set:aaa,fd00:1::,ra-only,64" in text
    assert serves_anything(six, ipv6=True)
    assert not serves_anything(six, ipv6=False)
    how = HostAddresses(routes=True, ipv6=True, announcements=0)
    assert [each.text for each in wanted_addresses(six, how)] == ["fd00:1::1/64"]


def test_the_addresses_of_a_host() -> None:
    how = HostAddresses(routes=True, ipv6=False, announcements=0)
    assert [each.text for each in wanted_addresses(NETWORK, how)] == ["10.0.0.1/24"]
    bridged = msgspec.structs.replace(NETWORK, serves=False)
    assert wanted_addresses(bridged, how) == []
    # Somebody else is the gateway; DHCP needs an address of its own then.
    apart = HostAddresses(routes=False, ipv6=False, announcements=0)
    assert wanted_addresses(NETWORK, apart) == []
    own = msgspec.structs.replace(NETWORK, host_address="10.0.0.2")
    assert [each.text for each in wanted_addresses(own, apart)] == ["10.0.0.2/24"]


def test_leases_as_dnsmasq_has_them() -> None:
    assert lease_lines([NETWORK], _with(dhcp_lease_time=100), 1000.7) == (
        "1100 fa:16:3e:00:00:01 10.0.0.5 web *\n"
    )


def test_a_release_and_an_announcement_on_the_wire() -> None:
    message = release_message("fa:16:3e:00:00:01", "10.0.0.5", "10.0.0.1")
    assert len(message) == 236 + 4 + 3 + 6 + 1
    assert message[12:16] == bytes((10, 0, 0, 5))
    assert message[28:34] == bytes.fromhex("fa163e000001")
    assert message[236:] == b"\x63\x82\x53\x63\x35\x01\x07\x36\x04\x0a\x00\x00\x01\xff"
    frame = announcement("fa:16:3e:00:00:01", "10.0.0.5")
    assert len(frame) == 42
    assert frame[:6] == b"\xff" * 6
    assert frame[28:32] == frame[38:42] == bytes((10, 0, 0, 5))


def test_only_multi_host_networks_are_kept_apart() -> None:
    assert "chain" not in rules([NETWORK], SECTION)
    many = msgspec.structs.replace(NETWORK, multi_host=True)
    text = rules([many], SECTION)
    assert '"vlan401"' in text
    assert "arp" not in text
    assert "arp daddr ip 10.0.0.1 drop" in rules(
        [msgspec.structs.replace(many, share_address=True)], SECTION
    )
    flat = msgspec.structs.replace(many, vlan=None)
    assert "chain" not in rules([flat], SECTION), "nothing leads out of it"
    assert '"eth5"' in rules([flat], _with(flat_interface="eth5"))


@pytest.mark.parametrize(
    ("effective", "ambient", "root", "lacking"),
    [
        (0x3400, 0x3400, False, []),
        (0x3400, 0, True, []),
        (0x3400, 0x1400, False, ["CAP_NET_RAW"]),
        (0x2400, 0x3400, False, ["CAP_NET_ADMIN"]),
        (0, 0, True, ["CAP_NET_BIND_SERVICE", "CAP_NET_ADMIN", "CAP_NET_RAW"]),
    ],
)
def test_what_is_missing_is_named(
    effective: int, ambient: int, root: bool, lacking: list[str]
) -> None:
    status = f"Name:\tx\nCapEff:\t{effective:016x}\nCapAmb:\t{ambient:016x}\n"
    assert missing(status, root=root) == lacking


def test_what_was_applied_is_remembered(tmp_path: Path) -> None:
    files = StateFiles(tmp_path / "networks")
    files.prepare()
    other = msgspec.structs.replace(NETWORK, uuid="bbb", label="größe")
    files.keep([NETWORK, other], {"aaa", "bbb"})
    assert files.networks() == [NETWORK, other]
    (tmp_path / "networks" / "nova-br1-x.network").write_text("{broken")
    assert files.networks() == [NETWORK, other]
    files.keep([other], {"aaa"})
    assert files.networks() == [other]
    assert not write(files.of_network(other, "network"), msgspec.json.encode(other))
