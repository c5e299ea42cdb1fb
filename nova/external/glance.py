# SPDX-License-Identifier: Apache-2.0
"""The images of an external Glance (Image API v2), as compute needs them.

What a user asks for is asked of Glance with the user's own token, so that Glance decides what may be seen
and done. The cloud's own work (a host reads an image, a snapshot's data comes in after the token's end) is
done with the service's login.
"""

from __future__ import annotations

import contextlib
import datetime
import json
import logging
import threading
import time
from collections.abc import Iterable, Iterator, Mapping
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from keystoneauth1 import exceptions as auth_errors
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session

from nova.conf.glance import GlanceSection
from nova.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    ImageNotFound,
    NovaError,
    QuotaExceeded,
    ServiceUnavailable,
    TooLarge,
    Unauthorized,
)
from nova.objects.context import RequestContext
from nova.objects.image import Image

LOG = logging.getLogger(__name__)

#: Attributes of the Image API v2 that are no free properties (its schema, "is_base").
_BASE = frozenset(
    {
        "id", "name", "status", "owner", "visibility", "disk_format", "container_format", "size",
        "virtual_size", "checksum", "os_hash_algo", "os_hash_value", "min_disk", "min_ram", "protected",
        "tags", "created_at", "updated_at", "self", "file", "schema", "direct_url", "locations", "stores",
        "os_hidden",
    }
)
_PIECE = 1 << 20
_PATCH = "application/openstack-images-v2.1-json-patch"
_MOST_CACHED = 10_000
#: Most images on a page that Glance gives (its `api_limit_max`).
_PAGE = 1000


class GlanceImages:
    """An ``Images`` (see ``nova.compute.images``) of an external Glance.

    ``session`` has the service's login. What is known of an image counts for ``cache_seconds``.
    """

    def __init__(self, section: GlanceSection, session: Session) -> None:
        self._section = section
        self._addresses: tuple[str | None, ...] = tuple(
            _base_address(each) for each in section.addresses()
        ) or (None,)
        self._adapter = Adapter(
            session, service_type="image", interface=list(section.valid_interfaces),
            region_name=section.region_name, default_microversion=None,
        )
        self._verify = False if section.insecure else (section.cafile or True)
        self._cache: dict[tuple[str, str], tuple[Image, float]] = {}
        self._lock = threading.Lock()

    def show(self, context: RequestContext, image_id: str) -> Image:
        """An image; raises ``ImageNotFound`` where it is missing or not visible."""
        key = (image_id, context.project_id if context.token else "")
        found = self._cache.get(key)
        if found is not None and time.monotonic() < found[1]:
            return found[0]
        answer = self._send(context, "GET", f"/v2/images/{image_id}", image_id=image_id)
        image = image_of(answer.json())
        with self._lock:
            if len(self._cache) >= _MOST_CACHED:
                self._cache.clear()
            # An image that is being filled changes at any moment.
            if image.status == "active":
                self._cache[key] = (image, time.monotonic() + self._section.cache_seconds)
        return image

    def list(
        self,
        context: RequestContext,
        *,
        filters: Mapping[str, str],
        limit: int | None,
        marker: str | None,
    ) -> list[Image]:
        """A page of visible images, newest first; ``filters`` are those of the Image API's list."""
        query: dict[str, Any] = dict(filters)
        if marker is not None:
            query["marker"] = marker
        found: list[Image] = []
        while True:
            wanted = _PAGE if limit is None else min(_PAGE, limit - len(found))
            if wanted <= 0:
                return found
            page = self._send(
                context, "GET", "/v2/images", params={**query, "limit": wanted}, image_id=marker or ""
            ).json()
            found += [image_of(each) for each in page["images"]]
            following = page.get("next")
            if following is None:
                return found
            query = {
                name: value for name, value in parse_qsl(urlsplit(following).query) if name != "limit"
            }

    def create(
        self,
        context: RequestContext,
        *,
        name: str,
        properties: Mapping[str, Any],
        disk_format: str | None,
        container_format: str | None,
        min_disk: int = 0,
        min_ram: int = 0,
        visibility: str = "private",
        owner: str | None = None,
        image_id: str | None = None,
    ) -> Image:
        """Make a record without data."""
        body: dict[str, Any] = {
            **_as_text(properties), "name": name, "min_disk": min_disk, "min_ram": min_ram,
            "visibility": visibility,
        }
        given = {
            "disk_format": disk_format, "container_format": container_format, "owner": owner, "id": image_id,
        }
        body.update({key: value for key, value in given.items() if value is not None})
        answer = self._send(context, "POST", "/v2/images", json=body, image_id=image_id or "")
        return image_of(answer.json())

    def upload(self, context: RequestContext, image_id: str, chunks: Iterable[bytes]) -> Image:
        """Store the data; the image is then active. Raises ``Conflict`` where it has data."""
        self._send(
            context, "PUT", f"/v2/images/{image_id}/file", data=iter(chunks), image_id=image_id,
            headers={"Content-Type": "application/octet-stream"},
        )
        self._forget(image_id)
        return self.show(context, image_id)

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        """The data, in pieces. Raises ``Conflict`` for an image without data."""
        answer = self._send(
            context, "GET", f"/v2/images/{image_id}/file", image_id=image_id, stream=True
        )
        if answer.status_code == 204:
            answer.close()
            raise Conflict(f"Image {image_id} has no data.")
        return _pieces(answer)

    def update_properties(
        self,
        context: RequestContext,
        image_id: str,
        properties: Mapping[str, Any],
        *,
        purge: bool = False,
    ) -> Image:
        """Set free properties; with ``purge`` those not named are removed."""
        self._forget(image_id)
        present = self.show(context, image_id).properties
        wanted = _as_text(properties)
        changes = [
            {"op": "replace" if name in present else "add", "path": _pointer(name), "value": value}
            for name, value in wanted.items()
            if present.get(name) != value
        ]
        if purge:
            changes += [
                {"op": "remove", "path": _pointer(name)} for name in present if name not in wanted
            ]
        if changes:
            self._send(
                context, "PATCH", f"/v2/images/{image_id}", data=json.dumps(changes).encode(),
                image_id=image_id, headers={"Content-Type": _PATCH},
            )
            self._forget(image_id)
        return self.show(context, image_id)

    def delete(self, context: RequestContext, image_id: str) -> None:
        """Delete; raises ``ImageNotFound`` or ``Forbidden``."""
        self._send(context, "DELETE", f"/v2/images/{image_id}", image_id=image_id)
        self._forget(image_id)

    def health(self) -> dict[str, Any]:
        """Ask whether the image service answers; raises ``ServiceUnavailable``."""
        began = time.perf_counter()
        try:
            answer = self._request(self._addresses[0], "GET", "/versions", {"timeout": 3})
        except (auth_errors.ClientException, NovaError) as error:
            raise ServiceUnavailable(str(error)) from None
        if answer.status_code >= 500:
            raise ServiceUnavailable(f"it answers {answer.status_code}")
        return {"latency_ms": round((time.perf_counter() - began) * 1000, 2)}

    # --- requests ----------------------------------------------------------------------------------

    def _send(
        self, context: RequestContext, method: str, path: str, *, image_id: str, **options: Any
    ) -> Any:
        """A good answer; other ones as errors of ours.

        Addresses are tried in turn where one cannot be connected to, as nothing was sent then.
        """
        headers = dict(options.pop("headers", {}))
        options["authenticated"] = not context.token
        if context.token:
            headers["X-Auth-Token"] = context.token
        if context.request_id:
            headers["X-OpenStack-Request-ID"] = context.request_id
        failure: Exception | None = None
        for address in self._addresses:
            try:
                answer = self._request(address, method, path, {**options, "headers": headers})
            except (auth_errors.ConnectFailure, auth_errors.RequestTimeout) as error:
                LOG.warning("image service: %s", error)
                failure = error
                if method == "PUT":
                    # The data is used up.
                    break
                continue
            except auth_errors.ClientException as error:
                raise ServiceUnavailable(f"The image service cannot be asked: {error}") from error
            _raise_for(answer, image_id)
            return answer
        raise ServiceUnavailable("The image service does not answer.") from failure

    def _request(
        self, address: str | None, method: str, path: str, options: dict[str, Any]
    ) -> Any:
        if address is None:
            # The service's own catalogue, also for what is asked with a user's token.
            address = _base_address(self._adapter.get_endpoint())
        return self._adapter.request(
            path, method, raise_exc=False, endpoint_override=address, verify=self._verify,
            connect_retries=self._section.num_retries if method == "GET" else 0,
            **{"timeout": self._section.timeout, **options},
        )

    def _forget(self, image_id: str) -> None:
        with self._lock:
            for key in [each for each in self._cache if each[0] == image_id]:
                del self._cache[key]


def image_of(facts: Mapping[str, Any]) -> Image:
    """An image of the Image API v2 as compute has it."""
    return Image(
        id=facts["id"], name=facts.get("name") or "", status=facts["status"], owner=facts.get("owner"),
        visibility=facts.get("visibility", "private"), disk_format=facts.get("disk_format"),
        container_format=facts.get("container_format"), size=facts.get("size"),
        virtual_size=facts.get("virtual_size"), checksum=facts.get("checksum"),
        os_hash_algo=facts.get("os_hash_algo"), os_hash_value=facts.get("os_hash_value"),
        min_disk=facts.get("min_disk") or 0, min_ram=facts.get("min_ram") or 0,
        protected=bool(facts.get("protected")), tags=tuple(facts.get("tags", ())),
        created_at=_time(facts.get("created_at")), updated_at=_time(facts.get("updated_at")),
        properties={name: value for name, value in facts.items() if name not in _BASE},
    )


def _time(text: str | None) -> datetime.datetime | None:
    """A time as Glance writes it, without its zone, which is UTC."""
    if text is None:
        return None
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    return None


def _as_text(properties: Mapping[str, Any]) -> dict[str, str]:
    """Free properties as Glance takes them: text; documents as JSON, None left out."""
    kept: dict[str, str] = {}
    for name, value in properties.items():
        if value is None or name in _BASE:
            continue
        kept[name] = json.dumps(value) if isinstance(value, (dict, list, tuple)) else str(value)
    return kept


def _pointer(name: str) -> str:
    """The JSON pointer (RFC 6901) of a property."""
    return "/" + name.replace("~", "~0").replace("/", "~1")


def _pieces(answer: Any) -> Iterator[bytes]:
    """The body as it comes; raises ``ServiceUnavailable`` where it breaks off."""
    try:
        with contextlib.closing(answer):
            yield from answer.iter_content(_PIECE)
    except OSError as error:
        raise ServiceUnavailable(f"The image service broke off: {error}") from error


def _base_address(address: str | None) -> str:
    """The address without a version, which the paths have."""
    text = (address or "").rstrip("/")
    head, _, last = text.rpartition("/")
    return head if last.startswith("v") and last[1:2].isdigit() else text


def _raise_for(answer: Any, image_id: str) -> None:
    """An answer that is none of success, as an error of ours with Glance's own words."""
    status = answer.status_code
    if status < 400:
        return
    text = _words(answer)
    answer.close()
    if status == 401:
        raise Unauthorized()
    if status == 404:
        raise ImageNotFound(image_id)
    kinds: dict[int, type[NovaError]] = {
        400: BadRequest, 403: Forbidden, 409: Conflict, 410: ImageNotFound, 413: TooLarge,
    }
    if status == 413 and "quota" in text.lower():
        raise QuotaExceeded(text)
    if status == 403 and "quota" in text.lower():
        raise QuotaExceeded(text)
    kind = kinds.get(status, BadRequest if status < 500 else ServiceUnavailable)
    raise kind(image_id if kind is ImageNotFound else f"The image service refuses: {text}")


def _words(answer: Any) -> str:
    """What Glance says: the title and text of its HTML, in one line."""
    text = answer.text
    body = text.partition("<body>")[2].partition("</body>")[0] or text
    plain = ""
    inside = False
    for letter in body:
        if letter == "<":
            inside = True
            plain += " "
        elif letter == ">":
            inside = False
        elif not inside:
            plain += letter
    return " ".join(plain.split())[:255] or f"status {answer.status_code}"
