# SPDX-License-Identifier: Apache-2.0
"""A walk over every microversion: what each one brings and takes, and nothing else.

``ANSWERS`` has for each path all versions at which the answer changes; the walk asks at every version.
``REQUESTS`` has what is refused just before a version and accepted at it, or the other way.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Any

import pytest

from nova.api.compute.versions import MICROVERSIONS
from tests.api.samples import server_cases
from tests.api.samples.runner import Clouds
from tests.api.samples.stage import KEY, Stage
from tests.unit.api.version_borders import ANSWERS, ELSEWHERE, Answer
from tests.unit.api.version_requests import REQUESTS, Request

_MINORS = [row.minor for row in MICROVERSIONS]


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """A server with all that answers can show."""
    clouds = Clouds(tmp_path_factory)
    made = Stage(clouds["plain"], "v2.1", 1)
    prepare(made)
    yield made
    clouds.stop()


def prepare(stage: Stage) -> None:
    """One thing of each resource."""
    server_cases.network(stage)
    stage.must("PUT", "/os-quota-sets/{project}".format(**stage.names), {
        "quota_set": {"instances": -1, "cores": -1, "ram": -1},
    })
    group = stage.must("POST", "/os-server-groups", {"server_group": {
        "name": "group", "policy": "affinity",
    }})["server_group"]["id"]
    stage.names["group"] = group
    stage.must("POST", "/os-keypairs", {"keypair": {
        "name": "key", "type": "ssh", "public_key": KEY,
    }})
    made = stage.must("POST", "/servers", {
        "server": {
            "name": "web", "imageRef": stage.names["image"], "flavorRef": "6", "networks": "auto",
            "key_name": "key", "availability_zone": "us-west", "metadata": {"k": "v"},
            "user_data": "IyEvYmluL2Jhc2g=", "tags": ["tag"],
        },
        "os:scheduler_hints": {"group": group},
    })
    server = stage.names["server"] = made["server"]["id"]
    stage.until(server, "ACTIVE")
    stage.act({"migrate": None}, until="VERIFY_RESIZE")
    stage.act({"confirmResize": None}, until="ACTIVE")
    for name in ("mover", "second", "deleted"):
        stage.names[name] = stage.must("POST", "/servers", {"server": {
            "name": name, "imageRef": stage.names["image"], "flavorRef": "1", "networks": "auto",
        }})["server"]["id"]
        stage.until(stage.names[name], "ACTIVE")
    stage.must("POST", f"/servers/{stage.names['deleted']}/action", {"forceDelete": None})
    while stage.call("GET", f"/servers/{stage.names['deleted']}", at=96).status_code != 404:
        time.sleep(0.005)
    stage.volumes("a07f71dc-8151-4e7d-a0cc-cd24a3f11113")
    shown = stage.show(server)
    stage.names["host"] = shown["OS-EXT-SRV-ATTR:host"]
    stage.names["address"] = shown["addresses"]["private"][0]["addr"]
    actions = stage.must("GET", f"/servers/{server}/os-instance-actions")["instanceActions"]
    stage.names["action"] = actions[-1]["request_id"]
    server_cases.floating_addresses(stage)
    aggregates = stage.must("GET", "/os-aggregates")["aggregates"]
    stage.names["aggregate"] = str(aggregates[0]["id"])


def keys_of(value: Any, where: str = "") -> set[str]:
    """The keys of an answer, dotted; of lists those of the first item."""
    if isinstance(value, list):
        return keys_of(value[0], where) if value else {f"{where} empty"}
    if not isinstance(value, dict):
        return set()
    found: set[str] = set()
    for key, inner in value.items():
        path = f"{where}.{key}" if where else key
        found |= {path} | keys_of(inner, path)
    return found


def seen(stage: Stage, answer: Answer, minor: int) -> set[str]:
    """The answer at a version as a set: its keys, or the status of a refusal."""
    path = answer.path.format(**stage.names)
    result = stage.call("GET", path, at=minor, by=answer.by)
    assert result.status_code < 500, result.text
    if result.status_code != 200:
        return {f"status {result.status_code}"}
    return keys_of(result.json) if result.content else set()


def walk(stage: Stage, answer: Answer) -> dict[int, tuple[set[str], set[str]]]:
    """All changes of an answer: {version: (what appears, what vanishes)}."""
    changes: dict[int, tuple[set[str], set[str]]] = {}
    before = seen(stage, answer, _MINORS[0])
    for minor in _MINORS[1:]:
        now = seen(stage, answer, minor)
        if now != before:
            changes[minor] = (now - before, before - now)
        before = now
    return changes


@pytest.mark.parametrize("answer", ANSWERS, ids=lambda answer: f"{answer.by} {answer.path}")
def test_an_answer_changes_at_its_versions_and_at_no_others(
    stage: Stage, answer: Answer
) -> None:
    assert walk(stage, answer) == answer.changes


@pytest.mark.parametrize("request_", REQUESTS, ids=repr)
def test_a_request_is_taken_on_one_side_of_its_version(stage: Stage, request_: Request) -> None:
    path = request_.path.format(**stage.names)
    statuses = []
    for minor in (request_.minor - 1, request_.minor):
        body = request_.body(stage) if callable(request_.body) else request_.body
        result = stage.call(request_.method, path, body, at=minor, by=request_.by)
        statuses.append(result.status_code)
    assert statuses == [request_.before, request_.after]


def test_every_version_has_a_border_here_or_a_test_elsewhere() -> None:
    walked = {minor for answer in ANSWERS for minor in answer.changes}
    asked = {request.minor for request in REQUESTS}
    assert walked | asked | set(ELSEWHERE) == set(_MINORS[1:])
    assert not (walked | asked) & set(ELSEWHERE)
