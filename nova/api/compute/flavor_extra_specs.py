# SPDX-License-Identifier: Apache-2.0
"""``flavors/{id}/os-extra_specs``: keys and values that filters, drivers and weighers read."""

from __future__ import annotations

import re
from typing import Any

from nova.api.compute.bodies import Body
from nova.api.compute.extra_spec_rules import check_extra_spec
from nova.api.compute.flavors import visible_to
from nova.api.compute.policies import ADMIN, READER_OR_ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.db.engine import Transaction
from nova.errors import BadRequest, InvalidInput, NotFound
from nova.policy import Rule

_ROOT = "os_compute_api:os-flavor-extra-specs"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show an extra spec of a flavor."),
    Rule(f"{_ROOT}:create", ADMIN, "Set extra specs of a flavor."),
    Rule(f"{_ROOT}:update", ADMIN, "Change an extra spec of a flavor."),
    Rule(f"{_ROOT}:delete", ADMIN, "Remove an extra spec of a flavor."),
    Rule(f"{_ROOT}:index", READER_OR_ADMIN, "List the extra specs of a flavor; see them in views."),
)

_KEY = re.compile(r"[a-zA-Z0-9\-_:. ]{1,255}")
_LONGEST = 255

Specs = dict[str, str | int | float]


def _texts(request: ApiRequest, specs: Specs) -> dict[str, str]:
    """The specs as they are stored: every value a text.

    Raises ``BadRequest`` for a bad key or value; from 2.86 also for one that is known to be wrong.
    """
    texts: dict[str, str] = {}
    for key, value in specs.items():
        text = value if isinstance(value, str) else str(value)
        if _KEY.fullmatch(key) is None:
            raise InvalidInput(
                "extra_specs",
                "A key may hold letters, digits, '-', '_', ':', '.' and blanks, "
                "1 to 255 characters.",
                key,
            )
        if len(text) > _LONGEST:
            raise InvalidInput(key, f"It may have {_LONGEST} characters at most.", text)
        if request.features.validate_extra_specs:
            check_extra_spec(key, text)
        texts[key] = text
    return texts


def index(request: ApiRequest) -> Any:
    """List the extra specs of a flavor."""
    with request.cloud.db.read() as tx:
        flavor = tx.flavors.get(request.path["flavor_id"], project_id=visible_to(request))
    return {"extra_specs": flavor.extra_specs}


def show(request: ApiRequest) -> Any:
    """Show one extra spec."""
    flavorid, key = request.path["flavor_id"], request.path["key"]
    with request.cloud.db.read() as tx:
        flavor = tx.flavors.get(flavorid, project_id=visible_to(request))
    if key not in flavor.extra_specs:
        raise NotFound(f"Flavor {flavorid} has no extra specs with key {key}.")
    return {key: flavor.extra_specs[key]}


def _store(request: ApiRequest, specs: Specs) -> None:
    texts = _texts(request, specs)

    def write(tx: Transaction) -> None:
        tx.after_commit(request.cloud.flavors.forget)
        tx.flavors.set_extra_specs(request.path["flavor_id"], texts)

    request.cloud.db.run(write)


def create(request: ApiRequest) -> Any:
    """Add extra specs or change them."""
    _store(request, request.body)
    return {"extra_specs": request.body}


def update(request: ApiRequest) -> Any:
    """Set the one extra spec that the path names."""
    specs: Specs = request.body
    if len(specs) != 1:
        raise BadRequest("Invalid input for field/attribute body. It must have exactly one key.")
    if request.path["key"] not in specs:
        raise BadRequest("Request body and URI mismatch")
    _store(request, specs)
    return specs


def delete(request: ApiRequest) -> None:
    """Remove one extra spec."""

    def write(tx: Transaction) -> None:
        tx.after_commit(request.cloud.flavors.forget)
        tx.flavors.delete_extra_spec(request.path["flavor_id"], request.path["key"])

    request.cloud.db.run(write)


_ALL = "/flavors/{flavor_id}/os-extra_specs"
_ONE = "/flavors/{flavor_id}/os-extra_specs/{key}"

ROUTES: tuple[Route, ...] = (
    Route("GET", _ALL, index, rule=f"{_ROOT}:index"),
    Route("POST", _ALL, create, rule=f"{_ROOT}:create", body=Body("extra_specs", Specs)),
    Route("GET", _ONE, show, rule=f"{_ROOT}:show"),
    Route("PUT", _ONE, update, rule=f"{_ROOT}:update", body=Body(None, Specs)),
    Route("DELETE", _ONE, delete, rule=f"{_ROOT}:delete"),
)
