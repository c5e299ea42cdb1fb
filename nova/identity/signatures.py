# SPDX-License-Identifier: Apache-2.0
"""Signatures of EC2 requests, versions 0, 1, 2 and 4, worked out anew from the secret key.

Sources: AWS General Reference, "Signature Version 2 signing process" and "Signature Version 4
signing process"; versions 0 and 1 as old EC2 clients (boto 1, euca2ools) have them.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
from collections.abc import Mapping
from urllib.parse import quote

import msgspec

_EMPTY_HASH = hashlib.sha256(b"").hexdigest()
_SPACES = re.compile(r"\s+")


class SignedRequest(msgspec.Struct, frozen=True, kw_only=True):
    """The parts of a request that a signature covers.

    ``params`` are those of the query, or of the form in a body; ``body_hash`` is the hexadecimal
    SHA-256 of the body, which version 4 covers.
    """

    access: str
    signature: str
    host: str
    verb: str
    path: str
    params: Mapping[str, str] = {}
    headers: Mapping[str, str] = {}
    body_hash: str | None = None

    @property
    def version(self) -> str:
        """The signature's version: "0", "1", "2" or "4"."""
        return self.params.get("SignatureVersion", "4" if self._is_v4() else "0")

    def header(self, name: str) -> str | None:
        """A header by name in any case."""
        for key, value in self.headers.items():
            if key.lower() == name.lower():
                return value
        return None

    @property
    def signed_service(self) -> str | None:
        """The service that a version 4 signature is for, from its credential scope."""
        scope = self.credential_scope()
        return scope[2] if self.version == "4" and len(scope) == 4 else None

    def credential_scope(self) -> list[str]:
        """Date, region, service and terminator of a version 4 signature."""
        credential = self.params.get("X-Amz-Credential")
        if credential is None:
            credential = _authorization(self).get("Credential", "")
        return credential.split("/")[1:]

    def _is_v4(self) -> bool:
        algorithm = self.params.get("X-Amz-Algorithm") or (self.header("Authorization") or "")
        return algorithm.startswith("AWS4-HMAC-SHA256")


def signature_is_right(request: SignedRequest, secret: str) -> bool:
    """Whether ``secret`` made the signature. Some clients sign the host without its port."""
    hosts = [request.host]
    bare = re.sub(r":\d+$", "", request.host)
    if bare != request.host:
        hosts.append(bare)
    given = request.signature.encode()
    return any(
        hmac.compare_digest(given, expected.encode())
        for host in hosts
        if (expected := sign(msgspec.structs.replace(request, host=host), secret)) is not None
    )


def sign(request: SignedRequest, secret: str) -> str | None:
    """The signature that ``request`` ought to have; None where its version is unknown."""
    key = secret.encode()
    if request.version == "0":
        params = request.params
        return _hmac(key, (params.get("Action", "") + params.get("Timestamp", "")).encode(), "sha1")
    if request.version == "1":
        return _sign_v1(request, key)
    if request.version == "2":
        return _sign_v2(request, key)
    if request.version == "4":
        return _sign_v4(request, key)
    return None


def _sign_v1(request: SignedRequest, key: bytes) -> str:
    ordered = sorted(request.params.items(), key=lambda item: item[0].lower())
    joined = "".join(name + value for name, value in ordered if name != "Signature")
    return _hmac(key, joined.encode(), "sha1")


def _sign_v2(request: SignedRequest, key: bytes) -> str:
    method = request.params.get("SignatureMethod", "HmacSHA256")
    digest = "sha1" if method == "HmacSHA1" else "sha256"
    text = "\n".join(
        (
            request.verb.upper(),
            request.host.lower(),
            request.path or "/",
            _query(request.params, "Signature"),
        )
    )
    return _hmac(key, text.encode(), digest)


def _sign_v4(request: SignedRequest, key: bytes) -> str | None:
    scope = request.credential_scope()
    when = request.params.get("X-Amz-Date") or request.header("X-Amz-Date")
    if len(scope) != 4 or when is None:
        return None
    in_query = "X-Amz-Algorithm" in request.params
    signed = request.params.get("X-Amz-SignedHeaders") if in_query else None
    if signed is None:
        signed = _authorization(request).get("SignedHeaders", "")
    # The parameters of a POST are in its body, which the hash covers.
    query = "" if request.verb.upper() == "POST" and not in_query else _query(
        request.params, "X-Amz-Signature"
    )
    canonical = "\n".join(
        (
            request.verb.upper(),
            request.path or "/",
            query,
            "".join(f"{name}:{_header_value(request, name)}\n" for name in signed.split(";")),
            signed,
            request.body_hash or _EMPTY_HASH,
        )
    )
    text = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            when,
            "/".join(scope),
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    derived = b"AWS4" + key
    for part in scope:
        derived = hmac.new(derived, part.encode(), hashlib.sha256).digest()
    return hmac.new(derived, text.encode(), hashlib.sha256).hexdigest()


def _header_value(request: SignedRequest, name: str) -> str:
    if name == "host":
        return request.host
    return _SPACES.sub(" ", (request.header(name) or "").strip())


def _authorization(request: SignedRequest) -> dict[str, str]:
    """The parts of an ``Authorization: AWS4-HMAC-SHA256 a=b, c=d`` header."""
    text = (request.header("Authorization") or "").partition(" ")[2]
    parts = (part.strip().partition("=") for part in text.split(","))
    return {name: value for name, _, value in parts if name}


def _query(params: Mapping[str, str], leave_out: str) -> str:
    pairs = [
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in params.items()
        if name != leave_out
    ]
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))


def _hmac(key: bytes, text: bytes, digest: str) -> str:
    return base64.b64encode(hmac.new(key, text, digest).digest()).decode()
