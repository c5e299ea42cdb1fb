# SPDX-License-Identifier: Apache-2.0
"""Network options; in [DEFAULT], where Kilo's nova-network has them."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "DEFAULT"


@dataclasses.dataclass(frozen=True)
class NetworkSection:
    """Options of the network service."""

    use_neutron: bool = option(
        False, "Take ports from the network service in [neutron] instead of the built-in one."
    )
    network_api_class: str = option(
        "nova.network.api.API",
        "Class of the network API; any with neutron in its name is the same as use_neutron.",
    )
    vif_plugging_timeout: int = option(
        300, "How long a guest whose ports an external network service has yet to plug stands still, in "
        "seconds; 0 lets it run at once.", minimum=0,
    )
    vif_plugging_is_fatal: bool = option(
        True, "Whether the boot of such a guest fails where the network service does not say in time that "
        "they are plugged, or says that they cannot be; else the guest runs without."
    )
    network_manager: str = option(
        "nova.network.manager.VlanManager", "Class of the network manager."
    )
    fake_network: bool = option(
        False, "Allocate addresses from the database and touch nothing on the host."
    )
    network_hosts: tuple[str, ...] = option(
        (), "Hosts that may come to serve the networks that one host serves for all: such a network becomes "
        "that of the first of them that asks. Where not set only the control side's own host may; which "
        "servers and addresses such a network has is told to the host that serves it.",
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
    network_driver: str | None = option(
        None,
        "What sets up the host's network: nova.network.linux_net, or none. Where not set, nova-network has "
        "the former, and a cloud in one process none.",
    )
    l3_lib: str = option(
        "nova.network.l3.LinuxNetL3",
        "Routing of the host: nova.network.l3.LinuxNetL3, or nova.network.l3.NullL3, which leaves gateways "
        "and forwarding to somebody else.",
        choices=("nova.network.l3.LinuxNetL3", "nova.network.l3.NullL3"),
    )
    networks_path: str | None = option(
        None, "Directory of DHCP's state files; $state_path/networks where not set."
    )
    routing_source_ip: str | None = option(
        None, "Address that guests' traffic leaves the host with; $my_ip where not set."
    )
    dns_server: tuple[str, ...] = option(
        (),
        "DNS servers that dnsmasq asks, instead of those in /etc/resolv.conf; may be given several times.",
        multi=True,
    )
    use_network_dns_servers: bool = option(
        False, "Let dnsmasq also ask the networks' own DNS servers (dns1, dns2)."
    )
    update_dns_entries: bool = option(
        False,
        "In multi-host networks, let every host's DNS know the guests of all hosts, not only its own; hosts "
        "are told when a name or an address changes.",
    )
    dns_update_periodic_interval: int = option(
        -1, "Seconds between two full updates of DNS entries; -1: with every full look at the network.",
        minimum=-1,
    )
    instance_dns_domain: str = option(
        "",
        "Domain in which servers get names of their own, by their host name and by their uuid; made as a "
        "private DNS domain if it is not there (os-floating-ip-dns). Where not set they get none.",
    )
    use_single_default_gateway: bool = option(
        False, "Tell the gateway to the first card of a guest only."
    )
    dnsmasq_config_file: str | None = option(None, "Further settings for dnsmasq.")
    dhcpbridge: str | None = option(
        None, "Program that dnsmasq tells of leases; the nova-dhcpbridge beside Python where not set."
    )
    dhcpbridge_flagfile: tuple[str, ...] = option(
        ("/etc/nova/nova-dhcpbridge.conf",),
        "Configuration files that nova-dhcpbridge gets in its environment (CONFIG_FILE).",
        multi=True,
    )
    force_dhcp_release: bool = option(
        True, "Release the DHCP lease of a guest that is deleted, instead of waiting for its end."
    )
    fixed_ip_disassociate_timeout: int = option(
        600,
        "Seconds for which the address of a deleted server is held back while DHCP has a lease for it, where "
        "force_dhcp_release is off; dhcp_lease_time at most.",
        minimum=0,
    )
    send_arp_for_ha: bool = option(
        False, "Announce the addresses that this host takes on by gratuitous ARP."
    )
    send_arp_for_ha_count: int = option(3, "How many announcements.", minimum=0)
    teardown_unused_network_gateway: bool = option(
        False,
        "Remove bridge and VLAN of a multi-host network from a host that has no guest on it any more.",
    )
    network_device_mtu: int | None = option(
        None, "MTU of bridges, VLANs and guests' cards of networks that name none.", minimum=68,
        maximum=65535,
    )
    network_sync_interval: int = option(
        60, "Seconds between two full looks at what the host's network is to be.", minimum=1
    )
    use_ipv6: bool = option(False, "Give the host addresses of IPv6 ranges and announce them to guests.")
    public_interface: str = option("eth0", "Interface that floating IPs are put on.")
    default_floating_pool: str = option("nova", "Pool of floating IPs that name none.")
    dmz_cidr: tuple[str, ...] = option(
        (), "Ranges that guests reach with their own addresses, not with the host's."
    )
    force_snat_range: tuple[str, ...] = option(
        (),
        "Ranges that guests of networks with a gateway elsewhere reach through this host, with its address; "
        "may be given several times.",
        multi=True,
    )
    forward_bridge_interface: tuple[str, ...] = option(
        ("all",),
        "Interfaces that guests' bridges pass IPv4 on to, and from; all lets them reach any. May be given "
        "several times.",
        multi=True,
    )
    metadata_host: str | None = option(
        None,
        "Metadata service that requests to 169.254.169.254 are led to; the host's own where not set.",
    )
    metadata_port: int = option(
        8775, "Port of the metadata service that they are led to.", minimum=1, maximum=65535
    )
    allow_same_net_traffic: bool = option(
        True,
        "Let guests of one network reach each other whatever their security groups say, as Kilo does. "
        "With False, traffic within a network needs a rule.",
    )
    probe_addresses: bool = option(
        True, "Ask on the wire whether an address is in use elsewhere before a guest gets it."
    )
    probe_batch: int = option(
        256, "Addresses of a network that one probe asks for.", minimum=1, maximum=1024
    )
    probe_pool: int = option(
        32, "Free addresses of each network that are kept probed ahead of demand.", minimum=0
    )
    probe_age: int = option(
        600, "Seconds for which a probe holds; then the address is asked for again.", minimum=1
    )
    probe_timeout: float = option(
        0.5, "Seconds that an address has to answer in.", minimum=0.05, maximum=1.0
    )
    probe_interval: int = option(15, "Seconds between two looks for what to probe.", minimum=1)
    create_unique_mac_address_attempts: int = option(
        5, "How often a MAC is made up that turns out to be taken, until the card is given up.", minimum=1
    )
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

    @property
    def external(self) -> bool:
        """Whether ports come from a network service that is not built in."""
        return self.use_neutron or "neutron" in self.network_api_class
