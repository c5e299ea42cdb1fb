# SPDX-License-Identifier: Apache-2.0
"""``/snapshots``: list, create, show, change, delete, metadata, actions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nova.errors import BadRequest, InvalidInput, NotFound, VolumeNotFound
from nova.objects.volume_record import SnapshotRecord
from nova.volume.api import versions, views
from nova.volume.api.filters import refuse_unknown_filters
from nova.volume.api.query import snapshot_query, with_next
from nova.volume.api.request import (
    Reply,
    Request,
    argument_of,
    boolean,
    identifier,
    metadata,
    one_action,
    refuse_unknown,
    required_text,
    texts,
)

Deed = Callable[[SnapshotRecord], Any]

_CREATE = frozenset(
    {"name", "description", "display_name", "volume_id", "force", "metadata"}
)
_UPDATE = frozenset({"name", "description", "display_name", "display_description"})


def lines(request: Request) -> Any:
    """List."""
    return _list(request, "snapshots", detailed=False)


def details(request: Request) -> Any:
    """List in detail."""
    return _list(request, "snapshots/detail", detailed=True)


def _list(request: Request, path: str, *, detailed: bool) -> Any:
    request.check("volume:get_all_snapshots")
    refuse_unknown_filters(request, "snapshot", dict(request.parameters()))
    query = snapshot_query(request)
    found = request.service.snapshots.page(request.caller, query)
    body: dict[str, Any] = {
        "snapshots": [views.snapshot_view(request, each, detailed=detailed) for each in found]
    }
    body |= with_next(request, "snapshots", path, found, query)
    if request.version >= versions.COUNT and request.flag("with_count"):
        body["count"] = request.service.snapshots.count(query)
    return body


def create(request: Request) -> Reply:
    """Create."""
    given = request.body("snapshot", _CREATE)
    volume_id = identifier("volume_id", given.get("volume_id"))
    if volume_id is None:
        if "volume_id" not in given:
            raise InvalidInput("snapshot", "'volume_id' is a required property")
        raise VolumeNotFound("None")
    force = boolean("force", given.get("force", False))
    facts: dict[str, Any] = {**texts(given), "metadata": metadata("metadata", given.get("metadata"))}
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check("volume:create_snapshot", volume.project_id)
    if request.version >= versions.SNAPSHOT_ATTACHED:
        if "force" in given and not force:
            raise InvalidInput(
                "force", "Since microversion 3.66 the 'force' flag is invalid for this request.", force
            )
        force = True
    created = request.service.snapshots.create(request.caller, volume_id, attached=force, **facts)
    return Reply(202, {"snapshot": views.snapshot_view(request, created)})


def show(request: Request, snapshot_id: str) -> Any:
    """Show."""
    snapshot = request.service.snapshots.get(request.caller, snapshot_id)
    request.check("volume:get_snapshot", snapshot.project_id)
    return {"snapshot": views.snapshot_view(request, snapshot, detailed=True)}


def update(request: Request, snapshot_id: str) -> Any:
    """Change name and description."""
    given = request.body("snapshot", _UPDATE)
    if not given:
        raise InvalidInput("snapshot", "At least one of name, description is needed.")
    changes = texts(given)
    changed = _change(request, snapshot_id, "volume:update_snapshot", lambda _snapshot: changes)
    return {"snapshot": views.snapshot_view(request, changed)}


def _change(request: Request, snapshot_id: str, rule: str, edit: Any) -> SnapshotRecord:
    def checked(snapshot: SnapshotRecord) -> dict[str, Any]:
        request.check(rule, snapshot.project_id)
        changes: dict[str, Any] = edit(snapshot)
        return changes

    return request.service.snapshots.change(request.caller, snapshot_id, checked)


def delete(request: Request, snapshot_id: str) -> Reply:
    """Delete."""
    snapshot = request.service.snapshots.get(request.caller, snapshot_id)
    request.check("volume:delete_snapshot", snapshot.project_id)
    request.service.snapshots.delete(request.caller, snapshot_id)
    return Reply(202)


def act(request: Request, snapshot_id: str) -> Any:
    """Actions of administrators and of compute: what is wrong with a body is told first."""
    name, argument = one_action(request.document())
    if name not in _ACTIONS:
        raise BadRequest(f"There is no such action: {name[:60]}")
    rule, action, known = _ACTIONS[name]
    given: dict[str, Any] = {}
    if known is not None:
        given = argument_of(name, argument)
        refuse_unknown(name, given, known)
    deed = action(request, given)
    snapshot = request.service.snapshots.get(request.caller, snapshot_id)
    request.check(rule, snapshot.project_id)
    deed(snapshot)
    return Reply(202)


def _reset_status(request: Request, given: dict[str, Any]) -> Deed:
    status = required_text("status", given.get("status")).lower()
    return lambda snapshot: request.service.snapshots.reset_status(
        request.caller, snapshot.id, status
    )


def _force_delete(request: Request, _given: dict[str, Any]) -> Deed:
    return lambda snapshot: request.service.snapshots.delete(
        request.caller, snapshot.id, force=True
    )


def _update_status(request: Request, given: dict[str, Any]) -> Deed:
    """What compute tells of a snapshot that it takes part in."""
    status = required_text("status", given.get("status"))
    progress, reached = given.get("progress"), None
    if progress is not None:
        digits = str(progress).rstrip("%")
        if not re.fullmatch("[0-9]{1,3}", digits) or int(digits) > 100:
            raise InvalidInput("progress", "It is an integer of 0 to 100 with a per cent sign.", progress)
        reached = int(digits)
    return lambda snapshot: request.service.snapshots.update_status(
        request.caller, snapshot.id, status, reached
    )


#: name -> (rule, function that reads what is given and returns what is then done, what may be given;
#: None for anything)
_ACTIONS: dict[str, tuple[str, Callable[[Request, dict[str, Any]], Deed], frozenset[str] | None]] = {
    "os-reset_status": (
        "volume_extension:snapshot_admin_actions:reset_status", _reset_status, frozenset({"status"}),
    ),
    "os-force_delete": (
        "volume_extension:snapshot_admin_actions:force_delete", _force_delete, None,
    ),
    "os-update_snapshot_status": (
        "snapshot_extension:snapshot_actions:update_snapshot_status", _update_status,
        frozenset({"status", "progress"}),
    ),
}


# --- metadata --------------------------------------------------------------------------------------


def metadata_show(request: Request, snapshot_id: str) -> Any:
    """All of it."""
    snapshot = request.service.snapshots.get(request.caller, snapshot_id)
    request.check("volume:get_snapshot_metadata", snapshot.project_id)
    return {"metadata": snapshot.metadata}


def metadata_add(request: Request, snapshot_id: str) -> Any:
    """Write items over those that are there."""
    given = metadata("metadata", request.body("metadata", beside=None))
    return _change_metadata(request, snapshot_id, lambda old: {**old, **given})


def metadata_replace(request: Request, snapshot_id: str) -> Any:
    """Put these items in place of those that are there."""
    given = metadata("metadata", request.body("metadata", beside=None))
    return _change_metadata(request, snapshot_id, lambda _old: given)


def _change_metadata(
    request: Request, snapshot_id: str, merge: Any, rule: str = "volume:update_snapshot_metadata"
) -> Any:
    changed = _change(
        request, snapshot_id, rule, lambda snapshot: {"metadata": merge(snapshot.metadata)}
    )
    return {"metadata": changed.metadata}


def _missing(snapshot_id: str, key: str) -> NotFound:
    return NotFound(f"Snapshot {snapshot_id} has no metadata with key {key[:255]}.")


def item_show(request: Request, snapshot_id: str, key: str) -> Any:
    """One item."""
    found = metadata_show(request, snapshot_id)["metadata"]
    if key not in found:
        raise _missing(snapshot_id, key)
    return {"meta": {key: found[key]}}


def item_set(request: Request, snapshot_id: str, key: str) -> Any:
    """Write one item."""
    given = metadata("meta", request.body("meta", beside=None))
    if list(given) != [key]:
        raise BadRequest("Request body and URI mismatch: the body has just the item that the path names.")
    _change_metadata(request, snapshot_id, lambda old: {**old, **given})
    return {"meta": given}


def item_delete(request: Request, snapshot_id: str, key: str) -> Reply:
    """Remove one item."""

    def remove(old: dict[str, str]) -> dict[str, str]:
        if key not in old:
            raise _missing(snapshot_id, key)
        return {name: value for name, value in old.items() if name != key}

    _change_metadata(request, snapshot_id, remove, "volume:delete_snapshot_metadata")
    return Reply(200)
