# SPDX-License-Identifier: Apache-2.0
"""APIs that the original removed: they answer 410, and 501 where they need a bare-metal service."""

from __future__ import annotations

from typing import Any

from nova import errors
from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route, gone
from nova.policy import Rule

_BAREMETAL = "os_compute_api:os-baremetal-nodes"

RULES: tuple[Rule, ...] = (
    Rule(f"{_BAREMETAL}:list", ADMIN, "List bare-metal nodes."),
    Rule(f"{_BAREMETAL}:show", ADMIN, "Show a bare-metal node."),
)


def no_baremetal_service(_request: ApiRequest) -> Any:
    """The answer of the proxy to a bare-metal service where there is none."""
    raise errors.NotImplementedByDriver("There is no bare-metal service in this cloud.")


def use_baremetal_client(_request: ApiRequest) -> Any:
    """The answer of the proxy's writing methods, as the original gives it."""
    raise errors.BadRequest(
        "Command not supported. Please use the bare-metal service's own API for this action."
    )


ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-agents", gone),
    Route("POST", "/os-agents", gone),
    Route("PUT", "/os-agents/{agent_build_id}", gone),
    Route("DELETE", "/os-agents/{agent_build_id}", gone),
    Route("GET", "/os-cells", gone),
    Route("POST", "/os-cells", gone),
    Route("GET", "/os-cells/capacities", gone),
    Route("GET", "/os-cells/detail", gone),
    Route("GET", "/os-cells/info", gone),
    Route("POST", "/os-cells/sync_instances", gone),
    Route("GET", "/os-cells/{cell_id}", gone),
    Route("PUT", "/os-cells/{cell_id}", gone),
    Route("DELETE", "/os-cells/{cell_id}", gone),
    Route("GET", "/os-cells/{cell_id}/capacities", gone),
    Route("POST", "/os-certificates", gone),
    Route("GET", "/os-certificates/{certificate_id}", gone),
    Route("GET", "/os-cloudpipe", gone),
    Route("POST", "/os-cloudpipe", gone),
    Route("PUT", "/os-cloudpipe/{cloudpipe_id}", gone),
    Route("GET", "/os-fping", gone),
    Route("GET", "/os-fping/{instance_id}", gone),
    Route("GET", "/servers/{server_id}/consoles", gone),
    Route("POST", "/servers/{server_id}/consoles", gone),
    Route("GET", "/servers/{server_id}/consoles/{console_id}", gone),
    Route("DELETE", "/servers/{server_id}/consoles/{console_id}", gone),
    Route("GET", "/os-baremetal-nodes", no_baremetal_service,
          rule=f"{_BAREMETAL}:list", until=35),
    Route("POST", "/os-baremetal-nodes", use_baremetal_client, until=35),
    Route("GET", "/os-baremetal-nodes/{node_id}", no_baremetal_service,
          rule=f"{_BAREMETAL}:show", until=35),
    Route("DELETE", "/os-baremetal-nodes/{node_id}", use_baremetal_client, until=35),
    Route("POST", "/os-baremetal-nodes/{node_id}/action", use_baremetal_client, until=35),
)
