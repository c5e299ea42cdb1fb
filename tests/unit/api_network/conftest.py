# SPDX-License-Identifier: Apache-2.0
"""The network API over a database of its own for every test, asked through HTTP without a socket."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from falcon.testing import Result, TestClient

from nova.api.compute.cloud import Cloud
from nova.api.compute.policies import BASE
from nova.api.network.app import make_network_app
from nova.api.network.tables import RULES
from nova.compute.cloud_events import CloudEvents
from nova.compute.flavor_cache import FlavorCache
from nova.compute.limit_cache import LimitCache
from nova.compute.operations import facts
from nova.conf.load import load
from nova.db.engine import Database
from nova.network.allocation import NetworkAllocator
from nova.network.cards import AllocationRequest
from nova.objects.instance import RequestedNetwork, Vif
from nova.policy import Policy
from tests.databases import new_database
from tests.unit.api.conftest import CALLERS, PROJECT, FixedTokens
from tests.unit.db.instance_rows import instance_row

Shown = dict[str, Any]


@dataclasses.dataclass
class Operations:
    """What this API asks of the operations, without hosts."""

    networks: NetworkAllocator
    db: Database
    refresh_addresses = facts.refresh_addresses

    def detach_interface(
        self, _context: Any, instance: Any, vif_id: str, *, keep: bool = True
    ) -> None:
        with self.db.write() as tx:
            vifs = self.networks.detach(tx, instance, vif_id, keep=keep)
            tx.instances.update(instance.uuid, {"network_info": vifs})


@dataclasses.dataclass
class NetworkApi:
    """Sends requests, as a member unless another token is given, and makes servers."""

    client: TestClient
    cloud: Cloud

    def request(
        self, method: str, path: str, body: Any = None, *, token: str = "member",
        headers: dict[str, str] | None = None,
    ) -> Result:
        data = None if body is None else json.dumps(body).encode()
        sent = {"X-Auth-Token": token, "Content-Type": "application/json", **(headers or {})}
        path, _, query = path.partition("?")
        return self.client.simulate_request(
            method, f"/v2.0{path}", query_string=query, headers=sent, body=data
        )

    def ok(self, method: str, path: str, body: Any = None, **options: Any) -> Any:
        """The body of a request that must succeed, without its wrapping key."""
        result = self.request(method, path, body, **options)
        assert result.status_code < 300, result.text
        if not result.content:
            return None
        found = result.json
        return next(iter(found.values())) if len(found) == 1 else found

    def refused(
        self, status: int, type_: str, method: str, path: str, body: Any = None, **options: Any
    ) -> str:
        """The message of a request that must be refused."""
        result = self.request(method, path, body, **options)
        assert result.status_code == status, result.text
        error = result.json["NeutronError"]
        assert error["type"] == type_, error
        assert error["detail"] == ""
        return cast(str, error["message"])

    def make(self, kind: str, **values: Any) -> Shown:
        """Make a thing, as a member unless ``token`` says otherwise."""
        token = values.pop("token", "member")
        if kind == "subnet" and "cidr" in values:
            values.setdefault("ip_version", 6 if ":" in values["cidr"] else 4)
        path = {"floatingip": "floatingips"}.get(kind, kind + "s").replace("_", "-")
        found = self.ok("POST", f"/{path}", {kind: values}, token=token)
        return cast(Shown, found)

    def network(self, cidr: str | None = "10.1.0.0/24", **values: Any) -> Shown:
        """A network of the member's with a subnet."""
        made = self.make("network", name=values.pop("name", "net"), **values)
        if cidr:
            self.make(
                "subnet", network_id=made["id"], cidr=cidr, token=values.get("token", "member"),
            )
        return cast(Shown, self.ok("GET", f"/networks/{made['id']}", token="admin"))

    def external(self, cidr: str = "203.0.113.0/29", name: str = "ext") -> Shown:
        """An external network with a subnet."""
        made = self.make("network", name=name, token="admin", **{"router:external": True})
        self.make("subnet", network_id=made["id"], cidr=cidr, token="admin")
        return made

    def boot(self, *requested: RequestedNetwork, project: str = PROJECT) -> tuple[str, Any]:
        """A server with its cards, as a placed boot leaves it; the error where there is one."""
        identifier = str(uuid.uuid4())
        with self.cloud.db.write() as tx:
            tx.instances.create([instance_row(identifier, project_id=project)])
            tx.instances.update(identifier, {"host": "h1", "power_state": 1})
            (given,) = self.cloud.networks.allocate_many(
                tx,
                [
                    AllocationRequest(
                        instance_uuid=identifier, project_id=project, host="h1",
                        requested=requested or None,
                    )
                ],
            )
            if isinstance(given, tuple):
                tx.instances.update(identifier, {"network_info": given})
        return identifier, given

    def info(self, instance: str) -> tuple[Vif, ...]:
        """What compute shows of a server's cards."""
        with self.cloud.db.read() as tx:
            found = tx.instances.get(instance)
        assert found is not None
        return found.network_info


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.dispose()


def make_api(db: Database, manager: str) -> NetworkApi:
    config = load(
        overrides={
            ("DEFAULT", "fake_network"): True,
            ("DEFAULT", "network_manager"): f"nova.network.manager.{manager}",
        }
    )
    networks = NetworkAllocator(config.network)
    cloud = Cloud(
        config=config, db=db, policy=Policy((*BASE, *RULES)), images=cast(Any, None),
        operations=cast(Any, Operations(networks, db)), networks=networks,
        flavors=FlavorCache(db), limits=LimitCache(db, config.quota),
        events=CloudEvents(networks_changed=networks.forget_networks),
    )
    app = make_network_app(cloud, FixedTokens(), "http://identity.example.com/v3")
    return NetworkApi(TestClient(app), cloud)


@pytest.fixture
def api(db: Database) -> NetworkApi:
    """The API of a cloud with VLAN networks."""
    return make_api(db, "VlanManager")


@pytest.fixture
def flat_api(db: Database) -> NetworkApi:
    """The API of a cloud with flat networks."""
    return make_api(db, "FlatDHCPManager")


__all__ = ["CALLERS", "PROJECT"]
