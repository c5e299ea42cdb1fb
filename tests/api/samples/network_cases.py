# SPDX-License-Identifier: Apache-2.0
"""The samples of networks, addresses, interfaces and volumes of servers."""

from __future__ import annotations

import itertools

from tests.api.samples import server_cases
from tests.api.samples.stage import Case, Stage


def fixed(stage: Stage) -> None:
    """A server, and its fixed address."""
    server_cases.running(stage)
    server_cases.network(stage)
    address = stage.show(stage.names["server"])["addresses"]["private"][0]["addr"]
    stage.names["address"] = address
    stage.texts["10.0.0.4"] = address


#: Last parts of addresses that no two cases share, as all are on one network.
_free = itertools.count(1)


def interface(stage: Stage) -> None:
    """A server, its port, and a free address of the network."""
    server_cases.running(stage)
    server_cases.network(stage)
    # Neither among those given out from below nor among those reserved at the top of the range.
    stage.texts["192.168.1.3"] = f"10.0.8.{next(_free)}"
    path = f"/servers/{stage.names['server']}/os-interface"
    (first,) = stage.must("GET", path, at=70)["interfaceAttachments"]
    stage.names["port"] = first["port_id"]


def tagged_interface(stage: Stage) -> None:
    """A server whose only port has a tag."""
    interface(stage)
    path = f"/servers/{stage.names['server']}/os-interface"
    stage.must("DELETE", f"{path}/{stage.names['port']}", at=70)
    made = stage.must("POST", path, {"interfaceAttachment": {
        "net_id": stage.texts[server_cases.NETWORK], "tag": "public",
    }}, at=70)
    stage.names["port"] = made["interfaceAttachment"]["port_id"]
    stage.until_task_ends(stage.names["server"])


def free_range(stage: Stage) -> None:
    """A range of floating addresses that is not there yet."""
    number = int(stage.project[:4], 16)
    stage.names["range"] = f"101.{number >> 8}.{number & 255}.0/29"
    stage.texts["192.168.1.0/24"] = stage.names["range"]


def used_range(stage: Stage) -> None:
    """A range of floating addresses."""
    free_range(stage)
    stage.must("POST", "/os-floating-ips-bulk", {"floating_ips_bulk_create": {
        "ip_range": stage.names["range"],
    }}, at=35)


def on_host(stage: Stage) -> None:
    """A floating IP that is on a host."""
    server_cases.floated(stage)
    stage.names["host"] = stage.show(stage.names["server"])["OS-EXT-SRV-ATTR:host"]


def dns_domain(stage: Stage) -> None:
    """A DNS domain of the project, by the name that requests have."""
    stage.must("PUT", _DOMAIN, {"domain_entry": {"scope": "public", "project": stage.project}}, at=35)
    stage.undo.append(lambda: stage.must("DELETE", _DOMAIN, at=35))


def dns_entry(stage: Stage) -> None:
    """A name in a DNS domain."""
    dns_domain(stage)
    stage.must("PUT", f"{_DOMAIN}/entries/instance1", {
        "dns_entry": {"ip": "192.168.1.1", "dns_type": "A"},
    }, at=35)


def free_network(stage: Stage) -> None:
    """A range that no network has yet."""
    number = int(stage.project[:4], 16)
    stage.texts["10.20.105"] = f"11.{number >> 8}.{number & 255}"
    stage.texts["172.0.0"] = f"12.{number >> 8}.{number & 255}"


def spare_network(stage: Stage) -> None:
    """A network of no project."""
    free_network(stage)
    made = stage.must("POST", "/os-networks", {"network": {
        "label": "spare", "cidr": f"{stage.texts['10.20.105']}.0/24", "bridge": "br200",
    }}, at=35)
    stage.names["network"] = made["network"]["id"]
    stage.texts['"id": "1"'] = f'"id": "{made["network"]["id"]}"'


def default_rule(stage: Stage) -> None:
    """A default rule."""
    made = stage.must("POST", "/os-security-group-default-rules", {
        "security_group_default_rule": {
            "ip_protocol": "TCP", "from_port": int(stage.project[:3], 16) + 1,
            "to_port": 9999, "cidr": "10.10.10.0/24",
        },
    }, at=35)
    stage.names["rule"] = str(made["security_group_default_rule"]["id"])


def own_volume(stage: Stage) -> None:
    """A server with volumes, by the id that a request names."""
    server_cases.with_volumes(stage)
    stage.texts["fddf0901-8caf-42c9-b496-133c570b171b"] = stage.names["server"]


def new_rule(stage: Stage) -> None:
    """A rule that is not there yet."""
    number = int(stage.project[:4], 16)
    stage.texts["10.10.10.0/24"] = f"13.{number >> 8}.{number & 255}.0/24"


#: nova-network numbers these; the samples show a network service's uuids.
_NUMBERED = frozenset({"id"})
_ADDRESS = "/os-fixed-ips/{address}"
_DNS = "os-floating-ip-dns/floating-ip-dns-"
_DOMAIN = "/os-floating-ip-dns/domain1.example.org"
_NETWORK = "/os-networks/{network}/action"
_INTERFACE = "/servers/{server}/os-interface"
_VOLUME = "a07f71dc-8151-4e7d-a0cc-cd24a3f11113"
_ATTACHMENTS = "/servers/{server}/os-volume_attachments"

CASES: tuple[Case, ...] = (
    Case("server-ips/server-ips-resp", "GET", "/servers/{server}/ips", server_cases.running),
    Case("server-ips/server-ips-network-resp", "GET", "/servers/{server}/ips/private",
         server_cases.running),
    Case("os-fixed-ips/fixedips-get-resp", "GET", _ADDRESS, fixed),
    Case(None, "POST", _ADDRESS + "/action", fixed, request="os-fixed-ips/fixedip-post-req",
         status=202),
    Case(None, "POST", "/servers/{server}/action", fixed,
         request="os-multinic/multinic-add-fixed-ip-req", status=202),
    Case(None, "POST", "/servers/{server}/action", fixed,
         request="os-multinic/multinic-remove-fixed-ip-req", status=202),
    Case("os-virtual-interfaces/vifs-list-resp", "GET",
         "/servers/{server}/os-virtual-interfaces", server_cases.running),

    Case("os-floating-ip-pools/floatingippools-list-resp", "GET", "/os-floating-ip-pools",
         server_cases.floating_addresses),
    Case("os-floating-ips/floating-ips-create-resp", "POST", "/os-floating-ips",
         server_cases.floating_addresses, request="os-floating-ips/floating-ips-create-req",
         free=_NUMBERED),
    Case("os-floating-ips/floating-ips-get-resp", "GET", "/os-floating-ips/{floating}",
         server_cases.floating_addresses, free=_NUMBERED),
    Case("os-floating-ips/floating-ips-list-empty-resp", "GET", "/os-floating-ips"),
    Case("os-floating-ips/floating-ips-list-resp", "GET", "/os-floating-ips",
         server_cases.floating_addresses, free=_NUMBERED),
    Case("os-floating-ips-bulk/floating-ips-bulk-create-resp", "POST", "/os-floating-ips-bulk",
         free_range, request="os-floating-ips-bulk/floating-ips-bulk-create-req"),
    Case("os-floating-ips-bulk/floating-ips-bulk-delete-resp", "PUT",
         "/os-floating-ips-bulk/delete", used_range,
         request="os-floating-ips-bulk/floating-ips-bulk-delete-req"),
    Case("os-floating-ips-bulk/floating-ips-bulk-list-resp", "GET", "/os-floating-ips-bulk",
         used_range),
    Case("os-floating-ips-bulk/floating-ips-bulk-list-by-host-resp", "GET",
         "/os-floating-ips-bulk/{host}", on_host),
    Case(_DNS + "create-or-update-resp", "PUT", _DOMAIN, dns_domain,
         request=_DNS + "create-or-update-req"),
    Case(_DNS + "create-or-update-entry-resp", "PUT", _DOMAIN + "/entries/instance1", dns_domain,
         request=_DNS + "create-or-update-entry-req"),
    Case(_DNS + "entry-get-resp", "GET", _DOMAIN + "/entries/instance1", dns_entry),
    Case(_DNS + "entry-list-resp", "GET", _DOMAIN + "/entries/192.168.1.1", dns_entry),
    Case(_DNS + "list-resp", "GET", "/os-floating-ip-dns", dns_domain),

    Case("os-networks/network-create-resp", "POST", "/os-networks", free_network,
         request="os-networks/network-create-req"),
    Case("os-networks/network-show-resp", "GET", "/os-networks/{network}", spare_network),
    Case("os-networks/networks-list-resp", "GET", "/os-networks"),
    Case(None, "POST", "/os-networks/add", spare_network, request="os-networks/network-add-req",
         status=202, cloud="vlan"),
    *(
        Case(None, "POST", _NETWORK, spare_network, request=f"os-networks-associate/{name}-req",
             status=202)
        for name in (
            "network-associate-host", "network-disassociate-host",
            "network-disassociate-project", "network-disassociate",
        )
    ),
    Case("os-tenant-networks/networks-list-res", "GET", "/os-tenant-networks"),
    Case("os-tenant-networks/networks-post-res", "POST", "/os-tenant-networks", free_network,
         request="os-tenant-networks/networks-post-req"),
    Case("os-security-group-default-rules/security-group-default-rules-create-resp", "POST",
         "/os-security-group-default-rules", new_rule,
         request="os-security-group-default-rules/security-group-default-rules-create-req"),
    Case("os-security-group-default-rules/security-group-default-rules-list-resp", "GET",
         "/os-security-group-default-rules", default_rule),
    Case("os-security-group-default-rules/security-group-default-rules-show-resp", "GET",
         "/os-security-group-default-rules/{rule}", default_rule),

    Case("os-attach-interfaces/attach-interfaces-create-resp", "POST", _INTERFACE, interface,
         request="os-attach-interfaces/attach-interfaces-create-net_id-req"),
    Case("os-attach-interfaces/attach-interfaces-list-resp", "GET", _INTERFACE,
         tagged_interface),
    Case("os-attach-interfaces/attach-interfaces-show-resp", "GET", _INTERFACE + "/{port}",
         tagged_interface),

    Case("os-volume_attachments/list-volume-attachments-resp", "GET", _ATTACHMENTS,
         server_cases.with_volumes),
    Case("os-volume_attachments/volume-attachment-detail-resp", "GET",
         f"{_ATTACHMENTS}/{_VOLUME}", server_cases.with_volumes),
    Case(None, "PUT", f"{_ATTACHMENTS}/{_VOLUME}", own_volume, status=202,
         request="os-volume_attachments/update-volume-attachment-delete-flag-req"),
)
