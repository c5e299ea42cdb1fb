# SPDX-License-Identifier: Apache-2.0
"""``os-flavor-access`` and the actions behind it."""

from __future__ import annotations

from typing import Any

import pytest

from nova.api.compute.cloud import Cloud
from nova.compute.projects import Projects
from tests.unit.api.conftest import Api, message, same_shape, sample

ADD = {"addTenantAccess": {"tenant": "fake_tenant"}}
REMOVE = {"removeTenantAccess": {"tenant": "fake_tenant"}}
ACTION = "/flavors/10/action"
LIST = "/flavors/10/os-flavor-access"


@pytest.fixture(autouse=True)
def _flavor(api: Api) -> None:
    body = {"name": "p", "ram": 1, "vcpus": 1, "disk": 1, "id": "10",
            "os-flavor-access:is_public": False}
    api.post("/flavors", {"flavor": body})
    api.post("/flavors", {"flavor": body | {"name": "q", "id": "11",
                                            "os-flavor-access:is_public": True}})


@pytest.mark.parametrize(("at", "where"), [
    (1, "v2.1/flavor-access"), (104, "v2.1/flavor-access"), ("v2", "kilo-v2/os-flavor-access"),
])
def test_as_in_the_samples(api: Api, at: int | str, where: str) -> None:
    added = api.post(ACTION, sample(f"{where}/flavor-access-add-tenant-req.json"), at=at)
    assert added.status_code == 200
    same_shape(added.json, sample(f"{where}/flavor-access-add-tenant-resp.json"))
    assert added.json == {"flavor_access": [{"flavor_id": "10", "tenant_id": "fake_tenant"}]}
    same_shape(api.get(LIST, at=at).json, sample(f"{where}/flavor-access-list-resp.json"))
    removed = api.post(ACTION, sample(f"{where}/flavor-access-remove-tenant-req.json"), at=at)
    assert removed.json == sample(f"{where}/flavor-access-remove-tenant-resp.json")


def test_twice_is_a_conflict_and_taking_off_what_is_not_on_is_404(api: Api) -> None:
    api.post(ACTION, ADD)
    again = api.post(ACTION, ADD)
    assert (again.status_code, message(again)) == (
        409,
        "Flavor access already exists for flavor 10 and project fake_tenant combination.",
    )
    api.post(ACTION, REMOVE)
    assert api.post(ACTION, REMOVE).status_code == 404
    assert api.post("/flavors/no/action", ADD).status_code == 404


def test_public_flavors_have_no_list(api: Api) -> None:
    refusal = api.get("/flavors/11/os-flavor-access")
    assert refusal.status_code == 404
    assert message(refusal) == "Access list not available for public flavors."
    assert api.post("/flavors/11/action", ADD, at=6).status_code == 200
    refusal = api.post("/flavors/11/action", ADD, at=7)
    assert (refusal.status_code, message(refusal)) == (
        409, "Can not add access to a public flavor."
    )


@pytest.mark.parametrize(
    "body",
    [None, {}, [], ADD | REMOVE, {"addTenantAccess": {}}, {"addTenantAccess": None},
     {"addTenantAccess": {"tenant": ""}}, {"addTenantAccess": {"tenant": 5}},
     {"addTenantAccess": {"tenant": "x" * 256}}, {"addTenantAccess": {"tenant": "x", "y": 1}},
     {"other": {}}],
)
def test_bad_bodies(api: Api, body: Any) -> None:
    assert api.post(ACTION, body).status_code == 400
    assert api.get(LIST).json == {"flavor_access": []}


def test_only_administrators(api: Api) -> None:
    for refusal in (
        api.get(LIST, token="member"),
        api.post(ACTION, ADD, token="member"),
        api.post(ACTION, REMOVE, token="member"),
    ):
        assert refusal.status_code == 403


def test_a_project_that_identity_does_not_know_gets_no_access(api: Api, cloud: Cloud) -> None:
    object.__setattr__(cloud, "projects", Projects(lambda _caller, _project: False))
    refused = api.post(ACTION, ADD)
    assert (refused.status_code, message(refused)) == (
        400, "Project ID fake_tenant is not a valid project.",
    )
    assert api.get(LIST).json == {"flavor_access": []}
    assert api.post(ACTION, ADD, token="member").status_code == 403
    assert api.post(ACTION, REMOVE).status_code == 404, "what was added once can be taken off"
