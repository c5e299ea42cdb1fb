# SPDX-License-Identifier: Apache-2.0
"""The page of routes names the policy rules that handlers really ask."""

from __future__ import annotations

import sys

import pytest

from nova.api.compute import keypairs, server_metadata, server_volumes, servers_create
from nova.api.compute.routes import ROUTES, RULES
from nova.api.compute.routing import gone
from tests.docs.pages import ROOT

sys.path.insert(0, str(ROOT / "tools"))
from route_rules import rules_of

_PREFIX = "os_compute_api:"

#: Routes for everybody with a token: flavors that one may use, and the image service's own rights.
_OPEN = ("/flavors", "/images")


@pytest.mark.parametrize(
    ("handler", "rules"),
    [
        (keypairs.show, ["os-keypairs:show"]),
        (server_metadata.update_all, ["server-metadata:update_all"]),
        (server_volumes.update, ["os-volumes-attachments:swap", "os-volumes-attachments:update"]),
    ],
)
def test_rules_are_found_through_helpers(handler: object, rules: list[str]) -> None:
    found = [rule.removeprefix(_PREFIX) for rule in rules_of(handler)]  # type: ignore[arg-type]
    assert found == rules


def test_rules_of_a_boot_start_with_its_own() -> None:
    assert rules_of(servers_create.create)[0] == f"{_PREFIX}servers:create"


def test_every_route_asks_a_rule() -> None:
    known = {rule.name for rule in RULES}
    silent = [
        f"{route.method} {route.path}"
        for route in ROUTES
        if route.handler is not gone
        and not route.path.startswith(_OPEN)
        and not route.path.endswith("/action")
        and "baremetal" not in route.path
        and not ({route.rule, *rules_of(route.handler)} & known)
    ]
    assert silent == []
