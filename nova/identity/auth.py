# SPDX-License-Identifier: Apache-2.0
"""Login: who proves what by which method, for which scope, and the token that comes of it.

Wire facts: the identity API reference, "Password authentication with scoped authorization" and the
sections after it.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.db.schema.base import now
from nova.db.stores.identity import IdentityStore
from nova.errors import Forbidden, InvalidInput, Unauthorized
from nova.identity.core import IdentityCore
from nova.identity.fields import mapping, text
from nova.identity.passwords import check_password
from nova.identity.reference import ReferenceCache
from nova.identity.tokens import Scope, TokenPayload, encode_token, new_audit_id
from nova.identity.validation import ValidatedToken, Validator, effective_role_ids
from nova.objects.identity import SYSTEM, ApplicationCredential, Project, User


class Proof(msgspec.Struct, frozen=True, kw_only=True):
    """What one or more methods have proved."""

    user: User
    methods: tuple[str, ...]
    expires_at: datetime.datetime | None = None
    parent_audit_id: str | None = None
    application_credential: ApplicationCredential | None = None
    scope: Scope | None = None


class Authentication:
    """Makes tokens for those who can prove who they are."""

    def __init__(
        self, core: IdentityCore, validator: Validator, reference: ReferenceCache
    ) -> None:
        self._core = core
        self._reference = reference
        self._validator = validator

    def authenticate(self, auth: Mapping[str, Any]) -> ValidatedToken:
        """A token for the ``auth`` object of ``POST /v3/auth/tokens``.

        Raises ``InvalidInput`` for a malformed one, ``Unauthorized`` where it proves nothing.
        """
        identity = mapping(auth, "identity", "auth", required=True)
        assert identity is not None
        methods = identity.get("methods")
        if not isinstance(methods, list) or not all(isinstance(one, str) for one in methods):
            raise InvalidInput("auth.identity.methods", "It must be an array of strings.")
        if not methods:
            raise InvalidInput("auth.identity.methods", "It must name a method.")
        requested = read_scope(auth)
        known = {
            "password": self._by_password,
            "token": self._by_token,
            "application_credential": self._by_application_credential,
        }
        for method in methods:
            if method not in known:
                raise Unauthorized("Attempted to authenticate with an unsupported method.")
        sections = {
            method: mapping(identity, method, "auth.identity", required=True) or {}
            for method in dict.fromkeys(methods)
        }
        proofs = [known[method](section) for method, section in sections.items()]
        proof = _merge(proofs)
        return self.issue(proof, requested)

    def by_name_and_password(
        self, password: str, *, name: str | None = None, user_id: str | None = None
    ) -> Proof:
        """Proof by password alone, the user being named by id or by name in the default domain."""
        user: dict[str, Any] = {"password": password}
        user["id" if user_id is not None else "name"] = user_id if user_id is not None else name
        return self._by_password({"user": user})

    def by_token(self, token: str) -> Proof:
        """Proof by a token that is valid still."""
        return self._by_token({"id": token})

    def issue(self, proof: Proof, requested: RequestedScope | None) -> ValidatedToken:
        """A token for what is proved, with the scope asked for.

        Without one the scope is the user's default project if it may be used, or else nothing.
        """
        # The revision is read first: a write in between makes the answer stale in the cache.
        revision = self._core.revision
        self._reference.get()
        with self._core.read() as stores:
            scope = self._find_scope(stores, proof, requested)
            issued_at = now()
            expires_at = issued_at + datetime.timedelta(
                seconds=self._core.section.token_expiration
            )
            # A token by a token lives no longer than the first one.
            if proof.expires_at is not None:
                expires_at = min(expires_at, proof.expires_at)
            audit_ids: tuple[str, ...] = (new_audit_id(),)
            if proof.parent_audit_id is not None:
                audit_ids += (proof.parent_audit_id,)
            payload = TokenPayload(
                methods=proof.methods,
                user_id=proof.user.id,
                scope=scope,
                issued_at=issued_at,
                expires_at=expires_at,
                audit_ids=audit_ids,
                application_credential_id=(
                    proof.application_credential.id if proof.application_credential else ""
                ),
            )
            token = encode_token(self._core.token_keys, payload)
            issued = self._validator.resolve(stores, payload, token)
        self._validator.cache.put(issued, revision)
        return issued

    def _by_password(self, section: Mapping[str, Any]) -> Proof:
        where = "auth.identity.password"
        named = mapping(section, "user", where, required=True)
        assert named is not None
        password = text(named, "password", f"{where}.user", required=True)
        assert password is not None
        with self._core.read() as stores:
            user = self._find_user(stores, named, f"{where}.user")
            hashed = None if user is None else stores.users.password_hash(user.id)
        right = check_password(password, hashed, self._core.section.bcrypt_rounds)
        if not right or user is None or not user.enabled:
            raise Unauthorized()
        return Proof(user=user, methods=("password",))

    def _by_token(self, section: Mapping[str, Any]) -> Proof:
        token = text(section, "id", "auth.identity.token", required=True)
        assert token is not None
        held = self._validator.validate(token)
        return Proof(
            user=held.user,
            methods=tuple(dict.fromkeys(("token", *held.payload.methods))),
            expires_at=held.payload.expires_at,
            parent_audit_id=held.payload.audit_ids[-1],
            application_credential=held.application_credential,
            scope=held.payload.scope if held.application_credential else None,
        )

    def _by_application_credential(self, section: Mapping[str, Any]) -> Proof:
        where = "auth.identity.application_credential"
        secret = text(section, "secret", where, required=True)
        assert secret is not None
        credential_id = text(section, "id", where)
        with self._core.read() as stores:
            found: ApplicationCredential | None = None
            if credential_id is not None:
                found = stores.application_credentials.get(credential_id)
            else:
                name = text(section, "name", where, required=True)
                named = mapping(section, "user", where, required=True)
                assert named is not None
                owner = self._find_user(stores, named, f"{where}.user")
                if owner is not None:
                    found = stores.application_credentials.find(user_id=owner.id, name=name)
            hashed = None
            user = None
            if found is not None:
                hashed = stores.application_credentials.secret_hash(found.id)
                user = stores.users.get(found.user_id)
        right = check_password(secret, hashed, self._core.section.bcrypt_rounds)
        if not right or found is None or user is None or not user.enabled:
            raise Unauthorized()
        if found.expires_at is not None and found.expires_at <= now():
            raise Unauthorized()
        return Proof(
            user=user,
            methods=("application_credential",),
            expires_at=found.expires_at,
            application_credential=found,
            scope=Scope("project", found.project_id),
        )

    def _find_user(
        self, stores: IdentityStore, named: Mapping[str, Any], where: str
    ) -> User | None:
        user_id = text(named, "id", where)
        if user_id is not None:
            return stores.users.get(user_id)
        name = text(named, "name", where)
        if name is None:
            raise InvalidInput(where, "id or name must be present.")
        domain_id = self._find_domain_id(stores, read_domain(named, where))
        return None if domain_id is None else stores.users.find(domain_id=domain_id, name=name)

    def _find_domain_id(self, stores: IdentityStore, named: NamedDomain) -> str | None:
        """The domain named, the default one where none is."""
        if named.id is not None:
            return named.id
        if named.name is None:
            return self._core.default_domain_id
        found = stores.projects.find(name=named.name, domain_id="", is_domain=True)
        return None if found is None else found.id

    def _find_scope(
        self, stores: IdentityStore, proof: Proof, requested: RequestedScope | None
    ) -> Scope:
        if proof.scope is not None:
            return self._bound_scope(stores, proof.scope, requested)
        if requested is None:
            return _default_scope(stores, proof.user)
        if requested.kind in ("", SYSTEM):
            return Scope(requested.kind, SYSTEM if requested.kind else "")
        found = self._find_target(stores, requested)
        if found is None or (requested.kind == "domain" and not found.is_domain):
            raise Unauthorized()
        return Scope(requested.kind, found.id)

    def _bound_scope(
        self, stores: IdentityStore, bound: Scope, requested: RequestedScope | None
    ) -> Scope:
        """An application credential is good for its own project alone."""
        if requested is not None:
            target = None
            if requested.kind == "project":
                target = self._find_target(stores, requested)
            if target is None or target.id != bound.id:
                raise Unauthorized("Application credentials cannot request a scope.")
        return bound

    def _find_target(self, stores: IdentityStore, requested: RequestedScope) -> Project | None:
        if requested.id is not None:
            return stores.projects.get(requested.id)
        if requested.kind == "domain":
            return stores.projects.find(domain_id="", name=requested.name, is_domain=True)
        domain_id = self._find_domain_id(stores, requested.domain)
        if domain_id is None:
            return None
        return stores.projects.find(domain_id=domain_id, name=requested.name)


class NamedDomain(msgspec.Struct, frozen=True):
    """A domain by id or by name; neither means the default domain."""

    id: str | None = None
    name: str | None = None


class RequestedScope(msgspec.Struct, frozen=True, kw_only=True):
    """The scope that a login asks for; ``kind`` "" asks for an unscoped token."""

    kind: Any
    id: str | None = None
    name: str | None = None
    domain: NamedDomain = NamedDomain()


def read_domain(values: Mapping[str, Any], where: str) -> NamedDomain:
    """The ``domain`` object of a user or project in a login."""
    named = mapping(values, "domain", where)
    if named is None:
        return NamedDomain()
    domain = NamedDomain(
        text(named, "id", f"{where}.domain"), text(named, "name", f"{where}.domain")
    )
    if domain.id is None and domain.name is None:
        raise InvalidInput(f"{where}.domain", "id or name must be present.")
    return domain


def read_scope(auth: Mapping[str, Any]) -> RequestedScope | None:
    """The ``scope`` of a login, None where there is none."""
    scope = auth.get("scope")
    if "scope" not in auth or scope == {}:
        return None
    if isinstance(scope, str):
        if scope != "unscoped":
            raise InvalidInput("auth.scope", 'It must be an object or "unscoped".', scope)
        return RequestedScope(kind="")
    if not isinstance(scope, dict):
        raise InvalidInput("auth.scope", 'It must be an object or "unscoped".')
    kinds = [kind for kind in ("project", "domain", "system", "unscoped") if kind in scope]
    if "OS-TRUST:trust" in scope:
        raise Forbidden("Trusts are not supported by this identity service.")
    if len(kinds) != 1:
        raise InvalidInput(
            "auth.scope", "It must name exactly one of project, domain, system and unscoped."
        )
    kind = kinds[0]
    target = mapping(scope, kind, "auth.scope", required=True)
    assert target is not None
    if kind == "unscoped":
        return RequestedScope(kind="")
    if kind == "system":
        if target.get("all") is not True:
            raise InvalidInput("auth.scope.system.all", "It must be true.")
        return RequestedScope(kind=SYSTEM)
    where = f"auth.scope.{kind}"
    target_id, name = text(target, "id", where), text(target, "name", where)
    if target_id is None and name is None:
        raise InvalidInput(where, "id or name must be present.")
    domain = read_domain(target, where) if kind == "project" else NamedDomain()
    return RequestedScope(kind=kind, id=target_id, name=name, domain=domain)


def _default_scope(stores: IdentityStore, user: User) -> Scope:
    """The user's default project, where it is in force and the user has a role on it."""
    if user.default_project_id is not None:
        project = stores.projects.get(user.default_project_id)
        if project is not None and project.enabled:
            domain = stores.projects.get(project.owning_domain_id)
            in_force = domain is not None and domain.enabled
            if in_force and effective_role_ids(stores, user.id, "project", project):
                return Scope("project", project.id)
    return Scope()


def _merge(proofs: list[Proof]) -> Proof:
    """Several methods count only if they prove the same user."""
    first = proofs[0]
    if any(proof.user.id != first.user.id for proof in proofs):
        raise Unauthorized()
    if len(proofs) == 1:
        return first
    expiries = [proof.expires_at for proof in proofs if proof.expires_at is not None]
    return Proof(
        user=first.user,
        methods=tuple(dict.fromkeys(method for proof in proofs for method in proof.methods)),
        expires_at=min(expiries) if expiries else None,
        parent_audit_id=next((p.parent_audit_id for p in proofs if p.parent_audit_id), None),
        application_credential=next(
            (p.application_credential for p in proofs if p.application_credential), None
        ),
        scope=next((p.scope for p in proofs if p.scope), None),
    )
