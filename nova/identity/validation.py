# SPDX-License-Identifier: Apache-2.0
"""From a token to who is calling and what they may do, and the cache that makes this cheap."""

from __future__ import annotations

import contextlib
import datetime
import time
from collections import OrderedDict

import msgspec

from nova.db.schema.base import now
from nova.db.stores.identity import IdentityStore
from nova.errors import Unauthorized
from nova.identity.core import IdentityCore
from nova.identity.reference import STALE_AFTER, ReferenceCache
from nova.identity.tokens import TokenPayload, decode_token
from nova.objects.context import RequestContext
from nova.objects.identity import SYSTEM, ApplicationCredential, Project, Role, User

#: Tokens whose answers are kept in memory.
CACHE_SIZE = 20_000


class ValidatedToken(msgspec.Struct, frozen=True, kw_only=True):
    """A token that is valid, with all that it stands for. ``roles`` include the implied ones."""

    token: str
    payload: TokenPayload
    user: User
    user_domain: Project
    project: Project | None = None
    project_domain: Project | None = None
    domain: Project | None = None
    roles: tuple[Role, ...] = ()
    application_credential: ApplicationCredential | None = None
    context: RequestContext

    @property
    def is_system(self) -> bool:
        """Whether it is for the whole system."""
        return self.payload.scope.kind == SYSTEM


class _Entry(msgspec.Struct, frozen=True):
    value: ValidatedToken
    revision: int
    good_until: float


class TokenCache:
    """Bounded memory of validated tokens, the least recently used leaving first."""

    def __init__(self, core: IdentityCore, size: int = CACHE_SIZE) -> None:
        self._core = core
        self._size = size
        self._entries: OrderedDict[str, _Entry] = OrderedDict()

    def get(self, token: str) -> ValidatedToken | None:
        """The answer for ``token``, where it is still sure."""
        entry = self._entries.get(token)
        if (
            entry is None
            or entry.revision != self._core.revision
            or time.monotonic() > entry.good_until
        ):
            return None
        # Another thread may drop it in between; the answer is right all the same.
        with contextlib.suppress(KeyError):
            self._entries.move_to_end(token)
        return entry.value

    def put(self, value: ValidatedToken, revision: int) -> None:
        """Keep an answer that was worked out at ``revision``, until it expires or is stale."""
        left = (value.payload.expires_at - now()).total_seconds()
        good_until = time.monotonic() + min(STALE_AFTER, left)
        self._entries[value.token] = _Entry(value, revision, good_until)
        while len(self._entries) > self._size:
            try:
                self._entries.popitem(last=False)
            except KeyError:
                break


class Validator:
    """Checks tokens."""

    def __init__(self, core: IdentityCore, reference: ReferenceCache) -> None:
        self._core = core
        self._reference = reference
        self.cache = TokenCache(core)

    def validate(self, token: str) -> ValidatedToken:
        """What ``token`` stands for now; ``Unauthorized`` where it is not valid."""
        held = self.cache.get(token)
        if held is not None:
            return held
        payload = decode_token(self._core.token_keys, token)
        if payload is None or payload.expires_at <= now():
            raise Unauthorized()
        revision = self._core.revision
        # Loaded before the transaction: a thread must not hold one connection and wait for another.
        self._reference.get()
        with self._core.read() as stores:
            if stores.revocations.contains(payload.audit_ids[0]):
                raise Unauthorized()
            value = self.resolve(stores, payload, token)
        self.cache.put(value, revision)
        return value

    def resolve(self, stores: IdentityStore, payload: TokenPayload, token: str) -> ValidatedToken:
        """What a payload stands for; ``Unauthorized`` with the reason where it stands for nothing.

        The user, the domains and the project must be there and enabled, none of them may have had
        its tokens voided since, and a scope needs at least one role.
        """
        user = stores.users.get(payload.user_id)
        if user is None or not user.enabled:
            raise Unauthorized()
        scope = payload.scope
        project = stores.projects.get(scope.id) if scope.kind in ("project", "domain") else None
        if scope.kind in ("project", "domain") and project is None:
            raise Unauthorized()
        wanted = {user.domain_id}
        if project is not None:
            wanted.add(project.owning_domain_id)
        domains = stores.projects.get_many(wanted)
        holders = [user, project, *(domains.get(one) for one in wanted)]
        for holder in holders:
            if holder is not None:
                _require_in_force(payload.issued_at, holder)
        if len(domains) != len(wanted):
            raise Unauthorized()
        roles = self._roles(stores, user, payload, project)
        application_credential = None
        if payload.application_credential_id:
            application_credential = self._application_credential(stores, payload)
            allowed = set(application_credential.role_ids)
            roles = [role for role in roles if role.id in allowed]
        if scope.kind and not roles:
            raise Unauthorized(_no_access(user, payload))
        return _validated(
            token, payload, user, domains, project, roles, application_credential
        )

    def _roles(
        self, stores: IdentityStore, user: User, payload: TokenPayload, project: Project | None
    ) -> list[Role]:
        scope = payload.scope
        if not scope.kind:
            return []
        role_ids = effective_role_ids(stores, user.id, scope.kind, project)
        return self._reference.get().expand(role_ids)

    def _application_credential(
        self, stores: IdentityStore, payload: TokenPayload
    ) -> ApplicationCredential:
        found = stores.application_credentials.get(payload.application_credential_id)
        if (
            found is None
            or found.project_id != payload.scope.id
            or (found.expires_at is not None and found.expires_at <= now())
        ):
            raise Unauthorized()
        return found


def effective_role_ids(
    stores: IdentityStore, user_id: str, kind: str, target: Project | None
) -> set[str]:
    """The roles that a user has on a target, directly, by groups and inherited; not the implied."""
    if target is None:
        held = stores.assignments.of_user(user_id, [SYSTEM])
        return {one.role_id for one in held if one.target_type == SYSTEM}
    if kind == "domain":
        held = stores.assignments.of_user(user_id, [target.id])
        return {one.role_id for one in held if one.target_type == "domain" and not one.inherited}
    above = [one.id for one in stores.projects.ancestors(target)]
    if target.domain_id:
        above.append(target.domain_id)
    held = stores.assignments.of_user(user_id, [target.id, *above])
    return {
        one.role_id
        for one in held
        if (one.inherited and one.target_id in above)
        or (
            not one.inherited and one.target_type == "project" and one.target_id == target.id
        )
    }


def _require_in_force(issued_at: datetime.datetime, holder: User | Project) -> None:
    since = holder.tokens_valid_since
    if not holder.enabled or (since is not None and issued_at < since):
        raise Unauthorized()


def _no_access(user: User, payload: TokenPayload) -> str:
    scope = payload.scope
    target = "the system" if scope.kind == SYSTEM else f"{scope.kind} {scope.id}"
    return f"User {user.id} has no access to {target}"


def _validated(
    token: str,
    payload: TokenPayload,
    user: User,
    domains: dict[str, Project],
    target: Project | None,
    roles: list[Role],
    application_credential: ApplicationCredential | None,
) -> ValidatedToken:
    kind = payload.scope.kind
    project = target if kind == "project" else None
    domain = target if kind == "domain" else None
    names = tuple(dict.fromkeys(role.name.lower() for role in roles))
    context = RequestContext(
        user_id=user.id,
        user_name=user.name,
        user_domain_id=user.domain_id,
        project_id=project.id if project else "",
        project_name=project.name if project else "",
        project_domain_id=project.owning_domain_id if project else "",
        domain_id=domain.id if domain else None,
        system_scope="all" if kind == SYSTEM else None,
        roles=names,
        is_admin="admin" in names,
        token=token,
    )
    return ValidatedToken(
        token=token,
        payload=payload,
        user=user,
        user_domain=domains[user.domain_id],
        project=project,
        project_domain=domains[project.owning_domain_id] if project else None,
        domain=domain,
        roles=tuple(roles),
        application_credential=application_credential,
        context=context,
    )
