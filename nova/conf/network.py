# SPDX-License-Identifier: Apache-2.0
"""Network options; in [DEFAULT], where Kilo's nova-network has them."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "DEFAULT"


@dataclasses.dataclass(frozen=True)
class NetworkSection:
    """Options of the network service."""

    network_manager: str = option(
        "nova.network.manager.VlanManager", "Class of the network manager."
    )
    fake_network: bool = option(
        False, "Allocate addresses from the database and touch nothing on the host."
    )
    multi_host: bool = option(False, "Give every compute host its own gateway and DHCP.")
    share_dhcp_address: bool = option(False, "Use one DHCP address on all hosts.")
    vlan_start: int = option(100, "First VLAN id of created networks.", minimum=1, maximum=4094)
    vlan_interface: str | None = option(None, "Interface that carries the VLANs.")
    network_size: int = option(256, "Addresses in a created network.", minimum=4)
    num_networks: int = option(1, "Networks made by one create.", minimum=1)
    vpn_start: int = option(1000, "First port of VPN clients.")
    cnt_vpn_clients: int = option(0, "Addresses kept at the top for VPN clients.", minimum=0)
    flat_network_bridge: str | None = option(None, "Bridge of flat networks.")
    flat_interface: str | None = option(None, "Interface that flat networks bridge into.")
    flat_network_dns: str = option("8.8.4.4", "DNS server of networks that name none.")
    dhcp_domain: str = option("novalocal", "Domain of instances' names.")
    dhcp_lease_time: int = option(86400, "Length of a DHCP lease, seconds.", minimum=60)
    public_interface: str = option("eth0", "Interface that floating IPs are put on.")
    default_floating_pool: str = option("nova", "Pool of floating IPs that name none.")
    auto_assign_floating_ip: bool = option(False, "Give every server a floating IP.")
    vip_reserve_threshold_small: int = option(
        32, "Ranges of at most this many addresses keep no virtual IPs.", minimum=0
    )
    vip_reserve_small: int = option(
        5, "Virtual IPs kept in ranges of 33 to 64 addresses.", minimum=0
    )
    vip_reserve_large: int = option(
        10, "Virtual IPs kept in ranges of more than 64 addresses.", minimum=0
    )
