# SPDX-License-Identifier: Apache-2.0
"""From ports of an external network service to cards: what a host plugs and a view shows."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping, Sequence
from typing import Any

from nova.network.neutron_client import NeutronClient
from nova.objects.instance import Address, Vif

#: Names of devices are cut to this length of a uuid (Neutron: ``agent/linux/utils``).
_CUT = 11


class CardReader:
    """Reads each network, subnet and floating address once."""

    def __init__(self, client: NeutronClient, ovs_bridge: str) -> None:
        self._client = client
        self._ovs_bridge = ovs_bridge
        self._networks: dict[str, dict[str, Any]] = {}
        self._subnets: dict[str, dict[str, Any]] = {}

    def read(
        self, ports: Sequence[dict[str, Any]], tags: Mapping[str, str | None]
    ) -> tuple[Vif, ...]:
        """The cards of ports, in their order."""
        for network_id in {each["network_id"] for each in ports}:
            found = self._client.find("network", network_id)
            self._networks[network_id] = found or {"id": network_id, "name": ""}
            for subnet in self._client.list("subnets", network_id=network_id):
                self._subnets[subnet["id"]] = subnet
        floating: dict[tuple[str, str], list[str]] = {}
        for port in ports:
            for each in self._client.list("floatingips", port_id=port["id"]):
                key = (port["id"], each["fixed_ip_address"])
                floating.setdefault(key, []).append(each["floating_ip_address"])
        return tuple(self._card(port, floating, tags.get(port["id"])) for port in ports)

    def _card(
        self,
        port: dict[str, Any],
        floating: Mapping[tuple[str, str], Sequence[str]],
        tag: str | None,
    ) -> Vif:
        network = self._networks[port["network_id"]]
        fixed = [
            (each["ip_address"], self._subnets.get(each["subnet_id"])) for each in port["fixed_ips"]
        ]
        four = next((subnet for _ip, subnet in fixed if subnet and subnet["ip_version"] == 4), None)
        six = next((subnet for _ip, subnet in fixed if subnet and subnet["ip_version"] == 6), None)
        whole = ipaddress.IPv4Network(four["cidr"]) if four else None
        kind, bridge = self._bridge(port)
        return Vif(
            id=port["id"], mac=port["mac_address"], network_id=port["network_id"],
            plugged=port.get("status", "ACTIVE") == "ACTIVE",
            label=network["name"] or network["id"], tag=tag,
            addresses=tuple(
                Address(
                    ip, ipaddress.ip_address(ip).version, tuple(floating.get((port["id"], ip), ()))
                )
                for ip, _subnet in fixed
            ),
            bridge=bridge, kind=kind, mtu=network.get("mtu") or None,
            cidr=four["cidr"] if four else None, gateway=four["gateway_ip"] if four else None,
            netmask=str(whole.netmask) if whole else None,
            broadcast=str(whole.broadcast_address) if whole else None,
            dns=tuple((four or six or {}).get("dns_nameservers", ())),
            cidr_v6=six["cidr"] if six else None, gateway_v6=six["gateway_ip"] if six else None,
            routes=tuple(
                (each["destination"], each["nexthop"])
                for subnet in (four, six) if subnet for each in subnet.get("host_routes") or ()
            ),
        )

    def _bridge(self, port: dict[str, Any]) -> tuple[str | None, str]:
        """How a host plugs a port, and into what (Neutron's ``binding:vif_type``)."""
        details = port.get("binding:vif_details") or {}
        if port.get("binding:vif_type") == "ovs":
            return "ovs", str(details.get("bridge_name") or self._ovs_bridge)
        return None, str(details.get("bridge_name") or f"brq{port['network_id'][:_CUT]}")
