# SPDX-License-Identifier: Apache-2.0
"""Routes as literal tables, and the one place that turns a request into a handler's call."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import parse_qsl

import falcon
import msgspec

from nova import errors
from nova.api.compute.bodies import Body
from nova.api.compute.cloud import Cloud
from nova.api.compute.request import Answer, ApiRequest
from nova.http.app import read_json
from nova.objects.context import RequestContext

Handler = Callable[[ApiRequest], Any]

_MAX_PARAMETERS = 200
_encode = msgspec.json.Encoder(decimal_format="number").encode

#: What a body may be called; nova/api/openstack/wsgi.py refuses anything else, with every method.
_BODY_KINDS = frozenset(
    {"application/json", "application/vnd.openstack.compute+json", "text/plain", ""}
)


@dataclasses.dataclass(frozen=True)
class Query:
    """The query parameters a route knows, each with the first version that has it.

    ``once`` are those that may not be repeated. Unknown ones are ignored, and refused from ``strict`` on
    (2.75 where the original converted the resource then, 2.102 else); with ``any_name`` never. ``checks``
    read the values of those parameters and raise ``BadRequest``: for routes whose rule comes after them.
    """

    since: dict[str, int] = dataclasses.field(default_factory=dict)
    strict: int = 102
    any_name: bool = False
    once: frozenset[str] = frozenset()
    checks: Mapping[str, Callable[[ApiRequest, str], object]] = dataclasses.field(default_factory=dict)


#: For requests whose queries the original never looks at.
ANY_QUERY = Query(any_name=True)
_NO_QUERY = Query()


@dataclasses.dataclass(frozen=True)
class Route:
    """One method of one path, for a window of versions.

    ``rule`` is checked once query and body are found good, where it needs no target; a handler checks what
    concerns somebody's thing. ``gone`` routes answer 410. ``legacy`` routes exist on v2 only; ``modern`` on
    v2.1 only. ``query_read`` is ``query``, or what counts without one: the original has schemas for the
    queries of what reads, and only of some requests that write.
    """

    method: str
    path: str
    handler: Handler
    success: int = 200
    rule: str | None = None
    body: Body[Any] | None = None
    query: Query | None = None
    since: int = 1
    until: int | None = None
    legacy_only: bool = False
    modern_only: bool = False
    optional_body: bool = False
    query_read: Query = dataclasses.field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        known = self.query or (_NO_QUERY if self.method == "GET" else ANY_QUERY)
        object.__setattr__(self, "query_read", known)

    def serves(self, minor: int, legacy: bool) -> bool:
        """Whether the route exists at that version."""
        if legacy:
            return not self.modern_only and self.since <= 1
        return (
            not self.legacy_only
            and self.since <= minor
            and (self.until is None or minor <= self.until)
        )


def gone(_request: ApiRequest) -> Any:
    """The answer of an API that was removed."""
    raise errors.Gone


class Endpoint:
    """A Falcon resource: all routes of one path."""

    def __init__(self, cloud: Cloud, routes: Iterable[Route]) -> None:
        self._cloud = cloud
        by_method: dict[str, list[Route]] = {}
        for route in routes:
            by_method.setdefault(route.method, []).append(route)
        for method, candidates in by_method.items():
            setattr(self, f"on_{method.lower()}", self._responder(candidates))
        if "GET" in by_method and "HEAD" not in by_method:
            self.on_head = self._responder(by_method["GET"])

    def _responder(self, candidates: list[Route]) -> Callable[..., None]:
        def respond(req: falcon.Request, resp: falcon.Response, **path: str) -> None:
            kind = req.env.get("CONTENT_TYPE")
            if kind and kind not in _BODY_KINDS:
                _check_kind(kind)
            route = _choose(candidates, req.context.minor, req.context.legacy)
            request = self._request(req, path)
            if request.query:
                _check_query(route.query_read, request)
            if route.body is not None and not (
                route.optional_body and not req.content_length
            ):
                request.body = route.body.read(
                    read_json(req), request.minor, legacy=request.legacy
                )
            if route.rule is not None:
                request.check(route.rule)
            _answer(resp, route, route.handler(request))

        return respond

    def _request(self, req: falcon.Request, path: dict[str, str]) -> ApiRequest:
        context = req.context
        if path and any("\x00" in part for part in path.values()):
            raise errors.NotFound("The resource could not be found.")
        caller: RequestContext | None = getattr(context, "caller", None)
        return ApiRequest(
            cloud=self._cloud, caller=caller or RequestContext(request_id=context.request_id),
            minor=context.minor, legacy=context.legacy, features=context.features,
            path=path, query=parse_query(req.query_string), body=None,
            base=context.base, root=context.root, http=req,
        )


def parse_query(text: str) -> dict[str, list[str]]:
    """A query string as lists; ``BadRequest`` for bytes that are not UTF-8 or hold NUL."""
    if not text:
        return {}
    query: dict[str, list[str]] = {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except UnicodeDecodeError:
        raise errors.BadRequest("Malformed query string: it is not UTF-8 text.") from None
    except ValueError:
        raise errors.BadRequest(
            f"Malformed query string: it has more than {_MAX_PARAMETERS} parameters."
        ) from None
    for name, value in pairs:
        if "\x00" in value or "\x00" in name:
            raise errors.BadRequest(f"Invalid input for query parameters {name!r:.40}.")
        query.setdefault(name, []).append(value)
    return query


def _choose(candidates: list[Route], minor: int, legacy: bool) -> Route:
    for route in candidates:
        if route.serves(minor, legacy):
            return route
    raise errors.NotFound("The resource could not be found.")


def _check_kind(kind: str) -> None:
    """Refuse a body that is called anything but JSON; parameters of the header do not count."""
    if kind.partition(";")[0].strip().lower() not in _BODY_KINDS:
        raise errors.UnsupportedMediaType("Unsupported Content-Type")


def _check_query(known: Query, request: ApiRequest) -> None:
    if known.once and not request.legacy:
        for name, values in request.query.items():
            if len(values) > 1 and name in known.once and known.since[name] <= request.minor:
                raise errors.BadRequest(
                    f"Invalid input for query parameters {name}. It may be given once."
                )
    for name, check in known.checks.items():
        if name in request.query and known.since[name] <= request.minor and not request.legacy:
            check(request, name)
    later = [name for name in request.query if known.since.get(name, 0) > request.minor]
    if request.legacy or known.any_name or request.minor < known.strict:
        if later:
            request.query = {
                name: values for name, values in request.query.items() if name not in later
            }
        return
    unknown = [
        name
        for name in request.query
        if name not in known.since or known.since[name] > request.minor
    ]
    if unknown:
        names = ", ".join(f"'{name[:40]}'" for name in unknown)
        raise errors.BadRequest(
            f"Invalid input for query parameters {unknown[0][:40]}. "
            f"Additional properties are not allowed ({names} unexpected)"
        )


def _answer(resp: falcon.Response, route: Route, result: Any) -> None:
    status, headers = route.success, None
    if isinstance(result, Answer):
        status = result.status or status
        headers = result.headers
        result = result.body
    resp.status = status
    if headers:
        for name, value in headers.items():
            resp.set_header(name, value)
    if result is None:
        if status not in (204, 304):
            resp.content_type = "application/json"
            resp.data = b""
        return
    resp.content_type = "application/json"
    resp.data = result if isinstance(result, bytes) else _encode(result)


def mount(app: Any, cloud: Cloud, routes: Iterable[Route]) -> None:
    """Give every path of the tables to the Falcon application."""
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    for path, of_path in by_path.items():
        app.add_route(path, Endpoint(cloud, of_path))
