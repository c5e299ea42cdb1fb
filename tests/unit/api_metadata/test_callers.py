# SPDX-License-Identifier: Apache-2.0
"""Who is answered what: by address, by bridge, by a proxy's signature; and the password."""

from __future__ import annotations

import hashlib
import hmac

import pytest

from nova.api.metadata.callers import SecretMissing
from tests.unit.api_metadata.known_guests import ADDRESS, UUID, KnownGuests, guest, service

META = "/openstack/latest/meta_data.json"
PASSWORD = "/openstack/latest/password"
OTHER = "6a3c2f6e-0d0f-4f3c-8a55-6d1d9c1f7a11"


def test_a_stranger_is_told_nothing() -> None:
    asked = service()
    assert asked.get(META).status_code == 200
    assert asked.get(META, "::ffff:10.9.0.3").status_code == 200
    for address in ("10.9.0.4", "127.0.0.1", "fe80::1"):
        assert asked.get(META, address).status_code == 404
        assert asked.get(PASSWORD, address).status_code == 404
    assert asked.get("/", "10.9.0.4").status_code == 200


def test_a_forwarded_address_counts_only_where_it_is_to() -> None:
    header = {"X-Forwarded-For": ADDRESS}
    assert service().get(META, "192.0.2.1", headers=header).status_code == 404
    trusting = service(use_forwarded_for=True)
    assert trusting.get(META, "192.0.2.1", headers=header).status_code == 200
    assert trusting.get(META).status_code == 200
    forged = {"X-Forwarded-For": f"{ADDRESS}, 10.9.0.77"}
    assert trusting.get(META, "192.0.2.1", headers=forged).status_code == 404
    assert trusting.get(META, ADDRESS, headers={"X-Forwarded-For": "no address"}).status_code == 404


def test_the_same_address_on_two_bridges_is_two_guests() -> None:
    source = KnownGuests()
    source.guests["br401", ADDRESS] = guest(uuid=UUID)
    source.guests["br402", ADDRESS] = guest(uuid=OTHER)
    asked = service(source)
    for bridge, uuid in (("br401", UUID), ("br402", OTHER), ("br401", UUID)):
        assert asked.get(META, bridge=bridge).json["uuid"] == uuid
    assert asked.get(META).status_code == 404
    assert asked.get(META, bridge="br403").status_code == 404


# --- proxies that sign -----------------------------------------------------------------------------


def _headers(**changed: str) -> dict[str, str]:
    signature = hmac.new(b"hemlig", UUID.encode(), hashlib.sha256).hexdigest()
    headers = {
        "X-Instance-ID": UUID, "X-Tenant-ID": "project", "X-Instance-ID-Signature": signature,
        "X-Forwarded-For": ADDRESS,
    }
    headers.update({name.replace("_", "-"): value for name, value in changed.items()})
    return {name: value for name, value in headers.items() if value}


@pytest.mark.parametrize("changed, status", [
    ({}, 200),
    ({"X_Instance_ID_Signature": "0" * 64}, 403),
    ({"X_Instance_ID_Signature": "é"}, 403),
    ({"X_Instance_ID": OTHER}, 403),
    ({"X_Tenant_ID": "another"}, 404),
    ({"X_Instance_ID": ""}, 400),
    ({"X_Tenant_ID": ""}, 400),
    ({"X_Instance_ID_Signature": ""}, 400),
    ({"X_Tenant_ID": "project, another"}, 400),
])
def test_a_signed_request(changed: dict[str, str], status: int) -> None:
    asked = service(
        neutron__service_metadata_proxy=True, neutron__metadata_proxy_shared_secret="hemlig"
    )
    assert asked.get(META, "192.0.2.1", headers=_headers(**changed)).status_code == status
    assert asked.get(META).status_code == 400


def test_a_proxy_without_a_secret_is_refused_at_start() -> None:
    with pytest.raises(SecretMissing, match="metadata_proxy_shared_secret"):
        service(neutron__service_metadata_proxy=True)


def test_signed_headers_mean_nothing_without_a_proxy() -> None:
    assert service().get(META, "192.0.2.1", headers=_headers()).status_code == 404


# --- the password ----------------------------------------------------------------------------------


def test_a_password_is_posted_once() -> None:
    asked = service()
    assert (asked.get(PASSWORD).status_code, asked.get(PASSWORD).text) == (200, "")
    assert asked.ask("POST", PASSWORD, body="kryptiskt ä").status_code == 200
    assert asked.get(PASSWORD).text == "kryptiskt ä"
    assert asked.get("/openstack/2013-04-04/password").text == "kryptiskt ä"
    again = asked.ask("POST", PASSWORD, body="annat")
    assert (again.status_code, asked.get(PASSWORD).text) == (409, "kryptiskt ä")


@pytest.mark.parametrize("body, status", [
    (b"x" * 1020, 200), (b"x" * 1021, 400), (b"x" * 200000, 400), (b"\xff\xfe", 400),
])
def test_the_size_and_form_of_a_password(body: bytes, status: int) -> None:
    asked = service()
    assert asked.ask("POST", PASSWORD, body=body).status_code == status
    assert asked.get(PASSWORD).content == (body if status == 200 else b"")


@pytest.mark.parametrize("method, path, status", [
    ("PUT", PASSWORD, 400), ("DELETE", PASSWORD, 400), ("HEAD", PASSWORD, 200),
    ("POST", "/openstack/2012-08-10/password", 404), ("POST", META, 405), ("DELETE", "/", 405),
    ("HEAD", META, 200), ("POST", "/openstack/latest/passwords", 404),
])
def test_methods(method: str, path: str, status: int) -> None:
    assert service().ask(method, path, body=b"x").status_code == status
