# SPDX-License-Identifier: Apache-2.0
"""What the public API samples brought to light, one test each."""

from __future__ import annotations

import uuid
from collections.abc import Iterator

import pytest

from tests.api.samples import server_cases
from tests.api.samples.runner import Clouds
from tests.api.samples.stage import Stage

_PERSONALITY = [{"path": "/etc/banner.txt", "contents": "aGVsbG8g\ndGhl cmU="}]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    made = Clouds(tmp_path_factory)
    yield made
    made.stop()


@pytest.fixture
def stage(clouds: Clouds) -> Stage:
    """A project with a server."""
    made = Stage(clouds["plain"], "v2.1", 96)
    server_cases.network(made)
    result = made.must("POST", "/servers", {"server": _server(made)})
    made.names["server"] = result["server"]["id"]
    made.until(made.names["server"], "ACTIVE")
    return made


def _server(stage: Stage) -> dict[str, object]:
    return {
        "name": "web", "imageRef": stage.names["image"], "flavorRef": "1", "networks": "auto",
    }


def test_the_base64_of_an_injected_file_may_have_blanks_and_line_ends(stage: Stage) -> None:
    body = {"server": {**_server(stage), "personality": _PERSONALITY}}
    assert stage.call("POST", "/servers", body, at=56).status_code == 202


def test_base64_that_is_none_is_still_refused(stage: Stage) -> None:
    files = [{"path": "/etc/banner.txt", "contents": "no base64!"}]
    body = {"server": {**_server(stage), "personality": files}}
    assert stage.call("POST", "/servers", body, at=56).status_code == 400


def test_a_migration_shows_the_address_of_its_destination(stage: Stage) -> None:
    stage.act({"migrate": None}, until="VERIFY_RESIZE")
    (found,) = stage.must("GET", f"/os-migrations?instance_uuid={stage.names['server']}")[
        "migrations"
    ]
    assert found["dest_host"] == "127.0.0.1"


def test_attaching_a_port_that_is_not_there_is_not_found(stage: Stage) -> None:
    body = {"interfaceAttachment": {"port_id": str(uuid.uuid4())}}
    path = f"/servers/{stage.names['server']}/os-interface"
    assert stage.call("POST", path, body).status_code == 404


def test_booting_with_a_port_that_is_not_there_is_a_bad_request(stage: Stage) -> None:
    body = {"server": {**_server(stage), "networks": [{"port": str(uuid.uuid4())}]}}
    assert stage.call("POST", "/servers", body).status_code == 400


def test_attaching_a_network_that_is_not_there_is_not_found(stage: Stage) -> None:
    body = {"interfaceAttachment": {"net_id": str(uuid.uuid4())}}
    path = f"/servers/{stage.names['server']}/os-interface"
    assert stage.call("POST", path, body).status_code == 404
