# SPDX-License-Identifier: Apache-2.0
"""``/images`` seen through compute."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Mapping
from typing import Any, cast

import msgspec
import pytest
from falcon.testing import TestClient

from nova import errors
from nova.api.compute.app import make_compute_app
from nova.api.compute.cloud import Cloud
from nova.objects.context import RequestContext
from nova.objects.image import Image
from tests.unit.api.conftest import Api, FixedTokens, same_shape, sample

SERVER = "f5dc173b-6804-445a-a6d8-c705dad5b5eb"
IDS = [f"70a599e0-31e7-49b7-b260-868f441e862{digit}" for digit in "abc"]


class Shelf:
    """An image service in memory."""

    def __init__(self) -> None:
        moment = datetime.datetime(2026, 1, 2, 3, 4, 5)
        self.images = {
            uuid: Image(
                id=uuid, name=name, status=status, size=7, min_ram=ram, min_disk=1,
                created_at=moment, updated_at=moment, properties=properties,
            )
            for uuid, name, status, ram, properties in (
                (IDS[0], "one", "active", 0, {"auto_disk_config": "True", "n": 1}),
                (IDS[1], "two", "saving", 512, {"instance_uuid": SERVER}),
                (IDS[2], "dreï", "active", 0, {}),
            )
        }

    def list(
        self, context: RequestContext, *, filters: Mapping[str, str], limit: int | None,
        marker: str | None,
    ) -> list[Image]:
        return [] if marker else list(self.images.values())

    def show(self, context: RequestContext, image_id: str) -> Image:
        if image_id not in self.images:
            raise errors.ImageNotFound(image_id)
        return self.images[image_id]

    def update_properties(
        self, context: RequestContext, image_id: str, properties: Mapping[str, Any], *,
        purge: bool = False,
    ) -> Image:
        assert purge
        image = msgspec.structs.replace(self.show(context, image_id), properties=dict(properties))
        self.images[image_id] = image
        return image

    def delete(self, context: RequestContext, image_id: str) -> None:
        del self.images[image_id]


@pytest.fixture
def image_api(cloud: Cloud) -> Api:
    whole = dataclasses.replace(cloud, images=cast(Any, Shelf()))
    app = make_compute_app(whole, FixedTokens(), "http://identity.example.com/v3")
    return Api(TestClient(app), token="member")


def names(api: Api, query: str = "") -> list[str]:
    return [image["name"] for image in api.get(f"/images{query}").json["images"]]


def test_shapes_are_those_of_the_samples(image_api: Api) -> None:
    shown = image_api.get(f"/images/{IDS[0]}").json
    wanted = sample("v2.1/images/image-get-resp.json")
    assert set(shown["image"]) == set(wanted["image"])
    same_shape(shown["image"]["links"], wanted["image"]["links"])
    assert shown["image"]["metadata"]["n"] == "1"
    saving = image_api.get(f"/images/{IDS[1]}").json["image"]
    assert (saving["status"], saving["progress"]) == ("SAVING", 50)
    assert saving["server"]["id"] == SERVER


@pytest.mark.parametrize(
    ("query", "wanted"),
    [
        ("", ["one", "two", "dreï"]), ("?name=two", ["two"]), ("?status=ACTIVE", ["one", "dreï"]),
        (f"?server=http://x/servers/{SERVER}", ["two"]), ("?minRam=1", ["two"]),
        ("?property-n=1", ["one"]), ("?limit=1", ["one"]), (f"?marker={IDS[0]}", ["two", "dreï"]),
        ("?changes-since=2027-01-01", []), ("?anything=x", ["one", "two", "dreï"]),
    ],
)
def test_filters_and_pages(image_api: Api, query: str, wanted: list[str]) -> None:
    assert names(image_api, query) == wanted


def test_windows(image_api: Api) -> None:
    for path in ("/images", "/images/detail", f"/images/{IDS[0]}"):
        assert image_api.get(path, at=35).status_code == 200
        assert image_api.get(path, at=36).status_code == 404
    assert image_api.get(f"/images/{IDS[0]}/metadata", at=38).status_code == 200
    assert image_api.get(f"/images/{IDS[0]}/metadata", at=39).status_code == 404


def test_metadata(image_api: Api) -> None:
    path = f"/images/{IDS[2]}/metadata"
    added = image_api.post(path, {"metadata": {"a": "ü"}}).json
    assert added == {"metadata": {"a": "ü"}}
    assert image_api.put(f"{path}/b", {"meta": {"b": "2"}}).json == {"meta": {"b": "2"}}
    assert image_api.get(f"{path}/b").json == {"meta": {"b": "2"}}
    assert image_api.put(f"{path}/b", {"meta": {"c": "2"}}).status_code == 400
    assert image_api.delete(f"{path}/a").status_code == 204
    assert image_api.get(path).json == {"metadata": {"b": "2"}}
    assert image_api.delete(f"{path}/a").status_code == 404
    assert image_api.put(path, {"metadata": {}}).json == {"metadata": {}}
    many = {"metadata": {f"k{number}": "v" for number in range(200)}}
    assert image_api.put(path, many).status_code == 403


def test_what_is_not_there(image_api: Api) -> None:
    for path in ("/images/nonsense", "/images/%C3%A4", f"/images/{SERVER}",
                 f"/images/{SERVER}/metadata", f"/images/{IDS[0]}/metadata/nothing"):
        assert image_api.get(path).status_code == 404
    assert image_api.get("/images?marker=x").status_code == 400
    assert image_api.get("/images?minRam=x").status_code == 400
    assert image_api.get("/images?changes-since=x").status_code == 400
    assert image_api.delete(f"/images/{IDS[0]}").status_code == 204
    assert image_api.delete(f"/images/{IDS[0]}").status_code == 404


@pytest.mark.parametrize(
    ("called", "host"),
    [
        ("[2001:db8::1]", "[2001:db8::1]"), ("[2001:db8::1]:8774", "[2001:db8::1]"),
        ("cloud.example.com", "cloud.example.com"), ("192.0.2.1:8774", "192.0.2.1"),
    ],
)
def test_the_image_services_link_lost_the_end_of_an_ipv6_address(
    image_api: Api, called: str, host: str
) -> None:
    answer = image_api.client.simulate_get(
        f"/v2.1/images/{IDS[0]}", headers={"X-Auth-Token": "member", "Host": called}
    )
    (link,) = (each for each in answer.json["image"]["links"] if each["rel"] == "alternate")
    assert link["href"] == f"http://{host}:9292/images/{IDS[0]}"
