# SPDX-License-Identifier: Apache-2.0
"""Lists of images over HTTP: filters, order, paging."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.image_cloud import NO_IMAGE, Cloud


@pytest.fixture(scope="module")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """Six images of different kinds, sizes 0 to 500."""
    cloud = Cloud(tmp_path_factory.mktemp("shelf"))
    kinds = ("raw", "qcow2", "iso")
    for number in range(6):
        image = cloud.create(
            name=f"image {number}" if number else "Ubuntu:22.04, \"LTS\"",
            disk_format=kinds[number % 3], min_ram=number, os_distro="ü" if number % 2 else "o",
            os_hidden=number == 5, protected=number == 4, tags=["odd"] if number % 2 else [],
        )
        if number != 3:
            cloud.upload(image["id"], bytes(number * 100))
    yield cloud
    cloud.stop()


def _names(cloud: Cloud, query: str) -> list[str]:
    answer = cloud.call("GET", f"/v2/images{query}")
    assert answer.status == 200, answer.body
    return [image["name"][-1] for image in answer.json["images"]]


@pytest.mark.parametrize(("query", "expected"), [
    ("?sort=name:asc", "\"1234"),
    ("", "4321\""),
    ("?name=image%202", "2"),
    ("?name=Ubuntu:22.04,%20%22LTS%22", "\""),
    ("?name=in:image%201,image%202", "21"),
    ("?name=in:%22Ubuntu:22.04,%20%5C%22LTS%5C%22%22,image%201", "1\""),
    ("?status=queued", "3"),
    ("?status=in:queued,saving", "3"),
    ("?disk_format=raw", "3\""),
    ("?container_format=ovf", ""),
    ("?size_min=100&size_max=200", "21"),
    ("?size=400", "4"),
    ("?min_ram=2", "2"),
    ("?owner=a&protected=true", "4"),
    ("?owner=b", ""),
    ("?os_hidden=true", "5"),
    ("?tag=odd", "31"),
    ("?tag=odd&tag=even", ""),
    ("?os_distro=%C3%BC", "31"),
    ("?os_distro=missing", ""),
    ("?created_at=gt:2001-01-01T00:00:00Z", "4321\""),
    ("?created_at=lt:2001-01-01T00:00:00Z", ""),
    ("?updated_at=gte:2001-01-01T00:00:00%2B02:00&limit=1", "4"),
    ("?sort_key=size&sort_dir=asc&status=active", "\"124"),
    ("?sort=disk_format,size:desc", "\"3412"),
    ("?sort_key=disk_format&sort_dir=asc&sort_key=min_ram", None),
    ("?limit=0", ""),
    ("?visibility=private", ""),
    ("?visibility=shared", "4321\""),
    ("?id=in:nothing", ""),
])
def test_filters_and_order(shelf: Cloud, query: str, expected: str | None) -> None:
    if expected is None:
        assert shelf.call("GET", f"/v2/images{query}").status == 400
    else:
        assert "".join(_names(shelf, query)) == expected


@pytest.mark.parametrize("query", [
    "limit=-1", "limit=x", "limit=", "limit=" + "9" * 400, "marker=nothing", "marker=%00",
    f"marker={NO_IMAGE}", "sort=size:up", "sort=color", "sort=name,&sort=", "sort_key=owner",
    "sort_dir=down", "sort=name&sort_key=size", "sort_key=name&sort_dir=asc&sort_dir=desc",
    "visibility=secret", "member_status=odd", "size_min=x", "size=%C3%BC", "size_min=" + "9" * 30,
    "min_ram=1.5", "created_at=yesterday", "created_at=like:2015-01-01", "status=like:x",
    "protected=maybe", "os_hidden=maybe", "name=in:%22open", "name=in:%22a%22b",
    "changes-since=2015-01-01", "&".join(["tag=x"] * 300), "name=%00", "%00=x", "name=%ff",
    "%ff=1", "tag=%00",
])
def test_bad_queries(shelf: Cloud, query: str) -> None:
    answer = shelf.call("GET", f"/v2/images?{query}")
    assert answer.status == 400, answer.body
    assert answer.message


def test_pages_cover_everything_once(shelf: Cloud) -> None:
    for order in ("sort=size:asc", "sort=size:desc", "sort=disk_format:asc,name:desc",
                  "sort_key=name&sort_dir=desc", ""):
        whole = shelf.ids(f"?{order}")
        path: str | None = f"/v2/images?limit=2&{order}"
        found: list[str] = []
        while path:
            page = shelf.call("GET", path).json
            assert page["first"].startswith("/v2/images?limit=2")
            assert "marker" not in page["first"]
            found += [image["id"] for image in page["images"]]
            path = page.get("next")
            assert len(found) <= 6
        assert found == whole, order
