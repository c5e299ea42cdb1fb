# SPDX-License-Identifier: Apache-2.0
"""The one place that turns a request into calls of a resource's functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import falcon
import msgspec

from nova.api.compute.cloud import Cloud
from nova.api.compute.routing import parse_query
from nova.api.network.error_body import as_network_error, typed
from nova.api.network.listing import chosen, listed
from nova.api.network.resource import Call, Resource, Shown
from nova.api.network.values import number, read_values, tag
from nova.db.engine import Transaction
from nova.errors import (
    BadRequest,
    Forbidden,
    MethodNotAllowed,
    NotFound,
    NovaError,
    PreconditionFailed,
)
from nova.http.app import read_json

_encode = msgspec.json.Encoder().encode

Handler = Callable[[Call, falcon.Request, dict[str, str]], Any]


def call_of(cloud: Cloud, req: falcon.Request) -> Call:
    """The request as functions see it."""
    return Call(
        cloud=cloud, caller=req.context.caller, query=parse_query(req.query_string),
        base=req.prefix, http=req,
    )


def respond(
    cloud: Cloud, req: falcon.Request, resp: falcon.Response, path: dict[str, str],
    handler: Handler, status: int,
) -> None:
    """Run a handler and write its answer."""
    if any("\x00" in part for part in path.values()):
        raise NotFound("The resource could not be found.")
    try:
        answer = handler(call_of(cloud, req), req, path)
    except NovaError as error:
        raise as_network_error(error) from error
    resp.status = status
    if answer is not None:
        resp.content_type = "application/json"
        resp.data = _encode(answer)


class Collection:
    """A Falcon resource: all things of one kind."""

    def __init__(self, cloud: Cloud, resource: Resource) -> None:
        self._cloud = cloud
        self._resource = resource

    def on_get(self, req: falcon.Request, resp: falcon.Response) -> None:
        """List."""
        respond(self._cloud, req, resp, {}, self._list, 200)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Create one, or several in one transaction."""
        if self._resource.create is None:
            raise MethodNotAllowed(["GET"])
        respond(self._cloud, req, resp, {}, self._create, 201)

    def _list(self, call: Call, _req: falcon.Request, _path: dict[str, str]) -> Any:
        resource = self._resource
        call.cloud.policy.check(f"get_{resource.singular}", call.caller)
        with call.cloud.db.read() as tx:
            things = resource.list(call, tx)
        return listed(call, resource, things)

    def _create(self, call: Call, req: falcon.Request, _path: dict[str, str]) -> Any:
        resource = self._resource
        call.cloud.policy.check(f"create_{resource.singular}", call.caller)
        body = read_json(req)
        if not isinstance(body, dict):
            raise BadRequest("Invalid input: the body must be an object.")
        several = resource.plural in body and resource.singular not in body
        items = body.get(resource.plural) if several else [body.get(resource.singular)]
        if not isinstance(items, list) or not items:
            raise BadRequest(f"Unable to find '{resource.singular}' in request body.")
        wanted = [
            read_values(
                resource.attributes, _unwrapped(item, resource), singular=resource.singular,
                creating=True,
            )
            for item in items
        ]
        for values in wanted:
            check_attributes(call, resource, "create", values, {})
        make = resource.create
        assert make is not None
        made = call.cloud.db.run(lambda tx: [make(call, tx, values) for values in wanted])
        made = chosen(call, made)
        return {resource.plural: made} if several else {resource.singular: made[0]}


def _unwrapped(item: Any, resource: Resource) -> Any:
    """Some clients wrap each item of a bulk in its singular name."""
    if isinstance(item, dict) and item.keys() == {resource.singular}:
        return item[resource.singular]
    return item


def check_attributes(
    call: Call, resource: Resource, verb: str, values: dict[str, Any], present: Mapping[str, Any]
) -> None:
    """Check the rights that single attributes need, where they are not as they would be anyway."""
    for name, value in values.items():
        if resource.attributes[name].rule and (value or None) != (present.get(name) or None):
            call.cloud.policy.check(f"{verb}_{resource.singular}:{name}", call.caller)


class Item:
    """A Falcon resource: one thing."""

    def __init__(self, cloud: Cloud, resource: Resource) -> None:
        self._cloud = cloud
        self._resource = resource

    def on_get(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Show."""
        respond(self._cloud, req, resp, path, self._show, 200)

    def on_put(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Change."""
        if self._resource.update is None:
            raise MethodNotAllowed(["GET"])
        respond(self._cloud, req, resp, path, self._update, 200)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Remove."""
        if self._resource.delete is None:
            raise MethodNotAllowed(["GET"])
        respond(self._cloud, req, resp, path, self._delete, 204)

    def _show(self, call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
        resource = self._resource
        call.cloud.policy.check(f"get_{resource.singular}", call.caller)
        with call.cloud.db.read() as tx:
            thing = resource.find(call, tx, path["id"])
        if thing is None:
            raise resource.missing(path["id"])
        return {resource.singular: chosen(call, [thing])[0]}

    def _update(self, call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
        resource = self._resource
        call.cloud.policy.check(f"update_{resource.singular}", call.caller)
        body = read_json(req)
        if not isinstance(body, dict) or resource.singular not in body:
            raise BadRequest(f"Unable to find '{resource.singular}' in request body.")
        values = read_values(
            resource.attributes, body[resource.singular], singular=resource.singular,
            creating=False,
        )
        change = resource.update
        assert change is not None

        def write(tx: Transaction) -> Shown:
            current = own(call, resource, resource.find(call, tx, path["id"]), path["id"])
            check_revision(req, current)
            check_attributes(call, resource, "update", values, current)
            return change(call, tx, current, values) if values else current

        return {resource.singular: chosen(call, [call.cloud.db.run(write)])[0]}

    def _delete(self, call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
        resource = self._resource
        call.cloud.policy.check(f"delete_{resource.singular}", call.caller)
        if resource.remove_outside is not None:
            with call.cloud.db.read() as tx:
                current = own(call, resource, resource.find(call, tx, path["id"]), path["id"])
            check_revision(req, current)
            if resource.remove_outside(call, current):
                return
        remove = resource.delete
        assert remove is not None

        def write(tx: Transaction) -> None:
            current = own(call, resource, resource.find(call, tx, path["id"]), path["id"])
            check_revision(req, current)
            remove(call, tx, current)

        call.cloud.db.run(write)


def own(call: Call, resource: Resource, thing: Shown | None, identifier: str) -> Shown:
    """A thing that the caller may change: 404 for what it does not see, 403 for others' things."""
    if thing is None:
        raise resource.missing(identifier)
    if not call.owns(thing.get("tenant_id") or None):
        raise typed(
            Forbidden(f"(rule:update_{resource.singular}) is disallowed by policy"),
            "PolicyNotAuthorized",
        )
    return thing


def check_revision(req: falcon.Request, thing: Shown) -> None:
    """Keep an ``If-Match: revision_number=N`` (Networking API, "Revisions"): 412 where it differs.
    """
    wanted = req.get_header("If-Match")
    if wanted is None:
        return
    name, _, text = wanted.strip().strip('"').partition("=")
    revision = number(text)
    if name != "revision_number" or revision is None:
        raise BadRequest("Invalid If-Match: write it as revision_number=N.")
    if revision != thing.get("revision_number"):
        raise typed(
            PreconditionFailed(
                f"The resource is at revision {thing.get('revision_number')}, not {revision}."
            ),
            "RevisionNumberConstraintFailed",
        )


class Tags:
    """A Falcon resource: the tags of one thing, all or one of them."""

    def __init__(self, cloud: Cloud, resource: Resource) -> None:
        self._cloud = cloud
        self._resource = resource

    def on_get(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """All tags, or 204 where there is the one named."""
        respond(self._cloud, req, resp, path, self._show, 204 if "tag" in path else 200)

    def on_put(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Replace all tags, or add the one named."""
        respond(self._cloud, req, resp, path, self._put, 201 if "tag" in path else 200)

    def on_post(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Add several tags."""
        respond(self._cloud, req, resp, path, self._add, 200)

    def on_delete(self, req: falcon.Request, resp: falcon.Response, **path: str) -> None:
        """Remove all tags, or the one named."""
        respond(self._cloud, req, resp, path, self._remove, 204)

    def _show(self, call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
        with call.cloud.db.read() as tx:
            thing = self._resource.find(call, tx, path["id"])
        if thing is None:
            raise self._resource.missing(path["id"])
        if "tag" not in path:
            return {"tags": thing["tags"]}
        if path["tag"] not in thing["tags"]:
            raise _no_tag(path["tag"])
        return None

    def _put(self, call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
        if "tag" in path:
            wanted = tag("tag", path["tag"])
            self._change(call, path["id"], lambda tags: [*tags, wanted])
            return None
        given = _body_tags(req)
        return {"tags": self._change(call, path["id"], lambda _tags: given)}

    def _add(self, call: Call, req: falcon.Request, path: dict[str, str]) -> Any:
        given = _body_tags(req)
        return {"tags": self._change(call, path["id"], lambda tags: [*tags, *given])}

    def _remove(self, call: Call, _req: falcon.Request, path: dict[str, str]) -> Any:
        if "tag" not in path:
            self._change(call, path["id"], lambda _tags: [])
            return

        def without(tags: list[str]) -> list[str]:
            if path["tag"] not in tags:
                raise _no_tag(path["tag"])
            return [each for each in tags if each != path["tag"]]

        self._change(call, path["id"], without)

    def _change(
        self, call: Call, identifier: str, change: Callable[[list[str]], list[str]]
    ) -> list[str]:
        resource = self._resource
        call.cloud.policy.check(f"update_{resource.singular}", call.caller)
        write_tags = resource.update
        assert write_tags is not None

        def write(tx: Transaction) -> list[str]:
            current = own(call, resource, resource.find(call, tx, identifier), identifier)
            tags = sorted(set(change(current["tags"])))
            if len(tags) > 50:
                raise BadRequest("A resource has at most 50 tags.")
            if tags != current["tags"]:
                write_tags(call, tx, current, {"tags": tags})
            return tags

        return call.cloud.db.run(write)


def _body_tags(req: falcon.Request) -> list[str]:
    body = read_json(req)
    given = body.get("tags") if isinstance(body, dict) else None
    if not isinstance(given, list):
        raise BadRequest("Invalid tags body: it has to be {\"tags\": [...]}.")
    return [tag("tags", each) for each in given]


def _no_tag(name: str) -> NovaError:
    return typed(NotFound(f"Tag {name[:60]} could not be found."), "TagNotFound")


class Plain:
    """A Falcon resource made of handlers: method -> (handler, status)."""

    def __init__(self, cloud: Cloud, handlers: dict[str, tuple[Handler, int]]) -> None:
        for method, (handler, status) in handlers.items():
            setattr(self, f"on_{method}", self._responder(cloud, handler, status))

    @staticmethod
    def _responder(cloud: Cloud, handler: Handler, status: int) -> Callable[..., None]:
        def run(req: falcon.Request, resp: falcon.Response, **path: str) -> None:
            respond(cloud, req, resp, path, handler, status)

        return run


def mount(app: Any, cloud: Cloud, resource: Resource) -> None:
    """Give a resource's paths to the Falcon application."""
    path = f"/v2.0/{resource.path or resource.plural}"
    app.add_route(path, Collection(cloud, resource))
    app.add_route(path + "/{id}", Item(cloud, resource))
    if resource.taggable and resource.update is not None:
        tags = Tags(cloud, resource)
        app.add_route(path + "/{id}/tags", tags)
        app.add_route(path + "/{id}/tags/{tag}", tags)
