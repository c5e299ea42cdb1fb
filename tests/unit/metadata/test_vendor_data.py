# SPDX-License-Identifier: Apache-2.0
"""Vendor data from a file and from services, good and bad."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nova.conf.metadata import ApiMetadataSection
from nova.metadata.vendor_data import VendorData, VendorDataUnavailable
from tests.unit.virt.guests import UUID, instance


class Vendor(ThreadingHTTPServer):
    """A vendor data service: what it was asked, and what it answers by path."""

    asked: list[dict[str, Any]]


class _Handler(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)  # type: ignore[attr-defined]
        status, answer = {
            "/good": (200, b'{"n\xc3\xa4mn": [1]}'), "/empty": (200, b""), "/text": (200, b"no json"),
            "/broken": (500, b"{}"), "/big": (200, b'"' + b"x" * (1 << 20) + b'"'),
        }[self.path]
        self.send_response(status)
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def vendor() -> Iterator[Vendor]:
    made = Vendor(("127.0.0.1", 0), _Handler)
    made.asked = []
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made
    made.shutdown()
    made.server_close()


def _section(vendor: Vendor, *targets: str, fatal: bool = False) -> ApiMetadataSection:
    url = f"http://127.0.0.1:{vendor.server_port}"
    return ApiMetadataSection(
        vendordata_providers=("StaticJSON", "DynamicJSON"),
        vendordata_dynamic_targets=tuple(target.replace("URL", url) for target in targets),
        vendordata_dynamic_failure_fatal=fatal,
    )


def test_services_are_asked_about_the_guest(vendor: Vendor) -> None:
    data = VendorData(_section(vendor, "one@URL/good", "two@URL/empty")).all(
        instance(system_metadata={"boot_roles": "member"}, metadata={"å": "ä"})
    )
    assert data == {"static": {}, "one": {"nämn": [1]}, "two": {}}
    asked = vendor.asked[0]
    assert (asked["instance-id"], asked["hostname"], asked["boot-roles"], asked["metadata"]) == (
        UUID, "forsta-servern", "member", {"å": "ä"}
    )
    assert {"project-id", "image-id", "user-data"} < set(asked)


def test_a_service_that_fails_is_left_empty(vendor: Vendor) -> None:
    targets = ("text@URL/text", "broken@URL/broken", "big@URL/big", "nobody@http://127.0.0.1:1/")
    assert VendorData(_section(vendor, *targets)).all(instance()) == {
        "static": {}, "text": {}, "broken": {}, "big": {}, "nobody": {},
    }


def test_targets_that_mean_nothing_are_left_out(vendor: Vendor) -> None:
    targets = ("URL/good", "file@file:///etc/passwd", "one@URL/good", "one@URL/empty", "static@URL/good")
    assert VendorData(_section(vendor, *targets)).all(instance()) == {
        "static": {}, "one": {"nämn": [1]},
    }


def test_a_failure_is_told_where_it_is_fatal(vendor: Vendor) -> None:
    with pytest.raises(VendorDataUnavailable, match="broken"):
        VendorData(_section(vendor, "broken@URL/broken", fatal=True)).all(instance())


def test_the_file_is_read_again_when_it_changed(tmp_path: Path) -> None:
    path = tmp_path / "vendor.json"
    data = VendorData(ApiMetadataSection(vendordata_jsonfile_path=str(path)))
    assert data.static() == {}
    path.write_text('{"repo": "ö"}')
    assert data.static() == {"repo": "ö"}
    path.write_text('{"repo": "changed"}')
    assert data.all(instance()) == {"static": {"repo": "changed"}}
    path.write_text("{broken")
    assert data.static() == {}


def test_without_the_provider_the_file_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "vendor.json"
    path.write_text('{"a": 1}')
    section = ApiMetadataSection(vendordata_jsonfile_path=str(path), vendordata_providers=())
    assert VendorData(section).static() == {}
    assert VendorData(section).all(instance()) == {}
