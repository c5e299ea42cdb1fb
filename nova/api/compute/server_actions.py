# SPDX-License-Identifier: Apache-2.0
"""``POST /servers/{id}/action``: one key per body names the action.

The rows are in ``server_actions_power``, ``_moves``, ``_images``, ``_network`` and ``_console``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova import errors
from nova.api.compute import (
    server_actions_console,
    server_actions_images,
    server_actions_moves,
    server_actions_network,
    server_actions_power,
)
from nova.api.compute.request import Answer, ApiRequest
from nova.api.compute.routing import Route
from nova.api.compute.server_action_table import ServerAction
from nova.http.app import read_json
from nova.policy import Rule

_MODULES = (
    server_actions_power,
    server_actions_moves,
    server_actions_images,
    server_actions_network,
    server_actions_console,
)


def _by_key() -> Mapping[str, tuple[ServerAction, ...]]:
    found: dict[str, tuple[ServerAction, ...]] = {}
    for module in _MODULES:
        for action in module.ACTIONS:
            found[action.key] = (*found.get(action.key, ()), action)
    return found


ACTIONS: Mapping[str, tuple[ServerAction, ...]] = _by_key()
RULES: tuple[Rule, ...] = tuple(rule for module in _MODULES for rule in module.RULES)


def act(request: ApiRequest) -> Any:
    """Do what the body's key says."""
    raw = read_json(request.http)
    action, key = _chosen(request, raw)
    body = raw[key]
    if action.body is not None:
        body = action.body.read({key: body}, request.minor, legacy=request.legacy)
    elif action.null and body is not None and not request.legacy:
        raise errors.InvalidInput(key, "It has to be null.", body)
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(action.rule, project_id=instance.project_id, user_id=instance.user_id)
    result = action.handler(request, instance, body)
    if isinstance(result, Answer):
        return Answer(result.body, result.status or action.success, result.headers)
    return Answer(result, action.success)


def _chosen(request: ApiRequest, raw: Any) -> tuple[ServerAction, str]:
    """The one action of a body; the legacy API looks only at keys that it knows."""
    if not isinstance(raw, dict) or not raw:
        raise errors.BadRequest("Malformed request body: it has to be an object with one action.")
    keys = list(raw)
    if request.legacy and len(keys) > 1:
        keys = [key for key in keys if key in ACTIONS] or keys
    if len(keys) > 1:
        names = ", ".join(f"'{key[:40]}'" for key in keys[1:10])
        raise errors.BadRequest(
            f"Additional properties are not allowed ({names} unexpected): a body names one action."
        )
    key = keys[0]
    if key not in ACTIONS:
        raise errors.BadRequest(f"There is no such action: {key[:60]}")
    for action in ACTIONS[key]:
        if action.serves(request.minor):
            return action, key
    raise errors.NotFound("The resource could not be found.")


ROUTES: tuple[Route, ...] = (Route("POST", "/servers/{server_id}/action", act, success=202),)
