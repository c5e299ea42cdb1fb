# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/os-server-password``: the password that a guest left, encrypted."""

from __future__ import annotations

from typing import Any

from nova.api.compute.policies import MEMBER_OR_ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.api.compute.visibility import visible_instance
from nova.db.engine import Transaction
from nova.policy import Rule

_ROOT = "os_compute_api:os-server-password"
#: Where the metadata service keeps what a guest posted, in ``system_metadata``.
PASSWORD_KEY = "password"  # noqa: S105

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Read the encrypted password of a server."),
    Rule(f"{_ROOT}:clear", MEMBER_OR_ADMIN, "Forget the encrypted password of a server."),
)


def show(request: ApiRequest) -> Any:
    """The encrypted password; empty where there is none."""
    instance = request.cloud.operations.get(request.caller, request.path["server_id"])
    request.check(f"{_ROOT}:show", project_id=instance.project_id)
    return {"password": instance.system_metadata.get(PASSWORD_KEY, "")}


def clear(request: ApiRequest) -> Any:
    """Forget it; the password in the guest stays as it is."""

    def write(tx: Transaction) -> None:
        instance = visible_instance(request, tx, request.path["server_id"])
        request.check(f"{_ROOT}:clear", project_id=instance.project_id)
        if PASSWORD_KEY in instance.system_metadata:
            rest = {
                key: value
                for key, value in instance.system_metadata.items()
                if key != PASSWORD_KEY
            }
            tx.instances.update(instance.uuid, {"system_metadata": rest})

    request.cloud.db.run(write)
    return None


_PATH = "/servers/{server_id}/os-server-password"
ROUTES: tuple[Route, ...] = (
    Route("GET", _PATH, show),
    Route("DELETE", _PATH, clear, success=204),
)
