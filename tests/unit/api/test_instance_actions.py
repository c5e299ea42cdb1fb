# SPDX-License-Identifier: Apache-2.0
"""``os-instance-actions``: what was done to a server, and what is being done."""

from __future__ import annotations

import datetime

import msgspec
import pytest

from nova.compute.host_id import host_id
from nova.db.engine import Database
from nova.db.schema.base import now
from tests.unit.api.conftest import CALLERS, PROJECT, Api, same_shape, sample
from tests.unit.db.instance_rows import instance_row

SERVER = "15835b6f-1e14-4cfa-9f66-1abea1a1c0d5"
CREATE = "req-00000000-0000-0000-0000-000000000001"
STOP = "req-00000000-0000-0000-0000-000000000002"
LIST = f"/servers/{SERVER}/os-instance-actions"


@pytest.fixture
def actions(db: Database) -> None:
    member = CALLERS["member"]
    begin = datetime.datetime(2018, 4, 25, 1, 26, 36)
    with db.write() as tx:
        tx.instances.create([instance_row(SERVER, project_id=PROJECT, host="compute")])
        made = tx.operations.create(
            msgspec.structs.replace(member, request_id=CREATE), SERVER, "create",
            flow="create", step="place", payload={},
        )
        tx.operations.add_events([
            {
                "operation_id": made, "event": "conductor_schedule_instances",
                "started_at": begin, "finished_at": begin, "result": "Success", "host": None,
                "details": None, "traceback": None,
            },
            {
                "operation_id": made, "event": "compute__do_build_and_run_instance",
                "started_at": begin, "finished_at": begin, "result": "Error",
                "host": "compute", "details": "No room", "traceback": "Traceback …",
            },
        ])
        tx.operations.finish(made, failed=True, message="No valid host")
        stop = tx.operations.create(
            msgspec.structs.replace(member, request_id=STOP), SERVER, "stop",
            flow="stop", step="run", payload={},
        )
        tx.operations.advance(
            stop, step="run", host="compute", lease_owner="me",
            lease_until=now() + datetime.timedelta(minutes=1),
        )


@pytest.mark.usefixtures("actions")
@pytest.mark.parametrize("at, folder", [
    (1, ""), (21, "v2.21/"), (51, "v2.51/"), (58, "v2.58/"), (62, "v2.62/"), (66, "v2.66/"),
    (84, "v2.84/"),
])
def test_the_keys_of_each_version(api: Api, at: int, folder: str) -> None:
    listed = api.get(LIST, at=at)
    assert listed.status_code == 200
    samples = f"v2.1/os-instance-actions/{folder}"
    same_shape(listed.json, sample(f"{samples}instance-actions-list-resp.json"))
    shown = api.get(f"{LIST}/{CREATE}", at=at)
    same_shape(shown.json, sample(f"{samples}instance-action-get-resp.json"))
    if at >= 51:
        member = api.get(f"{LIST}/{CREATE}", at=at, token="member")
        same_shape(member.json, sample(f"{samples}instance-action-get-non-admin-resp.json"))


@pytest.mark.usefixtures("actions")
def test_newest_first_with_the_outcome(api: Api) -> None:
    newest, oldest = api.get(LIST).json["instanceActions"]
    assert (newest["action"], newest["message"]) == ("stop", None)
    assert (oldest["action"], oldest["message"]) == ("create", "Error")
    assert oldest["user_id"] == "member"


@pytest.mark.usefixtures("actions")
def test_the_step_under_way_is_an_event_without_an_end(api: Api) -> None:
    (event,) = api.get(f"{LIST}/{STOP}", at=84).json["instanceAction"]["events"]
    assert event["event"] == "compute_stop_instance"
    assert event["finish_time"] is None
    assert event["result"] is None
    assert event["start_time"]
    assert event["host"] == "compute"
    assert event["hostId"] == host_id(PROJECT, "compute")


@pytest.mark.usefixtures("actions")
def test_members_see_events_from_2_51_and_never_traces(api: Api) -> None:
    assert "events" not in api.get(f"{LIST}/{CREATE}", at=50, token="member").json["instanceAction"]
    events = api.get(f"{LIST}/{CREATE}", at=84, token="member").json["instanceAction"]["events"]
    assert [event["result"] for event in events] == ["Error", "Success"]
    assert not any(event.keys() & {"traceback", "host", "details"} for event in events)
    own = api.get(f"{LIST}/{CREATE}", at=84).json["instanceAction"]["events"]
    assert own[0]["traceback"] == "Traceback …"
    assert own[0]["details"] == "No room"


@pytest.mark.usefixtures("actions")
def test_pages(api: Api) -> None:
    first = api.get(f"{LIST}?limit=1", at=58).json
    assert [each["request_id"] for each in first["instanceActions"]] == [STOP]
    query = first["links"][0]["href"].partition("?")[2]
    second = api.get(f"{LIST}?{query}", at=58).json
    assert [each["request_id"] for each in second["instanceActions"]] == [CREATE]
    assert len(api.get(f"{LIST}?limit=1&marker=x").json["instanceActions"]) == 2
    later = api.get(f"{LIST}?changes-since=2100-01-01T00:00:00Z", at=58).json
    assert later["instanceActions"] == []
    assert api.get(f"{LIST}?limit=0", at=58).json["instanceActions"] == []


@pytest.mark.usefixtures("actions")
@pytest.mark.parametrize("query, at", [
    ("?marker=req-unknown", 58), ("?limit=x", 58), ("?changes-since=x", 58), ("?other=1", 58),
    ("?changes-before=2018-01-01T00:00:00Z", 58),
    ("?changes-since=2018-01-02&changes-before=2018-01-01", 66),
])
def test_bad_queries(api: Api, query: str, at: int) -> None:
    assert api.get(LIST + query, at=at).status_code == 400


@pytest.mark.usefixtures("actions")
def test_not_there_and_not_yours(api: Api) -> None:
    assert api.get(f"{LIST}/req-unknown").status_code == 404
    assert api.get("/servers/unknown/os-instance-actions").status_code == 404
    assert api.get(LIST, token="other").status_code == 404
    assert api.get(f"{LIST}/{CREATE}", token="other").status_code == 404
    assert api.get(LIST, token="reader").status_code == 200


@pytest.mark.usefixtures("actions")
def test_actions_of_deleted_servers_from_2_21(api: Api, db: Database) -> None:
    with db.write() as tx:
        tx.instances.mark_deleted(SERVER, now())
    assert api.get(LIST, at=20).status_code == 404
    assert api.get(LIST, at=21).status_code == 200
    assert api.get(f"{LIST}/{CREATE}", at=20).status_code == 404
    assert api.get(f"{LIST}/{CREATE}", at=21).status_code == 200
    assert api.get(LIST, at="v2").status_code == 404
