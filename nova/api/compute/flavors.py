# SPDX-License-Identifier: Apache-2.0
"""``flavors``: what sizes servers come in; administrators make and remove them."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

import msgspec
from msgspec import UNSET, UnsetType

from nova.api.compute.bodies import Body, Name, NonNegativeInt, PositiveInt, window
from nova.api.compute.fields import Field, View, attribute
from nova.api.compute.links import LinkBases
from nova.api.compute.policies import ADMIN
from nova.api.compute.queries import limit_of
from nova.api.compute.request import ApiRequest, page_links
from nova.api.compute.routing import Query, Route
from nova.api.compute.texts import (
    Boolean,
    LongDescription,
    check_description,
    check_name,
    truth,
)
from nova.db.engine import Transaction
from nova.errors import BadRequest, InvalidInput
from nova.objects.flavor import Flavor, FlavorQuery
from nova.policy import Rule

_ROOT = "os_compute_api:os-flavor-manage"
_SEE_EXTRA_SPECS = "os_compute_api:os-flavor-extra-specs:index"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:create", ADMIN, "Create a flavor."),
    Rule(f"{_ROOT}:update", ADMIN, "Update a flavor."),
    Rule(f"{_ROOT}:delete", ADMIN, "Delete a flavor."),
)

_FLAVORID = re.compile(r"(?! )[a-zA-Z0-9. _-]+(?<! )")
_RXTX = re.compile(r"[0-9]+(\.[0-9]+)?")
_LARGEST_FLOAT = 3.40282e38

SortKey = Literal[
    "created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public",
    "memory_mb", "name", "root_gb", "rxtx_factor", "swap", "updated_at", "vcpu_weight", "vcpus",
]
_SORT_KEYS: frozenset[str] = frozenset(SortKey.__args__)  # type: ignore[attr-defined]

BRIEF = View(
    Field("id", attribute("flavorid")),
    Field("name", attribute("name")),
    Field("description", attribute("description"), since=55),
    Field("links", lambda flavor, links: links.of(flavor.flavorid)),
)

VIEW = View(
    Field("id", attribute("flavorid")),
    Field("name", attribute("name")),
    Field("ram", attribute("memory_mb")),
    Field("disk", attribute("root_gb")),
    Field("swap", lambda flavor, _links: flavor.swap or "", until=74),
    Field("swap", attribute("swap"), since=75),
    Field("OS-FLV-EXT-DATA:ephemeral", attribute("ephemeral_gb")),
    Field("OS-FLV-DISABLED:disabled", attribute("disabled"), until=101),
    Field("vcpus", attribute("vcpus")),
    Field("os-flavor-access:is_public", attribute("is_public")),
    Field("rxtx_factor", attribute("rxtx_factor"), until=101),
    Field("description", attribute("description"), since=55),
    Field("extra_specs", attribute("extra_specs"), since=61, only="extra_specs"),
    Field("links", lambda flavor, links: links.of(flavor.flavorid)),
)


class FlavorCreate(msgspec.Struct, kw_only=True):
    """``POST /flavors``. ``ram`` and ``swap`` are MiB, ``disk`` and ephemeral GiB."""

    name: Name
    ram: PositiveInt
    vcpus: PositiveInt
    disk: NonNegativeInt
    id: str | int | float | None = None
    swap: NonNegativeInt = 0
    ephemeral: NonNegativeInt = msgspec.field(name="OS-FLV-EXT-DATA:ephemeral", default=0)
    is_public: Boolean = msgspec.field(name="os-flavor-access:is_public", default=True)
    rxtx_factor: Annotated[int | float | str | UnsetType, window(until=101)] = UNSET
    description: Annotated[LongDescription | None, window(since=55)] = None


class FlavorUpdate(msgspec.Struct):
    """``PUT /flavors/{id}``."""

    description: LongDescription | None


def _flavorid(value: str | int | float | None) -> str | None:
    """The id asked for; None and ``auto`` leave it to the cloud."""
    if value is None or value == "auto":
        return None
    text = str(value)
    if not 1 <= len(text) <= 255 or _FLAVORID.fullmatch(text) is None:
        raise InvalidInput(
            "id",
            "It may hold letters, digits, '.', '_', '-' and blanks inside, 1 to 255 characters.",
            text,
        )
    return text


def _rxtx(value: int | float | str | UnsetType) -> float:
    if value is UNSET:
        return 1.0
    if not isinstance(value, str) or _RXTX.fullmatch(value):
        number = _as_float(value)
        if number is not None and 0 < number <= _LARGEST_FLOAT:
            return number
    raise InvalidInput("rxtx_factor", "It must be a number greater than 0.", value)


def _as_float(value: Any) -> float | None:
    try:
        return float(value)
    except OverflowError:
        return None


def _flags(request: ApiRequest) -> tuple[str, ...]:
    return ("extra_specs",) if request.allows(_SEE_EXTRA_SPECS) else ()


def _render(request: ApiRequest, flavor: Flavor) -> dict[str, Any]:
    render = VIEW.at(request.minor, _flags(request))
    return {"flavor": render(flavor, LinkBases(request, "flavors"))}


def visible_to(request: ApiRequest) -> str | None:
    """The project whose flavors the caller may see; None where the caller may see all."""
    return None if request.caller.is_admin else request.caller.project_id


def _is_public(text: str | None) -> bool | None:
    """What ``is_public`` asks for; None is both kinds."""
    if text is None:
        return True
    word = text.strip().lower()
    if word == "none":
        return None
    if word in ("1", "t", "true", "on", "y", "yes"):
        return True
    if word in ("0", "f", "false", "off", "n", "no"):
        return False
    raise BadRequest(f"Invalid is_public filter [{text[:40]}]")


def _least(request: ApiRequest, name: str) -> int | None:
    text = request.one(name)
    if text is None:
        return None
    try:
        return max(-(2**31), min(int(text), 2**31 - 1))
    except ValueError:
        raise BadRequest(f"Invalid {name} filter [{text[:40]}]") from None


def _name_filter(request: ApiRequest) -> str | None:
    """``name`` (2.102), a regular expression."""
    if not request.features.strict_queries_everywhere:
        return None
    text = request.one("name")
    if text is not None:
        try:
            re.compile(text)
        except (re.error, RecursionError, OverflowError):
            raise InvalidInput("name", "It is not a regular expression.", text) from None
    return text


def _choice(request: ApiRequest, name: str, choices: frozenset[str], default: str) -> str:
    text = request.one(name, default) or ""
    if text not in choices:
        raise BadRequest(
            f"Invalid input for query parameters {name}. Value: {text[:40]}. "
            f"'{text[:40]}' is not one of {sorted(choices)}"
        )
    return text


def _query(request: ApiRequest) -> FlavorQuery:
    keys = _SORT_KEYS
    if request.features.strict_queries_everywhere:
        keys = keys - {"rxtx_factor"}
    caller = request.caller
    return FlavorQuery(
        is_public=_is_public(request.one("is_public")) if caller.is_admin else True,
        disabled=None if caller.is_admin else False,
        project_id=caller.project_id,
        min_ram=_least(request, "minRam"),
        min_disk=_least(request, "minDisk"),
        name=_name_filter(request),
        sort_key=_choice(request, "sort_key", keys, "flavorid"),
        descending=_choice(request, "sort_dir", frozenset({"asc", "desc"}), "asc") == "desc",
        marker=request.one("marker"),
        limit=limit_of(request),
    )


def _page(request: ApiRequest, view: View, flags: tuple[str, ...]) -> dict[str, Any]:
    query = _query(request)
    with request.cloud.db.read() as tx:
        found = tx.flavors.list(query)
    links = LinkBases(request, "flavors")
    render = view.at(request.minor, flags)
    answer: dict[str, Any] = {"flavors": [render(flavor, links) for flavor in found]}
    more = page_links(
        request, "flavors", found[-1].flavorid if found and len(found) == query.limit else None
    )
    if more is not None:
        answer["flavors_links"] = more
    return answer


def index(request: ApiRequest) -> Any:
    """List flavors: ids, names and links."""
    return _page(request, BRIEF, ())


def detail(request: ApiRequest) -> Any:
    """List flavors with all that is known of them."""
    return _page(request, VIEW, _flags(request))


def show(request: ApiRequest) -> Any:
    """Show a flavor that the caller may use."""
    with request.cloud.db.read() as tx:
        flavor = tx.flavors.get(request.path["flavor_id"], project_id=visible_to(request))
    return _render(request, flavor)


def create(request: ApiRequest) -> Any:
    """Make a flavor."""
    body: FlavorCreate = request.body
    name = check_name("name", body.name, padded=request.legacy)
    description = check_description("description", body.description)
    flavorid = _flavorid(body.id)
    rxtx_factor = _rxtx(body.rxtx_factor)

    def write(tx: Transaction) -> Flavor:
        tx.after_commit(request.cloud.flavors.forget)
        return tx.flavors.create(
            name,
            flavorid=flavorid,
            memory_mb=body.ram,
            vcpus=body.vcpus,
            root_gb=body.disk,
            ephemeral_gb=body.ephemeral,
            swap=body.swap,
            rxtx_factor=rxtx_factor,
            is_public=truth(body.is_public),
            description=description,
        )

    flavor = request.cloud.db.run(write)
    return _render(request, flavor)


def update(request: ApiRequest) -> Any:
    """Change the description of a flavor."""
    description = check_description("description", request.body.description)

    def write(tx: Transaction) -> Flavor:
        tx.after_commit(request.cloud.flavors.forget)
        return tx.flavors.update_description(request.path["flavor_id"], description)

    flavor = request.cloud.db.run(write)
    return _render(request, flavor)


def delete(request: ApiRequest) -> None:
    """Remove a flavor; servers made from it keep running."""

    def write(tx: Transaction) -> None:
        tx.after_commit(request.cloud.flavors.forget)
        tx.flavors.delete(request.path["flavor_id"])

    request.cloud.db.run(write)


_LIST = Query(
    {
        "limit": 1, "marker": 1, "is_public": 1, "minRam": 1, "minDisk": 1, "sort_key": 1,
        "sort_dir": 1, "name": 102,
    },
    strict=75,
)

ROUTES: tuple[Route, ...] = (
    Route("GET", "/flavors", index, query=_LIST),
    Route("POST", "/flavors", create, rule=f"{_ROOT}:create", body=Body("flavor", FlavorCreate)),
    Route("GET", "/flavors/detail", detail, query=_LIST),
    Route("GET", "/flavors/{flavor_id}", show),
    Route("PUT", "/flavors/{flavor_id}", update, rule=f"{_ROOT}:update", since=55,
          body=Body("flavor", FlavorUpdate)),
    Route("DELETE", "/flavors/{flavor_id}", delete, 202, rule=f"{_ROOT}:delete"),
)
