# SPDX-License-Identifier: Apache-2.0
"""What the resources read from a request: its caller, its body, its query, its own address."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, urlencode

import falcon
import msgspec

from nova.errors import BadRequest, InvalidInput, NotFound, Unauthorized
from nova.http.app import read_json
from nova.identity.application_credentials import rules_allow
from nova.identity.fields import truth
from nova.identity.policy import Target, may, require
from nova.identity.service import IdentityService
from nova.identity.validation import ValidatedToken
from nova.objects.identity import Filter, Page

COMPARATORS = (
    "contains", "startswith", "endswith", "icontains", "istartswith", "iendswith",
)

#: More than this is asked for in no list.
LARGEST_LIMIT = 1_000_000

_encoder = msgspec.json.Encoder()


class Face:
    """What every resource has: the service, and the ways to read a request."""

    def __init__(self, service: IdentityService) -> None:
        self.service = service

    def caller(self, req: falcon.Request) -> ValidatedToken:
        """Who is calling; ``Unauthorized`` without a valid token."""
        token = req.get_header("X-Auth-Token")
        if not token:
            raise Unauthorized()
        found = self.service.validate(token)
        bound = found.application_credential
        if (
            bound is not None
            and bound.access_rules
            and not rules_allow(bound.access_rules, "identity", req.method, req.path)
        ):
            raise Unauthorized()
        return found

    def allow(
        self, req: falcon.Request, rule: str, target: Target | None = None
    ) -> ValidatedToken:
        """The caller, whom the policy lets do what ``identity:<rule>`` names."""
        caller = self.caller(req)
        require(caller, f"identity:{rule}", target or Target())
        return caller

    def user_target(self, user_id: str) -> Target:
        """A user as the target of a rule; one that is not there belongs to nobody else."""
        with self.service.core.read() as stores:
            user = stores.users.get(user_id)
        return Target(user_id=user_id, domain_id=None if user is None else user.domain_id)

    def place_target(self, project_id: str) -> Target:
        """A project or domain as the target of a rule."""
        with self.service.core.read() as stores:
            found = stores.projects.get(project_id)
        domain_id = None if found is None else found.owning_domain_id
        return Target(project_id=project_id, domain_id=domain_id)


def known_or_refused(caller: ValidatedToken, rule: str, error: NotFound) -> Exception:
    """What to answer for a thing that is not there: who may not see it does not learn that."""
    if may(caller, rule):
        return error
    try:
        require(caller, rule)
    except Exception as refusal:
        return refusal
    return error


def answer(resp: falcon.Response, body: Any, status: int = 200) -> None:
    """Answer with JSON."""
    resp.status = status
    resp.content_type = "application/json"
    resp.data = _encoder.encode(body)


def read_object(req: falcon.Request) -> dict[str, Any]:
    """The request's body, a JSON object without NUL characters, which databases do not take."""
    body = read_json(req)
    if not isinstance(body, dict):
        raise InvalidInput("body", "The request body must be a JSON object.")
    _refuse_nul(body)
    return body


def _refuse_nul(body: dict[str, Any]) -> None:
    pending: list[tuple[str, Any]] = [("", body)]
    while pending:
        path, value = pending.pop()
        if isinstance(value, str):
            if "\x00" in value:
                raise InvalidInput(path, "It must not have NUL characters in it.")
        elif isinstance(value, dict):
            for name, one in value.items():
                if "\x00" in name:
                    raise BadRequest(f"The name of a field in {path or 'the body'} has a NUL.")
                pending.append((f"{path}.{name}" if path else name, one))
        elif isinstance(value, list):
            pending.extend((f"{path}[{at}]", one) for at, one in enumerate(value))


def query(req: falcon.Request, name: str) -> str | None:
    """A query parameter; of several the last."""
    value = req.params.get(name)
    return value[-1] if isinstance(value, list) else value


def flag(req: falcon.Request, name: str) -> bool:
    """Whether a query parameter is there and is not a word for no; without a value it is yes."""
    value = query(req, name)
    return value is not None and truth(value)


def page_of(req: falcon.Request) -> Page:
    """``limit`` and ``marker``. A limit of 0 is none."""
    raw = query(req, "limit")
    limit: int | None = None
    if raw:
        if not (raw.isascii() and raw.isdigit()):
            raise InvalidInput("limit", "It must be a whole number, 0 or more.", raw)
        limit = min(int(raw[:9]), LARGEST_LIMIT) or None
    return Page(limit=limit, marker=query(req, "marker") or None)


def filters_of(
    req: falcon.Request, texts: tuple[str, ...], flags: tuple[str, ...] = ()
) -> list[Filter]:
    """The filters of a list: ``name=``, ``name__contains=`` and so on, ``enabled=``."""
    found: list[Filter] = []
    for name in texts:
        value = query(req, name)
        if value is not None:
            found.append(Filter(name, value))
        for comparator in COMPARATORS:
            value = query(req, f"{name}__{comparator}")
            if value is not None:
                found.append(Filter(name, value, comparator))
    for name in flags:
        value = query(req, name)
        if value is not None:
            found.append(Filter(name, truth(value)))
    return found


def base_url(req: falcon.Request) -> str:
    """``scheme://host`` as the client called it."""
    return req.prefix


def link(req: falcon.Request, *parts: str) -> str:
    """An address below ``/v3`` on the host that was called."""
    return "/".join((base_url(req), "v3", *(quote(part, safe=":") for part in parts)))


def list_links(req: falcon.Request, page: Page, last_id: str | None) -> dict[str, Any]:
    """The links of a list; ``next`` where ``last_id`` says that there is more."""
    here = base_url(req) + quote(req.path)
    self_link = f"{here}?{req.query_string}" if req.query_string else here
    following = None
    if last_id is not None:
        kept = {k: v for k, v in req.params.items() if k not in ("marker", "limit")}
        kept.update(limit=str(page.limit), marker=last_id)
        following = f"{here}?{urlencode(kept, doseq=True)}"
    return {"self": self_link, "previous": None, "next": following}
