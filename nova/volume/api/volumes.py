# SPDX-License-Identifier: Apache-2.0
"""``/volumes``: list, create, show, change, delete, summary, metadata."""

from __future__ import annotations

import hashlib
import re
from typing import Any

import msgspec

from nova.errors import BadRequest, InvalidInput, NotFound, PreconditionFailed
from nova.objects.volume_record import VolumeRecord
from nova.volume.api import versions, views
from nova.volume.api.filters import refuse_unknown_filters
from nova.volume.api.query import volume_query, with_next
from nova.volume.api.request import (
    Reply,
    Request,
    boolean,
    identifier,
    metadata,
    refuse_unknown,
    text,
    texts,
)
from nova.volume.core import checked_size

_CREATE = frozenset(
    {
        "name", "description", "display_name", "display_description", "volume_type", "metadata",
        "snapshot_id", "size", "source_volid", "imageRef", "image_id", "availability_zone",
        "multiattach", "consistencygroup_id", "group_id", "backup_id",
    }
)
_HINTS = "OS-SCH-HNT:scheduler_hints"
_BESIDE = frozenset({_HINTS})
_UPDATE = frozenset({"name", "description", "display_name", "display_description", "metadata"})
_UUID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def lines(request: Request) -> Any:
    """List."""
    return _list(request, "volumes", views.volume_line)


def details(request: Request) -> Any:
    """List in detail."""
    return _list(request, "volumes/detail", views.volume_view)


def _list(request: Request, path: str, view: Any) -> Any:
    request.check("volume:get_all")
    refuse_unknown_filters(request, "volume", dict(request.parameters()))
    query = volume_query(request)
    found = request.service.volumes.list(request.caller, query)
    body: dict[str, Any] = {"volumes": [view(request, each) for each in found]}
    body |= with_next(request, "volumes", path, found, query)
    if request.version >= versions.COUNT and request.flag("with_count"):
        body["count"] = request.service.volumes.count(query)
    return body


def summary(request: Request) -> Any:
    """How many, and how large."""
    request.require(versions.SUMMARY)
    request.check("volume:get_all")
    query = msgspec.structs.replace(volume_query(request), limit=None, marker=None, offset=0)
    found = request.service.volumes.list(request.caller, query)
    body: dict[str, Any] = {
        "total_count": len(found), "total_size": sum(each.size for each in found)
    }
    if request.version >= versions.SUMMARY_METADATA:
        distinct: dict[str, list[str]] = {}
        for each in found:
            for name, value in each.metadata.items():
                values = distinct.setdefault(name, [])
                if value not in values:
                    values.append(value)
        body["metadata"] = distinct
    return {"volume-summary": body}


def create(request: Request) -> Reply:
    """Create."""
    given = request.body("volume", beside=_BESIDE)
    facts = _wanted(request, given)
    hints = request.document().get(_HINTS)
    if hints is not None and not isinstance(hints, dict):
        raise InvalidInput(_HINTS, "It must be an object.")
    request.check("volume:create")
    _refuse_absent(given)
    image_id = _image(request, given.get("imageRef") or given.get("image_id"))
    if (
        image_id is not None and facts["snapshot_id"] is None
        and request.version >= versions.IMAGE_OF_SNAPSHOT
    ):
        facts["snapshot_id"] = _snapshot_of_image(request, image_id)
        image_id = None if facts["snapshot_id"] else image_id
    created = request.service.volumes.create(request.caller, image_id=image_id, **facts)
    return Reply(202, {"volume": views.volume_view(request, created, created=True)})


def _wanted(request: Request, given: dict[str, Any]) -> dict[str, Any]:
    """What a new volume is to be; ``InvalidInput`` before anything that it names is looked for."""
    if request.version >= versions.STRICT_BODIES:
        refuse_unknown("volume", given, _CREATE)
    for name in ("consistencygroup_id", "backup_id"):
        identifier(name, given.get(name))
    if given.get("multiattach") is not None:
        boolean("multiattach", given["multiattach"])
    for name in ("imageRef", "image_id"):
        text(name, given.get(name))
    return {
        "size": None if given.get("size") is None else checked_size(given["size"]), **texts(given),
        "snapshot_id": identifier("snapshot_id", given.get("snapshot_id")),
        "source_id": identifier("source_volid", given.get("source_volid")),
        "volume_type": text("volume_type", given.get("volume_type")),
        "availability_zone": text("availability_zone", given.get("availability_zone")),
        "metadata": metadata("metadata", given.get("metadata")),
    }


def _refuse_absent(given: dict[str, Any]) -> None:
    """What this service has not: groups, backups; and what is said by the type since Queens."""
    for name, what in (
        ("consistencygroup_id", "ConsistencyGroup"), ("group_id", "Group"), ("backup_id", "Backup"),
    ):
        if given.get(name):
            raise NotFound(f"{what} {str(given[name])[:60]} could not be found.")
    if given.get("multiattach") is not None and boolean("multiattach", given["multiattach"]):
        raise BadRequest(
            "multiattach parameter has been removed. The default behavior is to use multiattach enabled "
            "volume types. Contact your administrator to create a multiattach enabled volume type and "
            "use it to create multiattach volumes."
        )


def _image(request: Request, reference: object) -> str | None:
    """An image by its id, its address, or its name."""
    if reference is None:
        return None
    if not isinstance(reference, str) or not reference:
        raise BadRequest("Invalid imageRef provided.")
    last = reference.rsplit("/", 1)[-1]
    if _UUID.fullmatch(last):
        return last
    found = request.service.images.list(
        request.caller, filters={"name": reference}, limit=2, marker=None
    )
    if len(found) != 1:
        raise BadRequest(
            "Invalid image identifier or unable to access requested image." if not found else
            f"Multiple matches found for '{reference[:80]}', use an ID to be more specific."
        )
    return found[0].id


def _snapshot_of_image(request: Request, image_id: str) -> str | None:
    """The volume snapshot that an image of a volume-backed server stands for."""
    try:
        image = request.service.images.show(request.caller, image_id)
    except NotFound:
        return None
    mapping = image.properties.get("block_device_mapping")
    for entry in mapping if isinstance(mapping, list) else ():
        if entry.get("source_type") == "snapshot" and entry.get("boot_index") == 0:
            found = entry.get("snapshot_id")
            return found if isinstance(found, str) else None
    return None


def show(request: Request, volume_id: str) -> Any:
    """Show."""
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check("volume:get", volume.project_id)
    return {"volume": views.volume_view(request, volume)}


def encryption(request: Request, volume_id: str) -> dict[str, Any]:
    """What a volume is encrypted with: nothing here, and Cinder shows that without a name around it."""
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check("volume_extension:volume_encryption_metadata", volume.project_id)
    return {"encryption_key_id": None}


def encryption_item(request: Request, volume_id: str, key: str) -> Reply:
    """One item of that, without a name around it either: null is an empty answer."""
    if key not in encryption(request, volume_id):
        raise NotFound(f"Volume {volume_id} has no encryption metadata {key[:80]}.")
    return Reply(200)


def update(request: Request, volume_id: str) -> Any:
    """Change name, description, metadata."""
    given = request.body("volume", _UPDATE)
    if not given and request.version >= versions.STRICT_BODIES:
        raise InvalidInput("volume", "At least one of name, description, metadata is needed.")
    changes: dict[str, Any] = dict(texts(given))
    if "metadata" in given:
        changes["metadata"] = metadata("metadata", given["metadata"], optional=False)

    def edit(volume: VolumeRecord) -> dict[str, Any]:
        request.check("volume:update", volume.project_id)
        return changes

    changed = request.service.volumes.change(request.caller, volume_id, edit)
    return {"volume": views.volume_view(request, changed, created=True)}


def delete(request: Request, volume_id: str) -> Reply:
    """Delete."""
    volume = request.service.volumes.get(request.caller, volume_id)
    force = request.version >= versions.DELETE_FORCE and request.flag("force")
    request.check("volume:force_delete" if force else "volume:delete", volume.project_id)
    request.service.volumes.delete(
        request.caller, volume_id, cascade=request.flag("cascade"), force=force
    )
    return Reply(202)


# --- metadata --------------------------------------------------------------------------------------


def _etag(found: dict[str, str]) -> str:
    return hashlib.md5(
        msgspec.json.encode({"metadata": found}), usedforsecurity=False
    ).hexdigest()


def _tagged(request: Request, found: dict[str, str]) -> Reply:
    headers = {"Etag": _etag(found)} if request.version >= 15 else {}
    return Reply(200, {"metadata": found}, headers)


def _require_match(request: Request, found: dict[str, str]) -> None:
    wanted = request.if_match
    if wanted is not None and request.version >= 15 and wanted.strip('"') != _etag(found):
        raise PreconditionFailed("The metadata was changed meanwhile.")


def metadata_show(request: Request, volume_id: str) -> Reply:
    """All of it."""
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check("volume:get_volume_metadata", volume.project_id)
    return _tagged(request, volume.metadata)


def metadata_add(request: Request, volume_id: str) -> Reply:
    """Write items over those that are there."""
    given = metadata("metadata", request.body("metadata"))
    return _change_metadata(
        request, volume_id, "volume:create_volume_metadata", lambda old: {**old, **given}
    )


def metadata_replace(request: Request, volume_id: str) -> Reply:
    """Put these items in place of those that are there."""
    given = metadata("metadata", request.body("metadata"))
    return _change_metadata(request, volume_id, "volume:update_volume_metadata", lambda _old: given)


def _change_metadata(request: Request, volume_id: str, rule: str, merge: Any) -> Reply:
    def edit(volume: VolumeRecord) -> dict[str, Any]:
        request.check(rule, volume.project_id)
        _require_match(request, volume.metadata)
        return {"metadata": merge(volume.metadata)}

    changed = request.service.volumes.change(request.caller, volume_id, edit)
    return _tagged(request, changed.metadata)


def _missing(volume_id: str, key: str) -> NotFound:
    return NotFound(f"Volume {volume_id} has no metadata with key {key[:255]}.")


def item_show(request: Request, volume_id: str, key: str) -> Any:
    """One item."""
    volume = request.service.volumes.get(request.caller, volume_id)
    request.check("volume:get_volume_metadata", volume.project_id)
    if key not in volume.metadata:
        raise _missing(volume_id, key)
    return {"meta": {key: volume.metadata[key]}}


def item_set(request: Request, volume_id: str, key: str) -> Any:
    """Write one item."""
    given = metadata("meta", request.body("meta"))
    if list(given) != [key]:
        raise BadRequest("Request body and URI mismatch: the body has just the item that the path names.")
    _change_metadata(
        request, volume_id, "volume:update_volume_metadata", lambda old: {**old, **given}
    )
    return {"meta": given}


def item_delete(request: Request, volume_id: str, key: str) -> Reply:
    """Remove one item."""

    def remove(old: dict[str, str]) -> dict[str, str]:
        if key not in old:
            raise _missing(volume_id, key)
        return {name: value for name, value in old.items() if name != key}

    _change_metadata(request, volume_id, "volume:delete_volume_metadata", remove)
    return Reply(200)

