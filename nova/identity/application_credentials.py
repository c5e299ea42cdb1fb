# SPDX-License-Identifier: Apache-2.0
"""Application credentials and the access rules that confine them."""

from __future__ import annotations

import datetime
import re
import secrets
from collections.abc import Mapping, Sequence
from typing import Any

from nova.db.schema.base import now
from nova.db.stores.identity import IdentityStore
from nova.errors import BadRequest, Forbidden, InvalidInput, NotFound
from nova.identity.core import IdentityCore, new_id
from nova.identity.fields import Field, check
from nova.identity.passwords import hash_password
from nova.identity.reference import Reference
from nova.identity.validation import ValidatedToken
from nova.objects.identity import AccessRule, ApplicationCredential, Filter, Page

FIELDS = (
    Field(name="name", required=True, minimum=1, maximum=255, pattern=r"\S"),
    Field(name="description", nullable=True),
    Field(name="expires_at", nullable=True, maximum=64),
    Field(name="secret", nullable=True, maximum=4096),
    Field(name="unrestricted", kind="boolean", nullable=True),
    Field(name="roles", kind="list"),
    Field(name="access_rules", kind="list"),
    Field(name="project_id", nullable=True, maximum=64),
)
_RULE_FIELDS = (
    Field(name="id", minimum=1, maximum=64),
    Field(name="path", required=True, maximum=225, pattern="^/"),
    Field(name="service", required=True, minimum=1, maximum=64, pattern="^[a-zA-Z0-9-]+$"),
    Field(
        name="method", required=True, choices=("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")
    ),
)


class ApplicationCredentialOperations:
    """Makes and deletes application credentials."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def get(self, credential_id: str) -> ApplicationCredential:
        """The application credential; ``NotFound``."""
        with self._core.read() as stores:
            return _require(stores, credential_id)

    def search(
        self, user_id: str, filters: Sequence[Filter], page: Page
    ) -> list[ApplicationCredential]:
        """The application credentials of a user."""
        with self._core.read() as stores:
            return stores.application_credentials.list(
                [Filter("user_id", user_id), *filters], page
            )

    def create(
        self, caller: ValidatedToken, values: Mapping[str, Any], reference: Reference
    ) -> tuple[ApplicationCredential, str]:
        """A new one for the caller in the caller's project, and its secret, shown this once.

        Without roles in the request it has all that the caller has now.
        """
        check(values, FIELDS, "application_credential")
        project = caller.project
        if project is None:
            raise BadRequest(
                "Invalid application credential: a project-scoped token is needed to make one."
            )
        role_ids = _role_ids(caller, values.get("roles"), reference)
        expires_at = _expiry(values.get("expires_at"))
        secret = values.get("secret") or secrets.token_urlsafe(64)
        hashed = hash_password(secret, self._core.section.bcrypt_rounds)

        def write(stores: IdentityStore) -> ApplicationCredential:
            rules = _store_rules(stores, caller.user.id, values.get("access_rules") or [])
            return stores.application_credentials.create(
                {
                    "id": new_id(),
                    "name": values["name"],
                    "user_id": caller.user.id,
                    "project_id": project.id,
                    "description": values.get("description"),
                    "expires_at": expires_at,
                    "unrestricted": bool(values.get("unrestricted")),
                    "role_ids": role_ids,
                    "access_rules": rules,
                    "secret_hash": hashed,
                }
            )

        made = self._core.run(write)
        return made, secret

    def delete(self, credential_id: str) -> None:
        """Delete an application credential; tokens made with it end at once."""

        def write(stores: IdentityStore) -> None:
            _require(stores, credential_id)
            stores.application_credentials.delete(credential_id)

        self._core.run(write)

    def access_rules(self, user_id: str, filters: Sequence[Filter]) -> list[AccessRule]:
        """The access rules of a user."""
        with self._core.read() as stores:
            return stores.access_rules.list([Filter("user_id", user_id), *filters])

    def access_rule(self, user_id: str, rule_id: str) -> AccessRule:
        """One access rule of a user; ``NotFound``."""
        with self._core.read() as stores:
            return _require_rule(stores, user_id, rule_id)

    def delete_access_rule(self, user_id: str, rule_id: str) -> None:
        """Delete an access rule; ``Forbidden`` while an application credential has it."""

        def write(stores: IdentityStore) -> None:
            _require_rule(stores, user_id, rule_id)
            for one in stores.application_credentials.list([Filter("user_id", user_id)]):
                if any(rule["id"] == rule_id for rule in one.access_rules):
                    raise Forbidden(
                        "May not delete access rule in use by an application credential."
                    )
            stores.access_rules.delete(rule_id)

        self._core.run(write)


def rules_allow(
    rules: Sequence[Mapping[str, str]], service: str, method: str, path: str
) -> bool:
    """Whether one of an application credential's access rules covers a request.

    In a rule's path ``*`` and ``{name}`` stand for one part, ``**`` for any number of them.
    """
    return any(
        rule["service"] == service
        and rule["method"] == method
        and re.fullmatch(_pattern(rule["path"]), path) is not None
        for rule in rules
    )


def _pattern(path: str) -> str:
    pieces = re.split(r"(\*\*|\*|\{[^/{}]*\})", path)
    return "".join(
        ".*" if piece == "**" else "[^/]+" if position % 2 else re.escape(piece)
        for position, piece in enumerate(pieces)
    )


def _role_ids(
    caller: ValidatedToken, named: Sequence[Any] | None, reference: Reference
) -> list[str]:
    held = {role.id: role for role in caller.roles}
    if not named:
        return list(held)
    where = "application_credential.roles"
    chosen: list[str] = []
    for position, one in enumerate(named):
        path = f"{where}[{position}]"
        if not isinstance(one, dict) or not (
            isinstance(one.get("id"), str) or isinstance(one.get("name"), str)
        ):
            raise InvalidInput(path, "It must be an object with id or name.")
        role_id = one.get("id")
        if not isinstance(role_id, str):
            role_id = next((r.id for r in held.values() if r.name == one["name"]), None)
        if role_id is None or role_id not in held:
            raise BadRequest(
                "Invalid application credential: Cannot create an application credential with "
                "unassigned role"
            )
        chosen.append(role_id)
    return [role.id for role in reference.expand(chosen)]


def _expiry(value: str | None) -> datetime.datetime | None:
    if value is None:
        return None
    where = "application_credential.expires_at"
    try:
        parsed = datetime.datetime.fromisoformat(value)
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(datetime.UTC).replace(tzinfo=None)
    except (ValueError, OverflowError):
        raise InvalidInput(where, "It must be an ISO 8601 time.", value) from None
    if parsed <= now():
        raise InvalidInput(where, "The 'expires_at' must not be before now.", value)
    return parsed


def _store_rules(
    stores: IdentityStore, user_id: str, given: Sequence[Any]
) -> list[dict[str, str]]:
    """The access rules of a request; equal ones of the user are used again."""
    present = stores.access_rules.list([Filter("user_id", user_id)]) if given else []
    result: list[dict[str, str]] = []
    for position, one in enumerate(given):
        where = f"application_credential.access_rules[{position}]"
        if not isinstance(one, dict):
            raise InvalidInput(where, "It must be an object.")
        if set(one) == {"id"}:
            check(one, _RULE_FIELDS, where, partial=True)
            rule = _require_rule(stores, user_id, one["id"])
        else:
            check(one, _RULE_FIELDS, where)
            same = (one["service"], one["method"], one["path"])
            rule = next(
                (r for r in present if (r.service, r.method, r.path) == same), None
            ) or stores.access_rules.create(
                {
                    "id": new_id(),
                    "user_id": user_id,
                    "service": one["service"],
                    "method": one["method"],
                    "path": one["path"],
                }
            )
        result.append(
            {"id": rule.id, "service": rule.service, "method": rule.method, "path": rule.path}
        )
    return result


def _require(stores: IdentityStore, credential_id: str) -> ApplicationCredential:
    found = stores.application_credentials.get(credential_id)
    if found is None:
        raise NotFound(f"Could not find Application Credential: {credential_id}.")
    return found


def _require_rule(stores: IdentityStore, user_id: str, rule_id: str) -> AccessRule:
    found = stores.access_rules.get(rule_id)
    if found is None or found.user_id != user_id:
        raise NotFound(f"Could not find Access Rule: {rule_id}.")
    return found
