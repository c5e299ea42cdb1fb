# SPDX-License-Identifier: Apache-2.0
"""The compute API over a database of its own for every test, asked through HTTP without a socket."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import pytest
from falcon.testing import Result, TestClient

from nova import errors
from nova.api.compute.app import make_compute_app
from nova.api.compute.cloud import Cloud
from nova.api.compute.routes import RULES
from nova.compute.cloud_events import CloudEvents
from nova.compute.flavor_cache import FlavorCache
from nova.compute.limit_cache import LimitCache
from nova.compute.operations import facts, volumes
from nova.conf.load import load
from nova.db.engine import Database
from nova.network.allocation import NetworkAllocator
from nova.objects.context import RequestContext
from nova.objects.image import Image
from nova.policy import Policy
from nova.volume.absent import no_volumes
from tests.databases import new_database

SAMPLES = Path(__file__).parents[4] / "shared" / "reference" / "api-samples"

PROJECT = "6f70656e737461636b20342065766572"
OTHER_PROJECT = "0123456789abcdef0123456789abcdef"


def _caller(name: str, project: str, *roles: str) -> RequestContext:
    return RequestContext(
        user_id=name, user_name=name, project_id=project, project_name=project, roles=roles,
        is_admin="admin" in roles,
    )


CALLERS = {
    "admin": _caller("admin", PROJECT, "admin", "manager", "member", "reader"),
    "member": _caller("member", PROJECT, "member", "reader"),
    "reader": _caller("reader", PROJECT, "reader"),
    "manager": _caller("manager", PROJECT, "manager", "member", "reader"),
    "other": _caller("other", OTHER_PROJECT, "member", "reader"),
    "service": _caller("service", PROJECT, "service", "member", "reader"),
}


class FixedTokens:
    """An authenticator whose tokens are the names of ``CALLERS``."""

    def authenticate(self, token: str) -> RequestContext:
        caller = CALLERS.get(token)
        if caller is None:
            raise errors.Unauthorized
        return caller


class FixedImages:
    """An image service that only knows the images it was made with."""

    def __init__(self, *ids: str) -> None:
        self.ids = set(ids)

    def show(self, context: RequestContext, image_id: str) -> Image:
        if image_id not in self.ids:
            raise errors.ImageNotFound(image_id)
        return cast(Image, object())


@dataclasses.dataclass
class AddressOperations:
    """The operations that resources beside servers need of the cloud, which has no volume service."""

    networks: NetworkAllocator
    db: Database
    refresh_addresses = facts.refresh_addresses
    snapshot_volume = volumes.snapshot_volume
    delete_volume_snapshot = volumes.delete_volume_snapshot
    volumes = no_volumes()


@dataclasses.dataclass
class Told:
    """How often the API told the rest of the cloud of a change."""

    services: int = 0
    aggregates: int = 0
    networks: int = 0
    security_groups: int = 0
    images: list[tuple[list[str], list[str]]] = dataclasses.field(default_factory=list)

    def _count(self, name: str) -> Any:
        return lambda: setattr(self, name, getattr(self, name) + 1)

    def events(self) -> CloudEvents:
        return CloudEvents(
            services_changed=self._count("services"),
            aggregates_changed=self._count("aggregates"),
            networks_changed=self._count("networks"),
            security_groups_changed=self._count("security_groups"),
            images_wanted=lambda hosts, ids: self.images.append((list(hosts), list(ids))),
        )


@dataclasses.dataclass
class Api:
    """Sends requests; ``at`` is the minor version of v2.1, or ``"v2"``."""

    client: TestClient
    at: int | str = 1
    token: str = "admin"

    def request(
        self, method: str, path: str, *, at: int | str | None = None, token: str | None = None,
        body: Any = None, raw: bytes | None = None,
    ) -> Result:
        version = self.at if at is None else at
        who = token or self.token
        project = CALLERS[who].project_id if who in CALLERS else PROJECT
        headers = {"X-Auth-Token": who}
        if version == "v2":
            prefix = f"/v2/{project}"
        else:
            prefix = f"/v2.1/{project}"
            headers["OpenStack-API-Version"] = f"compute 2.{version}"
        data = raw if raw is not None else None if body is None else json.dumps(body).encode()
        if data is not None:
            headers["Content-Type"] = "application/json"
        return self.client.simulate_request(method, prefix + path, headers=headers, body=data)

    def get(self, path: str, **options: Any) -> Result:
        return self.request("GET", path, **options)

    def post(self, path: str, body: Any = None, **options: Any) -> Result:
        return self.request("POST", path, body=body, **options)

    def put(self, path: str, body: Any = None, **options: Any) -> Result:
        return self.request("PUT", path, body=body, **options)

    def delete(self, path: str, **options: Any) -> Result:
        return self.request("DELETE", path, **options)


def message(result: Result) -> str:
    """The text of an error answer; the test fails where the answer is none."""
    (fault,) = result.json.values()
    assert fault["code"] == result.status_code
    return cast(str, fault["message"])


def sample(path: str) -> Any:
    """A public API sample; skips the test where they are not at hand."""
    file = SAMPLES / path
    if not file.exists():
        pytest.skip(f"the API samples are not at {SAMPLES}")
    return json.loads(file.read_text())


def same_shape(answer: Any, wanted: Any, where: str = "") -> None:
    """Check that an answer has the sample's keys everywhere, and values of its types.

    ``null`` goes with anything; of a list the first items are compared.
    """
    if wanted is None or answer is None:
        return
    if isinstance(wanted, bool) or isinstance(answer, bool):
        assert isinstance(answer, bool), where
        assert isinstance(wanted, bool), where
    elif isinstance(wanted, int | float):
        assert isinstance(answer, int | float), where
    else:
        assert type(answer) is type(wanted), f"{where}: {answer!r} is not like {wanted!r}"
    if isinstance(wanted, dict):
        assert set(answer) == set(wanted), where
        for key in wanted:
            same_shape(answer[key], wanted[key], f"{where}.{key}")
    elif isinstance(wanted, list) and wanted:
        assert answer, f"{where} is empty"
        same_shape(answer[0], wanted[0], f"{where}[0]")


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
def cloud(db: Database, told: Told) -> Cloud:
    """A cloud without daemons: what needs more operations has fixtures of its own."""
    config = load(overrides={("DEFAULT", "fake_network"): True})
    networks = NetworkAllocator(config.network)
    return Cloud(
        config=config, db=db, policy=Policy(RULES), images=cast(Any, FixedImages()),
        operations=cast(Any, AddressOperations(networks, db)), networks=networks,
        flavors=FlavorCache(db), limits=LimitCache(db, config.quota), events=told.events(),
    )


@pytest.fixture
def api(cloud: Cloud) -> Api:
    """The API asked as an administrator at 2.1."""
    app = make_compute_app(cloud, FixedTokens(), "http://identity.example.com/v3")
    return Api(TestClient(app))


@pytest.fixture
def operations(db: Database) -> Any:
    """A stand-in that notes what the API asks of the operations; see ``OperationsProbe``."""
    from tests.unit.api.server_rows import OperationsProbe

    return OperationsProbe(db)


@pytest.fixture
def server_api(cloud: Cloud, operations: Any) -> Api:
    """The API over ``operations``, asked as a member at 2.1."""
    whole = dataclasses.replace(cloud, operations=operations)
    app = make_compute_app(whole, FixedTokens(), "http://identity.example.com/v3")
    return Api(TestClient(app), token="member")
