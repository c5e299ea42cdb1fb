# SPDX-License-Identifier: Apache-2.0
"""``os-instance-actions``: the durable operations of a server, as users see them."""

from __future__ import annotations

from typing import Any

from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN, READER_OR_ADMIN
from nova.api.compute.queries import limit_of, unknown_marker
from nova.api.compute.request import ApiRequest, page_links
from nova.api.compute.routing import Query, Route
from nova.api.compute.times import changed_between, precise
from nova.api.compute.visibility import visible_instance
from nova.compute.host_id import host_id
from nova.conductor.steps import STEPS
from nova.errors import NotFound
from nova.objects.operation import FAILED, RUNNING, Operation, OperationEvent
from nova.policy import Rule

_ROOT = "os_compute_api:os-instance-actions"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:list", READER_OR_ADMIN, "List the actions of a server."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show an action of a server."),
    Rule(f"{_ROOT}:events", ADMIN, "See events before 2.51, and their hosts and tracebacks."),
    Rule(f"{_ROOT}:events:details", ADMIN, "See why an event failed (2.84)."),
)


def _moment(name: str) -> Any:
    return lambda thing, _scene: precise(getattr(thing, name))


ACTION = View(
    Field("action", attribute("action")),
    Field("instance_uuid", attribute("instance_uuid")),
    Field("request_id", attribute("request_id")),
    Field("user_id", attribute("user_id")),
    Field("project_id", attribute("project_id")),
    Field("start_time", _moment("started_at")),
    Field("message", lambda action, _scene: "Error" if action.state == FAILED else None),
    Field("updated_at", _moment("updated_at"), since=58),
)

#: The scene of an event is the project that its host is hidden from.
EVENT = View(
    Field("event", attribute("event")),
    Field("start_time", _moment("started_at")),
    Field("finish_time", _moment("finished_at")),
    Field("result", attribute("result")),
    Field("traceback", attribute("traceback"), only="everything"),
    Field("host", attribute("host"), since=62, only="everything"),
    Field("hostId", lambda event, project: host_id(project, event.host), since=62),
    Field("details", attribute("details"), since=84, only="details"),
)


def index(request: ApiRequest) -> Any:
    """List what was done to a server, newest first; paged from 2.58 on."""
    since, before = changed_between(request)
    paged = request.features.action_paging
    limit = limit_of(request) if paged else None
    marker = request.one("marker")
    with request.cloud.db.read() as tx:
        instance = visible_instance(
            request, tx, request.path["server_id"], deleted=request.features.actions_of_deleted
        )
        request.check(f"{_ROOT}:list", project_id=instance.project_id)
        found = tx.operations.of_instance(
            instance.uuid, limit=limit, marker=marker, changes_since=since, changes_before=before
        )
    if found is None:
        raise unknown_marker(marker)
    render = ACTION.at(request.minor)
    answer: dict[str, Any] = {"instanceActions": [render(each, None) for each in found]}
    if paged and limit and len(found) == limit:
        answer["links"] = page_links(request, "links", found[-1].request_id)
    return answer


def show(request: ApiRequest) -> Any:
    """Show one action with its events, newest first.

    The step under way is an event without a finish time.
    """
    wanted = request.path["request_id"]
    with request.cloud.db.read() as tx:
        instance = visible_instance(
            request, tx, request.path["server_id"], deleted=request.features.actions_of_deleted
        )
        project = instance.project_id
        request.check(f"{_ROOT}:show", project_id=project)
        action = tx.operations.by_request(instance.uuid, wanted)
        if action is None:
            raise NotFound(f"Action {wanted[:80]} not found")
        everything = request.allows(f"{_ROOT}:events", project_id=project)
        visible = everything or request.features.events_for_everyone
        events = tx.operations.events(action.id) if visible else []
    shown = ACTION.at(request.minor)(action, None)
    if visible:
        flags = {"everything"} if everything else set()
        if request.allows(f"{_ROOT}:events:details", project_id=project):
            flags.add("details")
        render = EVENT.at(request.minor, flags)
        shown["events"] = [
            render(event, action.project_id or project)
            for event in reversed([*events, *_present(action)])
        ]
    return {"instanceAction": shown}


def _present(action: Operation) -> list[OperationEvent]:
    """The step that is being done now."""
    if action.state != RUNNING or action.flow is None or action.step is None:
        return []
    step = STEPS.get((action.flow, action.step))
    return [
        OperationEvent(
            id=0, operation_id=action.id, event=step.event if step else action.step,
            started_at=action.updated_at, finished_at=None, result=None, host=action.host,
            details=None, traceback=None,
        )
    ]


ROUTES: tuple[Route, ...] = (
    Route(
        "GET", "/servers/{server_id}/os-instance-actions", index,
        query=Query(
            {"limit": 58, "marker": 58, "changes-since": 58, "changes-before": 66}, strict=58,
            once=frozenset({"limit", "marker"}),
        ),
    ),
    Route("GET", "/servers/{server_id}/os-instance-actions/{request_id}", show),
)
