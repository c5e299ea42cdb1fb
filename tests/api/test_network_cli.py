# SPDX-License-Identifier: Apache-2.0
"""The network command groups of the unmodified ``openstack`` command line, as member and administrator."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands

Boot = Callable[..., str]


def addresses(cloud: CloudProcess, server: str) -> list[str]:
    shown = cloud.server(server)["addresses"]
    return [each["addr"] for group in shown.values() for each in group]


@pytest.fixture
def external(admin: Commands) -> Iterator[str]:
    """An external network with addresses, gone after the test."""
    admin("network", "create", "--external", "cli-ext")
    admin(
        "subnet", "create", "--network", "cli-ext", "--subnet-range", "203.0.113.0/24",
        "--allocation-pool", "start=203.0.113.10,end=203.0.113.20", "cli-ext-4",
    )
    yield "cli-ext"
    admin("network", "delete", "cli-ext")


def test_a_server_is_booted_by_the_name_of_a_network_and_without_one(
    cloud: CloudProcess, demo: Commands
) -> None:
    network = demo.value("network", "show", "private")
    common = ("server", "create", "--wait", "--flavor", "m1.tiny", "--image", "nova-test")
    try:
        named = demo.value(*common, "--network", "private", "cli-named")
        plain = demo.value(*common, "cli-plain")
        fixed = demo.value(
            *common, "--nic", f"net-id={network},v4-fixed-ip=10.0.3.77", "cli-fixed"
        )
        assert addresses(cloud, fixed) == ["10.0.3.77"]
        for server in (named, plain, fixed):
            (port,) = demo.json("port", "list", "--server", server)
            assert port["Status"] == "ACTIVE"
            assert [each["ip_address"] for each in port["Fixed IP Addresses"]] == addresses(
                cloud, server
            )
    finally:
        demo("server", "delete", "--wait", "cli-named", "cli-plain", "cli-fixed")
    assert demo.json("port", "list") == []


def test_networks_and_subnets_of_a_member(demo: Commands) -> None:
    demo("network", "create", "--mtu", "1400", "--description", "Büro", "--tag", "a", "cli-net")
    try:
        subnet = demo.json(
            "subnet", "create", "--network", "cli-net", "--subnet-range", "192.168.5.0/24",
            "--dns-nameserver", "1.1.1.1", "--allocation-pool",
            "start=192.168.5.10,end=192.168.5.100", "cli-sub",
        )
        assert subnet["gateway_ip"] == "192.168.5.1"
        assert subnet["allocation_pools"] == [{"start": "192.168.5.10", "end": "192.168.5.100"}]
        demo("subnet", "create", "--network", "cli-net", "--ip-version", "6", "--subnet-range",
             "fd00:5::/64", "cli-six")
        demo("subnet", "set", "--no-dhcp", "--name", "cli-renamed", "cli-sub")
        assert demo.json("subnet", "show", "cli-renamed")["enable_dhcp"] is False
        demo("network", "set", "--description", "neu", "--tag", "b", "cli-net")
        demo("network", "unset", "--tag", "a", "cli-net")
        shown = demo.json("network", "show", "cli-net")
        assert (shown["description"], shown["tags"], shown["mtu"]) == ("neu", ["b"], 1400)
        assert len(shown["subnets"]) == 2
        assert [each["Name"] for each in demo.json("network", "list", "--tags", "b")] == ["cli-net"]
        assert "overlaps" in demo.refused(
            "subnet", "create", "--network", "cli-net", "--subnet-range", "192.168.5.0/25", "no"
        )
        demo("subnet", "delete", "cli-renamed")
    finally:
        demo("network", "delete", "cli-net")
    assert "No Network found" in demo.refused("network", "show", "cli-net")


def test_what_is_the_administrators_is_refused_to_members(demo: Commands, admin: Commands) -> None:
    for option in ("--share", "--external", "--provider-network-type=flat"):
        assert "403" in demo.refused("network", "create", option, "cli-no")
    assert "403" in demo.refused("network", "delete", "private")
    admin("network", "create", "--share", "cli-shared")
    try:
        assert demo.json("network", "show", "cli-shared")["shared"] is True
        admin("network", "set", "--no-share", "cli-shared")
        assert "No Network found" in demo.refused("network", "show", "cli-shared")
    finally:
        admin("network", "delete", "cli-shared")
    assert len(admin.json("network", "agent", "list")) >= 1
    assert admin.json("ip", "availability", "show", "private")["network_name"] == "private"


def test_a_port_goes_from_server_to_server(
    cloud: CloudProcess, demo: Commands, boot: Boot
) -> None:
    demo("port", "create", "--network", "private", "--fixed-ip", "ip-address=10.0.4.99",
         "--description", "wandert", "cli-port")
    try:
        first = boot("cli-first", nic="port-id=" + demo.value("port", "show", "cli-port"))
        assert addresses(cloud, first) == ["10.0.4.99"]
        assert demo.json("port", "show", "cli-port")["device_id"] == first
        second = boot("cli-second")
        assert "409" in demo.refused("server", "add", "port", second, "cli-port")
        demo("server", "remove", "port", first, "cli-port")
        assert addresses(cloud, first) == []
        demo("server", "add", "port", second, "cli-port")
        assert addresses(cloud, second) == ["10.0.4.99"]
        demo("server", "add", "network", second, "private")
        assert len(addresses(cloud, second)) == 2
        demo("server", "remove", "network", second, "private")
        assert addresses(cloud, second) == []
        assert demo.json("port", "show", "cli-port")["status"] == "DOWN"
        demo("server", "add", "fixed", "ip", second, "private")
        assert len(addresses(cloud, second)) == 1
        demo("port", "set", "--name", "cli-renamed", "--allowed-address", "ip-address=1.2.3.4",
             "--no-security-group", "cli-port")
        shown = demo.json("port", "show", "cli-renamed")
        assert shown["allowed_address_pairs"] == [{"ip_address": "1.2.3.4"}]
        assert shown["security_group_ids"] == []
        demo("port", "set", "--name", "cli-port", "cli-renamed")
    finally:
        demo("port", "delete", "cli-port")


def test_security_groups_and_their_rules(demo: Commands, boot: Boot) -> None:
    demo("security", "group", "create", "--description", "d", "cli-web")
    rule = demo.value("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port",
                      "80:90", "--remote-ip", "10.0.0.0/8", "cli-web")
    demo("security", "group", "rule", "create", "--protocol", "icmp", "cli-web")
    demo("security", "group", "rule", "create", "--remote-group", "default", "cli-web")
    demo("security", "group", "rule", "create", "--egress", "--protocol", "udp", "--dst-port",
         "53", "cli-web")
    rules = demo.json("security", "group", "rule", "list", "cli-web")
    assert len(rules) == 6
    assert "10.0.0.0/8" in {each["IP Range"] for each in rules}
    assert "already exists" in demo.refused(
        "security", "group", "rule", "create", "--protocol", "icmp", "cli-web"
    )
    demo("security", "group", "rule", "delete", rule)
    demo("security", "group", "set", "--name", "cli-www", "cli-web")
    # The client sends the group's uuid where it used to send its name.
    network = demo.value("network", "show", "private")
    server = boot("cli-grouped", "--security-group", "cli-www", nic=f"net-id={network}")
    shown = demo.json("server", "show", server)
    assert shown["security_groups"] == [{"name": "cli-www"}]
    demo("server", "add", "security", "group", server, "default")
    (port,) = demo.json("port", "list", "--server", server, "--long")
    assert len(port["Security Groups"]) == 2
    assert "in use" in demo.refused("security", "group", "delete", "cli-www")
    demo("server", "remove", "security", "group", server, "cli-www")
    demo("security", "group", "delete", "cli-www")


def test_floating_ips_lead_to_servers(
    cloud: CloudProcess, demo: Commands, boot: Boot, external: str
) -> None:
    server = boot("cli-floating")
    demo("server", "add", "network", server, "private")
    taken = demo.json("floating", "ip", "create", external, "--description", "öffentlich")
    address = taken["floating_ip_address"]
    assert address == "203.0.113.10"
    demo("server", "add", "floating", "ip", server, address)
    assert address in addresses(cloud, server)
    (port,) = demo.json("port", "list", "--server", server)
    assert demo.json("floating", "ip", "show", address)["port_id"] == port["ID"]
    demo("server", "remove", "floating", "ip", server, address)
    assert address not in addresses(cloud, server)
    demo("floating", "ip", "set", "--port", port["ID"], address)
    assert address in addresses(cloud, server)
    demo("floating", "ip", "unset", "--port", address)
    assert [each["Port"] for each in demo.json("floating", "ip", "list")] == [None]
    demo("floating", "ip", "delete", address)


def test_a_virtual_ip_is_claimed_as_a_port(demo: Commands, external: str) -> None:
    vip = demo.json("port", "create", "--network", "private", "--device-owner",
                    "nova:virtual_ip", "cli-vip")
    (listed,) = demo.json("port", "list", "--device-owner", "nova:virtual_ip")
    assert listed["ID"] == vip["id"]
    taken = demo.json("floating", "ip", "create", external, "--port", vip["id"])
    assert taken["fixed_ip_address"] == vip["fixed_ips"][0]["ip_address"]
    demo("floating", "ip", "delete", taken["floating_ip_address"])
    demo("port", "delete", "cli-vip")
    assert demo.json("port", "list", "--device-owner", "nova:virtual_ip") == []


def test_limits_of_networks_are_set_and_kept(demo: Commands, admin: Commands) -> None:
    admin("quota", "set", "--networks", "0", "demo")
    try:
        assert "Quota exceeded" in demo.refused("network", "create", "cli-over")
    finally:
        admin("quota", "set", "--networks", "-1", "demo")
