# SPDX-License-Identifier: Apache-2.0
"""What every cloud starts with, at the first start and at the next ones."""

from __future__ import annotations

import msgspec
import pytest

from nova.errors import BadRequest, Unauthorized
from nova.identity.bootstrap import BootstrapResult, EndpointSpec, ensure_cloud
from nova.identity.catalog import catalog_v2, catalog_v3
from nova.identity.service import IdentityService
from nova.objects.identity import Page
from tests.unit.identity.conftest import Login

COMPUTE = EndpointSpec("compute", "nova", "http://c:8774/v2.1/%(tenant_id)s", "Compute")
IDENTITY = EndpointSpec("identity", "keystone", "http://c:5000/v3", "Identity")


def ensure(service: IdentityService, *endpoints: EndpointSpec) -> BootstrapResult:
    return ensure_cloud(
        service, admin_password="other", demo_password="other", endpoints=endpoints
    )


def test_the_second_start_changes_nothing(
    service: IdentityService, cloud: BootstrapResult, login: Login
) -> None:
    assert cloud.created
    again = ensure(service)
    assert again == msgspec.structs.replace(cloud, created=False)
    assert login("admin").context.is_admin, "the first password stands"


def test_the_administrator_has_the_system_and_the_domain(login: Login) -> None:
    for scope in ({"system": {"all": True}}, {"domain": {"id": "default"}}):
        assert login("admin", scope=scope).context.is_admin
        with pytest.raises(Unauthorized):
            login("demo", scope=scope)


def test_endpoints_follow_the_ports_of_this_start(
    service: IdentityService, cloud: BootstrapResult
) -> None:
    ensure(service, COMPUTE, IDENTITY)
    before = service.catalog.endpoints((), Page())
    moved = msgspec.structs.replace(COMPUTE, url="http://c:18774/v2.1/%(tenant_id)s")
    ensure(service, moved, IDENTITY)
    after = service.catalog.endpoints((), Page())
    assert [one.id for one in before] == [one.id for one in after]
    assert len(after) == 6
    assert {one.url for one in after} == {moved.url, IDENTITY.url}


def test_what_an_operator_deleted_stays_deleted(
    service: IdentityService, cloud: BootstrapResult
) -> None:
    service.users.delete(cloud.demo_user_id or "")
    again = ensure(service)
    assert (again.demo_user_id, again.demo_ec2) == (None, None)
    assert again.admin_ec2 == cloud.admin_ec2


def test_an_address_that_no_catalogue_can_fill_in_is_refused(service: IdentityService) -> None:
    with pytest.raises(BadRequest, match="invalid URL"):
        ensure(service, EndpointSpec("x", "x", "http://c/%(nonsense)s"))


def test_catalogues_fill_in_the_project(
    service: IdentityService, cloud: BootstrapResult
) -> None:
    ensure(service, COMPUTE, IDENTITY)
    reference = service.reference.get()
    with_project = catalog_v3(reference, "u", "p")
    assert {e["url"] for s in with_project for e in s["endpoints"]} == {
        "http://c:8774/v2.1/p", "http://c:5000/v3",
    }
    without = {s["type"]: s["endpoints"] for s in catalog_v3(reference, "u", None)}
    assert without["compute"] == []
    assert {e["interface"] for e in without["identity"]} == {"public", "internal", "admin"}
    old = {s["type"]: s["endpoints"] for s in catalog_v2(reference, "u", "p")}
    assert old["compute"][0]["publicURL"] == "http://c:8774/v2.1/p"
    assert old["identity"][0]["adminURL"] == "http://c:5000/v2.0"


def test_stored_keys_are_encrypted(service: IdentityService, cloud: BootstrapResult) -> None:
    assert cloud.admin_ec2 is not None
    with service.core.read() as stores:
        blobs = [one.blob for one in stores.credentials.list()]
    assert len(blobs) == 2
    assert not any(cloud.admin_ec2.secret in blob for blob in blobs)
    secret, context = service.ec2.caller(cloud.admin_ec2.access)
    assert (secret, context.user_name) == (cloud.admin_ec2.secret, "admin")
