# SPDX-License-Identifier: Apache-2.0
"""Networks (each row is a subnet), addresses, virtual interfaces, floating IPs, security groups."""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from sqlalchemy import (
    Boolean,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    UniqueConstraint,
)

from nova.db.schema.base import Document, Timestamp, created_updated, metadata

#: The release time of an address that was never handed out: it sorts first on every database.
NEVER = datetime.datetime(1970, 1, 2)


def _new_uuid() -> str:
    return str(uuid.uuid4())


def _described() -> list[Column[Any]]:
    """What the network API adds to a row: how often it was changed there, and free facts (names,
    descriptions, tags and the like, as ``nova/api/network`` writes them).
    """
    return [
        Column("revision", Integer, nullable=False, default=0),
        Column("facts", Document),
    ]


# Several networks may carry one VLAN id: they share the bridge and the VLAN device. A row with a
# `segment_uuid` is one more subnet of the network with that uuid; all rows of a network share its
# bridge. A row without any range is a network that has no subnet yet.
networks = Table(
    "networks",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("label", String(255), nullable=False),
    Column("project_id", String(64), index=True),
    Column("injected", Boolean, nullable=False, default=False),
    Column("cidr", String(43)),
    Column("netmask", String(39)),
    Column("gateway", String(39)),
    Column("broadcast", String(39)),
    Column("cidr_v6", String(43)),
    Column("netmask_v6", String(39)),
    Column("gateway_v6", String(39)),
    Column("dhcp_server", String(39)),
    Column("dhcp_start", String(39)),
    Column("enable_dhcp", Boolean, nullable=False, default=True),
    Column("share_address", Boolean, nullable=False, default=False),
    Column("dns1", String(39)),
    Column("dns2", String(39)),
    Column("mtu", Integer),
    Column("vlan", Integer, index=True),
    Column("bridge", String(255)),
    Column("bridge_interface", String(255)),
    Column("multi_host", Boolean, nullable=False, default=False),
    Column("host", String(255)),
    Column("priority", Integer),
    Column("rxtx_base", Integer),
    Column("vpn_public_address", String(39)),
    Column("vpn_public_port", Integer),
    Column("vpn_private_address", String(39)),
    *created_updated(),
    Column("segment_uuid", String(36), index=True),
    Column("subnet_uuid", String(36)),
    Column("subnet_uuid_v6", String(36)),
    *_described(),
)

# Network cards, which the network API shows as ports. One without an instance is a port that nobody
# has bound; `kept` ones were made by a user and outlive the server that they are bound to.
virtual_interfaces = Table(
    "virtual_interfaces",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("address", String(17), nullable=False, unique=True),
    Column("network_id", Integer, ForeignKey("networks.id"), nullable=False, index=True),
    Column("instance_uuid", String(36), index=True),
    Column("tag", String(60)),
    Column("created_at", Timestamp, nullable=False),
    Column("project_id", String(64), index=True),
    Column("kept", Boolean, nullable=False, default=False),
    Column("updated_at", Timestamp),
    *_described(),
)

# One row per address of the range. An address is free when allocated, reserved and used_elsewhere
# are all false; `role` says why a reserved one is: network, gateway, dhcp, vpn, broadcast, outside
# (of the allowed range), vip, admin. Free addresses go out by `released_at` (never used ones carry
# NEVER), then by `position`, the address as a number within its range.
fixed_ips = Table(
    "fixed_ips",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("address", String(39), nullable=False),
    Column("network_id", Integer, ForeignKey("networks.id"), nullable=False),
    Column("position", Integer, nullable=False),
    Column("virtual_interface_uuid", String(36), index=True),
    Column("instance_uuid", String(36), index=True),
    Column("allocated", Boolean, nullable=False, default=False),
    Column("leased", Boolean, nullable=False, default=False),
    Column("reserved", Boolean, nullable=False, default=False),
    Column("role", String(16)),
    Column("host", String(255), index=True),
    Column("vip_project_id", String(64)),
    Column("vip_name", String(255)),
    Column("used_elsewhere", Boolean, nullable=False, default=False),
    Column("seen_mac", String(17)),
    Column("seen_at", Timestamp),
    Column("probed_at", Timestamp),
    Column("released_at", Timestamp, nullable=False, default=NEVER),
    UniqueConstraint("network_id", "address"),
    Index(
        "ix_fixed_ips_free",
        "network_id",
        "allocated",
        "reserved",
        "used_elsewhere",
        "released_at",
        "position",
    ),
    Index("ix_fixed_ips_address", "address"),
)

floating_ips = Table(
    "floating_ips",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("address", String(39), nullable=False, unique=True),
    Column("fixed_ip_id", Integer, index=True),
    Column("project_id", String(64), index=True),
    Column("host", String(255)),
    Column("auto_assigned", Boolean, nullable=False, default=False),
    Column("pool", String(255), nullable=False),
    Column("interface", String(255)),
    *created_updated(),
    Column("uuid", String(36), nullable=False, unique=True, default=_new_uuid),
    *_described(),
)

# Which servers a claimed virtual IP is meant for: what they send from it counts as theirs.
virtual_ip_servers = Table(
    "virtual_ip_servers",
    metadata,
    Column("fixed_ip_id", Integer, ForeignKey("fixed_ips.id", ondelete="CASCADE"), primary_key=True),
    Column("instance_uuid", String(36), primary_key=True, index=True),
)

# External networks that were made through the network API. Other pools have no row: they exist by
# the addresses in them.
floating_ip_pools = Table(
    "floating_ip_pools",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("name", String(255), nullable=False, unique=True),
    *created_updated(),
    *_described(),
)

# What a project calls the gateways of its networks, once it made a router; at most one each.
project_routers = Table(
    "project_routers",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("project_id", String(64), nullable=False, unique=True),
    Column("name", String(255), nullable=False),
    *created_updated(),
    *_described(),
)

# Ranges that subnets are cut from; the ranges themselves are facts.
subnet_pools = Table(
    "subnet_pools",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("uuid", String(36), nullable=False, unique=True),
    Column("project_id", String(64), index=True),
    Column("name", String(255), nullable=False),
    *created_updated(),
    *_described(),
)

security_groups = Table(
    "security_groups",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("project_id", String(64), nullable=False),
    Column("user_id", String(64), nullable=False),
    Column("name", String(255), nullable=False),
    Column("description", String(255), nullable=False, default=""),
    *created_updated(),
    Column("uuid", String(36), nullable=False, unique=True, default=_new_uuid),
    *_described(),
    UniqueConstraint("project_id", "name"),
)

# Each group begins with two rules of direction "egress" that let everything out; the compute API shows
# those of direction "ingress" alone.
security_group_rules = Table(
    "security_group_rules",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column(
        "group_id", Integer, ForeignKey("security_groups.id", ondelete="CASCADE"), nullable=False,
        index=True,
    ),
    Column("protocol", String(16)),
    Column("from_port", Integer),
    Column("to_port", Integer),
    Column("cidr", String(43)),
    Column("source_group_id", Integer, ForeignKey("security_groups.id", ondelete="CASCADE")),
    *created_updated(),
    Column("uuid", String(36), nullable=False, unique=True, default=_new_uuid),
    Column("direction", String(8), nullable=False, default="ingress"),
    Column("ethertype", String(4)),
    *_described(),
)

security_group_members = Table(
    "security_group_members",
    metadata,
    Column(
        "group_id", Integer, ForeignKey("security_groups.id", ondelete="CASCADE"), primary_key=True
    ),
    Column("instance_uuid", String(36), primary_key=True, index=True),
)

security_group_default_rules = Table(
    "security_group_default_rules",
    metadata,
    Column("id", Integer, primary_key=True, autoincrement=True),
    Column("protocol", String(8)),
    Column("from_port", Integer),
    Column("to_port", Integer),
    Column("cidr", String(43)),
    *created_updated(),
)

# Domains whose names the hosts' DNS answers. `scope` is public (of `project_id`, or of everybody) or
# private (of `availability_zone`, or of all zones). Names are kept in small letters.
dns_domains = Table(
    "dns_domains",
    metadata,
    Column("domain", String(255), primary_key=True),
    Column("scope", String(8), nullable=False),
    Column("project_id", String(255)),
    Column("availability_zone", String(255)),
)

# An entry with an `instance_uuid` came with a server, and goes with it.
dns_entries = Table(
    "dns_entries",
    metadata,
    Column(
        "domain", String(255), ForeignKey("dns_domains.domain", ondelete="CASCADE"), primary_key=True
    ),
    Column("name", String(255), primary_key=True),
    Column("address", String(39), nullable=False, index=True),
    Column("type", String(8), nullable=False),
    Column("instance_uuid", String(36), index=True),
)
