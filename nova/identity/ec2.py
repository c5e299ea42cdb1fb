# SPDX-License-Identifier: Apache-2.0
"""From a signed EC2 request to who made it."""

from __future__ import annotations

import datetime
import time
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.db.schema.base import now
from nova.errors import InvalidInput, NotFound, Unauthorized
from nova.identity.auth import Authentication, Proof, RequestedScope
from nova.identity.core import IdentityCore
from nova.identity.credentials import CredentialOperations, Ec2Key
from nova.identity.fields import mapping, text
from nova.identity.reference import STALE_AFTER
from nova.identity.signatures import SignedRequest, signature_is_right
from nova.identity.validation import ValidatedToken, Validator
from nova.objects.context import RequestContext

#: How far the clock of a client may be off, and how long a signature is good.
LIFETIME = datetime.timedelta(minutes=15)

#: EC2 keys kept in memory.
_MOST_KEYS = 10_000


class _Held(msgspec.Struct, frozen=True):
    key: Ec2Key
    token: str
    revision: int
    good_until: float


class Ec2Authentication:
    """Checks EC2 signatures, and makes tokens for those who can make them."""

    def __init__(
        self,
        core: IdentityCore,
        credentials: CredentialOperations,
        authentication: Authentication,
        validator: Validator,
    ) -> None:
        self._core = core
        self._credentials = credentials
        self._authentication = authentication
        self._validator = validator
        self._held: dict[str, _Held] = {}

    def caller(self, access: str) -> tuple[str, RequestContext]:
        """The secret and the owner of an access key, for a face that checks signatures itself.

        Raises ``Unauthorized`` where the key is unknown or its owner may not use it now. Answers
        are kept in memory as those for tokens are.
        """
        held = self._held.get(access)
        if (
            held is not None
            and held.revision == self._core.revision
            and time.monotonic() < held.good_until
        ):
            known = self._validator.cache.get(held.token)
            if known is not None:
                return held.key.secret, known.context
        revision = self._core.revision
        try:
            key = self._credentials.ec2_key(access)
        except NotFound:
            raise Unauthorized("EC2 access key not found.") from None
        issued = self._issue(key)
        if len(self._held) >= _MOST_KEYS:
            self._held.clear()
        self._held[access] = _Held(key, issued.token, revision, time.monotonic() + STALE_AFTER)
        return key.secret, issued.context

    def authenticate(self, request: SignedRequest) -> ValidatedToken:
        """A token for whoever signed ``request``; ``Unauthorized`` where the signature is wrong."""
        try:
            key = self._credentials.ec2_key(request.access)
        except NotFound:
            raise Unauthorized("EC2 access key not found.") from None
        if not request.signature:
            raise Unauthorized("EC2 signature not supplied.")
        if not signature_is_right(request, key.secret):
            raise Unauthorized("Invalid EC2 signature.")
        _require_fresh(request)
        return self._issue(key)

    def _issue(self, key: Ec2Key) -> ValidatedToken:
        with self._core.read() as stores:
            user = stores.users.get(key.user_id)
        if user is None or not user.enabled:
            raise Unauthorized()
        return self._authentication.issue(
            Proof(user=user, methods=("ec2credential",)),
            RequestedScope(kind="project", id=key.project_id),
        )


def read_signed_request(body: Any) -> SignedRequest:
    """The signed request that a body of ``POST /v3/ec2tokens`` tells of, in any of its old forms.

    ``Unauthorized`` where there is no access key, ``InvalidInput`` for a part of the wrong type.
    """
    if not isinstance(body, dict):
        raise InvalidInput("body", "The request body must be an object.")
    inner = body.get("auth")
    source: Mapping[str, Any] = inner if isinstance(inner, dict) else body
    where = "ec2Credentials"
    section = None
    for name in ("credentials", "credential", "ec2Credentials", "OS-KSEC2:ec2Credentials"):
        if source.get(name):
            section, where = mapping(source, name, "body"), name
            break
    if section is None or "access" not in section:
        raise Unauthorized("EC2 signature not supplied.")
    return SignedRequest(
        access=text(section, "access", where, required=True) or "",
        signature=_text_or(section, "signature", where),
        host=_text_or(section, "host", where),
        verb=_text_or(section, "verb", where),
        path=_text_or(section, "path", where),
        params=_texts(section, "params", where),
        headers=_texts(section, "headers", where),
        body_hash=_text_or(section, "body_hash", where) or None,
    )


def _text_or(section: Mapping[str, Any], key: str, where: str) -> str:
    return "" if section.get(key) is None else (text(section, key, where) or "")


def _texts(section: Mapping[str, Any], key: str, where: str) -> dict[str, str]:
    if section.get(key) is None:
        return {}
    found = mapping(section, key, where) or {}
    for name, value in found.items():
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidInput(f"{where}.{key}.{name}", "It must be a string.")
    return {name: str(value) for name, value in found.items()}


def _require_fresh(request: SignedRequest) -> None:
    """A signature is good for a quarter of an hour; one without a time has none to check."""
    moment = (
        request.params.get("Timestamp")
        or request.header("X-Amz-Date")
        or request.params.get("X-Amz-Date")
    )
    if not moment:
        expires = request.params.get("Expires")
        if expires and _moment(expires) < now():
            raise Unauthorized("Credential is expired")
        return
    distance = now() - _moment(moment)
    if distance > LIFETIME:
        raise Unauthorized("Credential is expired")
    if distance < -LIFETIME:
        raise Unauthorized("Credential is from the future; is the client's clock right?")


def _moment(value: str) -> datetime.datetime:
    try:
        parsed = datetime.datetime.fromisoformat(value)
        if parsed.tzinfo is not None:
            parsed = parsed.astimezone(datetime.UTC).replace(tzinfo=None)
        return parsed + datetime.timedelta()
    except (ValueError, OverflowError):
        raise Unauthorized("Credential timestamp is invalid.") from None
