# SPDX-License-Identifier: Apache-2.0
"""``network_data.json``: links, networks and services of a guest.

Source: https://docs.openstack.org/nova/latest/user/metadata.html, "OpenStack format metadata".
"""

from __future__ import annotations

import ipaddress
from typing import Any

from nova.objects.instance import Vif


def network_data(vifs: tuple[Vif, ...]) -> dict[str, Any]:
    """A link for each NIC and a network for each of its addresses.

    Where DHCP gives the address, the network says so and nothing else, and the link has no MTU: both come
    with the lease.
    """
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for vif in vifs:
        link = f"tap{vif.id[:11]}"
        links.append(
            {"id": link, "vif_id": vif.id, "type": "bridge",
             "mtu": None if vif.dhcp_server else vif.mtu, "ethernet_mac_address": vif.mac}
        )
        for address in vif.addresses:
            networks.append(_network(vif, link, address.address, f"network{len(networks)}"))
        services += [
            {"type": "dns", "address": address} for address in vif.dns
            if {"type": "dns", "address": address} not in services
        ]
    return {"links": links, "networks": networks, "services": services}


def _network(vif: Vif, link: str, address: str, name: str) -> dict[str, Any]:
    version = ipaddress.ip_address(address).version
    common = {"id": name, "link": link, "network_id": vif.network_id}
    if version == 4 and vif.dhcp_server:
        return {**common, "type": "ipv4_dhcp"}
    gateway = vif.gateway if version == 4 else vif.gateway_v6
    routes: list[dict[str, str | None]]
    cidr = vif.cidr if version == 4 else vif.cidr_v6
    everywhere = "0.0.0.0" if version == 4 else "::"  # noqa: S104
    routes = [{"network": everywhere, "netmask": everywhere, "gateway": gateway}] if gateway else []
    routes += [
        {"network": destination.partition("/")[0], "netmask": _mask(destination), "gateway": nexthop}
        for destination, nexthop in vif.routes if ipaddress.ip_network(destination).version == version
    ]
    return {
        **common, "type": f"ipv{version}", "ip_address": address,
        "netmask": vif.netmask if version == 4 and vif.netmask else _mask(cidr),
        "routes": routes,
        "services": [
            {"type": "dns", "address": each} for each in vif.dns
            if ipaddress.ip_address(each).version == version
        ],
    }


def _mask(cidr: str | None) -> str | None:
    return str(ipaddress.ip_network(cidr, strict=False).netmask) if cidr else None
