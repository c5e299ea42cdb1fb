# SPDX-License-Identifier: Apache-2.0
"""``/images``: the image service seen through compute (up to 2.35, metadata up to 2.38)."""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable
from typing import Any

from nova import errors
from nova.api.compute import server_values as values
from nova.api.compute.fields import ABSENT, Field, View, attribute
from nova.api.compute.links import LinkBases
from nova.api.compute.queries import limit_of, unknown_marker
from nova.api.compute.request import ApiRequest, page_links
from nova.api.compute.routing import Query, Route
from nova.api.compute.server_metadata import ITEM, METADATA, one_item
from nova.api.compute.servers_view import bookmark_base, seconds
from nova.api.compute.servers_view import links as server_links
from nova.api.compute.times import read_time
from nova.objects.image import Image
from nova.policy import Rule

RULES: tuple[Rule, ...] = ()

_STATUSES = {
    "active": "ACTIVE", "queued": "SAVING", "saving": "SAVING", "deleted": "DELETED",
    "pending_delete": "DELETED", "killed": "ERROR",
}
_PROGRESS = {"queued": 25, "saving": 50, "active": 100}
_PAGE = 500


def _text(value: Any) -> str:
    return value if isinstance(value, str) else str(value)


def _metadata(image: Image) -> dict[str, str]:
    return {
        key: _text(value) for key, value in image.properties.items() if value is not None
    }


def _moment(moment: datetime.datetime | None) -> str | None:
    return None if moment is None else seconds(moment)


def _disk_config(image: Image, _request: ApiRequest) -> Any:
    found = image.properties.get("auto_disk_config")
    if found is None:
        return ABSENT
    return "AUTO" if _text(found).lower() in ("true", "1", "on", "yes") else "MANUAL"


def _server(image: Image, request: ApiRequest) -> Any:
    uuid = image.properties.get("instance_uuid")
    if not isinstance(uuid, str) or not uuid:
        return ABSENT
    return {"id": uuid, "links": server_links(request.base, bookmark_base(request), uuid)}


def _links(image: Image, request: ApiRequest) -> list[dict[str, str]]:
    scheme, _, behind = request.root.partition("://")
    host = re.sub(":[0-9]*$", "", behind.partition("/")[0])
    port = request.cloud.config.image.listen_port
    return [
        *LinkBases(request, "images").of(image.id),
        {
            "rel": "alternate", "type": "application/vnd.openstack.image",
            "href": f"{scheme}://{host}:{port}/images/{image.id}",
        },
    ]


#: The scene is the request.
BASIC = View(
    Field("id", attribute("id")), Field("name", attribute("name")), Field("links", _links)
)
DETAIL = View(
    *BASIC.fields,
    Field("created", lambda image, _request: _moment(image.created_at)),
    Field("updated", lambda image, _request: _moment(image.updated_at)),
    Field("status", lambda image, _request: _STATUSES.get(image.status, "UNKNOWN")),
    Field("progress", lambda image, _request: _PROGRESS.get(image.status, 0)),
    Field("minDisk", attribute("min_disk")),
    Field("minRam", attribute("min_ram")),
    Field("metadata", lambda image, _request: _metadata(image)),
    Field("OS-EXT-IMG-SIZE:size", lambda image, _request: image.size or 0),
    Field("OS-DCF:diskConfig", _disk_config, maybe_absent=True),
    Field("server", _server, maybe_absent=True),
)


def index(request: ApiRequest) -> Any:
    """Images, ids and names."""
    return _listed(request, BASIC, "images")


def detail(request: ApiRequest) -> Any:
    """Images, whole."""
    return _listed(request, DETAIL, "images")


def _listed(request: ApiRequest, view: View, collection: str) -> Any:
    limit = limit_of(request)
    if not request.legacy:
        for name in ("limit", "page_size", "offset"):
            request.integer(name, minimum=1)
    wanted = _tests(request)
    found = [
        image for image in _visible(request) if all(test(image) for test in wanted)
    ]
    marker = request.one("marker")
    if marker is not None:
        ids = [image.id for image in found]
        if marker not in ids:
            raise unknown_marker(marker)
        found = found[ids.index(marker) + 1 :]
    page = found[:limit]
    render = view.at(request.minor)
    answer: dict[str, Any] = {"images": [render(image, request) for image in page]}
    if page and len(page) == limit:
        answer["images_links"] = page_links(request, collection, page[-1].id)
    return answer


def _visible(request: ApiRequest) -> list[Image]:
    """All images that the caller may see, newest first."""
    found: list[Image] = []
    while True:
        page = request.cloud.images.list(
            request.caller, filters={}, limit=_PAGE, marker=found[-1].id if found else None
        )
        found.extend(page)
        if len(page) < _PAGE:
            return found


def _tests(request: ApiRequest) -> list[Callable[[Image], bool]]:
    """What the query asks of images."""
    tests: list[Callable[[Image], bool]] = []
    for name, texts in request.query.items():
        test = _test(request, name, texts[-1])
        if test is not None:
            tests.append(test)
    return tests


def _test(request: ApiRequest, name: str, text: str) -> Callable[[Image], bool] | None:
    if name == "name":
        return lambda image: image.name == text
    if name == "status":
        return lambda image: text.upper() in (_STATUSES.get(image.status), image.status.upper())
    if name == "server":
        return _has("instance_uuid", values.last_segment(text))
    if name == "type":
        return _has("image_type", text)
    if name.startswith("property-"):
        return _has(name.removeprefix("property-"), text)
    if name == "minRam":
        ram = request.integer("minRam") or 0
        return lambda image: image.min_ram >= ram
    if name == "minDisk":
        disk = request.integer("minDisk") or 0
        return lambda image: image.min_disk >= disk
    if name == "changes-since":
        since = read_time("changes-since", text)
        return lambda image: image.updated_at is not None and image.updated_at >= since
    return None


def _has(key: str, text: str) -> Callable[[Image], bool]:
    return lambda image: key in image.properties and _text(image.properties[key]) == text


def _image(request: ApiRequest) -> Image:
    image_id = request.path["image_id"]
    if not values.is_uuid(image_id):
        raise errors.ImageNotFound(image_id[:64])
    return request.cloud.images.show(request.caller, image_id)


def show(request: ApiRequest) -> Any:
    """One image."""
    return {"image": DETAIL.at(request.minor)(_image(request), request)}


def delete(request: ApiRequest) -> Any:
    """Delete an image."""
    request.cloud.images.delete(request.caller, _image(request).id)
    return None


def metadata_index(request: ApiRequest) -> Any:
    """An image's properties."""
    return {"metadata": _metadata(_image(request))}


def metadata_show(request: ApiRequest) -> Any:
    """One property."""
    key = request.path["key"]
    metadata = _metadata(_image(request))
    if key not in metadata:
        raise errors.NotFound("Metadata item was not found")
    return {"meta": {key: metadata[key]}}


def metadata_create(request: ApiRequest) -> Any:
    """Add properties."""
    items = values.metadata("metadata", request.body.metadata, legacy=request.legacy)
    image = _image(request)
    return {"metadata": _write(request, image, {**_metadata(image), **items})}


def metadata_update_all(request: ApiRequest) -> Any:
    """Replace all properties."""
    items = values.metadata("metadata", request.body.metadata, legacy=request.legacy)
    return {"metadata": _write(request, _image(request), items)}


def metadata_update(request: ApiRequest) -> Any:
    """Set one property."""
    item = one_item(request, request.body.meta, request.path["key"])
    image = _image(request)
    _write(request, image, {**_metadata(image), **item})
    return {"meta": item}


def metadata_delete(request: ApiRequest) -> Any:
    """Remove one property."""
    key = request.path["key"]
    image = _image(request)
    metadata = _metadata(image)
    if key not in metadata:
        raise errors.NotFound("Invalid metadata key")
    del metadata[key]
    _write(request, image, metadata)
    return None


def _write(request: ApiRequest, image: Image, metadata: dict[str, str]) -> dict[str, str]:
    caller = request.caller
    most = request.cloud.limits.get(caller.project_id, caller.user_id)["metadata_items"]
    if 0 <= most < len(metadata):
        raise errors.QuotaExceeded("Image metadata limit exceeded")
    changed = request.cloud.images.update_properties(caller, image.id, metadata, purge=True)
    return _metadata(changed)


_ANY = Query(any_name=True)
_META = "/images/{image_id}/metadata"
ROUTES: tuple[Route, ...] = (
    Route("GET", "/images", index, until=35, query=_ANY),
    Route("GET", "/images/detail", detail, until=35, query=_ANY),
    Route("GET", "/images/{image_id}", show, until=35),
    Route("DELETE", "/images/{image_id}", delete, success=204, until=35),
    Route("GET", _META, metadata_index, until=38),
    Route("POST", _META, metadata_create, body=METADATA, until=38),
    Route("PUT", _META, metadata_update_all, body=METADATA, until=38),
    Route("GET", _META + "/{key}", metadata_show, until=38),
    Route("PUT", _META + "/{key}", metadata_update, body=ITEM, until=38),
    Route("DELETE", _META + "/{key}", metadata_delete, success=204, until=38),
)
