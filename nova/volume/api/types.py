# SPDX-License-Identifier: Apache-2.0
"""``/types``: volume types, their extra specs, and who may use them."""

from __future__ import annotations

import re
from typing import Any

from nova.errors import BadRequest, InvalidInput, NotFound
from nova.objects.volume_record import VolumeType
from nova.volume.api import versions, views
from nova.volume.api.filters import refuse_unknown_filters
from nova.volume.api.query import pairs, part_of
from nova.volume.api.request import (
    Reply,
    Request,
    argument_of,
    as_bool,
    boolean,
    metadata,
    one_action,
    refuse_unknown,
    required_text,
    text,
)

_IS_PUBLIC = "os-volume-type-access:is_public"
_CREATE = frozenset({"name", "description", "extra_specs", _IS_PUBLIC})
_UPDATE = frozenset({"name", "description", "is_public"})
_KEY = re.compile(r"[\w.\-: ]{1,255}")


def lines(request: Request) -> Any:
    """List."""
    request.check("volume_extension:type_get_all")
    given = dict(request.parameters())
    refuse_unknown_filters(request, "volume_type", given, since=versions.TYPE_FILTERS)
    public: bool | None = True
    if request.caller.is_admin and "is_public" in given:
        word = given["is_public"].strip().lower()
        public = None if word in ("none", "") else as_bool("is_public", word)
    found = request.service.types.page(request.caller, public)
    if "extra_specs" in given and request.version >= versions.TYPE_FILTERS:
        wanted = pairs("extra_specs", given["extra_specs"])
        found = [each for each in found if wanted.items() <= each.extra_specs.items()]
    found = _page(found, given)
    return {"volume_types": [views.type_view(request, each) for each in found]}


def _page(found: list[VolumeType], given: dict[str, str]) -> list[VolumeType]:
    key, _colon, direction = given.get("sort", "created_at:desc").split(",")[0].partition(":")
    key = given.get("sort_key", key)
    direction = given.get("sort_dir", direction or "desc")
    if key not in ("id", "name", "created_at") or direction not in ("asc", "desc"):
        raise BadRequest("Invalid input received: Invalid sort key or direction.")
    found = sorted(found, key=lambda each: (getattr(each, key), each.id), reverse=direction == "desc")
    return part_of(
        found, given, lambda marker: NotFound(f"Volume type {marker} could not be found.")
    )


def create(request: Request) -> Any:
    """Create."""
    given = request.body("volume_type", _CREATE)
    name = required_text("name", given.get("name"))
    description = text("description", given.get("description"))
    public = boolean(_IS_PUBLIC, given.get(_IS_PUBLIC, True))
    specs = _specs(given.get("extra_specs"))
    request.check("volume_extension:type_create")
    made = request.service.types.create(name, description, is_public=public, extra_specs=specs)
    return {"volume_type": views.type_view(request, made, created=True)}


def _specs(value: object) -> dict[str, str]:
    found = metadata("extra_specs", value)
    for key in found:
        if _KEY.fullmatch(key) is None:
            raise BadRequest(
                f"Invalid input received: Key Names can only contain alphanumeric characters, "
                f"underscores, periods, colons and hyphens; {key[:60]!r} has others."
            )
    return found


def show(request: Request, type_id: str) -> Any:
    """Show; ``default`` is the type of volumes without one."""
    request.check("volume_extension:type_get")
    types = request.service.types
    found = types.default(request.caller) if type_id == "default" else types.get(request.caller, type_id)
    return {"volume_type": views.type_view(request, found)}


def update(request: Request, type_id: str) -> Any:
    """Change."""
    given = request.body("volume_type", _UPDATE)
    changes: dict[str, Any] = {}
    if given.get("name") is not None:
        changes["name"] = required_text("name", given["name"])
    if "description" in given:
        changes["description"] = text("description", given["description"])
    if "is_public" in given:
        changes["is_public"] = boolean("is_public", given["is_public"])
    request.check("volume_extension:type_update")
    if not changes:
        raise BadRequest("Specify volume type name, description, is_public or a combination thereof.")
    changed = request.service.types.update(request.caller, type_id, changes)
    view = views.type_view(request, changed, created=True)
    del view["os-volume-type-access:is_public"]
    return {"volume_type": view}


def delete(request: Request, type_id: str) -> Reply:
    """Delete."""
    request.check("volume_extension:type_delete")
    request.service.types.delete(request.caller, type_id)
    return Reply(202)


def act(request: Request, type_id: str) -> Reply:
    """``addProjectAccess`` and ``removeProjectAccess``."""
    name, argument = one_action(request.document())
    given = argument_of(name, argument)
    if name not in ("addProjectAccess", "removeProjectAccess"):
        raise BadRequest(f"There is no such action: {name[:60]}")
    refuse_unknown(name, given, frozenset({"project"}))
    project = required_text("project", given.get("project"), most=64)
    request.check(f"volume_extension:volume_type_access:{name}")
    types = request.service.types
    change = types.grant if name == "addProjectAccess" else types.revoke
    change(request.caller, type_id, project)
    return Reply(202)


def access(request: Request, type_id: str) -> Any:
    """Who may use a private type."""
    request.check("volume_extension:volume_type_access:get_all_for_type")
    projects = request.service.types.projects_of(request.caller, type_id)
    return {
        "volume_type_access": [
            {"volume_type_id": type_id, "project_id": project} for project in projects
        ]
    }


# --- extra specs -----------------------------------------------------------------------------------


def specs_show(request: Request, type_id: str) -> Any:
    """All of them."""
    request.check("volume_extension:type_get")
    found = request.service.types.get(request.caller, type_id)
    return {"extra_specs": views.type_view(request, found)["extra_specs"]}


def specs_add(request: Request, type_id: str) -> Any:
    """Write some."""
    given = _specs(request.body("extra_specs"))
    request.check("volume_extension:types_extra_specs:create")
    request.service.types.set_specs(request.caller, type_id, given)
    return {"extra_specs": given}


def spec_show(request: Request, type_id: str, key: str) -> Any:
    """One of them."""
    found = specs_show(request, type_id)["extra_specs"]
    if key not in found:
        raise _missing(type_id, key)
    return {key: found[key]}


def spec_set(request: Request, type_id: str, key: str) -> Any:
    """Write one."""
    given = _specs(request.document())
    if list(given) != [key]:
        raise BadRequest("Request body and URI mismatch: the body has just the spec that the path names.")
    request.check("volume_extension:types_extra_specs:update")
    request.service.types.set_specs(request.caller, type_id, given)
    return given


def spec_delete(request: Request, type_id: str, key: str) -> Reply:
    """Remove one."""
    request.check("volume_extension:types_extra_specs:delete")
    request.service.types.remove_spec(request.caller, type_id, key)
    return Reply(202)


def _missing(type_id: str, key: str) -> NotFound:
    return NotFound(f"Volume Type {type_id} has no extra specs with key {key[:255]}.")


# --- encryption ------------------------------------------------------------------------------------


def encryption(request: Request, type_id: str) -> Any:
    """No type is encrypted: an empty object, as Cinder shows it."""
    request.check("volume_extension:volume_type_encryption:get")
    request.service.types.get(request.caller, type_id)
    return {}


def encrypt(request: Request, type_id: str) -> Any:
    """Refuse."""
    request.check("volume_extension:type_update")
    request.service.types.get(request.caller, type_id)
    raise InvalidInput(
        "encryption", f"Encrypted volumes are not served; the type {type_id} stays as it is."
    )

