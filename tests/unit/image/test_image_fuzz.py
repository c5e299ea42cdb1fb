# SPDX-License-Identifier: Apache-2.0
"""Whatever a client sends, the image API answers with a refusal, never with an error of its own."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nova.conf.image import ImageSection
from nova.image import fields
from nova.image.app import make_image_app
from nova.image.service import ImageService
from nova.objects.context import RequestContext
from tests.databases import new_database

IMAGE_ID = "11111111-2222-4333-8444-555555555555"
OWNER = RequestContext(user_id="u", project_id="p", roles=("member",))


class Anybody:
    def authenticate(self, token: str) -> RequestContext:
        return OWNER


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[falcon.testing.TestClient]:
    directory: Path = tmp_path_factory.mktemp("fuzz")
    database = new_database(directory)
    service = ImageService(database, ImageSection(), directory / "images")
    service.create(OWNER, {"id": IMAGE_ID, "disk_format": "raw", "container_format": "bare"}, {})
    service.upload(OWNER, IMAGE_ID, [b"0123456789"])
    yield falcon.testing.TestClient(make_image_app(service, Anybody(), "http://identity.test"))
    database.dispose()


FUZZ = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
TEXT = st.one_of(
    st.text(max_size=20), st.sampled_from(["", "\0", "a" * 300, "/", "~", "in:\"", "é🐧", "gt:"])
)
NAMES = st.one_of(
    TEXT, st.sampled_from([*fields.SETTABLE, *fields.READ_ONLY, *fields.RESERVED, "op", "path"])
)
VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False),
        TEXT, st.sampled_from([*fields.DISK_FORMATS, *fields.VISIBILITIES, str(uuid.uuid4())]),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(NAMES, inner, max_size=3)
    ),
    max_leaves=6,
)
OPERATIONS = st.fixed_dictionaries({}, optional={
    "op": st.one_of(st.sampled_from(["add", "replace", "remove"]), VALUES),
    "path": st.one_of(NAMES.map("/{}".format), VALUES),
    "value": VALUES, "add": VALUES, "replace": st.one_of(NAMES.map("/{}".format), VALUES),
})


def _answered(result: falcon.testing.Result) -> None:
    assert result.status_code < 500, result.text
    if result.status_code >= 400:
        assert result.json["error"]["message"]


@FUZZ
@given(body=st.one_of(st.dictionaries(NAMES, VALUES, max_size=4), VALUES))
def test_create(client: falcon.testing.TestClient, body: Any) -> None:
    headers = {"X-Auth-Token": "t"}
    _answered(client.simulate_post("/v2/images", body=json.dumps(body), headers=headers))
    for path in ("members", "import"):
        _answered(client.simulate_post(
            f"/v2/images/{IMAGE_ID}/{path}", body=json.dumps(body), headers=headers
        ))


@FUZZ
@given(changes=st.one_of(st.lists(OPERATIONS, max_size=3), VALUES), version=st.sampled_from("01"))
def test_patch(client: falcon.testing.TestClient, changes: Any, version: str) -> None:
    _answered(client.simulate_patch(
        f"/v2/images/{IMAGE_ID}", body=json.dumps(changes),
        headers={
            "X-Auth-Token": "t",
            "Content-Type": f"application/openstack-images-v2.{version}-json-patch",
        },
    ))


@FUZZ
@given(
    names=st.lists(
        st.one_of(NAMES, st.sampled_from(
            ["limit", "marker", "sort", "sort_key", "sort_dir", "size_min", "min_ram_max", "tag",
             "created_at", "updated_at", "member_status", "status", "_min", "size_max"]
        )), max_size=3,
    ),
    values=st.lists(st.one_of(TEXT, st.integers().map(str)), min_size=3, max_size=3),
)
def test_list(client: falcon.testing.TestClient, names: list[str], values: list[str]) -> None:
    query = list(zip(names, values, strict=False))
    try:
        parameters = falcon.uri.encode_value("") + "&".join(
            f"{falcon.uri.encode_value(name)}={falcon.uri.encode_value(value)}"
            for name, value in query
        )
    except UnicodeEncodeError:
        return
    _answered(client.simulate_get(
        "/v2/images", query_string=parameters, headers={"X-Auth-Token": "t"}
    ))


@FUZZ
@given(
    method=st.sampled_from(["GET", "PUT", "POST", "PATCH", "DELETE", "HEAD", "OPTIONS"]),
    parts=st.lists(
        st.one_of(TEXT, st.sampled_from(
            ["v2", "images", "members", "tags", "file", "schemas", "image", "..", str(uuid.uuid4())]
        )), max_size=5,
    ),
)
def test_paths(client: falcon.testing.TestClient, method: str, parts: list[str]) -> None:
    try:
        path = "/v2/images/" + "/".join(falcon.uri.encode_value(part) for part in parts)
    except UnicodeEncodeError:
        return
    result = client.simulate_request(method, path, headers={"X-Auth-Token": "t"})
    assert result.status_code < 500, (method, path)


@FUZZ
@given(header=st.one_of(
    st.from_regex(r"bytes=\d{0,22}-\d{0,22}(,\d)?", fullmatch=True),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30),
))
def test_ranges(client: falcon.testing.TestClient, header: str) -> None:
    result = client.simulate_get(
        f"/v2/images/{IMAGE_ID}/file", headers={"X-Auth-Token": "t", "Range": header}
    )
    assert result.status_code in (200, 206, 400, 416)
    if result.status_code == 206:
        part, _, size = result.headers["Content-Range"].removeprefix("bytes ").partition("/")
        first, _, last = part.partition("-")
        assert size == "10"
        assert result.content == b"0123456789"[int(first):int(last) + 1] != b""
