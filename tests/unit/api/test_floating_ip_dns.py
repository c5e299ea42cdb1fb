# SPDX-License-Identifier: Apache-2.0
"""``os-floating-ip-dns``: domains, the names in them, and who may do what."""

from __future__ import annotations

from typing import Any, cast

import pytest
from falcon.testing import TestClient

from nova.api.compute.app import make_compute_app
from nova.api.compute.cloud import Cloud
from nova.db.engine import Database
from nova.network.names import names_of_host
from tests.unit.api.conftest import (
    OTHER_PROJECT,
    PROJECT,
    Api,
    FixedTokens,
    message,
    same_shape,
    sample,
)

ROOT = "/os-floating-ip-dns"
ZONED = {"domain_entry": {"scope": "private", "availability_zone": "zöne"}}
OPEN = {"domain_entry": {"scope": "public"}}


def _public(project: str) -> dict[str, Any]:
    return {"domain_entry": {"scope": "public", "project": project}}


def _entry(ip: str = "192.0.2.7", kind: str = "A") -> dict[str, Any]:
    return {"dns_entry": {"ip": ip, "dns_type": kind}}


@pytest.fixture
def refreshed(cloud: Cloud) -> list[object]:
    """Each time that hosts would be told to read names anew."""
    calls: list[object] = []

    class Refreshes:
        def listening(self, _tx: object) -> frozenset[str]:
            return frozenset({"host"})

        def tell(self, _tx: object, host: str, kind: str, ids: object) -> None:
            calls.append((host, kind, ids))

    cloud.networks.refreshes = Refreshes()  # type: ignore[assignment]
    return calls


@pytest.mark.parametrize("at", [1, 35, "v2"])
def test_domains_and_names_are_made_changed_shown_and_deleted(
    api: Api, at: int | str, refreshed: list[object]
) -> None:
    folder = "v2.1/os-floating-ip-dns/floating-ip-dns-"
    assert api.get(ROOT, at=at, token="reader").json == {"domain_entries": []}
    made = api.put(f"{ROOT}/Pub.Example.org", _public(PROJECT), at=at)
    assert made.json == {"domain_entry": {
        "domain": "pub.example.org", "scope": "public", "project": PROJECT,
        "availability_zone": None,
    }}
    assert (made.status_code, refreshed) == (200, []), "hosts care for names, of which there are none"
    same_shape(made.json, sample(f"{folder}create-or-update-resp.json"))
    # Clients of the time write dots as %2E, and quote that once more.
    path = f"{ROOT}/pub%252Eexample%252Eorg/entries"
    put = api.put(f"{path}/WWW", _entry(kind="a"), at=at, token="member")
    assert put.json == {"dns_entry": {
        "ip": "192.0.2.7", "id": None, "type": "A", "domain": "pub.example.org", "name": "www",
    }}
    same_shape(put.json, sample(f"{folder}create-or-update-entry-resp.json"))
    assert refreshed == [("host", "names", ())]
    assert api.put(f"{path}/ftp", _entry(), at=at, token="member").status_code == 200
    assert api.put(f"{path}/ftp", _entry("192.0.2.8"), at=at, token="member").status_code == 200
    assert api.put(f"{path}/a.b", _entry(), at=at).status_code == 200
    by_name = api.get(f"{path}/www", at=at, token="reader")
    assert by_name.json == put.json
    same_shape(by_name.json, sample(f"{folder}entry-get-resp.json"))
    by_address = api.get(f"{path}/192.0.2.7", at=at, token="reader")
    assert [each["name"] for each in by_address.json["dns_entries"]] == ["a.b", "www"]
    same_shape(by_address.json, sample(f"{folder}entry-list-resp.json"))
    # The public client's `nova dns-list --ip`.
    listed = api.get(f"{path}?ip=192.0.2.7", at=at, token="reader")
    assert listed.json == by_address.json
    every = api.get(path, at=at).json["dns_entries"]
    assert [each["name"] for each in every] == ["a.b", "ftp", "www"]
    assert api.get(f"{path}?ip=192.0.2.99", at=at).json == {"dns_entries": []}
    assert "field/attribute ip" in message(api.get(f"{path}?ip=x", at=at))
    same_shape(api.get(ROOT, at=at).json, sample(f"{folder}list-resp.json"))

    gone = api.delete(f"{path}/www", at=at, token="member")
    assert (gone.status_code, gone.content) == (202, b"")
    assert api.get(f"{path}/www", at=at).status_code == 404
    # A domain that is there already is changed, and keeps its names.
    assert api.put(f"{ROOT}/pub.example.org", ZONED, at=at).json["domain_entry"] == {
        "domain": "pub.example.org", "scope": "private", "project": None,
        "availability_zone": "zöne",
    }
    assert api.get(f"{path}/ftp", at=at).json["dns_entry"]["ip"] == "192.0.2.8"
    refreshed.clear()
    assert api.delete(f"{ROOT}/pub.example.org", at=at).status_code == 202
    assert refreshed == [("host", "names", ())]
    assert api.get(ROOT, at=at).json == {"domain_entries": []}
    assert api.get(f"{path}/ftp", at=at).status_code == 404


BAD: tuple[tuple[str, Any, str], ...] = (
    ("/d.org", {}, "domain_entry"), ("/d.org", {"domain_entry": {}}, "scope"),
    ("/d.org", {"domain_entry": {"scope": "secret"}}, "scope"),
    ("/d.org", {"domain_entry": {"scope": "private", "project": "p"}}, "project"),
    ("/d.org", {"domain_entry": {"scope": "public", "availability_zone": "z"}}, "availability_zone"),
    ("/d.org", {"domain_entry": {"scope": "public", "project": "p", "availability_zone": "z"}},
     "availability_zone"),
    ("/d.org", {"domain_entry": {"scope": "public", "owner": "p"}}, "owner"),
    ("/d.org", {"domain_entry": {"scope": "public", "project": ""}}, "project"),
    *((f"/{domain}", OPEN, "domain") for domain in (
        "d..org", "-d.org", "d_.org", "d%20.org", "gr%C3%B6%C3%9Fe.org", "a" * 64, "a." * 127 + "org",
        "d%252500org", "*",
    )),
    ("/there.org/entries/n", {}, "dns_entry"),
    ("/there.org/entries/n", {"dns_entry": {"dns_type": "A"}}, "ip"),
    ("/there.org/entries/n", {"dns_entry": {"ip": "192.0.2.1"}}, "dns_type"),
    ("/there.org/entries/n", _entry(kind="MX"), "dns_type"),
    ("/there.org/entries/n", _entry("2001:db8::1"), "ip"),
    ("/there.org/entries/n", _entry("192.0.2.300"), "ip"),
    ("/there.org/entries/n", {"dns_entry": {"ip": 7, "dns_type": "A"}}, "ip"),
    ("/there.org/entries/192.0.2.7", _entry(), "name"),
    ("/there.org/entries/n_", _entry(), "name"), ("/there.org/entries/caf%C3%A9", _entry(), "name"),
    ("/there.org/entries/" + "a." * 123 + "a", _entry(), "name"),
)


def test_bad_input_is_refused_with_one_message_that_names_the_field(
    api: Api, refreshed: list[object]
) -> None:
    api.put(f"{ROOT}/there.org", OPEN)
    for path, body, field in BAD:
        refused = api.put(ROOT + path, body)
        assert refused.status_code == 400, (path, body)
        assert field in message(refused), (path, body)
    assert [each["domain"] for each in api.get(ROOT).json["domain_entries"]] == ["there.org"]
    assert refreshed == []


def test_what_is_not_there_is_404(api: Api) -> None:
    api.put(f"{ROOT}/there.org", OPEN)
    for method, path, body in (
        ("DELETE", "/other.org", None), ("DELETE", "/%C3%A9%2500", None),
        ("GET", "/other.org/entries/n", None), ("GET", "/other.org/entries", None),
        ("PUT", "/other.org/entries/n", _entry()), ("DELETE", "/other.org/entries/n", None),
        ("GET", "/there.org/entries/n", None), ("GET", "/there.org/entries/192.0.2.1", None),
        ("GET", "/there.org/entries/2001:db8::1", None), ("GET", "/there.org/entries/%C3%A9", None),
        ("DELETE", "/there.org/entries/n", None),
    ):
        assert api.request(method, ROOT + path, body=body).status_code == 404, (method, path)
    for method, path in (
        ("GET", ""), ("PUT", "/there.org"), ("DELETE", "/there.org"), ("GET", "/there.org/entries/n"),
        ("PUT", "/there.org/entries/n"), ("DELETE", "/there.org/entries/n"),
        ("GET", "/there.org/entries"),
    ):
        assert api.request(method, ROOT + path, at=36, raw=b"{}").status_code == 404, (method, path)


def test_who_may_see_and_write_what(api: Api) -> None:
    for token in ("member", "reader", "other"):
        assert api.put(f"{ROOT}/d.org", OPEN, token=token).status_code == 403
        assert api.delete(f"{ROOT}/d.org", token=token).status_code == 403
    for domain, body in (
        ("all.org", OPEN), ("ours.org", _public(PROJECT)), ("theirs.org", _public(OTHER_PROJECT)),
        ("zone.org", ZONED),
    ):
        assert api.put(f"{ROOT}/{domain}", body).status_code == 200

    def seen(token: str) -> list[str]:
        return [each["domain"] for each in api.get(ROOT, token=token).json["domain_entries"]]

    assert seen("admin") == ["all.org", "ours.org", "theirs.org", "zone.org"]
    assert seen("member") == seen("reader") == ["all.org", "ours.org", "zone.org"]
    assert seen("other") == ["all.org", "theirs.org", "zone.org"]

    def writes(token: str) -> list[int]:
        return [
            api.put(f"{ROOT}/{domain}/entries/n", _entry(), token=token).status_code
            for domain in ("all.org", "ours.org", "theirs.org", "zone.org")
        ]

    assert writes("reader") == [403] * 4
    assert writes("member") == [200, 200, 404, 403]
    assert writes("admin") == [200] * 4
    for path in ("entries/n", "entries", "entries?ip=192.0.2.7"):
        assert api.get(f"{ROOT}/theirs.org/{path}", token="member").status_code == 404
    assert api.get(f"{ROOT}/zone.org/entries/n", token="member").status_code == 200
    assert api.delete(f"{ROOT}/zone.org/entries/n", token="member").status_code == 403
    assert api.delete(f"{ROOT}/all.org/entries/n", token="reader").status_code == 403
    assert api.delete(f"{ROOT}/theirs.org/entries/n", token="member").status_code == 404
    assert api.delete(f"{ROOT}/theirs.org/entries/n", token="other").status_code == 202


def test_hosts_answer_public_names_and_those_of_their_zone(api: Api, db: Database) -> None:
    for domain, body in (
        ("all.org", OPEN), ("zone.org", ZONED), ("any.org", {"domain_entry": {"scope": "private"}}),
        ("default.org", {"domain_entry": {"scope": "private", "availability_zone": "nova"}}),
    ):
        api.put(f"{ROOT}/{domain}", body)
        api.put(f"{ROOT}/{domain}/entries/n", _entry())
    with db.write() as tx:
        tx.aggregates.add_host(tx.aggregates.create("a", "zöne").id, "inside")

    def answered(host: str) -> list[str]:
        with db.read() as tx:
            found = names_of_host(tx, host, "nova")
        assert {address for address, _name in found} == {"192.0.2.7"}
        return [name for _address, name in found]

    assert answered("inside") == ["n.all.org", "n.any.org", "n.zone.org"]
    assert answered("outside") == ["n.all.org", "n.any.org", "n.default.org"]


def test_the_names_of_a_floating_address_go_when_it_is_given_back(api: Api, refreshed: list[object]) -> None:
    bulk = "/os-floating-ips-bulk"
    api.post(bulk, {"floating_ips_bulk_create": {"ip_range": "192.0.2.0/29"}})
    api.put(f"{ROOT}/d.org", OPEN)
    first, second = (api.post("/os-floating-ips").json["floating_ip"] for _ in range(2))
    for name, each in (("a", first), ("b", first), ("c", second)):
        api.put(f"{ROOT}/d.org/entries/{name}", _entry(each["ip"]))
    refreshed.clear()
    api.delete(f"/os-floating-ips/{first['id']}")
    assert refreshed == [("host", "names", ())]
    found = [api.get(f"{ROOT}/d.org/entries/{name}").status_code for name in "abc"]
    assert found == [404, 404, 200]
    assert api.put(f"{bulk}/delete", {"ip_range": "192.0.2.0/29"}).status_code == 200
    assert api.get(f"{ROOT}/d.org/entries/c").status_code == 404


def test_a_cloud_with_an_external_network_service_manages_no_names(cloud: Cloud) -> None:
    cloud.networks.outside = cast(Any, object())
    api = Api(TestClient(make_compute_app(cloud, FixedTokens(), "http://identity.example.com/v3")))
    for method, path in (
        ("GET", ROOT), ("PUT", f"{ROOT}/d.org"), ("DELETE", f"{ROOT}/d.org"),
        ("GET", f"{ROOT}/d.org/entries/n"), ("PUT", f"{ROOT}/d.org/entries/n"),
        ("DELETE", f"{ROOT}/d.org/entries/n"),
    ):
        assert api.request(method, path, raw=b"{}").status_code == 501
    assert api.get("/os-floating-ips").status_code == 404


