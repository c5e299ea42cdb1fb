# SPDX-License-Identifier: Apache-2.0
"""``os-keypairs`` at several versions and on v2."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import pkcs12

from nova.compute.key_material import generate
from nova.db.engine import Database
from tests.unit.api.conftest import PROJECT, Api, message, same_shape, sample

ROOT = "/os-keypairs"
PUBLIC = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDx8nkQv/zgGgB4rMYmIf+6A4l6Rr+o/6lHBQdW5aYd44bd8JttDCE/"
    "F/pNRr0lRE+PiqSPO8nDPHw0010JeMH9gYgnnFlyY3/OcJ02RhIPyyxYpv9FhY+2YiUkpwFOcLImyrxEsYXpD/0d3ac30"
    "bNH6Sw9JD9UZHYcpSxsIbECHw== Generated-by-Nova"
)
FINGERPRINT = "1e:2c:9b:56:79:4b:45:77:f9:ca:7a:98:2c:b0:d5:3c"


def keep(api: Api, name: str = "k", **options: Any) -> Any:
    return api.post(ROOT, {"keypair": {"name": name, "public_key": PUBLIC}}, **options)


@pytest.mark.parametrize(
    ("at", "where", "status"),
    [(1, "v2.1/os-keypairs", 200), (2, "v2.1/os-keypairs/v2.2", 201),
     (9, "v2.1/os-keypairs/v2.2", 201), (10, "v2.1/os-keypairs/v2.10", 201),
     (92, "v2.1/os-keypairs/v2.92", 201), ("v2", "kilo-v2/os-keypairs", 200)],
)
def test_an_import_as_in_the_samples(api: Api, at: int | str, where: str, status: int) -> None:
    answer = api.post(ROOT, sample(f"{where}/keypairs-import-post-req.json"), at=at)
    assert answer.status_code == status
    same_shape(answer.json, sample(f"{where}/keypairs-import-post-resp.json"))
    assert answer.json["keypair"]["fingerprint"] == FINGERPRINT


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/os-keypairs"), (2, "v2.1/os-keypairs/v2.2"), (10, "v2.1/os-keypairs/v2.10"),
     ("v2", "kilo-v2/os-keypairs")],
)
def test_a_generated_pair_as_in_the_samples(api: Api, at: int | str, where: str) -> None:
    request = sample(f"{where}/keypairs-post-req.json")
    request["keypair"].pop("user_id", None)
    made = api.post(ROOT, request, at=at)
    same_shape(made.json, sample(f"{where}/keypairs-post-resp.json"))
    pair = made.json["keypair"]
    private = serialization.load_pem_private_key(pair["private_key"].encode(), None)
    assert isinstance(private, rsa.RSAPrivateKey)
    assert pair["private_key"].startswith("-----BEGIN RSA PRIVATE KEY-----")
    assert private.key_size == 2048
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode()
    assert pair["public_key"] == f"{public} Generated-by-Nova"
    blob = base64.b64decode(public.split()[1])
    assert pair["fingerprint"] == hashlib.md5(blob).digest().hex(":")
    shown = api.get(f"{ROOT}/{pair['name']}", at=at)
    same_shape(shown.json, sample(f"{where}/keypairs-get-resp.json"))
    same_shape(api.get(ROOT, at=at).json, sample(f"{where}/keypairs-list-resp.json"))


def test_pages_as_in_the_sample(api: Api) -> None:
    for name in ("b", "a", "c"):
        keep(api, name)
    page = api.get(f"{ROOT}?limit=1&marker=a", at=35).json
    same_shape(page, sample("v2.1/os-keypairs/v2.35/keypairs-list-resp.json"))
    assert [item["keypair"]["name"] for item in page["keypairs"]] == ["b"]
    assert page["keypairs_links"] == [{
        "rel": "next",
        "href": f"http://falconframework.org/v2.1/{PROJECT}/os-keypairs?limit=1&marker=b",
    }]
    assert len(api.get(f"{ROOT}?limit=1", at=34).json["keypairs"]) == 3
    assert api.get(f"{ROOT}?marker=none", at=35).status_code == 400
    assert api.get(f"{ROOT}?limit=-1", at=35).status_code == 400
    assert api.get(f"{ROOT}?colour=red", at=74).status_code == 200
    assert api.get(f"{ROOT}?colour=red", at=75).status_code == 400


def test_an_x509_pair_is_a_certificate_with_its_key(api: Api) -> None:
    made = api.post(ROOT, {"keypair": {"name": "w", "type": "x509"}}, at=2).json["keypair"]
    certificate = x509.load_pem_x509_certificate(made["public_key"].encode())
    key, inside, _ = pkcs12.load_key_and_certificates(
        base64.b64decode(made["private_key"]), None
    )
    assert inside == certificate
    assert isinstance(key, rsa.RSAPrivateKey)
    assert key.public_key() == certificate.public_key()
    assert made["fingerprint"] == certificate.fingerprint(hashes.SHA1()).hex(":")
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    (principal,) = names.get_values_for_type(x509.OtherName)
    assert isinstance(principal, x509.OtherName)
    assert principal.value == b"\x0c\x0fadmin@localhost"
    imported = api.post(
        ROOT, {"keypair": {"name": "i", "type": "x509", "public_key": made["public_key"]}}, at=2
    ).json["keypair"]
    assert imported["fingerprint"] == made["fingerprint"]
    assert "private_key" not in imported


def test_a_certificate_takes_long_and_non_ascii_users() -> None:
    made = generate("x509", "ü" * 64)
    assert x509.load_pem_x509_certificate(made.public_key.encode()).subject


@pytest.mark.parametrize("private", [ed25519.Ed25519PrivateKey.generate(),
                                     ec.generate_private_key(ec.SECP256R1())])
def test_other_kinds_of_keys_are_kept(api: Api, private: Any) -> None:
    public = private.public_key().public_bytes(
        serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH
    ).decode()
    body = {"keypair": {"name": "k", "public_key": f"{public} schlüssel@höst"}}
    made = api.post(ROOT, body).json["keypair"]
    assert made["public_key"].endswith("schlüssel@höst")


@pytest.mark.parametrize(
    "public",
    ["", "ssh-rsa", "ssh-rsa AAAA", "nonsense", "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQ x",
     "ü", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----", "x" * 70000, 5, None],
)
def test_bad_public_keys(api: Api, public: Any) -> None:
    for kind in ("ssh", "x509"):
        body = {"keypair": {"name": "k", "type": kind, "public_key": public}}
        refusal = api.post(ROOT, body, at=2)
        assert refusal.status_code == 400
        message(refusal)
    assert api.get(ROOT).json == {"keypairs": []}


@pytest.mark.parametrize(
    ("keypair", "at"),
    [({}, 1), ({"name": ""}, 1), ({"name": " a"}, 1), ({"name": "a.b"}, 91), ({"name": "ü"}, 1),
     ({"name": "a" * 256}, 1), ({"name": 5}, 1), ({"name": "a/b"}, 92),
     ({"name": "a", "type": "ssh"}, 1), ({"name": "a", "type": "pgp"}, 2),
     ({"name": "a", "user_id": "u"}, 9), ({"name": "a", "user_id": "u" * 65}, 10),
     ({"name": "a", "colour": "red"}, 1), ({"name": "a"}, 92)],
)
def test_bad_bodies(api: Api, keypair: dict[str, Any], at: int) -> None:
    refusal = api.post(ROOT, {"keypair": keypair}, at=at)
    assert refusal.status_code == 400
    message(refusal)


def test_v2_takes_any_printable_name(api: Api) -> None:
    made = keep(api, " schlüssel.1 ", at="v2")
    assert made.json["keypair"]["name"] == "schlüssel.1"
    assert api.get(f"{ROOT}/schl%C3%BCssel.1", at="v2").status_code == 200


def test_a_taken_name_is_a_conflict(api: Api) -> None:
    keep(api)
    refusal = keep(api)
    assert (refusal.status_code, message(refusal)) == (409, "Key pair 'k' already exists.")
    assert keep(api, token="member").status_code == 200


def test_the_quota_holds(api: Api, db: Database) -> None:
    with db.write() as tx:
        tx.quotas.set(PROJECT, {"key_pairs": 1})
    keep(api)
    refusal = keep(api, "two")
    assert (refusal.status_code, message(refusal)) == (403, "Quota exceeded, too many key pairs.")


@pytest.mark.parametrize(("at", "status"), [("v2", 202), (1, 202), (2, 204), (104, 204)])
def test_delete(api: Api, at: int | str, status: int) -> None:
    keep(api)
    gone = api.delete(f"{ROOT}/k", at=at)
    assert (gone.status_code, gone.text) == (status, "")
    refusal = api.delete(f"{ROOT}/k", at=at)
    assert (refusal.status_code, message(refusal)) == (404, "Keypair k not found for user admin")
    assert api.get(f"{ROOT}/k", at=at).status_code == 404


def test_administrators_reach_the_keys_of_others_from_2_10_on(api: Api) -> None:
    body = {"keypair": {"name": "k", "public_key": PUBLIC, "user_id": "member"}}
    assert api.post(ROOT, body, at=10).json["keypair"]["user_id"] == "member"
    assert api.get(f"{ROOT}?user_id=member", at=10).json["keypairs"]
    assert api.get(f"{ROOT}?user_id=member", at=9).json["keypairs"] == []
    assert api.get(f"{ROOT}/k?user_id=member", at=10).status_code == 200
    assert api.get(f"{ROOT}/k", at=9, token="member").status_code == 200
    assert api.delete(f"{ROOT}/k?user_id=member", at=10).status_code == 204


def test_others_do_not(api: Api) -> None:
    keep(api)
    named = {"keypair": {"name": "k", "public_key": PUBLIC, "user_id": "admin"}}
    for refusal in (
        api.get(f"{ROOT}?user_id=admin", at=10, token="member"),
        api.get(f"{ROOT}/k?user_id=admin", at=10, token="member"),
        api.delete(f"{ROOT}/k?user_id=admin", at=10, token="member"),
        api.post(ROOT, named, at=10, token="member"),
    ):
        assert refusal.status_code == 403
    assert api.get(f"{ROOT}/k", token="member").status_code == 404
