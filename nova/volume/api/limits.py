# SPDX-License-Identifier: Apache-2.0
"""Quota sets, quota classes, and the limits that clients read."""

from __future__ import annotations

from typing import Any

from nova.errors import BadRequest, InvalidInput
from nova.volume.api import versions
from nova.volume.api.request import Reply, Request

_NO_QUOTA = frozenset({"tenant_id", "id", "force"})


def quota_show(request: Request, project_id: str) -> Any:
    """Limits of a project, with what it uses where ``usage`` asks for it."""
    request.check("volume_extension:quotas:show", project_id)
    limits = request.service.limits.of_project(project_id)
    if not request.flag("usage"):
        return {"quota_set": {"id": project_id, **limits}}
    used = request.service.limits.usage(project_id)
    with_usage = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in limits.items()
    }
    return {"quota_set": {"id": project_id, **with_usage}}


def quota_defaults(request: Request, project_id: str) -> Any:
    """Limits of projects without their own."""
    request.check("volume_extension:quotas:show", project_id)
    return {"quota_set": {"id": project_id, **request.service.limits.defaults()}}


def quota_update(request: Request, project_id: str) -> Any:
    """Set limits."""
    limits = _limits(request.body("quota_set"))
    request.check("volume_extension:quotas:update", project_id)
    request.service.limits.set(project_id, limits)
    return {"quota_set": request.service.limits.of_project(project_id)}


def quota_delete(request: Request, project_id: str) -> Reply:
    """Forget a project's own limits."""
    request.check("volume_extension:quotas:delete", project_id)
    request.service.limits.delete(project_id)
    return Reply(200)


def class_show(request: Request, class_name: str) -> Any:
    """Limits of the default class; there is no other."""
    request.check("volume_extension:quota_classes:get")
    return {"quota_class_set": {"id": class_name, **request.service.limits.defaults()}}


def class_update(request: Request, class_name: str) -> Any:
    """Set limits of the default class."""
    limits = _limits(request.body("quota_class_set"))
    request.check("volume_extension:quota_classes:update")
    if class_name != "default":
        raise BadRequest("Only the quota class 'default' counts; no other can be set.")
    request.service.limits.set("", limits, of_class=True)
    return {"quota_class_set": request.service.limits.defaults()}


def _limits(given: dict[str, Any]) -> dict[str, int]:
    found: dict[str, int] = {}
    for name, value in given.items():
        if name in _NO_QUOTA or name == "class_name":
            continue
        try:
            if isinstance(value, (bool, float)):
                raise ValueError
            limit = int(value)
        except (ValueError, TypeError):
            raise InvalidInput(name, "It must be an integer.", value) from None
        if not -1 <= limit <= 0x7FFFFFFF:
            raise InvalidInput(name, "It must be between -1 and 2147483647.", value)
        found[name] = limit
    if not found:
        raise InvalidInput("quota_set", "At least one limit is needed.")
    return found


def show(request: Request) -> Any:
    """``/limits``: what a project may have and has; an administrator may name it."""
    request.check("limits_extension:used_limits")
    project = request.caller.project_id
    given = dict(request.parameters())
    if request.caller.is_admin and request.version >= versions.LIMITS_OF_PROJECT:
        project = given.get("project_id") or given.get("tenant_id") or project
    limits, used = request.service.limits.of_project(project), request.service.limits.usage(project)
    return {
        "limits": {
            "rate": [],
            "absolute": {
                "maxTotalVolumes": limits["volumes"], "totalVolumesUsed": used["volumes"],
                "maxTotalSnapshots": limits["snapshots"], "totalSnapshotsUsed": used["snapshots"],
                "maxTotalVolumeGigabytes": limits["gigabytes"],
                "totalGigabytesUsed": used["gigabytes"], "maxTotalBackups": limits["backups"],
                "totalBackupsUsed": 0, "maxTotalBackupGigabytes": limits["backup_gigabytes"],
                "totalBackupGigabytesUsed": 0,
            },
        }
    }

