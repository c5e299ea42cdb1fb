# SPDX-License-Identifier: Apache-2.0
"""All routes and all policy rules of the compute API, joined from the resource modules."""

from __future__ import annotations

from types import ModuleType

from nova.api.compute import (
    aggregates,
    availability_zones,
    hosts,
    hypervisors,
    instance_actions,
    migrations,
    policies,
    removed,
    servers,
    services,
    tenant_usage,
    usage_audit_log,
)
from nova.api.compute.routing import Route
from nova.policy import Rule

RESOURCES: tuple[ModuleType, ...] = (
    aggregates,
    availability_zones,
    hosts,
    hypervisors,
    instance_actions,
    migrations,
    removed,
    servers,
    services,
    tenant_usage,
    usage_audit_log,
)

ROUTES: tuple[Route, ...] = tuple(
    route for resource in RESOURCES for route in resource.ROUTES
)
RULES: tuple[Rule, ...] = (
    *policies.BASE,
    *{rule.name: rule for resource in RESOURCES for rule in resource.RULES}.values(),
)
