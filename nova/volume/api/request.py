# SPDX-License-Identifier: Apache-2.0
"""A request of the Block Storage API, and the endpoints that answer it."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import falcon
import msgspec

from nova.errors import (
    BadRequest,
    InvalidInput,
    NotFound,
    QuotaExceeded,
    TooLarge,
    UnsupportedMediaType,
)
from nova.http.app import read_json
from nova.objects.context import RequestContext
from nova.policy import Policy
from nova.volume.service import VolumeService

_encode = msgspec.json.Encoder().encode
_UUID = re.compile(r"[0-9a-fA-F]{8}-?([0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}")
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})
#: The words that Cinder's schemas take for a boolean in a body; case counts (parameter_types.boolean).
_WORDS = {
    **dict.fromkeys(("True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes", "y", "t"), True),
    **dict.fromkeys(("False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no", "n", "f"), False),
}
_CONTENT_TYPES = frozenset({"application/json", "application/vnd.openstack.volume+json"})
_NOTHING: frozenset[str] = frozenset()
#: Parameters that a query string may have.
_MOST_PARAMETERS = 200


class Reply(msgspec.Struct):
    """An answer that is not simply a body with 200."""

    status: int
    body: Any = None
    headers: dict[str, str] = {}


class Request:
    """One call: who, which version, what."""

    def __init__(self, req: falcon.Request, service: VolumeService, policy: Policy) -> None:
        self.service = service
        self.caller: RequestContext = req.context.caller
        self.version: int = req.context.version
        self._req = req
        self._policy = policy
        self._document: dict[str, Any] | None = None
        self._parameters: list[tuple[str, str]] | None = None

    def check(self, rule: str, project_id: str | None = None, user_id: str | None = None) -> None:
        """Raise ``PolicyRefused`` where the caller may not do ``rule`` to a thing of that project."""
        self._policy.check(rule, self.caller, project_id=project_id, user_id=user_id)

    def allows(self, rule: str, project_id: str | None = None) -> bool:
        """Whether the caller may do ``rule``."""
        return self._policy.allows(rule, self.caller, project_id=project_id)

    def require(self, version: int) -> None:
        """``NotFound`` before the version 3.N that has this resource."""
        if self.version < version:
            raise NotFound("The resource could not be found.")

    @property
    def trusted(self) -> bool:
        """Whether compute speaks, with a service token, and not a user alone."""
        return "service" in self.caller.service_roles or "service" in self.caller.roles

    @property
    def if_match(self) -> str | None:
        """The ``If-Match`` header."""
        return self._req.get_header("If-Match")

    def url(self, path: str, *, bookmark: bool = False) -> str:
        """The address of a resource; ``path`` begins with its collection."""
        base: str = self._req.context.base
        if bookmark:
            base = base.removeprefix("/v3")
        return f"{self._req.prefix}{base}/{path}"

    def links(self, path: str) -> list[dict[str, str]]:
        """The two links that a resource has."""
        return [
            {"rel": "self", "href": self.url(path)},
            {"rel": "bookmark", "href": self.url(path, bookmark=True)},
        ]

    def parameters(self) -> list[tuple[str, str]]:
        """The query string in order; ``BadRequest`` where it is not UTF-8."""
        if self._parameters is not None:
            return self._parameters
        try:
            # WSGI hands bytes over as if they were Latin-1 (PEP 3333).
            text = self._req.query_string.encode("latin-1").decode()
            found = parse_qsl(text, keep_blank_values=True, errors="strict")
        except UnicodeError:
            raise BadRequest("The query string is not valid UTF-8.") from None
        if len(found) > _MOST_PARAMETERS:
            raise BadRequest(f"A query string has at most {_MOST_PARAMETERS} parameters.")
        self._parameters = found
        return found

    def flag(self, name: str) -> bool:
        """A true or false of the query string."""
        given = dict(self.parameters()).get(name)
        return given is not None and as_bool(name, given)

    def document(self) -> dict[str, Any]:
        """The body, an object."""
        if self._document is None:
            body = read_json(self._req)
            if not isinstance(body, dict):
                raise BadRequest("Malformed request body: it must be a JSON object.")
            self._document = body
        return self._document

    def body(
        self, name: str, known: frozenset[str] | None = None, *,
        beside: frozenset[str] | None = _NOTHING,
    ) -> dict[str, Any]:
        """The object under ``name`` of the body; members that are not ``known`` are refused.

        So is what stands beside it, but for ``beside``; None is for anything.
        """
        document = self.document()
        found = document.get(name)
        if not isinstance(found, dict):
            raise BadRequest(
                f"Invalid input for field/attribute {name}. '{name}' is a required property"
            )
        if beside is not None:
            refuse_unknown("body", document, beside | {name})
        if known is not None:
            refuse_unknown(name, found, known)
        return found


Handler = Callable[..., Any]


class Endpoint:
    """What a path answers: a function for each method, called with the request and the path's parts."""

    def __init__(self, service: VolumeService, policy: Policy, **handlers: Handler) -> None:
        for method, handler in handlers.items():
            setattr(self, f"on_{method}", _responder(service, policy, handler))


def _responder(service: VolumeService, policy: Policy, handler: Handler) -> Callable[..., None]:
    def respond(req: falcon.Request, resp: falcon.Response, **parts: str) -> None:
        if req.content_type is not None:
            _check_content_type(req, req.content_type)
        try:
            answer = handler(Request(req, service, policy), **parts)
        except QuotaExceeded as error:
            # The Block Storage API answers 413 where the Compute API answers 403.
            raise TooLarge(error.message) from None
        if not isinstance(answer, Reply):
            answer = Reply(200, answer)
        resp.status = answer.status
        for name, value in answer.headers.items():
            resp.set_header(name, value)
        if answer.body is not None:
            resp.content_type = "application/json"
            resp.data = _encode(answer.body)

    return respond


def _check_content_type(req: falcon.Request, named: str) -> None:
    """``UnsupportedMediaType`` where a body is said not to be JSON; where there is none it says nothing."""
    kind = named.partition(";")[0].strip().lower()
    if kind and kind not in _CONTENT_TYPES and (
        req.content_length or req.get_header("Transfer-Encoding")
    ):
        raise UnsupportedMediaType("Unsupported Content-Type")


# --- values ---------------------------------------------------------------------------------------


def refuse_unknown(what: str, given: Mapping[str, Any], known: frozenset[str]) -> None:
    """``InvalidInput`` naming what is not known."""
    unknown = sorted(set(given) - known)
    if unknown:
        raise InvalidInput(
            what, f"Additional properties are not allowed ({', '.join(unknown)[:100]} unexpected)"
        )


def as_bool(name: str, value: object) -> bool:
    """A boolean, or a word for one; ``InvalidInput`` else."""
    if isinstance(value, bool):
        return value
    word = str(value).strip().lower()
    if word in _TRUE:
        return True
    if word in _FALSE:
        return False
    raise InvalidInput(name, f"Unrecognized value '{word[:40]}'; true or false is expected.")


def boolean(name: str, value: object) -> bool:
    """A boolean of a body, where Cinder's schemas take fewer words than its query strings."""
    if isinstance(value, bool):
        return value
    found = _WORDS.get(value) if isinstance(value, str) else None
    if found is None:
        raise InvalidInput(name, f"{str(value)[:40]!r} is not a boolean.")
    return found


def text(name: str, value: object, *, most: int = 255, least: int = 0) -> str | None:
    """Text without blanks at its ends, or None; ``InvalidInput`` where it is too long."""
    if value is None:
        return None
    if not isinstance(value, str):
        raise InvalidInput(name, f"{value!r} is not of type 'string'"[:120])
    stripped = value.strip()
    if not least <= len(stripped) <= most:
        raise InvalidInput(name, f"{name} has {len(stripped)} characters, {least} to {most} are allowed.")
    if "\0" in stripped:
        raise InvalidInput(name, "It has a null character.")
    return stripped


def required_text(name: str, value: object, *, most: int = 255) -> str:
    """Text that has to be there."""
    found = text(name, value, most=most, least=1)
    if found is None:
        raise InvalidInput(name, f"'{name}' is a required property")
    return found


def identifier(name: str, value: object) -> str | None:
    """A UUID, or None; ``InvalidInput`` for anything else."""
    if value is None:
        return None
    if not isinstance(value, str) or _UUID.fullmatch(value) is None:
        raise InvalidInput(name, f"{str(value)[:60]!r} is not a 'uuid'")
    return value


def texts(given: Mapping[str, Any]) -> dict[str, str | None]:
    """The name and the description that a body gives, under their newer or older names."""
    found: dict[str, str | None] = {}
    for name in ("name", "description"):
        for key in (f"display_{name}", name):
            if key in given:
                found[name] = text(key, given[key])
    return found


def metadata(name: str, value: object, *, optional: bool = True) -> dict[str, str]:
    """Pairs of texts of at most 255 characters; ``InvalidInput`` else. Where it is optional null is none."""
    if value is None and optional:
        return {}
    if not isinstance(value, dict):
        raise InvalidInput(name, "It must be an object of texts.")
    for key, entry in value.items():
        if not 1 <= len(key) <= 255:
            raise InvalidInput(name, "A key has 1 to 255 characters.")
        if not isinstance(entry, str) or len(entry) > 255:
            raise InvalidInput(name, f"The value of {key[:60]!r} must be text of at most 255 characters.")
    return dict(value)


def one_action(document: Mapping[str, Any]) -> tuple[str, Any]:
    """The name and the argument of an action; ``BadRequest`` where there is not just one."""
    if len(document) != 1:
        raise BadRequest("There is no such action: the body must have just one member, its name.")
    name, argument = next(iter(document.items()))
    return name, argument


def argument_of(name: str, argument: Any) -> dict[str, Any]:
    """An action's argument, which has to be an object; null is an empty one."""
    if argument is None:
        return {}
    if not isinstance(argument, dict):
        raise InvalidInput(name, "It must be an object.")
    return argument
