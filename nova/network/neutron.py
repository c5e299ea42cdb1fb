# SPDX-License-Identifier: Apache-2.0
"""Ports of a network service of its own (Networking API v2.0), through openstacksdk.

The service is asked as its administrator; what a project may use is checked here, for a caller's own token
says nothing in a cloud with another identity service.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

from nova.errors import (
    AddressInUse,
    BadRequest,
    Conflict,
    NetworkAmbiguous,
    NotFound,
    QuotaExceeded,
    ServiceUnavailable,
)
from nova.network.neutron_cards import CardReader
from nova.network.neutron_client import NeutronClient
from nova.network.outside import OutsidePlan
from nova.objects.instance import Instance, RequestedNetwork, Vif

_FAILED = "binding_failed"


class NeutronNetworks:
    """See ``nova.network.outside.OutsideNetworks``."""

    def __init__(self, client: NeutronClient, ovs_bridge: str) -> None:
        self._client = client
        self._ovs_bridge = ovs_bridge

    # -- before a request is accepted --------------------------------------------------------------

    def check(
        self,
        project_id: str,
        requested: Sequence[RequestedNetwork] | None,
        groups: Sequence[str] | None,
        count: int = 1,
    ) -> OutsidePlan:
        """Choose and check; nothing is taken."""
        chosen = self._automatic(project_id) if requested is None else tuple(requested)
        networks = self._visible(project_id) if any(each.network_id for each in chosen) else {}
        for each in chosen:
            if each.port_id is not None:
                self._check_port(project_id, each.port_id, count)
            elif each.network_id not in networks:
                raise BadRequest(f"Network {each.network_id} could not be found.")
            elif not networks[each.network_id].get("subnets"):
                raise BadRequest(
                    f"Network {each.network_id} requires a subnet in order to boot instances on."
                )
        making = sum(each.port_id is None for each in chosen) * count
        self._check_limit(project_id, making)
        if making == 0 and not groups:
            return OutsidePlan(chosen)
        found = [self._group(project_id, each) for each in dict.fromkeys(groups or ("default",))]
        return OutsidePlan(
            chosen, tuple(each["id"] for each in found), tuple(each["name"] for each in found)
        )

    def _automatic(self, project_id: str) -> tuple[RequestedNetwork, ...]:
        """The one network that a project can have; none where there is none."""
        networks = self._visible(project_id)
        usable = [each for each in networks.values() if not each.get("router:external")]
        own = [each for each in usable if each["tenant_id"] == project_id]
        usable = own or usable
        if len(usable) > 1:
            raise NetworkAmbiguous(
                "Multiple possible networks found, use a Network ID to be more specific."
            )
        if usable:
            return (RequestedNetwork(network_id=usable[0]["id"]),)
        made = self._client.auto_allocated(project_id)
        return () if made is None else (RequestedNetwork(network_id=made),)

    def _visible(self, project_id: str) -> dict[str, dict[str, Any]]:
        """The networks that a project may use: its own, all shared ones, those shared with it."""
        found = {
            each["id"]: each
            for query in ({"tenant_id": project_id}, {"shared": "true"})
            for each in self._client.list("networks", **query)
        }
        for policy in self._client.list("rbac-policies", target_tenant=project_id):
            if policy["action"] == "access_as_shared" and policy["object_id"] not in found:
                for each in self._client.list("networks", id=policy["object_id"]):
                    found[each["id"]] = each
        return found

    def _check_port(self, project_id: str, port_id: str, count: int) -> None:
        if count > 1:
            raise BadRequest("Unable to launch multiple instances with a single configured port ID.")
        self._free_port(project_id, port_id)

    def _free_port(
        self, project_id: str, port_id: str, instance_uuid: str | None = None
    ) -> dict[str, Any]:
        port = self._client.find("port", port_id)
        if port is None or port["tenant_id"] != project_id:
            raise NotFound(f"Port id {port_id} could not be found.")
        if port["device_id"] and port["device_id"] != instance_uuid:
            raise Conflict(f"Port {port_id} is still in use.")
        return port

    def _check_limit(self, project_id: str, making: int) -> None:
        limit = self._client.limit("port", project_id)
        if making and limit >= 0:
            used = len(self._client.list("ports", tenant_id=project_id, fields="id"))
            if used + making > limit:
                raise QuotaExceeded("Maximum number of ports exceeded")

    def _group(self, project_id: str, name: str) -> dict[str, Any]:
        found = self._client.list("security-groups", tenant_id=project_id)
        matches = [each for each in found if each["id"] == name] or [
            each for each in found if each["name"] == name
        ]
        if not matches:
            raise BadRequest(f"Security group {name} not found for project {project_id}.")
        if len(matches) > 1:
            raise Conflict(
                f"Multiple security groups found matching '{name}'. Use an ID to be more specific."
            )
        return matches[0]

    # -- boots -------------------------------------------------------------------------------------

    def allocate(self, instance: Instance, plan: OutsidePlan) -> tuple[Vif, ...]:
        """Make and bind the ports of a server; those of an earlier try are taken up."""
        ours = set(plan.ports)
        made = [each for each in self._of(instance.uuid) if each["id"] not in ours]
        ports, tags = [], {}
        for wanted in plan.requested:
            port = self._bound(instance, wanted, plan.group_ids, made)
            ports.append(port)
            tags[port["id"]] = wanted.tag
        for left in made:
            self._client.delete("port", left["id"])
        return CardReader(self._client, self._ovs_bridge).read(ports, tags)

    def _bound(
        self,
        instance: Instance,
        wanted: RequestedNetwork,
        groups: Sequence[str],
        made: list[dict[str, Any]],
    ) -> dict[str, Any]:
        """One port on the server's host; ``made`` are ports of an earlier try, used up first."""
        facts: dict[str, Any] = {
            "device_id": instance.uuid,
            "device_owner": f"compute:{instance.availability_zone or 'nova'}",
            "binding:host_id": instance.host,
        }
        if wanted.port_id is not None:
            self._free_port(instance.project_id, wanted.port_id, instance.uuid)
            port = self._client.update("port", wanted.port_id, facts)
        else:
            again = next(
                (
                    each for each in made if each["network_id"] == wanted.network_id
                    and wanted.address in (None, *(ip["ip_address"] for ip in each["fixed_ips"]))
                ),
                None,
            )
            if again is not None:
                made.remove(again)
                port = self._client.update("port", again["id"], facts)
            else:
                port = self._make(instance, wanted, groups, facts)
        if port.get("binding:vif_type") == _FAILED:
            raise Conflict(f"Binding failed for port {port['id']}, please check the network service.")
        return port

    def _make(
        self,
        instance: Instance,
        wanted: RequestedNetwork,
        groups: Sequence[str],
        facts: dict[str, Any],
    ) -> dict[str, Any]:
        body = {
            **facts, "network_id": wanted.network_id, "tenant_id": instance.project_id,
            "admin_state_up": True,
        }
        if groups:
            body["security_groups"] = list(groups)
        if wanted.address is not None:
            body["fixed_ips"] = [{"ip_address": wanted.address}]
        try:
            return self._client.create("port", body)
        except AddressInUse:
            raise AddressInUse(wanted.address or "") from None

    # -- a running server --------------------------------------------------------------------------

    def attach(self, instance: Instance, wanted: RequestedNetwork) -> Vif:
        """Make or bind one more port, in the groups that the server's other ports are in."""
        plan = self.check(
            instance.project_id,
            None if wanted.port_id is None and wanted.network_id is None else (wanted,), None,
        )
        if not plan.requested:
            raise BadRequest("There is no network for this project.")
        first = plan.requested[0]
        chosen = RequestedNetwork(
            network_id=first.network_id, port_id=first.port_id, address=wanted.address,
            tag=wanted.tag,
        )
        port = self._bound(instance, chosen, plan.group_ids, [])
        return CardReader(self._client, self._ovs_bridge).read([port], {port["id"]: wanted.tag})[0]

    def detach(self, instance_uuid: str, port_id: str, *, keep: bool) -> None:
        """Take a port from a server; one that is gone, or another's by now, is left."""
        port = self._client.find("port", port_id)
        if port is None or port["device_id"] != instance_uuid:
            return
        if keep:
            self._client.update(
                "port", port_id, {"device_id": "", "device_owner": "", "binding:host_id": ""}
            )
        else:
            self._client.delete("port", port_id)

    def release(self, instance_uuid: str, kept: Collection[str]) -> None:
        """Take all ports from a server."""
        for port in self._of(instance_uuid):
            self.detach(instance_uuid, port["id"], keep=port["id"] in kept)

    def bind(self, instance_uuid: str, host: str | None) -> None:
        """Bind a server's ports to the host that it is on now."""
        for port in self._of(instance_uuid):
            if (port.get("binding:host_id") or None) != host:
                self._client.update("port", port["id"], {"binding:host_id": host or ""})

    def cards(self, instance: Instance) -> tuple[Vif, ...]:
        """The known cards as they are now, in their order."""
        present = {each["id"]: each for each in self._of(instance.uuid)}
        known = [vif for vif in instance.network_info if vif.id in present]
        return CardReader(self._client, self._ovs_bridge).read(
            [present[vif.id] for vif in known], {vif.id: vif.tag for vif in known}
        )

    def port_ids(self, instance_uuid: str) -> set[str]:
        """All ports of a server."""
        return {each["id"] for each in self._of(instance_uuid)}

    def add_address(self, instance: Instance, network_id: str) -> None:
        """One more address of the first subnet of the network."""
        for port in self._of(instance.uuid):
            if port["network_id"] == network_id:
                subnets = self._client.list("subnets", network_id=network_id, ip_version="4")
                if not subnets:
                    break
                fixed = [*port["fixed_ips"], {"subnet_id": subnets[0]["id"]}]
                self._client.update("port", port["id"], {"fixed_ips": fixed})
                return
        raise NotFound(f"Instance {instance.uuid} has no port in network {network_id}.")

    def remove_address(self, instance: Instance, address: str) -> None:
        """Take an address from the port that has it."""
        for port in self._of(instance.uuid):
            rest = [each for each in port["fixed_ips"] if each["ip_address"] != address]
            if len(rest) < len(port["fixed_ips"]):
                self._client.update("port", port["id"], {"fixed_ips": rest})
                return
        raise NotFound(f"Instance {instance.uuid} doesn't have fixed ip '{address}'.")

    def change_groups(
        self, instance: Instance, *, add: str | None = None, remove: str | None = None
    ) -> str:
        """Change the groups of all ports of a server."""
        try:
            group = self._group(instance.project_id, add or remove or "")
        except BadRequest as error:
            raise NotFound(error.message) from None
        ports = self._of(instance.uuid)
        if not ports:
            raise BadRequest(f"Instance {instance.uuid} has no port to change the groups of.")
        changed = 0
        for port in ports:
            groups = [each for each in port["security_groups"] if each != group["id"]]
            if add is not None:
                groups.append(group["id"])
            if set(groups) != set(port["security_groups"]):
                self._client.update("port", port["id"], {"security_groups": groups})
                changed += 1
        if remove is not None and not changed:
            raise NotFound(
                f"Security group {remove} is not associated with the instance {instance.uuid}"
            )
        return str(group["name"])

    def lead_floating(self, instance: Instance, address: str, fixed: str | None) -> None:
        """Lead a floating address to a port of the server."""
        floating = self._floating(instance, address)
        for port in self._of(instance.uuid):
            for each in port["fixed_ips"]:
                if each["ip_address"] == fixed or (fixed is None and ":" not in each["ip_address"]):
                    self._client.update(
                        "floatingip", floating["id"],
                        {"port_id": port["id"], "fixed_ip_address": each["ip_address"]},
                    )
                    return
        raise BadRequest(
            "No fixed ips associated to instance" if fixed is None
            else f"Specified fixed address {fixed} is not assigned to instance {instance.uuid}"
        )

    def take_floating(self, instance: Instance, address: str) -> None:
        """Let a floating address lead nowhere."""
        floating = self._floating(instance, address)
        if floating["port_id"] not in self.port_ids(instance.uuid):
            raise Conflict(f"Floating ip {address} is not associated with instance {instance.uuid}.")
        self._client.update("floatingip", floating["id"], {"port_id": None})

    def _floating(self, instance: Instance, address: str) -> dict[str, Any]:
        found = self._client.list(
            "floatingips", floating_ip_address=address, tenant_id=instance.project_id
        )
        if not found:
            raise NotFound(f"Floating ip {address} not found.")
        return found[0]

    def _of(self, instance_uuid: str) -> list[dict[str, Any]]:
        if not instance_uuid:
            raise ServiceUnavailable("A server without an id has no ports.")
        return self._client.list("ports", device_id=instance_uuid)
