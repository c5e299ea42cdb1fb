# SPDX-License-Identifier: Apache-2.0
"""``os-quota-class-sets``: limits under a name; those of ``default`` hold for every project."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova.api.compute.bodies import Body
from nova.api.compute.policies import ADMIN
from nova.api.compute.quota_bodies import QuotaClassUpdate, quota_view, sent_limits
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.db.engine import Transaction
from nova.errors import InvalidInput
from nova.policy import Rule

_ROOT = "os_compute_api:os-quota-class-sets"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:show", ADMIN, "Show the limits of a quota class."),
    Rule(f"{_ROOT}:update", ADMIN, "Set the limits of a quota class."),
)

VIEW = quota_view(networks_until=49, groups_since=50)
#: Kilo's v2 shows server groups too (sample ``os-server-group-quotas``).
LEGACY_VIEW = quota_view(networks_until=49, groups_since=1)


def _class(request: ApiRequest) -> str:
    name = request.path["class_name"]
    if len(name) > 64:
        raise InvalidInput("quota_class_name", "It may have 64 characters at most.", name)
    return name


def _values(request: ApiRequest, tx: Transaction, name: str) -> Mapping[str, int]:
    return {**request.cloud.limits.configured, **tx.quotas.class_limits(name)}


def _render(request: ApiRequest, values: Mapping[str, int]) -> dict[str, Any]:
    view = LEGACY_VIEW if request.legacy else VIEW
    return view.at(request.minor)(values, None)


def show(request: ApiRequest) -> Any:
    """Show the limits of a class; what was not set is as configured."""
    name = _class(request)
    with request.cloud.db.read() as tx:
        values = _values(request, tx, name)
    return {"quota_class_set": {"id": name, **_render(request, values)}}


def update(request: ApiRequest) -> Any:
    """Set limits of a class."""
    name = _class(request)

    def write(tx: Transaction) -> Mapping[str, int]:
        tx.after_commit(request.cloud.limits.forget)
        tx.quotas.set_class(name, sent_limits(request.body))
        return _values(request, tx, name)

    values = request.cloud.db.run(write)
    return {"quota_class_set": _render(request, values)}


_ONE = "/os-quota-class-sets/{class_name}"

ROUTES: tuple[Route, ...] = (
    Route("GET", _ONE, show, rule=f"{_ROOT}:show"),
    Route("PUT", _ONE, update, rule=f"{_ROOT}:update",
          body=Body("quota_class_set", QuotaClassUpdate)),
)
