# SPDX-License-Identifier: Apache-2.0
"""``os-aggregates``: groups of hosts, and the availability zones that they make."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova.api.compute.bodies import Body
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.policies import ADMIN
from nova.api.compute.queries import integer_id
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.api.compute.service_views import COMPUTE, tell_aggregates_changed
from nova.api.compute.texts import check_name
from nova.api.compute.times import precise
from nova.db.engine import Transaction
from nova.errors import BadRequest, ImageNotFound, InvalidInput, NotFound
from nova.objects.host import Aggregate
from nova.policy import Rule

_ROOT = "os_compute_api:os-aggregates"
_ZONE = "availability_zone"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:index", ADMIN, "List aggregates."),
    Rule(f"{_ROOT}:create", ADMIN, "Create an aggregate."),
    Rule(f"{_ROOT}:show", ADMIN, "Show an aggregate."),
    Rule(f"{_ROOT}:update", ADMIN, "Rename an aggregate or set its zone."),
    Rule(f"{_ROOT}:delete", ADMIN, "Delete an aggregate."),
    Rule(f"{_ROOT}:add_host", ADMIN, "Put a host into an aggregate."),
    Rule(f"{_ROOT}:remove_host", ADMIN, "Take a host out of an aggregate."),
    Rule(f"{_ROOT}:set_metadata", ADMIN, "Set and remove metadata of an aggregate."),
    Rule("compute:aggregates:images", ADMIN, "Have the hosts of an aggregate cache images."),
)

HostName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[a-zA-Z0-9\-._]*$")]
Text = Annotated[str, Meta(min_length=1, max_length=255)]
ZoneName = Annotated[str, Meta(min_length=1, max_length=255, pattern=r"^[^:]*$")]
MetadataKey = Annotated[str, Meta(pattern=r"^[a-zA-Z0-9\-_:. ]{1,255}$")]
MetadataValue = Annotated[str, Meta(max_length=255)]


class AggregateCreate(msgspec.Struct):
    """The body of POST."""

    name: Text
    availability_zone: ZoneName | None = None


class AggregateUpdate(msgspec.Struct):
    """The body of PUT; a null zone takes the zone away."""

    name: Text | UnsetType = UNSET
    availability_zone: ZoneName | UnsetType | None = UNSET


class HostOf(msgspec.Struct):
    """The value of ``add_host`` and ``remove_host``."""

    host: HostName


class MetadataChange(msgspec.Struct):
    """The value of ``set_metadata``; null removes a key."""

    metadata: dict[MetadataKey, MetadataValue | None]


class AggregateAction(msgspec.Struct):
    """The body of POST …/action: one of these."""

    add_host: HostOf | UnsetType = UNSET
    remove_host: HostOf | UnsetType = UNSET
    set_metadata: Any = UNSET


class ImageId(msgspec.Struct):
    """One image to cache."""

    id: str


class ImageList(msgspec.Struct):
    """The body of POST …/images."""

    cache: Annotated[list[ImageId], Meta(min_length=1)]


_CREATED = (
    Field("id", attribute("id")),
    Field("uuid", attribute("uuid"), since=41),
    Field("name", attribute("name")),
    Field(_ZONE, lambda aggregate, _scene: aggregate.metadata.get(_ZONE)),
    Field("created_at", lambda aggregate, _scene: precise(aggregate.created_at)),
    Field("updated_at", lambda aggregate, _scene: precise(aggregate.updated_at)),
    Field("deleted", lambda _aggregate, _scene: False),
    Field("deleted_at", lambda _aggregate, _scene: None),
)
#: The answer to a create never had hosts and metadata.
CREATED = View(*_CREATED)
VIEW = View(
    *_CREATED,
    Field("hosts", attribute("hosts")),
    Field("metadata", attribute("metadata")),
)


def _shown(request: ApiRequest, aggregate: Aggregate) -> Any:
    return {"aggregate": VIEW.at(request.minor)(aggregate, None)}


def _wanted_id(request: ApiRequest) -> int:
    return integer_id("id", request.path["aggregate_id"])


def index(request: ApiRequest) -> Any:
    """List aggregates."""
    with request.cloud.db.read() as tx:
        found = tx.aggregates.list()
    render = VIEW.at(request.minor)
    return {"aggregates": [render(aggregate, None) for aggregate in found]}


def create(request: ApiRequest) -> Any:
    """Create an aggregate, a zone where one is named."""
    body: AggregateCreate = request.body
    name = check_name("name", body.name, padded=request.legacy)
    zone = body.availability_zone
    if zone is not None:
        zone = check_name(_ZONE, zone, padded=request.legacy)

    def write(tx: Transaction) -> Aggregate:
        aggregate = tx.aggregates.create(name, zone)
        tell_aggregates_changed(request, tx)
        return aggregate

    aggregate = request.cloud.db.run(write)
    return {"aggregate": CREATED.at(request.minor)(aggregate, None)}


def show(request: ApiRequest) -> Any:
    """Show an aggregate."""
    wanted = _wanted_id(request)
    with request.cloud.db.read() as tx:
        return _shown(request, tx.aggregates.get(wanted))


def _refuse_move_of_servers(tx: Transaction, aggregate_id: int, zone: str | None) -> None:
    """Servers know their zone by their host: it can't change under them."""
    aggregate = tx.aggregates.get(aggregate_id)
    if aggregate.metadata.get(_ZONE) != zone and tx.usage.count_on(aggregate.hosts):
        raise BadRequest(
            f"Cannot update aggregate {aggregate_id}. Reason: One or more hosts contain instances "
            "in this zone."
        )


def update(request: ApiRequest) -> Any:
    """Rename an aggregate, or set or take away its zone."""
    body: AggregateUpdate = request.body
    wanted = _wanted_id(request)
    if body.name is UNSET and body.availability_zone is UNSET:
        raise InvalidInput("aggregate", "'name' or 'availability_zone' is a required property.")
    name = None if body.name is UNSET else check_name("name", body.name, padded=True)
    asked = body.availability_zone

    def write(tx: Transaction) -> Aggregate:
        zone = asked
        if zone is not UNSET:
            if zone is not None:
                zone = check_name(_ZONE, zone, padded=request.legacy)
            _refuse_move_of_servers(tx, wanted, zone)
        aggregate = tx.aggregates.update(wanted, name, None if zone is UNSET else zone)
        if zone is None:
            aggregate = tx.aggregates.set_metadata(wanted, {_ZONE: None})
        tell_aggregates_changed(request, tx)
        return aggregate

    return _shown(request, request.cloud.db.run(write))


def delete(request: ApiRequest) -> Any:
    """Delete an aggregate that has no hosts."""
    wanted = _wanted_id(request)

    def write(tx: Transaction) -> None:
        tx.aggregates.delete(wanted)
        tell_aggregates_changed(request, tx)

    request.cloud.db.run(write)


def act(request: ApiRequest) -> Any:
    """Add or remove a host, or change metadata: the one action that the body names."""
    body: AggregateAction = request.body
    actions = [
        (name, perform, value)
        for name, perform, value in (
            ("add_host", _add_host, body.add_host),
            ("remove_host", _remove_host, body.remove_host),
            ("set_metadata", _set_metadata, body.set_metadata),
        )
        if value is not UNSET
    ]
    if len(actions) != 1:
        raise BadRequest("There must be exactly one action in the body.")
    name, perform, value = actions[0]
    request.check(f"{_ROOT}:{name}")
    wanted = _wanted_id(request)

    def write(tx: Transaction) -> Aggregate:
        aggregate = perform(tx, wanted, value)
        tell_aggregates_changed(request, tx)
        return aggregate

    aggregate = request.cloud.db.run(write)
    return _shown(request, aggregate)


def _add_host(tx: Transaction, aggregate_id: int, wanted: HostOf) -> Aggregate:
    tx.aggregates.get(aggregate_id)
    if tx.services.get_by_host(COMPUTE, wanted.host) is None:
        raise NotFound(f"Compute host {wanted.host} could not be found.")
    return tx.aggregates.add_host(aggregate_id, wanted.host)


def _remove_host(tx: Transaction, aggregate_id: int, wanted: HostOf) -> Aggregate:
    try:
        return tx.aggregates.remove_host(aggregate_id, wanted.host)
    except NotFound:
        raise NotFound(
            f"Cannot remove host {wanted.host} in aggregate {aggregate_id}"
        ) from None


def _set_metadata(tx: Transaction, aggregate_id: int, raw: Any) -> Aggregate:
    metadata = _METADATA.read({"set_metadata": raw}, 1).metadata
    if _ZONE in metadata:
        zone = metadata[_ZONE]
        if zone is not None and (not zone.strip() or ":" in zone):
            raise InvalidInput(_ZONE, "It must not be blank nor hold a colon.", zone)
        _refuse_move_of_servers(tx, aggregate_id, zone)
    return tx.aggregates.set_metadata(aggregate_id, metadata)


def cache_images(request: ApiRequest) -> Any:
    """Have the hosts of an aggregate fetch images ahead of need (2.81)."""
    body: ImageList = request.body
    wanted = _wanted_id(request)
    ids = []
    for image in body.cache:
        try:
            ids.append(str(uuid.UUID(image.id)))
        except ValueError:
            raise InvalidInput("id", "It must be a uuid.", image.id) from None
    if len(set(ids)) != len(ids):
        raise BadRequest("Duplicate images in request")
    with request.cloud.db.read() as tx:
        hosts = tx.aggregates.get(wanted).hosts
    for image_id in ids:
        try:
            request.cloud.images.show(request.caller, image_id)
        except ImageNotFound as error:
            raise BadRequest(error.message) from None
    request.cloud.events.images_wanted(hosts, ids)


_METADATA = Body("set_metadata", MetadataChange)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/os-aggregates", index, rule=f"{_ROOT}:index"),
    Route("POST", "/os-aggregates", create, rule=f"{_ROOT}:create",
          body=Body("aggregate", AggregateCreate)),
    Route("GET", "/os-aggregates/{aggregate_id}", show, rule=f"{_ROOT}:show"),
    Route("PUT", "/os-aggregates/{aggregate_id}", update, rule=f"{_ROOT}:update",
          body=Body("aggregate", AggregateUpdate)),
    Route("DELETE", "/os-aggregates/{aggregate_id}", delete, rule=f"{_ROOT}:delete"),
    Route("POST", "/os-aggregates/{aggregate_id}/action", act,
          body=Body(None, AggregateAction)),
    Route("POST", "/os-aggregates/{aggregate_id}/images", cache_images, 202,
          rule="compute:aggregates:images", body=Body(None, ImageList), since=81),
)
