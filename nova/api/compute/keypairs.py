# SPDX-License-Identifier: Apache-2.0
"""``os-keypairs``: public keys that new servers get, under names that each user chooses."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova.api.compute.bodies import Body, Name, window
from nova.api.compute.fields import ABSENT, Field, View, attribute
from nova.api.compute.queries import limit_of
from nova.api.compute.request import Answer, ApiRequest, page_links
from nova.api.compute.routing import Query, Route
from nova.api.compute.texts import check_name
from nova.api.compute.times import precise
from nova.compute.key_material import fingerprint_of, generate
from nova.db.engine import Transaction
from nova.errors import BadRequest, InvalidInput
from nova.objects.keypair import Keypair
from nova.policy import Rule

_ROOT = "os_compute_api:os-keypairs"
_ADMIN_OR_USER = "(rule:context_is_admin) or user_id:%(user_id)s"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", _ADMIN_OR_USER, "List the key pairs of a user."),
    Rule(f"{_ROOT}:create", _ADMIN_OR_USER, "Make or import a key pair for a user."),
    Rule(f"{_ROOT}:delete", _ADMIN_OR_USER, "Delete a key pair of a user."),
    Rule(f"{_ROOT}:show", _ADMIN_OR_USER, "Show a key pair of a user."),
)

_PLAIN_NAME = re.compile(r"[_\- a-zA-Z0-9]+")
_WIDER_NAME = re.compile(r"[_\-@. a-zA-Z0-9]+")
#: Longest public key kept; the largest RSA keys in use need about 3 KiB.
_LONGEST_KEY = 65535

_COMMON = (
    Field("name", attribute("name")),
    Field("public_key", attribute("public_key")),
    Field("fingerprint", attribute("fingerprint")),
    Field("type", attribute("type"), since=2),
)

IN_LIST = View(*_COMMON)

CREATED = View(
    *_COMMON,
    Field("user_id", attribute("user_id")),
    Field("private_key", lambda _key, private: ABSENT if private is None else private,
          until=91, maybe_absent=True),
)

VIEW = View(
    *_COMMON,
    Field("user_id", attribute("user_id")),
    Field("id", attribute("id")),
    Field("created_at", lambda key, _scene: precise(key.created_at)),
    Field("updated_at", lambda key, _scene: precise(key.updated_at)),
    Field("deleted", lambda _key, _scene: False),
    Field("deleted_at", lambda _key, _scene: None),
)


class KeypairCreate(msgspec.Struct, kw_only=True):
    """``POST /os-keypairs``; without a public key a pair is made (until 2.91)."""

    name: Name
    public_key: Annotated[str, Meta(max_length=_LONGEST_KEY)] | UnsetType = UNSET
    type: Annotated[Literal["ssh", "x509"], window(since=2)] = "ssh"
    user_id: Annotated[str | UnsetType, window(since=10)] = UNSET


def _user(request: ApiRequest) -> str:
    """Whose key pairs: the caller's, or (2.10) those of ``user_id``."""
    named = request.query.get("user_id", [""])[0] if request.features.keypair_users else ""
    return _stored_user(named or request.caller.user_id)


def _stored_user(user_id: str) -> str:
    if len(user_id) > 64:
        raise InvalidInput("user_id", "It may have 64 characters at most.", user_id)
    return user_id


def _name(request: ApiRequest, text: str) -> str:
    name = check_name("name", text, padded=request.legacy)
    if request.legacy:
        return name
    allowed = _WIDER_NAME if request.features.no_generated_keys else _PLAIN_NAME
    if allowed.fullmatch(name) is None:
        signs = "'_', '-', '@', '.'" if request.features.no_generated_keys else "'_', '-'"
        raise InvalidInput("name", f"It may hold letters, digits, {signs} and blanks.", name)
    return name


def index(request: ApiRequest) -> Any:
    """List the key pairs of a user by name; in pages from 2.35 on."""
    user_id = _user(request)
    request.check(f"{_ROOT}:index", user_id=user_id)
    paged = request.features.keypair_paging
    limit = limit_of(request) if paged else None
    with request.cloud.db.read() as tx:
        found = tx.keypairs.list(
            user_id, marker=request.one("marker") if paged else None, limit=limit
        )
    render = IN_LIST.at(request.minor)
    answer: dict[str, Any] = {"keypairs": [{"keypair": render(key, None)} for key in found]}
    more = page_links(
        request, "keypairs", found[-1].name if found and len(found) == limit else None
    )
    if more is not None:
        answer["keypairs_links"] = more
    return answer


def show(request: ApiRequest) -> Any:
    """Show a key pair."""
    user_id = _user(request)
    request.check(f"{_ROOT}:show", user_id=user_id)
    with request.cloud.db.read() as tx:
        key = tx.keypairs.get(user_id, request.path["name"])
    return {"keypair": VIEW.at(request.minor)(key, None)}


def create(request: ApiRequest) -> Any:
    """Keep a public key, or make a key pair and give the private key away once."""
    body: KeypairCreate = request.body
    user_id = _stored_user(
        request.caller.user_id if body.user_id is UNSET else body.user_id or request.caller.user_id
    )
    request.check(f"{_ROOT}:create", user_id=user_id)
    name = _name(request, body.name)
    limit = request.cloud.limits.get(request.caller.project_id, user_id)["key_pairs"]
    private: str | None = None
    if body.public_key is not UNSET:
        public, fingerprint = body.public_key, fingerprint_of(body.type, body.public_key)
    elif request.features.no_generated_keys:
        raise BadRequest(
            "Invalid input for field/attribute keypair. 'public_key' is a required property"
        )
    else:
        made = generate(body.type, user_id)
        private, public, fingerprint = made.private_key, made.public_key, made.fingerprint

    def write(tx: Transaction) -> Keypair:
        if limit >= 0:
            # Requests of one user that come together must not count the same room twice.
            tx.quotas.hold(request.caller.project_id)
        return tx.keypairs.create(
            user_id, name, type=body.type, fingerprint=fingerprint, public_key=public, limit=limit
        )

    key = request.cloud.db.run(write)
    return Answer(
        {"keypair": CREATED.at(request.minor)(key, private)},
        status=201 if request.features.keypair_created_status else 200,
    )


def delete(request: ApiRequest) -> Any:
    """Delete a key pair; servers that have it keep it."""
    user_id = _user(request)
    request.check(f"{_ROOT}:delete", user_id=user_id)
    request.cloud.db.run(lambda tx: tx.keypairs.delete(user_id, request.path["name"]))
    return Answer(status=204 if request.features.keypair_created_status else 202)


_OF_USER = Query({"user_id": 10}, strict=75)
_PAGES = Query({"user_id": 10, "limit": 35, "marker": 35}, strict=75)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-keypairs", index, query=_PAGES),
    Route("POST", "/os-keypairs", create, body=Body("keypair", KeypairCreate)),
    Route("GET", "/os-keypairs/{name}", show, query=_OF_USER),
    Route("DELETE", "/os-keypairs/{name}", delete, query=_OF_USER),
)
