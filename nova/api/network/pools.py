# SPDX-License-Identifier: Apache-2.0
"""Pools of floating addresses, shown as external networks and their subnets."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Iterable
from functools import lru_cache
from typing import Any

import msgspec

from nova.api.network.resource import Shown, moment, standard
from nova.db.engine import Transaction
from nova.objects.network import FloatingPool

#: Names of pools without a row become uuids under this one (RFC 4122, version 5).
_NAMESPACE = uuid.UUID("0f5a3c1e-7a53-4c8e-9d62-6d1b7f2e4a90")


class Pool(msgspec.Struct, frozen=True):
    """A pool with the subnets that hold its addresses."""

    uuid: str
    name: str
    row: FloatingPool | None
    subnets: tuple[dict[str, Any], ...]


def derived_uuid(*parts: str) -> str:
    """The uuid of something that has none of its own: always the same for the same parts."""
    return str(uuid.uuid5(_NAMESPACE, "/".join(parts)))


def pools(tx: Transaction) -> list[Pool]:
    """All pools: those made as external networks, then those that exist by their addresses."""
    rows = {each.name: each for each in tx.floating_pools.every()}
    found = [_made(row) for row in rows.values()]
    others = [name for name in tx.floating_ips.pools() if name not in rows]
    if others:
        addresses = tx.floating_ips.addresses_of(others)
        found += [_implied(name, addresses.get(name, ())) for name in others]
    return found


def pool_named(tx: Transaction, identifier: str) -> Pool | None:
    """The pool whose network has that uuid."""
    return next((each for each in pools(tx) if each.uuid == identifier), None)


def _made(row: FloatingPool) -> Pool:
    return Pool(row.uuid, row.name, row, tuple((row.facts or {}).get("subnets", ())))


@lru_cache(maxsize=64)
def _implied(name: str, addresses: tuple[str, ...]) -> Pool:
    identifier = derived_uuid("pool", name)
    subnets = []
    for version in (4, 6):
        members = sorted(
            (each for each in map(ipaddress.ip_address, addresses) if each.version == version),
            key=int,
        )
        if members:
            subnets.append(
                {
                    "id": derived_uuid("pool", name, str(version)), "name": name,
                    "cidr": covering(members), "gateway_ip": None,
                    "allocation_pools": runs(members),
                }
            )
    return Pool(identifier, name, None, tuple(subnets))


def covering(members: list[Any]) -> str:
    """The smallest range that holds all addresses, which are sorted."""
    first, last = int(members[0]), int(members[-1])
    length = members[0].max_prefixlen
    bits = (first ^ last).bit_length()
    start = first >> bits << bits
    return str(ipaddress.ip_network((start, length - bits)))


def runs(members: Iterable[Any]) -> list[dict[str, str]]:
    """Sorted addresses as ranges without gaps."""
    found: list[list[Any]] = []
    for each in members:
        if found and int(found[-1][1]) + 1 == int(each):
            found[-1][1] = each
        else:
            found.append([each, each])
    return [{"start": str(start), "end": str(end)} for start, end in found]


def shown_network(pool: Pool) -> Shown:
    """A pool as an external network."""
    row = pool.row
    facts = (row.facts if row else None) or {}
    owner = facts.get("project_id", "")
    return {
        "id": pool.uuid, "name": pool.name,
        **standard(
            facts, owner, row.revision if row else 0, row.created_at if row else None,
            row.updated_at if row else None,
        ),
        "admin_state_up": True, "status": "ACTIVE", "shared": False, "router:external": True,
        "is_default": facts.get("is_default", False),
        "subnets": [each["id"] for each in pool.subnets], "mtu": 1500,
        "availability_zones": ["nova"], "availability_zone_hints": [],
        "ipv4_address_scope": None, "ipv6_address_scope": None, "port_security_enabled": True,
        "provider:network_type": "flat", "provider:physical_network": None,
        "provider:segmentation_id": None,
    }


def shown_subnet(pool: Pool, subnet: dict[str, Any]) -> Shown:
    """A range of a pool as a subnet."""
    row = pool.row
    facts = (row.facts if row else None) or {}
    owner = facts.get("project_id", "")
    return {
        "id": subnet["id"], "name": subnet.get("name", ""), "network_id": pool.uuid,
        **standard(subnet, owner, subnet.get("revision", 0), None, None),
        "created_at": moment(row.created_at) if row else None,
        "updated_at": moment(row.updated_at or row.created_at) if row else None,
        "cidr": subnet["cidr"], "gateway_ip": subnet.get("gateway_ip"),
        "ip_version": ipaddress.ip_network(subnet["cidr"]).version, "enable_dhcp": False,
        "allocation_pools": subnet["allocation_pools"],
        "dns_nameservers": subnet.get("dns_nameservers", []),
        "host_routes": subnet.get("host_routes", []), "ipv6_address_mode": None, "ipv6_ra_mode": None,
        "subnetpool_id": None, "service_types": subnet.get("service_types", []), "segment_id": None,
        "router:external": True,
    }
