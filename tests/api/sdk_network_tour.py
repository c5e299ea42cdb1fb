# SPDX-License-Identifier: Apache-2.0
"""Runs in the interpreter of the public clients, not in the test's: openstacksdk's network proxy, against
a cloud that was started for it (``test_sdk_network.py``).

Prints a JSON object: for each part of the tour null or the trace of what went wrong.
"""

from __future__ import annotations

import json
import sys
import traceback
from typing import Any

import openstack
from openstack import exceptions

PARTS: list[Any] = []
NOWHERE = "00000000-0000-4000-8000-000000000000"


def part(function: Any) -> Any:
    """Make the function a part of the tour."""
    PARTS.append(function)
    return function


def refused(kind: Any, call: Any, *args: Any, **options: Any) -> Any:
    """The error of a call that has to be refused."""
    try:
        call(*args, **options)
    except kind as error:
        return error
    raise AssertionError(f"{call.__name__} was not refused")


@part
def networks(connection: Any) -> None:
    net = connection.network
    made = net.create_network(name="sdk-net", description="d", mtu=1400)
    assert net.find_network("sdk-net").id == made.id
    assert net.get_network(made).is_shared is False
    assert net.update_network(made, name="sdk-neu").name == "sdk-neu"
    net.set_tags(made, ["a", "b"])
    assert [each.id for each in net.networks(tags="a")] == [made.id]
    subnet = net.create_subnet(network_id=made.id, cidr="10.77.0.0/24", ip_version=4, name="s")
    assert net.find_subnet("s").id == subnet.id
    assert [each.id for each in net.subnets(network_id=made.id)] == [subnet.id]
    assert net.update_subnet(subnet, dns_nameservers=["1.1.1.1"]).dns_nameservers == ["1.1.1.1"]
    fresh = net.get_network(made.id)
    stale = fresh.revision_number - 1
    refused(exceptions.PreconditionFailedException, net.update_network, fresh,
            if_revision=stale, description="x")
    assert [each.name for each in net.networks(is_router_external=True)] == []
    assert len(list(net.networks(limit=1))) == 2
    net.delete_subnet(subnet)
    net.delete_network(made)
    refused(exceptions.NotFoundException, net.get_network, made.id)
    assert net.find_network("sdk-neu") is None


@part
def ports(connection: Any) -> None:
    net = connection.network
    private = net.find_network("private")
    made = list(net.create_ports([
        {"network_id": private.id, "name": f"sdk-{number}"} for number in range(3)
    ]))
    assert len(made) == 3
    assert {each.name for each in net.ports(network_id=private.id)} == {"sdk-0", "sdk-1", "sdk-2"}
    one = net.find_port("sdk-0")
    subnet = one.fixed_ips[0]["subnet_id"]
    assert [each.id for each in net.ports(fixed_ips=f"ip_address={one.fixed_ips[0]['ip_address']}")
            ] == [one.id]
    assert net.update_port(one, name="neu", allowed_address_pairs=[{"ip_address": "1.2.3.4"}]
                           ).allowed_address_pairs == [{"ip_address": "1.2.3.4"}]
    assert len(list(net.get_subnet_ports(subnet))) == 3
    for each in made:
        net.delete_port(each.id)
    assert list(net.ports()) == []
    refused(exceptions.BadRequestException, net.create_port, network_id="x")
    refused(exceptions.NotFoundException, net.create_port, network_id=NOWHERE)


@part
def servers(connection: Any) -> None:
    net, compute = connection.network, connection.compute
    server = connection.create_server(
        "sdk-server", image="nova-test", flavor="m1.tiny", network="private", wait=True,
        auto_ip=False,
    )
    (port,) = net.ports(device_id=server.id)
    (card,) = compute.server_interfaces(server.id)
    assert (card.port_id, card.mac_addr, card.net_id) == (
        port.id, port.mac_address, port.network_id
    )
    assert card.fixed_ips == port.fixed_ips
    second = net.create_port(network_id=port.network_id)
    compute.create_server_interface(server.id, port_id=second.id)
    assert {each.id for each in net.ports(device_id=server.id)} == {port.id, second.id}
    compute.delete_server_interface(second.id, server=server.id)
    net.delete_port(second)
    connection.delete_server(server.id, wait=True)
    assert list(net.ports()) == []


@part
def security_groups(connection: Any) -> None:
    net = connection.network
    group = net.create_security_group(name="sdk-group", description="d")
    assert len(group.security_group_rules) == 2
    rule = net.create_security_group_rule(
        security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22,
        port_range_max=22, remote_ip_prefix="0.0.0.0/0",
    )
    several = list(net.create_security_group_rules([
        {"security_group_id": group.id, "direction": "ingress", "protocol": "udp",
         "port_range_min": number, "port_range_max": number} for number in (1, 2)
    ]))
    assert len(several) == 2
    assert net.get_security_group_rule(rule).port_range_min == 22
    assert len(list(net.security_group_rules(security_group_id=group.id))) == 5
    refused(exceptions.ConflictException, net.create_security_group_rule,
            security_group_id=group.id, direction="ingress", protocol="tcp", port_range_min=22,
            port_range_max=22)
    net.delete_security_group_rule(rule)
    assert net.update_security_group(group, name="sdk-neu").name == "sdk-neu"
    net.delete_security_group(group)
    assert net.find_security_group("sdk-neu") is None


@part
def floating_ips(connection: Any) -> None:
    net = connection.network
    external = net.create_network(name="sdk-ext", is_router_external=True)
    net.create_subnet(network_id=external.id, cidr="203.0.113.0/28", ip_version=4,
                      is_dhcp_enabled=False)
    taken = net.create_ip(floating_network_id=external.id)
    port = net.create_port(network_id=net.find_network("private").id)
    assert net.add_ip_to_port(port, taken).port_id == port.id
    assert [each.id for each in net.ips(port_id=port.id)] == [taken.id]
    assert net.find_ip(taken.floating_ip_address).id == taken.id
    assert net.remove_ip_from_port(taken).port_id is None
    assert net.find_available_ip().id == taken.id
    net.delete_ip(taken)
    net.delete_port(port)
    net.delete_network(external)


@part
def all_the_rest(connection: Any) -> None:
    net = connection.network
    project = connection.current_project_id
    assert net.find_extension("security-group").alias == "security-group"
    assert len(list(net.agents())) >= 1
    assert {each.name for each in net.availability_zones()} == {"nova"}
    (usage,) = net.network_ip_availabilities()
    assert usage.network_name == "private"
    assert net.get_quota(project).networks == -1
    net.update_quota(project, networks=5)
    assert net.get_quota(project, details=True).networks["limit"] == 5
    net.delete_quota(project)
    assert net.get_quota_default(project).floating_ips == 10
    assert net.get_auto_allocated_topology(project).id == net.find_network("private").id
    (router,) = net.routers()
    made = net.create_router(name="r")
    assert [each.id for each in net.routers()] == [made.id]
    refused(exceptions.ConflictException, net.create_router, name="another")
    net.delete_router(made)
    mine = net.create_network(name="sdk-rbac")
    subnet = net.create_subnet(network_id=mine.id, cidr="10.78.0.0/24", ip_version=4)
    assert net.add_interface_to_router(router, subnet_id=subnet.id)["subnet_id"] == subnet.id
    policy = net.create_rbac_policy(
        object_type="network", object_id=mine.id, action="access_as_shared", target_project_id="x"
    )
    assert net.get_rbac_policy(policy).object_id == mine.id
    net.delete_rbac_policy(policy)
    net.delete_network(mine)
    assert list(net.service_providers()) == []


def main() -> None:
    """Run all parts."""
    connection = openstack.connect(cloud="envvars", load_yaml_config=False)
    outcome = {}
    for each in PARTS:
        try:
            each(connection)
            outcome[each.__name__] = None
        except Exception:
            outcome[each.__name__] = traceback.format_exc()
    json.dump(outcome, sys.stdout)


if __name__ == "__main__":
    main()
