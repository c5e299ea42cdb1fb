# SPDX-License-Identifier: Apache-2.0
"""Actions on a server's addresses and security groups."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.bodies import FILLED, Body
from nova.api.compute.policies import ADMIN, MEMBER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.server_action_table import ServerAction
from nova.db.engine import Transaction
from nova.network import floating
from nova.objects.instance import Instance
from nova.policy import Rule

_MULTINIC = "os_compute_api:os-multinic"
_FLOATING = "os_compute_api:os-floating-ips"
_GROUPS = "os_compute_api:os-security-groups"
_ADMIN_ACTIONS = "os_compute_api:os-admin-actions"

RULES: tuple[Rule, ...] = (
    Rule(f"{_MULTINIC}:add", MEMBER_OR_ADMIN, "Give a server another fixed address."),
    Rule(f"{_MULTINIC}:remove", MEMBER_OR_ADMIN, "Take a fixed address from a server."),
    Rule(f"{_FLOATING}:add", MEMBER_OR_ADMIN, "Lead a floating address to a server."),
    Rule(f"{_FLOATING}:remove", MEMBER_OR_ADMIN, "Take a floating address off a server."),
    Rule(f"{_GROUPS}:add", MEMBER_OR_ADMIN, "Put a server into a security group."),
    Rule(f"{_GROUPS}:remove", MEMBER_OR_ADMIN, "Take a server out of a security group."),
    Rule(f"{_ADMIN_ACTIONS}:inject_network_info", ADMIN, "Tell a guest its network again."),
    Rule(f"{_ADMIN_ACTIONS}:reset_network", ADMIN, "Reset a guest's network."),
)


class AddFixedIp(msgspec.Struct, frozen=True):
    """The network to take an address of."""

    network_id: str | int = msgspec.field(name="networkId")


def add_fixed_ip(request: ApiRequest, instance: Instance, body: AddFixedIp) -> Any:
    """Give the server another fixed address."""
    network = str(body.network_id)
    if not 1 <= len(network) <= 36:
        raise errors.InvalidInput("networkId", "It has to have 1 to 36 characters.", network)
    try:
        request.cloud.operations.add_fixed_ip(request.caller, instance, network)
    except errors.NetworkNotFound as error:
        raise errors.BadRequest(error.message) from None
    return None


class Address(msgspec.Struct, frozen=True):
    """An address."""

    address: str


def remove_fixed_ip(request: ApiRequest, instance: Instance, body: Address) -> Any:
    """Take a fixed address from the server."""
    address = values.address("address", body.address)
    request.cloud.operations.remove_fixed_ip(request.caller, instance, address)
    return None


class AddFloatingIp(msgspec.Struct, frozen=True):
    """A floating address, and the fixed one that it is to lead to."""

    address: str
    fixed_address: Annotated[str | None, FILLED] = None


def add_floating_ip(request: ApiRequest, instance: Instance, body: AddFloatingIp) -> Any:
    """Lead one of the project's floating addresses to the server."""
    address = values.address("address", body.address)
    fixed = body.fixed_address
    if fixed is not None:
        fixed = values.address("fixed_address", fixed)
    if instance.host is None:
        raise errors.BadRequest("No fixed ips associated to instance")
    cloud = request.cloud
    if cloud.networks.outside is not None:
        cloud.networks.outside.lead_floating(instance, address, fixed)
        cloud.operations.refresh_from_outside([instance.uuid])
        return None

    def write(tx: Transaction) -> None:
        change = floating.associate(
            tx, request.caller.project_id, address, instance.uuid, instance.host, fixed
        )
        cloud.operations.refresh_addresses(tx, change.instances)
        tx.after_commit(cloud.events.networks_changed)

    cloud.db.run(write)
    return None


def remove_floating_ip(request: ApiRequest, instance: Instance, body: Address) -> Any:
    """Take a floating address off the server."""
    address = values.address("address", body.address)
    cloud = request.cloud
    if cloud.networks.outside is not None:
        cloud.networks.outside.take_floating(instance, address)
        cloud.operations.refresh_from_outside([instance.uuid])
        return None

    def write(tx: Transaction) -> None:
        held = tx.floating_ips.get_by_address(address)
        if held.instance_uuid is not None and held.instance_uuid != instance.uuid:
            raise errors.Conflict(
                f"Floating ip {address} is not associated with instance {instance.uuid}."
            )
        change = floating.disassociate(
            tx, request.caller.project_id, address, instance.uuid
        )
        cloud.operations.refresh_addresses(tx, change.instances)
        tx.after_commit(cloud.events.networks_changed)

    cloud.db.run(write)
    return None


class GroupName(msgspec.Struct, frozen=True):
    """A security group's name."""

    name: str


def add_security_group(request: ApiRequest, instance: Instance, body: GroupName) -> Any:
    """Put the server into a group."""
    name = _group(body)
    request.cloud.operations.add_security_group(request.caller, instance, name)
    return None


def remove_security_group(request: ApiRequest, instance: Instance, body: GroupName) -> Any:
    """Take the server out of a group."""
    name = _group(body)
    request.cloud.operations.remove_security_group(request.caller, instance, name)
    return None


def _group(body: GroupName) -> str:
    """The name as it is: a group's may have blanks at its ends."""
    if not body.name.strip():
        raise errors.BadRequest("Security group name cannot be empty")
    if len(body.name) > 255:
        raise errors.InvalidInput("name", "It has to have at most 255 characters.", body.name)
    return body.name


def inject_network_info(request: ApiRequest, instance: Instance, _body: Any) -> Any:
    """Write down the server's present addresses again: its host and its metadata read them there.

    Guests learn their addresses by DHCP and config drive; there is no agent in them to tell.
    """
    if instance.host is None:
        raise errors.Conflict(f"Instance {instance.uuid} is not ready: it is on no host.")
    cloud = request.cloud
    cloud.db.run(lambda tx: cloud.operations.refresh_addresses(tx, (instance.uuid,)))
    return None


def reset_network(request: ApiRequest, instance: Instance, body: Any) -> Any:
    """Kilo's resetNetwork, which was for agents in the guest; later releases removed it."""
    if not request.legacy:
        raise errors.Gone
    return inject_network_info(request, instance, body)


ACTIONS: tuple[ServerAction, ...] = (
    ServerAction(
        "addFixedIp", add_fixed_ip, f"{_MULTINIC}:add", until=43,
        body=Body("addFixedIp", AddFixedIp),
    ),
    ServerAction(
        "removeFixedIp", remove_fixed_ip, f"{_MULTINIC}:remove", until=43,
        body=Body("removeFixedIp", Address),
    ),
    ServerAction(
        "addFloatingIp", add_floating_ip, f"{_FLOATING}:add", until=43,
        body=Body("addFloatingIp", AddFloatingIp),
    ),
    ServerAction(
        "removeFloatingIp", remove_floating_ip, f"{_FLOATING}:remove", until=43,
        body=Body("removeFloatingIp", Address),
    ),
    ServerAction(
        "addSecurityGroup", add_security_group, f"{_GROUPS}:add",
        body=Body("addSecurityGroup", GroupName),
    ),
    ServerAction(
        "removeSecurityGroup", remove_security_group, f"{_GROUPS}:remove",
        body=Body("removeSecurityGroup", GroupName),
    ),
    ServerAction(
        "injectNetworkInfo", inject_network_info, f"{_ADMIN_ACTIONS}:inject_network_info"
    ),
    ServerAction("resetNetwork", reset_network, f"{_ADMIN_ACTIONS}:reset_network"),
)
