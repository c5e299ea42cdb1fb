# SPDX-License-Identifier: Apache-2.0
"""All resources of the network API, and the default policy that follows from them."""

from __future__ import annotations

from nova.api.network.floating_ips import FLOATING_IPS
from nova.api.network.networks import NETWORKS
from nova.api.network.policies import rules_of
from nova.api.network.ports import PORTS
from nova.api.network.rbac_policies import RBAC_POLICIES
from nova.api.network.resource import Resource
from nova.api.network.routers import ROUTERS
from nova.api.network.security_group_rules import SECURITY_GROUP_RULES
from nova.api.network.security_groups import SECURITY_GROUPS
from nova.api.network.subnet_pools import SUBNET_POOLS
from nova.api.network.subnets import SUBNETS
from nova.api.network.views import AGENTS, AVAILABILITIES, ZONES
from nova.policy import Rule

RESOURCES: tuple[Resource, ...] = (
    NETWORKS, SUBNETS, PORTS, FLOATING_IPS, SECURITY_GROUPS, SECURITY_GROUP_RULES, ROUTERS,
    SUBNET_POOLS, RBAC_POLICIES, AGENTS, AVAILABILITIES, ZONES,
)
RULES: tuple[Rule, ...] = rules_of(RESOURCES)
