# SPDX-License-Identifier: Apache-2.0
"""All routes and all policy rules of the compute API, joined from the resource modules."""

from __future__ import annotations

import importlib
from types import ModuleType

from nova.api.compute import policies
from nova.api.compute.routing import Route
from nova.policy import Rule

#: The modules of this room that have ``ROUTES`` and ``RULES``, one a resource.
_NAMES = """
    aggregates assisted_snapshots availability_zones console_auth_tokens extensions external_events
    fixed_ips flavor_access flavor_extra_specs flavors floating_ip_dns floating_ips hosts
    hypervisors image_proxy instance_actions keypairs limits migrations networks quota_class_sets
    quota_sets remote_consoles removed security_groups server_actions server_addresses
    server_diagnostics server_groups server_interfaces server_metadata server_migrations
    server_password server_shares server_tags server_topology server_volumes servers services
    tenant_usage usage_audit_log virtual_interfaces virtual_ips volume_proxy
"""

RESOURCES: tuple[ModuleType, ...] = tuple(
    importlib.import_module(f"nova.api.compute.{name}") for name in _NAMES.split()
)

ROUTES: tuple[Route, ...] = tuple(
    route for resource in RESOURCES for route in resource.ROUTES
)
RULES: tuple[Rule, ...] = (
    *policies.BASE,
    *{rule.name: rule for resource in RESOURCES for rule in resource.RULES}.values(),
)
