# SPDX-License-Identifier: Apache-2.0
"""Whether a process can do its work, asked by anyone and by administrators."""

from __future__ import annotations

import http.client
import json
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova import metrics
from nova.conf.metrics import MetricsSection
from nova.control_health import make_health
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.errors import ServiceUnavailable, Unauthorized
from nova.health import Facts, Health, Part, Unwell
from nova.http.admin_listener import AdminListener, open_admin_listener
from nova.http.health import with_health
from nova.objects.context import RequestContext


def fine() -> Facts:
    return {"fact": 1}


def broken() -> Facts:
    raise Unwell("the wire is cut")


class Authenticator:
    def authenticate(self, token: str) -> RequestContext:
        if token == "broken":
            raise ServiceUnavailable("no identity service")
        if token not in ("admin", "member"):
            raise Unauthorized()
        return RequestContext(user_id=token, is_admin=token == "admin")


def asked(
    health: Health, *, path: str = "/healthcheck", method: str = "GET", **headers: str
) -> tuple[str, dict[str, str], bytes]:
    """One request to a face with a health check before it."""
    answer: dict[str, Any] = {}

    def start_response(status: str, sent: list[tuple[str, str]]) -> None:
        answer["status"], answer["headers"] = status, dict(sent)

    def app(_environ: dict[str, Any], respond: Any) -> list[bytes]:
        respond("299 The Application", [])
        return [b"application"]

    environ = {"PATH_INFO": path, "REQUEST_METHOD": method, **headers}
    body = b"".join(with_health(app, health, Authenticator())(environ, start_response))
    return answer["status"], answer["headers"], body


def test_anyone_hears_ok_and_no_more() -> None:
    status, headers, body = asked(Health({"database": Part(fine)}))
    assert (status, body) == ("200 OK", b"OK")
    assert headers["x-openstack-request-id"].startswith("req-")


def test_anyone_hears_which_part_is_missing_but_not_why() -> None:
    status, _headers, body = asked(Health({"database": Part(fine), "transport": Part(broken)}))
    assert status == "503 Service Unavailable"
    assert body == b"UNAVAILABLE: transport"


def test_a_part_that_is_only_told_about_stops_nothing() -> None:
    health = Health({"database": Part(fine), "recovery": Part(broken, needed=False)})
    assert asked(health)[0] == "200 OK"
    report = health.full()
    assert report.ok
    assert report.parts["recovery"] == {"ok": False, "reason": "the wire is cut"}


def test_as_json_where_that_is_asked_for() -> None:
    _status, headers, body = asked(Health({}), HTTP_ACCEPT="application/json")
    assert headers["Content-Type"] == "application/json"
    assert json.loads(body) == {"detailed": False, "reasons": ["OK"]}


@pytest.mark.parametrize("token", ["member", "unknown", "broken"])
def test_only_administrators_hear_details(token: str) -> None:
    assert asked(Health({"database": Part(fine)}), HTTP_X_AUTH_TOKEN=token)[2] == b"OK"


def test_administrators_hear_every_part() -> None:
    health = Health({"database": Part(fine), "transport": Part(broken)})
    status, _headers, body = asked(health, HTTP_X_AUTH_TOKEN="admin")
    assert status == "503 Service Unavailable"
    assert json.loads(body) == {
        "detailed": True, "ok": False, "reasons": ["transport"],
        "parts": {
            "database": {"ok": True, "fact": 1},
            "transport": {"ok": False, "reason": "the wire is cut"},
        },
    }


def test_other_paths_and_methods() -> None:
    health = Health({})
    assert asked(health, path="/healthcheck/x")[2] == b"application"
    assert asked(health, method="HEAD")[2] == b""
    status, headers, _body = asked(health, method="DELETE")
    assert status.startswith("405")
    assert headers["Allow"] == "GET, HEAD"


def test_many_who_ask_cost_one_look_a_second() -> None:
    looks: list[int] = []

    def count() -> Facts:
        looks.append(1)
        return {}

    health = Health({"database": Part(count)})
    for _ in range(50):
        assert health.short() == (True, "OK")
    assert len(looks) <= 2


def test_a_part_that_hangs_holds_up_no_answer_for_long() -> None:
    release = threading.Event()
    looks: list[int] = []

    def hang() -> Facts:
        looks.append(1)
        release.wait(30)
        return {}

    health = Health({"database": Part(hang)}, patience=0.1)
    began = time.monotonic()
    assert not health.full().ok
    assert not health.full().ok
    assert time.monotonic() - began < 5
    assert len(looks) == 1
    release.set()


def test_an_error_of_a_part_is_its_reason() -> None:
    def fail() -> Facts:
        raise ConnectionRefusedError(111, "Connection refused")

    report = Health({"database": Part(fail)}).full()
    assert report.parts["database"]["reason"].startswith("ConnectionRefusedError: ")


def test_a_process_that_ends_wants_no_requests(tmp_path: Path) -> None:
    health = Health({"database": Part(fine)})
    health.drain()
    assert health.short() == (False, "DRAINING")
    assert health.full().reasons == ("draining",)


def test_a_file_takes_the_process_out(tmp_path: Path) -> None:
    flag = tmp_path / "maintenance"
    health = Health({"database": Part(fine)}, disabled_by_file=str(flag))
    assert health.short()[0]
    flag.touch()
    assert health.short() == (False, "DISABLED BY FILE")
    flag.unlink()
    assert health.short()[0]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(database.engine)
    yield database
    database.dispose()


def test_the_parts_of_a_control_side(db: Database) -> None:
    recovery = metrics.Age()
    health = make_health(
        db=db, recovery=recovery, transport=lambda: {"broker": "here"}, others={"image": broken}
    )
    parts = health.full().parts
    assert parts["database"]["ok"]
    assert parts["database"]["kind"] == "sqlite"
    assert parts["hosts"] == {"ok": True, "up": 0, "down": 0, "disabled": 0, "first_down": []}
    assert parts["operations"] == {"ok": True, "open": 0, "oldest_open_seconds": None}
    assert parts["transport"] == {"ok": True, "broker": "here"}
    assert "never ran" in parts["recovery"]["reason"]
    assert not parts["image"]["ok"]
    recovery.now()
    assert health.full().parts["recovery"]["ok"]
    assert health.short() == (True, "OK")


def test_a_database_that_is_gone_is_503(tmp_path: Path) -> None:
    gone = Database(f"sqlite:///{tmp_path}/not/there.sqlite")
    status, _headers, body = asked(make_health(db=gone))
    assert status == "503 Service Unavailable"
    assert body == b"UNAVAILABLE: database"


# --- the listener for those who watch ------------------------------------------------------------------


def fetched(listener: AdminListener, path: str, method: str = "GET") -> tuple[int, str, bytes]:
    connection = http.client.HTTPConnection(listener.host, listener.port, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    connection.close()
    return answer.status, answer.headers["Content-Type"], body


@pytest.fixture
def listener() -> Iterator[AdminListener]:
    made = open_admin_listener(
        MetricsSection(listen_port=0), "nova-test", Health({"database": Part(broken)})
    )
    assert made is not None
    yield made
    made.stop()


def test_the_admin_listener_serves_metrics_and_details(listener: AdminListener) -> None:
    status, kind, body = fetched(listener, "/metrics")
    assert status == 200
    assert kind.startswith("text/plain")
    assert b'nova_build_info{daemon="nova-test"' in body
    status, kind, body = fetched(listener, "/healthcheck")
    assert (status, kind) == (503, "application/json")
    assert json.loads(body)["parts"]["database"]["reason"] == "the wire is cut"
    assert fetched(listener, "/metrics", "HEAD")[2] == b""
    assert fetched(listener, "/other")[0] == 404
    assert fetched(listener, "/", "POST")[0] == 501


def test_a_taken_port_is_logged_and_stops_no_daemon(
    listener: AdminListener, caplog: pytest.LogCaptureFixture
) -> None:
    section = MetricsSection(listen_port=listener.port)
    assert open_admin_listener(section, "nova-test", Health({})) is None
    assert "[metrics] listen_port" in caplog.text


def test_a_listener_that_is_off_is_none() -> None:
    assert open_admin_listener(MetricsSection(enabled=False), "nova-test", Health({})) is None
