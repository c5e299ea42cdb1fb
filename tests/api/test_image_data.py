# SPDX-License-Identifier: Apache-2.0
"""Image data over HTTP: uploads whole and broken, downloads, ranges, import, limits."""

from __future__ import annotations

import hashlib
import http.client
import os
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.image_cloud import Answer, Cloud, OtherProcess, wait_for_status


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path_factory.mktemp("image"))
    yield cloud
    cloud.stop()


@pytest.fixture
def empty_cloud(tmp_path: Path) -> Iterator[Cloud]:
    cloud = Cloud(tmp_path)
    yield cloud
    cloud.stop()


# --- data --------------------------------------------------------------------------------------


def test_upload_and_download(cloud: Cloud) -> None:
    data = os.urandom(1_500_000)
    image = cloud.create()
    empty = cloud.call("GET", f"/v2/images/{image['id']}/file")
    assert (empty.status, empty.body) == (204, b"")
    assert cloud.upload(image["id"], data).status == 204
    shown = cloud.show(image["id"])
    assert shown["status"] == "active"
    assert shown["size"] == shown["virtual_size"] == len(data)
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert shown["os_hash_algo"] == "sha512"
    assert shown["os_hash_value"] == hashlib.sha512(data).hexdigest()
    got = cloud.call("GET", f"/v2/images/{image['id']}/file")
    assert got.status == 200
    assert got.body == data
    assert got.headers["Content-Length"] == str(len(data))
    assert got.headers["Content-MD5"] == shown["checksum"]
    assert got.headers["Content-Type"] == "application/octet-stream"
    stored = cloud.directory / image["id"]
    assert stored.stat().st_mode & 0o777 == 0o600
    assert cloud.directory.stat().st_mode & 0o777 == 0o700
    assert cloud.upload(image["id"], b"again").status == 409
    assert stored.read_bytes() == data
    assert cloud.call("DELETE", f"/v2/images/{image['id']}").status == 204
    assert not stored.exists()


def test_chunked_upload(cloud: Cloud) -> None:
    image = cloud.create()
    pieces = [os.urandom(70_000) for _ in range(5)]
    assert cloud.upload(image["id"], iter(pieces)).status == 204
    assert cloud.call("GET", f"/v2/images/{image['id']}/file").body == b"".join(pieces)


def test_an_image_may_hold_no_bytes(cloud: Cloud) -> None:
    image = cloud.create()
    assert cloud.upload(image["id"], b"").status == 204
    assert cloud.show(image["id"])["size"] == 0
    got = cloud.call("GET", f"/v2/images/{image['id']}/file")
    assert (got.status, got.body) == (200, b"")


def test_upload_refusals(cloud: Cloud) -> None:
    image = cloud.create(disk_format=None)
    answer = cloud.upload(image["id"], b"data")
    assert answer.status == 400
    assert "disk_format" in answer.message
    image = cloud.create()
    path = f"/v2/images/{image['id']}/file"
    assert cloud.call("PUT", path, b"x", headers={"Content-Type": "text/plain"}).status == 415
    assert cloud.upload(image["id"], b"x", token="bob").status == 404
    for size in ("-1", "x", "1" * 30, "2"):
        refused = cloud.upload(image["id"], b"x", **{"X-OpenStack-Image-Size": size})
        assert refused.status == 400, size
        assert "X-OpenStack-Image-Size" in refused.message
    assert cloud.show(image["id"])["status"] == "queued"
    assert cloud.upload(image["id"], b"x", **{"X-OpenStack-Image-Size": "1"}).status == 204


def test_a_qcow2_image_that_reads_another_file_is_refused(cloud: Cloud) -> None:
    header = b"QFI\xfb\0\0\0\2" + (200).to_bytes(8, "big") + bytes(500)
    image = cloud.create(disk_format="qcow2")
    answer = cloud.upload(image["id"], header)
    assert answer.status == 415
    assert "backing file" in answer.message
    assert cloud.show(image["id"])["status"] == "queued"


@pytest.mark.parametrize(("step", "status"), [("file", "saving"), ("stage", "uploading")])
@pytest.mark.parametrize("head", [
    "Content-Length: 1000000",
    "Transfer-Encoding: chunked\r\nX-OpenStack-Image-Size: 1000000",
])
def test_a_broken_upload_leaves_a_queued_image(
    empty_cloud: Cloud, head: str, step: str, status: str
) -> None:
    image = empty_cloud.create()
    data = bytes(300_000)
    if "chunked" in head:
        data = b"493e0\r\n" + data + b"\r\n"
    with socket.create_connection(("127.0.0.1", empty_cloud.port)) as client:
        client.sendall(
            f"PUT /v2/images/{image['id']}/{step} HTTP/1.1\r\nHost: x\r\nX-Auth-Token: alice\r\n"
            f"Content-Type: application/octet-stream\r\n{head}\r\n\r\n".encode() + data
        )
        wait_for_status(empty_cloud, image["id"], status)
        assert len(empty_cloud.files()) == 1
    wait_for_status(empty_cloud, image["id"], "queued")
    deadline = time.monotonic() + 5
    while empty_cloud.files() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert empty_cloud.files() == []
    assert empty_cloud.show(image["id"])["size"] is None
    assert empty_cloud.upload(image["id"], b"second try").status == 204


def test_a_delete_ends_an_upload(empty_cloud: Cloud) -> None:
    image = empty_cloud.create()
    begun, deleted = threading.Event(), threading.Event()

    def slowly() -> Iterator[bytes]:
        yield bytes(600_000)
        begun.set()
        deleted.wait(10)
        yield bytes(600_000)

    answers: list[Answer] = []
    sender = threading.Thread(
        target=lambda: answers.append(empty_cloud.upload(image["id"], slowly()))
    )
    sender.start()
    begun.wait(10)
    wait_for_status(empty_cloud, image["id"], "saving")
    assert empty_cloud.upload(image["id"], b"meanwhile").status == 409
    assert empty_cloud.call("DELETE", f"/v2/images/{image['id']}").status == 204
    deleted.set()
    sender.join(10)
    assert [answer.status for answer in answers] == [410]
    assert empty_cloud.files() == []


@pytest.mark.parametrize(("header", "first", "length"), [
    ("bytes=0-0", 0, 1),
    ("bytes=10-19", 10, 10),
    ("bytes=990-", 990, 10),
    ("bytes=-7", 993, 7),
    ("bytes=-5000", 0, 1000),
    ("bytes=500-5000", 500, 500),
])
def test_ranges(cloud: Cloud, header: str, first: int, length: int) -> None:
    data = os.urandom(1000)
    image = cloud.create()
    cloud.upload(image["id"], data)
    got = cloud.call("GET", f"/v2/images/{image['id']}/file", headers={"Range": header})
    assert got.status == 206
    assert got.body == data[first:first + length]
    assert got.headers["Content-Length"] == str(length)
    assert got.headers["Content-Range"] == f"bytes {first}-{first + length - 1}/1000"


@pytest.mark.parametrize(("header", "status"), [
    ("bytes=1000-", 416), ("bytes=5-2", 416), ("bytes=-0", 416), ("bytes=", 416),
    ("bytes=-", 416), ("items=0-1", 416), ("rubbish", 416), ("bytes=0-1,5-6", 400),
    ("bytes=" + "9" * 5000 + "-", 416), ("bytes=²-", 416),
])
def test_range_refusals(cloud: Cloud, header: str, status: int) -> None:
    image = cloud.create()
    cloud.upload(image["id"], bytes(1000))
    sent = {"Range": header.encode().decode("latin-1")}
    got = cloud.call("GET", f"/v2/images/{image['id']}/file", headers=sent)
    assert got.status == status


def test_stage_and_import(cloud: Cloud) -> None:
    data = os.urandom(100_000)
    image = cloud.create()
    path = f"/v2/images/{image['id']}"
    body = {"method": {"name": "glance-direct"}}
    assert cloud.call("POST", f"{path}/import", body).status == 409
    octets = {"Content-Type": "application/octet-stream"}
    assert cloud.call("PUT", f"{path}/stage", data, headers=octets).status == 204
    assert cloud.show(image["id"])["status"] == "uploading"
    assert cloud.call("GET", f"{path}/file").status == 204
    refused = cloud.call("POST", f"{path}/import", {
        "method": {"name": "web-download", "uri": "http://x.test/"},
    })
    assert refused.status == 400
    assert "web-download" in refused.message
    assert cloud.call("POST", f"{path}/import", body, token="bob").status == 404
    assert cloud.call("POST", f"{path}/import", body).status == 202
    shown = cloud.show(image["id"])
    assert (shown["status"], shown["size"]) == ("active", len(data))
    stores = [each["id"] for each in cloud.call("GET", "/v2/info/stores").json["stores"]]
    assert "stores" not in cloud.create()
    assert shown["stores"].split(",") == stores
    assert shown["checksum"] == hashlib.md5(data).hexdigest()
    assert cloud.call("GET", f"{path}/file").body == data
    assert cloud.call("POST", f"{path}/import", body).status == 409
    assert not (cloud.directory / "staging" / image["id"]).exists()


@pytest.mark.parametrize("body", [{}, [], {"method": "glance-direct"}, {"method": {"name": []}},
                                  {"method": {"name": {"a": 1}}}, {"method": None}])
def test_import_bodies_that_are_refused(cloud: Cloud, body: Any) -> None:
    image = cloud.create()
    assert cloud.call("POST", f"/v2/images/{image['id']}/import", body).status == 400


def test_cap_and_quota(tmp_path: Path) -> None:
    cloud = Cloud(tmp_path, image_size_cap=1000, user_storage_quota=1500)
    try:
        first, second = cloud.create(), cloud.create()
        for data in (bytes(1001), iter([bytes(600), bytes(401)])):
            refused = cloud.upload(first["id"], data)
            assert refused.status == 413
            assert "1000" in refused.message
        assert cloud.upload(first["id"], bytes(1000)).status == 204
        for data in (bytes(501), iter([bytes(501)])):
            refused = cloud.upload(second["id"], data)
            assert refused.status == 413
            assert "quota" in refused.message
        assert cloud.show(second["id"])["status"] == "queued"
        assert cloud.files() == [first["id"]]
        assert cloud.upload(second["id"], bytes(500)).status == 204
        others = cloud.create(token="bob")
        assert cloud.upload(others["id"], bytes(900), token="bob").status == 204
    finally:
        cloud.stop()


def test_a_large_upload_does_not_go_through_memory(tmp_path: Path) -> None:
    """300 MB come in and go out again; the server's peak memory grows by a fraction of that."""
    server = OtherProcess(tmp_path)
    try:
        cloud = server.cloud
        image = cloud.create()
        before = server.peak_memory()
        megabyte = os.urandom(1_000_000)
        assert cloud.upload(image["id"], (megabyte for _ in range(300))).status == 204
        connection = http.client.HTTPConnection("127.0.0.1", cloud.port)
        path = f"/v2/images/{image['id']}/file"
        connection.request("GET", path, headers={"X-Auth-Token": "alice"})
        response = connection.getresponse()
        received = 0
        while piece := response.read(1_000_000):
            received += len(piece)
        assert received == 300_000_000
        assert server.peak_memory() - before < 60_000, "KiB"
    finally:
        server.kill()


def test_kill_during_an_upload_leaves_a_queued_image(tmp_path: Path) -> None:
    server = OtherProcess(tmp_path)
    try:
        cloud = server.cloud
        image, staged = cloud.create(), cloud.create()
        octets = {"Content-Type": "application/octet-stream"}
        path = f"/v2/images/{staged['id']}/stage"
        assert cloud.call("PUT", path, b"staged", headers=octets).status == 204
        with socket.create_connection(("127.0.0.1", cloud.port)) as client:
            client.sendall(
                f"PUT /v2/images/{image['id']}/file HTTP/1.1\r\nHost: x\r\n"
                "X-Auth-Token: alice\r\nContent-Type: application/octet-stream\r\n"
                "Content-Length: 9000000\r\n\r\n".encode() + bytes(2_000_000)
            )
            wait_for_status(cloud, image["id"], "saving")
            assert any("incoming" in name for name in cloud.files())
            server.kill()
    finally:
        server.kill()
    again = Cloud(tmp_path)
    try:
        assert any("incoming" in name for name in again.files())
        again.service.recover()
        assert again.show(image["id"])["status"] == "queued"
        assert again.files() == [f"staging/{staged['id']}"]
        assert again.show(staged["id"])["status"] == "uploading"
        body = {"method": {"name": "glance-direct"}}
        assert again.call("POST", f"/v2/images/{staged['id']}/import", body).status == 202
        assert again.call("GET", f"/v2/images/{staged['id']}/file").body == b"staged"
        assert again.upload(image["id"], b"data").status == 204
    finally:
        again.stop()


def test_deactivated_images_are_not_downloaded(cloud: Cloud) -> None:
    image = cloud.create()
    path = f"/v2/images/{image['id']}"
    assert cloud.call("POST", f"{path}/actions/deactivate").status == 403
    cloud.upload(image["id"], b"data")
    assert cloud.call("POST", f"{path}/actions/deactivate").status == 204
    assert cloud.call("POST", f"{path}/actions/deactivate").status == 204
    assert cloud.show(image["id"])["status"] == "deactivated"
    assert cloud.call("GET", f"{path}/file").status == 403
    assert cloud.call("GET", f"{path}/file", token="admin").body == b"data"
    assert cloud.call("POST", f"{path}/actions/reactivate").status == 204
    assert cloud.call("GET", f"{path}/file").body == b"data"
    assert cloud.call("POST", f"{path}/actions/explode").status == 404


