# SPDX-License-Identifier: Apache-2.0
"""What an operator asks for becomes the right networks and addresses, or one clear refusal."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from nova.conf.network import NetworkSection
from nova.errors import Conflict, InvalidInput, NovaError
from nova.network.creation import NetworkRequest, plan_networks
from nova.network.manager import (
    FlatDHCPManager,
    FlatManager,
    NetworkManager,
    VlanManager,
    manager_named,
)
from nova.objects.network import Network, PlannedNetwork

SECTION = dataclasses.replace(
    NetworkSection(), vlan_interface="bond1", flat_network_bridge="br100", network_size=65536
)


def plan(
    *existing: Network, manager: NetworkManager = VlanManager,
    section: NetworkSection = SECTION, **fields: Any
) -> list[PlannedNetwork]:
    request = NetworkRequest(**({"label": "net"} | fields))
    return plan_networks(request, manager=manager, section=section, existing=existing)


def with_role(planned: PlannedNetwork, role: str | None) -> list[str]:
    return [each.address for each in planned.addresses if each.role == role]


@pytest.mark.parametrize(
    ("cidr", "first", "last", "count"),
    [
        ("10.0.0.0/23", "10.0.1.245", "10.0.1.254", 10),
        ("10.0.0.0/24", "10.0.0.245", "10.0.0.254", 10),
        ("10.0.0.128/25", "10.0.0.245", "10.0.0.254", 10),
        ("10.0.0.0/25", "10.0.0.117", "10.0.0.126", 10),
        ("10.0.0.0/26", "10.0.0.58", "10.0.0.62", 5),
        ("10.0.0.64/26", "10.0.0.122", "10.0.0.126", 5),
        ("10.0.0.0/20", "10.0.15.245", "10.0.15.254", 10),
    ],
)
def test_the_last_usable_addresses_are_kept_for_virtual_ips(
    cidr: str, first: str, last: str, count: int
) -> None:
    (planned,) = plan(cidr=cidr)
    vips = with_role(planned, "vip")
    assert (vips[0], vips[-1], len(vips)) == (first, last, count)


@pytest.mark.parametrize("cidr", ["10.0.0.0/27", "10.0.0.0/28", "10.0.0.0/30"])
def test_small_ranges_keep_no_virtual_ips(cidr: str) -> None:
    assert with_role(plan(cidr=cidr)[0], "vip") == []


def test_both_counts_of_virtual_ips_are_configurable() -> None:
    section = dataclasses.replace(
        SECTION, vip_reserve_small=2, vip_reserve_large=0, vip_reserve_threshold_small=0
    )
    assert len(with_role(plan(cidr="10.0.0.0/26", section=section)[0], "vip")) == 2
    assert len(with_role(plan(cidr="10.0.0.0/28", section=section)[0], "vip")) == 2
    assert with_role(plan(cidr="10.0.0.0/24", section=section)[0], "vip") == []


def test_virtual_ips_make_room_for_a_gateway_at_the_top() -> None:
    (planned,) = plan(cidr="10.0.0.0/24", gateway="10.0.0.254")
    vips = with_role(planned, "vip")
    assert (vips[0], vips[-1]) == ("10.0.0.244", "10.0.0.253")
    assert with_role(planned, "gateway") == ["10.0.0.254"]


def test_virtual_ips_lie_within_the_allowed_range_and_within_fixed_cidr() -> None:
    (planned,) = plan(cidr="10.0.0.0/24", allowed_start="10.0.0.20", allowed_end="10.0.0.200")
    assert with_role(planned, "vip")[-1] == "10.0.0.200"
    assert planned.network.gateway == "10.0.0.20"
    assert "10.0.0.19" in with_role(planned, "outside")
    (planned,) = plan(cidr="10.0.0.0/24", fixed_cidr="10.0.0.64/26")
    assert len(planned.addresses) == 64
    assert with_role(planned, "vip") == [f"10.0.0.{last}" for last in range(122, 127)]


def test_a_vlan_network_of_a_class_c() -> None:
    (planned,) = plan(cidr="10.0.5.0/24", vlan=401)
    network = planned.network
    assert (network.vlan, network.bridge, network.bridge_interface) == (401, "br401", "bond1")
    assert (network.gateway, network.dhcp_server) == ("10.0.5.1", "10.0.5.1")
    assert (network.vpn_private_address, network.dhcp_start) == ("10.0.5.2", "10.0.5.3")
    assert (network.netmask, network.broadcast) == ("255.255.255.0", "10.0.5.255")
    assert (network.vpn_public_port, network.dns1) == (1000, "8.8.4.4")
    assert len(planned.addresses) == 256
    assert [each.role for each in planned.addresses[:4]] == ["network", "gateway", "vpn", None]
    assert planned.addresses[-1].role == "broadcast"
    assert len(with_role(planned, None)) == 256 - 4 - 10


@pytest.mark.parametrize("manager", [FlatManager, FlatDHCPManager])
def test_flat_managers_have_no_vlan_and_no_vpn(manager: NetworkManager) -> None:
    (planned,) = plan(cidr="10.0.5.0/24", manager=manager)
    network = planned.network
    assert (network.vlan, network.bridge, network.vpn_private_address) == (None, "br100", None)
    assert (network.gateway, network.dhcp_start) == ("10.0.5.1", "10.0.5.2")
    assert [each.role for each in planned.addresses[:3]] == ["network", "gateway", None]


def test_a_separate_dhcp_server_is_reserved_too() -> None:
    (planned,) = plan(cidr="10.0.5.0/24", gateway="10.0.5.1", dhcp_server="10.0.5.9")
    assert with_role(planned, "dhcp") == ["10.0.5.9"]
    assert planned.network.dhcp_server == "10.0.5.9"


def test_vpn_clients_keep_addresses_above_the_virtual_ips() -> None:
    section = dataclasses.replace(SECTION, cnt_vpn_clients=4)
    (planned,) = plan(cidr="10.0.0.0/24", section=section)
    assert with_role(planned, "outside") == [f"10.0.0.{last}" for last in range(251, 255)]
    assert with_role(planned, "vip")[-1] == "10.0.0.250"


def test_several_networks_are_carved_from_one_range_and_skip_what_is_taken() -> None:
    taken = plan(cidr="10.0.1.0/24")[0].network
    planned = plan(taken, cidr="10.0.0.0/16", num_networks=3, network_size=254)
    assert [each.network.cidr for each in planned] == ["10.0.0.0/24", "10.0.2.0/24", "10.0.3.0/24"]
    assert [each.network.label for each in planned] == ["net_0", "net_1", "net_2"]
    assert [each.network.vlan for each in planned] == [101, 102, 103]


def test_networks_with_different_ranges_share_a_vlan_and_its_bridge() -> None:
    first = plan(cidr="10.0.0.0/24", vlan=401, bridge_interface="bond2")[0].network
    second = plan(first, cidr="10.0.1.0/24", vlan=401)[0].network
    assert (second.vlan, second.bridge, second.bridge_interface) == (401, "br401", "bond2")
    third = plan(first, second, cidr="10.1.0.0/23", vlan=401, num_networks=2, network_size=256)
    assert {each.network.bridge for each in third} == {"br401"}
    with pytest.raises(Conflict, match=r"bond2.*cannot run over eth7"):
        plan(first, cidr="10.0.9.0/24", vlan=401, bridge_interface="eth7")


def test_an_automatic_vlan_id_skips_used_ones() -> None:
    used = plan(cidr="10.0.0.0/24", vlan=101)[0].network
    assert plan(used, cidr="10.0.1.0/24")[0].network.vlan == 102
    assert plan(used, cidr="10.0.1.0/24", vlan_start=16)[0].network.vlan == 17


@pytest.mark.parametrize("cidr", ["10.0.0.0/24", "10.0.0.64/26", "10.0.0.0/16"])
def test_an_overlapping_range_is_refused_naming_both(cidr: str) -> None:
    there = plan(cidr="10.0.0.0/24")[0].network
    size = {"10.0.0.0/24": 256, "10.0.0.64/26": 64, "10.0.0.0/16": 65536}[cidr]
    with pytest.raises(Conflict) as refusal:
        plan(there, cidr=cidr, network_size=size)
    assert cidr in refusal.value.message
    assert "10.0.0.0/24" in refusal.value.message


def test_ipv6_alone_and_with_ipv4() -> None:
    (planned,) = plan(cidr_v6="fd00:1::/64")
    assert (planned.network.cidr, planned.addresses) == (None, ())
    assert planned.network.gateway_v6 == "fd00:1::1"
    (planned,) = plan(cidr="10.0.0.0/24", cidr_v6="fd00:1::/48", gateway_v6="fe80::1")
    assert planned.network.cidr_v6 == "fd00:1::/64"
    assert planned.network.gateway_v6 == "fe80::1"
    with pytest.raises(Conflict):
        plan(planned.network, cidr_v6="fd00:1::/64")


@pytest.mark.parametrize(
    ("field", "fields"),
    [
        ("label", {"label": "", "cidr": "10.0.0.0/24"}),
        ("label", {"label": "x" * 256, "cidr": "10.0.0.0/24"}),
        ("cidr", {}),
        ("cidr", {"cidr": "10.0.0.0/33"}),
        ("cidr", {"cidr": "10.0.0.0/31"}),
        ("cidr", {"cidr": "ten"}),
        ("cidr", {"cidr": "10.0.0.0/24", "num_networks": 2, "network_size": 256}),
        ("cidr_v6", {"cidr_v6": "fd00::/80"}),
        ("cidr_v6", {"cidr_v6": "fd00::%\ninterface=eth0/64"}),
        ("gateway_v6", {"cidr_v6": "fd00::/64", "gateway_v6": "fd00::1%\ninterface=eth0"}),
        ("dns1", {"cidr": "10.0.0.0/24", "dns1": "fd00::1%\ninterface=eth0"}),
        ("num_networks", {"cidr": "10.0.0.0/24", "num_networks": 0}),
        ("network_size", {"cidr": "10.0.0.0/24", "network_size": 2}),
        ("network_size", {"cidr": "10.0.0.0/8", "network_size": 1 << 20}),
        ("vlan", {"cidr": "10.0.0.0/24", "vlan": 4095}),
        ("vlan", {"cidr": "10.0.0.0/24", "vlan": 0}),
        ("vlan_start", {"cidr": "10.0.0.0/24", "vlan_start": 4094}),
        ("gateway", {"cidr": "10.0.0.0/24", "gateway": "10.0.1.1"}),
        ("gateway", {"cidr": "10.0.0.0/24", "gateway": "10.0.0.255"}),
        ("gateway", {"cidr": "10.0.0.0/24", "gateway": "x"}),
        ("gateway", {"cidr_v6": "fd00::/64", "gateway": "10.0.0.1"}),
        ("gateway_v6", {"cidr_v6": "fd00::/64", "gateway_v6": "10.0.0.1"}),
        ("dhcp_server", {"cidr": "10.0.0.0/24", "dhcp_server": "10.0.3.4"}),
        ("fixed_cidr", {"cidr": "10.0.0.0/24", "fixed_cidr": "10.0.1.0/25"}),
        ("allowed_end", {
            "cidr": "10.0.0.0/24", "allowed_start": "10.0.0.9", "allowed_end": "10.0.0.8",
        }),
        ("dns1", {"cidr": "10.0.0.0/24", "dns1": "dns.example"}),
        ("mtu", {"cidr": "10.0.0.0/24", "mtu": 10}),
        ("uuid", {"cidr": "10.0.0.0/24", "uuid": "nonsense"}),
        ("uuid", {"cidr": "10.0.0.0/23", "num_networks": 2,
                  "uuid": "9b7b9c0e-5b0e-4d6b-8f5c-6f9c6c1b2a3d"}),
        ("bridge_interface", {"cidr": "10.0.0.0/24", "bridge_interface": "a-name-too-long-for-it"}),
    ],
)
def test_bad_input_is_one_error_that_names_the_field(field: str, fields: dict[str, Any]) -> None:
    with pytest.raises(InvalidInput) as refusal:
        plan(**fields)
    assert refusal.value.field == field
    assert refusal.value.status == 400


def test_devices_must_be_given_unless_configured_or_simulated() -> None:
    bare = NetworkSection()
    with pytest.raises(InvalidInput, match="bridge_interface"):
        plan(cidr="10.0.0.0/24", section=bare)
    with pytest.raises(InvalidInput, match="bridge"):
        plan(cidr="10.0.0.0/24", section=bare, manager=FlatManager)
    fake = dataclasses.replace(bare, fake_network=True)
    assert plan(cidr="10.0.0.0/24", section=fake)[0].network.bridge == "br100"
    flat = plan(cidr="10.0.0.0/24", section=fake, manager=FlatManager)[0].network
    assert flat.bridge == "br100"


def test_managers_are_found_by_their_dotted_path() -> None:
    assert manager_named("nova.network.manager.VlanManager") is VlanManager
    assert manager_named("nova.network.manager.FlatManager") is FlatManager
    assert manager_named("FlatDHCPManager") is FlatDHCPManager
    for path in ("nova.network.manager.QuantumManager", "other.VlanManager", ""):
        with pytest.raises(NovaError, match="network_manager"):
            manager_named(path)
