# SPDX-License-Identifier: Apache-2.0
"""``os-virtual-interfaces``: the cards of a server (until 2.43)."""

from __future__ import annotations

from typing import Any

from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import READER_OR_ADMIN
from nova.api.compute.queries import window_of
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Query, Route
from nova.api.compute.visibility import visible_instance
from nova.policy import Rule

_ROOT = "os_compute_api:os-virtual-interfaces"

RULES: tuple[Rule, ...] = (
    Rule(_ROOT, READER_OR_ADMIN, "List the virtual interfaces of a server."),
)

#: The scene of a card maps internal ids of networks to their uuids.
VIEW = View(
    Field("id", attribute("uuid")),
    Field("mac_address", attribute("address")),
    Field("OS-EXT-VIF-NET:net_id", lambda vif, networks: networks[vif.network_id], only="v2"),
    Field("net_id", lambda vif, networks: networks[vif.network_id], since=12),
)


def index(request: ApiRequest) -> Any:
    """List the cards of a server."""
    window = window_of(request)
    with request.cloud.db.read() as tx:
        instance = visible_instance(request, tx, request.path["server_id"])
        request.check(_ROOT, project_id=instance.project_id)
        vifs = tx.fixed_ips.virtual_interfaces_of(instance.uuid)[window]
        networks = {each.id: each.uuid for each in tx.networks.every()} if vifs else {}
    render = VIEW.at(request.minor, ("v2",) if request.legacy else ())
    return {"virtual_interfaces": [render(vif, networks) for vif in vifs]}


ROUTES: tuple[Route, ...] = (
    Route("GET", "/servers/{server_id}/os-virtual-interfaces", index, until=43,
          query=Query({"limit": 1, "offset": 1})),
)
