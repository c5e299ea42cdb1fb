# SPDX-License-Identifier: Apache-2.0
"""``/default-types`` (3.62): the types that projects' volumes have where none is named."""

from __future__ import annotations

from typing import Any

from nova.volume.api import versions
from nova.volume.api.request import Reply, Request, required_text

_RULE = "volume_extension:default"


def lines(request: Request) -> Any:
    """Every project that has its own."""
    request.require(versions.DEFAULT_TYPES)
    request.check(f"{_RULE}_get_all")
    return {"default_types": [_view(*each) for each in request.service.default_types.page()]}


def show(request: Request, project_id: str) -> Any:
    """A project's own."""
    request.require(versions.DEFAULT_TYPES)
    request.check(f"{_RULE}_get", project_id)
    type_id = request.service.default_types.get(request.caller, project_id)
    return {"default_type": _view(project_id, type_id)}


def set_(request: Request, project_id: str) -> Any:
    """Give a project its own, by the name or the id of a type."""
    request.require(versions.DEFAULT_TYPES)
    given = request.body("default_type", frozenset({"volume_type"}), beside=None)
    named = required_text("volume_type", given.get("volume_type"))
    request.check(f"{_RULE}_set_or_update", project_id)
    type_id = request.service.default_types.set(request.caller, project_id, named)
    return {"default_type": _view(project_id, type_id)}


def unset(request: Request, project_id: str) -> Reply:
    """Let a project have that of all others; it may be gone, or have none."""
    request.require(versions.DEFAULT_TYPES)
    request.check(f"{_RULE}_unset", project_id)
    request.service.default_types.unset(project_id)
    return Reply(204)


def _view(project_id: str, type_id: str) -> dict[str, str]:
    return {"project_id": project_id, "volume_type_id": type_id}
