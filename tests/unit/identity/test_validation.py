# SPDX-License-Identifier: Apache-2.0
"""When a token stops being valid, and what it stands for while it is."""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from nova.conf.identity import IdentitySection
from nova.db.engine import Database
from nova.errors import Unauthorized
from nova.identity import validation
from nova.identity.authenticator import LocalAuthenticator
from nova.identity.bootstrap import BootstrapResult
from nova.identity.reference import implication_closure
from nova.identity.service import IdentityService
from nova.identity.tokens import encode_token
from nova.objects.identity import RoleAssignment
from tests.unit.identity.conftest import Login


def role_id(service: IdentityService, name: str) -> str:
    return next(r.id for r in service.reference.get().roles.values() if r.name == name)


def test_a_member_is_a_reader_too_and_no_administrator(
    service: IdentityService, login: Login
) -> None:
    context = LocalAuthenticator(service).authenticate(login("demo").token)
    assert context.roles == ("member", "reader")
    assert not context.is_admin
    assert (context.user_name, context.project_name) == ("demo", "demo")
    assert context.user_domain_id == context.project_domain_id == "default"


def test_an_administrator_has_all_that_admin_implies(login: Login) -> None:
    context = login("admin").context
    assert context.roles == ("admin", "manager", "member", "reader")
    assert context.is_admin


@pytest.mark.parametrize("token", ["", "nonsense", "gAAAAABn" + "a" * 180])
def test_what_is_no_token_is_refused(service: IdentityService, token: str) -> None:
    with pytest.raises(Unauthorized):
        LocalAuthenticator(service).authenticate(token)


def test_an_expired_token_is_refused(service: IdentityService, login: Login) -> None:
    payload = login("demo").payload
    past = msgspec.structs.replace(
        payload, expires_at=payload.issued_at - datetime.timedelta(seconds=1)
    )
    with pytest.raises(Unauthorized):
        service.validate(encode_token(service.core.token_keys, past))


Ending = Callable[[IdentityService, BootstrapResult], object]

ENDINGS: dict[str, Ending] = {
    "password changed": lambda s, c: s.users.update(c.demo_user_id or "", {"password": "new"}),
    "own password changed": lambda s, c: s.users.change_own_password(
        c.demo_user_id or "", {"original_password": "demo secret", "password": "new"}
    ),
    "user disabled": lambda s, c: s.users.update(c.demo_user_id or "", {"enabled": False}),
    "user deleted": lambda s, c: s.users.delete(c.demo_user_id or ""),
    "project disabled": lambda s, c: s.projects.update(
        c.demo_project_id or "", {"enabled": False}, domain=False
    ),
    "project deleted": lambda s, c: s.projects.delete_project(c.demo_project_id or ""),
    "domain disabled": lambda s, c: s.projects.update("default", {"enabled": False}, domain=True),
    "only role taken away": lambda s, c: s.grants.revoke(
        RoleAssignment(
            "user", c.demo_user_id or "", "project", c.demo_project_id or "",
            role_id(s, "member"),
        )
    ),
    "role deleted": lambda s, c: s.roles.delete(role_id(s, "member")),
}


@pytest.mark.parametrize("ending", ENDINGS.values(), ids=ENDINGS.keys())
def test_a_token_ends_at_once(
    service: IdentityService, cloud: BootstrapResult, login: Login, ending: Ending
) -> None:
    token, other = login("demo").token, login("admin").token
    authenticator = LocalAuthenticator(service)
    assert authenticator.authenticate(token).user_name == "demo"
    ending(service, cloud)
    with pytest.raises(Unauthorized):
        authenticator.authenticate(token)
    if ending is not ENDINGS["domain disabled"]:
        assert authenticator.authenticate(other).user_name == "admin"


@pytest.mark.parametrize("what", ["user", "project"])
def test_a_token_stays_dead_when_what_was_disabled_is_enabled_again(
    service: IdentityService, cloud: BootstrapResult, login: Login, what: str
) -> None:
    token = login("demo").token
    for enabled in (False, True):
        if what == "user":
            service.users.update(cloud.demo_user_id or "", {"enabled": enabled})
        else:
            service.projects.update(
                cloud.demo_project_id or "", {"enabled": enabled}, domain=False
            )
    with pytest.raises(Unauthorized):
        service.validate(token)
    assert service.validate(login("demo").token)


def test_revoking_one_token_leaves_the_others(service: IdentityService, login: Login) -> None:
    first, second = login("demo"), login("demo")
    service.revoke(first)
    service.revoke(first)
    with pytest.raises(Unauthorized):
        service.validate(first.token)
    assert service.validate(second.token).user.name == "demo"


def test_another_process_hears_of_a_revocation_in_time(
    service: IdentityService,
    login: Login,
    database: Database,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    other = IdentityService(database, IdentitySection(bcrypt_rounds=4), tmp_path / "keys")
    token = login("demo")
    assert other.validate(token.token)
    service.revoke(token)
    assert other.validate(token.token), "kept in memory for a moment"
    clock = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: clock() + 5)
    with pytest.raises(Unauthorized):
        other.validate(token.token)


def test_a_new_role_counts_at_once(
    service: IdentityService, cloud: BootstrapResult, login: Login
) -> None:
    token = login("demo").token
    service.grants.grant(
        RoleAssignment(
            "user", cloud.demo_user_id or "", "project", cloud.demo_project_id or "",
            role_id(service, "admin"),
        )
    )
    assert service.validate(token).context.is_admin


def test_the_cache_is_bounded(
    service: IdentityService, login: Login, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = validation.TokenCache(service.core, size=3)
    tokens = [login("demo") for _ in range(5)]
    for one in tokens:
        cache.put(one, service.core.revision)
    assert [cache.get(one.token) is not None for one in tokens] == [False, False, True, True, True]


def test_tokens_with_access_rules_are_refused_where_the_request_is_not_known(
    service: IdentityService, login: Login
) -> None:
    rule = {"service": "compute", "method": "GET", "path": "/v2.1/servers"}
    made, secret = service.application_credentials.create(
        login("demo"), {"name": "x", "access_rules": [rule]}, service.reference.get()
    )
    section = {"id": made.id, "secret": secret}
    token = service.authentication.authenticate(
        {"identity": {"methods": ["application_credential"], "application_credential": section}}
    )
    with pytest.raises(Unauthorized):
        LocalAuthenticator(service).authenticate(token.token)


def test_implications_reach_over_several_steps_and_cycles_end() -> None:
    closure = implication_closure({"a": ["b"], "b": ["c"], "c": ["a"], "d": ["d"]})
    assert {k: set(v) for k, v in closure.items()} == {
        "a": {"b", "c"}, "b": {"c", "a"}, "c": {"a", "b"}, "d": set(),
    }
