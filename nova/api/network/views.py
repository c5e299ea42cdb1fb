# SPDX-License-Identifier: Apache-2.0
"""What is only shown: agents, how full networks are, zones, the network that servers get by themselves."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from typing import Any

import falcon

from nova.api.network import routers
from nova.api.network.error_body import typed
from nova.api.network.networks import by_network, owner_of
from nova.api.network.resource import Call, Resource, Shown, keys, moment
from nova.api.network.routing import Handler
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import Conflict, Forbidden, NoMoreAddresses
from nova.objects.host import Service
from nova.objects.network import Network, NetworkUsage

#: What the daemons that plug cards and serve networks are called by clients of this API.
_AGENTS = {"nova-compute": "Linux bridge agent", "nova-network": "DHCP agent"}


def _agent(service: Service, limit: datetime.datetime) -> Shown:
    seen = service.last_seen_up
    return {
        "id": service.uuid, "agent_type": _AGENTS[service.binary], "binary": service.binary,
        "host": service.host, "topic": service.topic, "availability_zone": "nova",
        "admin_state_up": not service.disabled,
        "alive": seen is not None and seen >= limit and not service.forced_down,
        "created_at": moment(service.created_at), "started_at": moment(service.created_at),
        "heartbeat_timestamp": moment(seen), "description": service.disabled_reason or "",
        "configurations": {}, "resource_versions": {}, "resources_synced": None,
    }


def list_agents(call: Call, tx: Transaction) -> list[Shown]:
    """The services of hosts, for administrators."""
    if not call.is_admin:
        return []
    limit = now() - datetime.timedelta(seconds=call.cloud.config.default.service_down_time)
    return [_agent(each, limit) for each in tx.services.list() if each.binary in _AGENTS]


def find_agent(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    return next((each for each in list_agents(call, tx) if each["id"] == identifier), None)


AGENTS = Resource(
    singular="agent", plural="agents", error="AgentNotFound", attributes={},
    keys=keys(
        "agent_type binary host topic availability_zone admin_state_up alive created_at "
        "started_at heartbeat_timestamp description configurations", described=False,
    ),
    list=list_agents, find=find_agent, taggable=False,
)


# -- how full networks are -------------------------------------------------------------------------


def _availability(rows: Sequence[Network], usage: dict[int, NetworkUsage]) -> Shown:
    first = rows[0]
    subnets = []
    for row in rows:
        if row.cidr is None:
            continue
        of_row = usage.get(row.id)
        total = 0 if of_row is None else of_row.total - of_row.reserved
        subnets.append(
            {
                "subnet_id": row.subnet_uuid, "subnet_name": row.label, "cidr": row.cidr,
                "ip_version": 4, "total_ips": total,
                "used_ips": 0 if of_row is None else of_row.allocated + of_row.used_elsewhere,
            }
        )
    return {
        "id": first.uuid, "network_id": first.uuid, "network_name": first.label,
        "tenant_id": owner_of(first) or "", "project_id": owner_of(first) or "",
        "total_ips": sum(each["total_ips"] for each in subnets),
        "used_ips": sum(each["used_ips"] for each in subnets),
        "subnet_ip_availability": subnets,
    }


def list_availabilities(call: Call, tx: Transaction) -> list[Shown]:
    """How many addresses networks have and use; virtual IPs and reserved ones do not count."""
    if not call.is_admin:
        raise typed(Forbidden("rule:get_network_ip_availability is disallowed by policy"),
                    "PolicyNotAuthorized")
    usage = tx.networks.usage()
    found = [_availability(rows, usage) for rows in by_network(tx.networks.every()).values()]
    versions = call.values_of("ip_version")
    return found if versions in (None, ["4"]) else []


def find_availability(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """That of one network."""
    return next(
        (each for each in list_availabilities(call, tx) if each["network_id"] == identifier), None
    )


AVAILABILITIES = Resource(
    singular="network_ip_availability", plural="network_ip_availabilities",
    error="NetworkNotFound", attributes={},
    keys=keys("network_id network_name total_ips used_ips subnet_ip_availability",
              described=False),
    list=list_availabilities, find=find_availability, taggable=False,
    path="network-ip-availabilities", matchers={"ip_version": lambda _thing, _values: True},
)


# -- zones, and the network that a server gets by itself -------------------------------------------


def list_zones(_call: Call, _tx: Transaction) -> list[Shown]:
    """Networks reach all hosts: there is one zone of each kind."""
    return [
        {"id": kind, "name": "nova", "resource": kind, "state": "available"}
        for kind in ("network", "router")
    ]


def find_zone(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    return next((each for each in list_zones(call, tx) if each["id"] == identifier), None)


ZONES = Resource(
    singular="availability_zone", plural="availability_zones", error="AvailabilityZoneNotFound",
    attributes={}, keys=frozenset({"name", "resource", "state"}), list=list_zones,
    find=find_zone, taggable=False,
)


def automatic(call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
    """The network that a server of a project gets when it names none."""
    project = path["project"] if path["project"] != "None" else call.caller.project_id
    if not call.owns(project):
        raise Forbidden("Only administrators ask for other projects.")
    try:
        with call.cloud.db.read() as tx:
            first = call.cloud.networks.check(tx, project, None)[0]
    except NoMoreAddresses:
        raise typed(
            Conflict("Deployment error: No network is there for the project."),
            "AutoAllocationFailure",
        ) from None
    dry = "dry-run" in call.query.get("fields", ())
    return {
        "auto_allocated_topology": {
            "id": "dry-run=pass" if dry else first.uuid, "tenant_id": project,
            "project_id": project,
        }
    }


def keep_automatic(call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
    """Nothing was made for a project alone, so there is nothing to remove."""
    if not call.owns(path["project"]):
        raise Forbidden("Only administrators ask for other projects.")


def service_providers(_call: Call, _req: falcon.Request, _path: dict[str, str]) -> Any:
    """None: there is one way of doing each thing."""
    return {"service_providers": []}


PATHS: dict[str, dict[str, tuple[Handler, int]]] = {
    "/v2.0/auto-allocated-topology/{project}": {
        "get": (automatic, 200), "delete": (keep_automatic, 204),
    },
    "/v2.0/service-providers": {"get": (service_providers, 200)},
    **routers.PATHS,
}
