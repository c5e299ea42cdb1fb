# SPDX-License-Identifier: Apache-2.0
"""Versions and extensions. The list of extensions has only what is true."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from nova.errors import NotFound

_UPDATED = "2026-01-01T00:00:00-00:00"

#: alias -> (name, description), as neutron-lib names them (``api/definitions``).
EXTENSIONS: dict[str, tuple[str, str]] = {
    "agent": ("agent", "The services of the cloud's hosts, shown as agents."),
    "allowed-address-pairs": (
        "Allowed Address Pairs", "Kept and shown; no address of a guest is ever filtered."
    ),
    "auto-allocated-topology": (
        "Auto Allocated Topology Services", "The network that a server gets by itself."
    ),
    "availability_zone": ("Availability Zone", "Zones of the hosts that serve networks."),
    "binding": ("Port Binding", "Which host a port is on."),
    "external-net": ("Neutron external network", "Pools of floating addresses."),
    "extra_dhcp_opt": ("Neutron Extra DHCP options", "DHCP options of a port."),
    "filter-validation": ("Filter parameters validation", "Unknown filters are refused."),
    "ip_allocation": ("IP Allocation", "How a port gets its addresses."),
    "ip-substring-filtering": ("IP address substring filtering", "Ports by parts of addresses."),
    "net-mtu": ("Network MTU", "The MTU of a network."),
    "net-mtu-writable": ("Network MTU (writable)", "The MTU can be set."),
    "network_availability_zone": ("Network Availability Zone", "The zones of a network."),
    "network-ip-availability": ("Network IP Availability", "How full networks are."),
    "pagination": ("Pagination support", "limit, marker, page_reverse."),
    "port-security": ("Port Security", "Whether security groups hold for a port."),
    "project-id": ("project_id field enabled", "project_id beside tenant_id."),
    "provider": ("Provider Network", "VLAN and interface of a network."),
    "quotas": ("Quota management support", "Limits of projects."),
    "quota_details": ("Quota details management support", "Limits with what is used."),
    "rbac-policies": ("RBAC Policies", "Networks shared with single projects."),
    "revision-if-match": ("If-Match constraints based on revision_number", "Guarded changes."),
    "router": ("Neutron L3 Router", "One implicit router a project; floating addresses."),
    "security-group": ("security-group", "Security groups and their rules."),
    "sorting": ("Sorting support", "sort_key and sort_dir."),
    "standard-attr-description": ("standard-attr-description", "Descriptions."),
    "standard-attr-revisions": ("Resource revision numbers", "Revision numbers."),
    "standard-attr-tag": ("Tag support for resources with standard attribute", "Tags."),
    "standard-attr-timestamp": ("Resource timestamps", "created_at and updated_at."),
    "default-subnetpools": ("Default Subnetpools", "One default pool of each IP version."),
    "subnet_allocation": ("Subnet Allocation", "Subnets cut from pools."),
    "subnet-service-types": ("Subnet service types", "Kept with a subnet."),
    "tag-creation": ("Tag creation", "Tags in the body of a create."),
}

_RESOURCES = (
    "network", "subnet", "port", "floatingip", "router", "security_group", "security_group_rule",
    "rbac_policy", "agent", "subnetpool",
)


def _write(resp: falcon.Response, body: Any) -> None:
    resp.content_type = "application/json"
    resp.data = msgspec.json.encode(body)


class Versions:
    """``GET /``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The one version."""
        link = {"rel": "self", "href": f"{req.prefix}/v2.0/"}
        _write(
            resp,
            {"versions": [{"id": "v2.0", "status": "CURRENT", "links": [link]}]},
        )


class Version:
    """``GET /v2.0``."""

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """What there is."""
        resources = []
        for name in _RESOURCES:
            plural = "rbac_policies" if name == "rbac_policy" else f"{name}s"
            path = plural.replace("_", "-")
            resources.append(
                {
                    "name": name, "collection": plural,
                    "links": [{"rel": "self", "href": f"{req.prefix}/v2.0/{path}"}],
                }
            )
        _write(resp, {"resources": resources})


def _extension(alias: str) -> dict[str, Any]:
    name, description = EXTENSIONS[alias]
    return {
        "alias": alias, "name": name, "description": description, "updated": _UPDATED, "links": [],
    }


class Extensions:
    """``GET /v2.0/extensions``."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """All of them."""
        _write(resp, {"extensions": [_extension(alias) for alias in EXTENSIONS]})


class Extension:
    """``GET /v2.0/extensions/{alias}``."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response, alias: str) -> None:
        """One of them."""
        if alias not in EXTENSIONS:
            raise NotFound(f"Extension with alias {alias[:64]} does not exist")
        _write(resp, {"extension": _extension(alias)})
