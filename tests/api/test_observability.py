# SPDX-License-Identifier: Apache-2.0
"""What an operator sees of a running cloud: one request through all parts of the log, metrics, health."""

from __future__ import annotations

import http.client
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud_process import CloudProcess, wait_for

KILO = Path(__file__).parents[1] / "unit" / "conf" / "kilo-nova.conf"
ADMIN_PORT = 9180


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """A cloud that logs JSON to a file, with a host on which boots fail."""
    home = tmp_path_factory.mktemp("observed")
    running = CloudProcess(
        home / "state",
        arguments=[
            "-v", "--use-json", "--log-dir", str(home), "--log-file", "nova.log",
            "--set", "identity.bcrypt_rounds=4",
        ],
    )
    running.start()
    yield running
    assert running.stop() == 0, running.log


def lines(cloud: CloudProcess) -> list[dict[str, Any]]:
    text = (cloud.state.parent / "nova.log").read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


def asked(cloud: CloudProcess, path: str) -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", ADMIN_PORT + cloud.offset, timeout=20)
    connection.request("GET", path)
    answer = connection.getresponse()
    body = answer.read().decode()
    connection.close()
    return answer.status, body


def value(cloud: CloudProcess, sample: str) -> float:
    """The value of a sample, such as ``name{label="x"}``; 0 where there is none."""
    _status, text = asked(cloud, "/metrics")
    found = re.search(rf"^{re.escape(sample)} (\S+)$", text, re.MULTILINE)
    return float(found[1]) if found else 0.0


def booted(cloud: CloudProcess) -> tuple[str, str]:
    """A new active server: its id, and the id of the request."""
    image = cloud.call("image", "GET", "/v2/images").json["images"][0]["id"]
    answer = cloud.compute("POST", "/servers", {"server": {
        "name": "größe", "imageRef": image, "flavorRef": "1", "networks": "auto",
    }})
    assert answer.status == 202, answer.body
    uuid = answer.json["server"]["id"]
    cloud.until(uuid, "ACTIVE")
    return uuid, answer.headers["x-openstack-request-id"]


def test_the_request_id_goes_from_the_api_through_the_conductor_to_the_host(own: CloudProcess) -> None:
    uuid, request_id = booted(own)
    wait_for(
        lambda: any("create done" in line["message"] for line in lines(own)), lambda: own.log
    )
    mine = [line for line in lines(own) if line.get("request_id") == request_id]
    project = own.login("demo")[1]
    texts = {line["logger"]: line for line in mine}
    assert texts["nova.access"]["message"].startswith("POST ")
    messages = [line["message"] for line in mine if line["logger"] == "nova.operations"]
    placed, on_host, ended = messages
    assert re.fullmatch(r"create placed on host fake-\d", placed)
    assert re.fullmatch(r"create/spawn on host fake-\d: success after \S+ s", on_host)
    assert re.fullmatch(r"create done after \S+ s", ended)
    assert {line["project_id"] for line in mine} == {project}
    assert {line["instance_uuid"] for line in mine if line["logger"] == "nova.operations"} == {uuid}
    threads = {line["thread"] for line in mine}
    assert len(threads) > 1


@pytest.mark.parametrize(
    ("service", "method", "path"),
    [
        ("compute", "GET", "/"), ("compute", "GET", "/v2.1/servers"), ("compute", "GET", "/nowhere"),
        ("compute", "PATCH", "/v2.1/servers"), ("compute", "POST", "/v2.1/servers"),
        ("image", "GET", "/v2/images/none"), ("network", "GET", "/v2.0/networks"),
        ("identity", "GET", "/v3/projects"), ("identity", "GET", "/healthcheck"),
    ],
)  # fmt: skip
def test_every_answer_has_a_request_id(own: CloudProcess, service: str, method: str, path: str) -> None:
    for by in ("demo", None):
        answer = own.call(service, method, path, by=by)
        assert re.fullmatch(r"req-[0-9a-f-]{36}", answer.headers["x-openstack-request-id"])


def test_operations_and_requests_are_counted(own: CloudProcess) -> None:
    created = 'nova_operations_total{kind="create",result="success"}'
    accepted = 'nova_http_requests_total{face="compute",method="POST",status="202"}'
    placed = 'nova_scheduler_placements_total{result="placed"}'
    before = {name: value(own, name) for name in (created, accepted, placed)}
    booted(own)
    wait_for(lambda: value(own, created) == before[created] + 1, lambda: own.log)
    assert value(own, accepted) == before[accepted] + 1
    assert value(own, placed) == before[placed] + 1
    assert value(own, "nova_scheduler_table_hosts") == 4
    assert value(own, "nova_placements_waiting") == 0
    assert value(own, 'nova_claims_repaired_total{what="orphan"}') == 0
    assert value(own, 'nova_claims_repaired_total{what="sum"}') == 0
    assert value(own, "nova_db_pool_size") > 0


def test_a_boot_without_a_host_is_counted_and_logged_under_its_request(own: CloudProcess) -> None:
    missed = 'nova_scheduler_placements_total{result="no_valid_host"}'
    failed = 'nova_operations_total{kind="create",result="error"}'
    before = value(own, missed), value(own, failed)
    image = own.call("image", "GET", "/v2/images").json["images"][0]["id"]
    answer = own.compute("POST", "/servers", {"server": {
        "name": "x", "imageRef": image, "flavorRef": "1", "networks": "none",
        "availability_zone": "nova:no-such-host",
    }}, by="admin")
    if answer.status == 202:
        own.until(answer.json["server"]["id"], "ERROR")
        wait_for(
            lambda: (value(own, missed), value(own, failed)) == (before[0] + 1, before[1] + 1),
            lambda: own.log,
        )
        request_id = answer.headers["x-openstack-request-id"]
        assert any(
            line.get("request_id") == request_id and line["message"].startswith("create failed")
            for line in lines(own)
        )
    else:
        # A host that there is not may be refused at once; then nothing was begun.
        assert answer.status == 400, answer.body
        assert (value(own, missed), value(own, failed)) == before


@pytest.mark.parametrize("service", ["identity", "image", "compute", "network"])
def test_every_face_has_a_health_check_with_details_for_administrators(
    own: CloudProcess, service: str
) -> None:
    anyone = own.call(service, "GET", "/healthcheck", by=None)
    assert (anyone.status, anyone.body) == (200, b"OK")
    assert own.call(service, "GET", "/healthcheck", by="demo").body == b"OK"
    parts = own.call(service, "GET", "/healthcheck", by="admin").json["parts"]
    assert parts["database"]["ok"]
    assert parts["hosts"]["up"] == 4
    assert parts["operations"]["open"] == 0


def test_the_admin_listener_tells_all_without_a_token(own: CloudProcess) -> None:
    status, body = asked(own, "/healthcheck")
    assert status == 200
    assert json.loads(body)["parts"]["recovery"]["age_seconds"] < 60


def test_metrics_are_not_on_the_public_addresses(own: CloudProcess) -> None:
    assert own.call("compute", "GET", "/metrics", by="admin").status in (300, 404)


def test_a_cloud_starts_with_an_operators_file_of_kilo(tmp_path: Path) -> None:
    # Only what would touch this machine, or needs one of the operator's own, is set anew.
    settings = {
        "DEFAULT.compute_driver": "fake.FakeDriver", "DEFAULT.fake_network": "True",
        "DEFAULT.log_dir": str(tmp_path), "oslo_messaging_rabbit.rabbit_hosts": "",
    }
    arguments = [word for name, text in settings.items() for word in ("--set", f"{name}={text}")]
    running = CloudProcess(
        tmp_path / "state", arguments=["--config-file", str(KILO), *arguments]
    ).start()
    answer = running.call("compute", "GET", "/healthcheck", by=None)
    assert answer.status == 200
    assert running.stop() == 0, running.log
    text = (tmp_path / "nova-all-in-one.log").read_text()
    warnings = [line for line in text.splitlines() if " WARNING nova.conf.check " in line]
    assert len(warnings) == len(set(warnings))
    for name in ("firewall_driver", "security_group_api", "lock_path"):
        assert sum(f"] {name} " in line for line in warnings) == 1, warnings
    assert " is unknown: " not in text
    assert "Traceback" not in text
