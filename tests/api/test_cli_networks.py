# SPDX-License-Identifier: Apache-2.0
"""Networks and security groups of servers through the unmodified ``openstack`` command line, with a
network endpoint in the catalogue and without one."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands

Boot = Callable[..., str]


@pytest.fixture(params=["with an endpoint", "without"])
def members(request: pytest.FixtureRequest) -> tuple[Commands, Boot]:
    """A plain member of either cloud, and what boots servers there."""
    prefix = "" if request.param == "with an endpoint" else "older_"
    demo: Commands = request.getfixturevalue(f"{prefix}demo")
    boot: Boot = request.getfixturevalue(f"{prefix}boot")
    return demo, boot


def test_networks_asked_for_by_name_by_id_and_with_an_address(
    members: tuple[Commands, Boot],
) -> None:
    demo, boot = members
    network = network_id(demo.cloud)
    expected = {
        boot("none"): 0, boot("auto", nic="auto"): 1, boot("by-name", nic="net-id=private"): 1,
        boot("by-id", nic=f"net-id={network}"): 1,
    }
    for uuid, count in expected.items():
        addresses = demo.json("server", "show", uuid)["addresses"]
        assert sum(len(each) for each in addresses.values()) == count
    fixed = boot("fixed", nic="net-id=private,v4-fixed-ip=10.0.1.77")
    assert demo.json("server", "show", fixed)["addresses"] == {"private": ["10.0.1.77"]}
    by_option = demo.value(
        "server", "create", "--flavor", "m1.tiny", "--image", "nova-test",
        "--network", "private", "by-option",
    )
    demo.cloud.until(by_option, "ACTIVE")
    assert "private" in demo.json("server", "show", by_option)["addresses"]
    demo("server", "delete", by_option)


def test_an_address_is_added_and_removed(members: tuple[Commands, Boot]) -> None:
    demo, boot = members
    uuid = boot("two", nic="auto")
    (first,) = demo.json("server", "show", uuid)["addresses"]["private"]
    # Without a network endpoint the client hands the word on, so it has to be an id.
    demo("server", "add", "fixed", "ip", uuid, network_id(demo.cloud))
    both = demo.json("server", "show", uuid)["addresses"]["private"]
    assert len(both) == 2
    # The client always asks for the removal at the newest microversion, where it is gone.
    assert "404" in demo.refused("server", "remove", "fixed", "ip", uuid, first)
    removed = demo.cloud.compute(
        "POST", f"/servers/{uuid}/action", {"removeFixedIp": {"address": first}}, version="2.43"
    )
    assert removed.status == 202, removed.body
    both.remove(first)
    assert demo.json("server", "show", uuid)["addresses"]["private"] == both


def test_security_groups_are_added_by_name(members: tuple[Commands, Boot]) -> None:
    """Without a network endpoint the client asks for the group by its name first, and looks through
    the list only after a 404."""
    demo, boot = members
    made = demo.cloud.compute(
        "POST", "/os-security-groups",
        {"security_group": {"name": "网页", "description": "web"}}, version="2.1",
    )
    assert made.status == 200, made.body
    uuid = boot("grouped", nic="auto")

    def groups() -> list[str]:
        shown = demo.json("server", "show", uuid)["security_groups"]
        return sorted(each["name"] for each in shown)

    demo("server", "add", "security", "group", uuid, "网页")
    assert groups() == ["default", "网页"]
    demo("server", "remove", "security", "group", uuid, "网页")
    assert groups() == ["default"]
    demo.refused("server", "add", "security", "group", uuid, "nirgends")
    group = made.json["security_group"]["id"]
    deleted = demo.cloud.compute("DELETE", f"/os-security-groups/{group}", version="2.1")
    assert deleted.status == 202


def test_the_network_commands_need_the_endpoint(older_demo: Commands) -> None:
    refusal = older_demo.refused("network", "list")
    assert "Service 'network' is disabled" in refusal


def network_id(cloud: CloudProcess) -> str:
    """The id of the network that every new cloud has."""
    networks = cloud.compute("GET", "/os-networks", version="2.1").json["networks"]
    found: str = next(each["id"] for each in networks if each["label"] == "private")
    return found


def test_groups_with_rules_and_ports_through_the_endpoint(demo: Commands, boot: Boot) -> None:
    group = demo.value("security", "group", "create", "--description", "网", "网页")
    demo("security", "group", "rule", "create", "--protocol", "tcp", "--dst-port", "80",
         "--remote-ip", "10.0.0.0/8", "网页")
    rules = demo.json("security", "group", "rule", "list", "--ingress", "网页")
    assert [(each["IP Protocol"], each["IP Range"], each["Port Range"]) for each in rules] == [
        ("tcp", "10.0.0.0/8", "80:80")
    ]
    uuid = boot("guarded", "--security-group", "网页", nic="auto")
    (port,) = demo.json("port", "list", "--server", uuid)
    assert demo.json("port", "show", port["ID"])["security_group_ids"] == [group]
    assert "409" in demo.refused("security", "group", "delete", "网页")

    demo("port", "create", "--network", "private", "第二")
    demo("server", "add", "port", uuid, "第二")
    assert len(demo.json("port", "list", "--server", uuid)) == 2
    demo("server", "remove", "port", uuid, "第二")
    demo("port", "delete", "第二")
    demo("server", "remove", "network", uuid, "private")
    assert demo.json("server", "show", uuid)["addresses"] in ({}, {"private": []})
    demo("server", "delete", uuid)
    demo.cloud.until_gone(uuid)
    demo("security", "group", "delete", "网页")
    assert "No SecurityGroup found" in demo.refused("security", "group", "show", "网页")


def test_networks_are_the_administrators(demo: Commands, admin: Commands) -> None:
    assert demo("network", "list", "-f", "value", "-c", "Name").split() == ["private"]
    assert "403" in demo.refused("network", "create", "--share", "网")
    admin("network", "create", "--share", "网")
    try:
        admin("subnet", "create", "--network", "网", "--subnet-range", "192.168.7.0/24", "子网")
        shown = demo.json("subnet", "show", "子网")
        assert (shown["cidr"], shown["gateway_ip"]) == ("192.168.7.0/24", "192.168.7.1")
        assert "网" in demo("network", "list", "-f", "value", "-c", "Name").split()
    finally:
        admin("network", "delete", "网")
    assert demo("network", "list", "-f", "value", "-c", "Name").split() == ["private"]
