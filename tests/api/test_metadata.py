# SPDX-License-Identifier: Apache-2.0
"""The metadata service of a whole cloud, with cloud-init's own reader as the judge."""

from __future__ import annotations

import base64
import http.client
import json
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from nova.virt.config_drive import drive_files
from nova.virt.driver import GuestSpec
from tests.api.cloud_process import CloudProcess, wait_for
from tests.unit.api_metadata.known_guests import KEY, USER_DATA, guest

PYTHON = "/usr/bin/python3"
READER = Path(__file__).with_name("cloud_init_reader.py")
USER_DATA_TEXT = "#cloud-config\nhostname: grön\n"


class Guest(ThreadingHTTPServer):
    """Speaks to the metadata service as the guest of ``address``: the way that its host would take it."""

    def __init__(self, port: int, address: str) -> None:
        super().__init__(("127.0.0.1", 0), _Forward)
        self.target = port
        self.address = address
        self.url = f"http://127.0.0.1:{self.server_port}"


class _Forward(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        connection = http.client.HTTPConnection("127.0.0.1", server.target, timeout=30)
        size = int(self.headers.get("Content-Length") or 0)
        connection.request(
            self.command, self.path, self.rfile.read(size) or None,
            {"X-Forwarded-For": server.address},
        )
        answer = connection.getresponse()
        body = answer.read()
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.headers["Content-Type"])
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        connection.close()

    def do_POST(self) -> None:
        self.do_GET()

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """A cloud whose metadata service stands behind a proxy of ours."""
    made = CloudProcess(
        tmp_path_factory.mktemp("metadata") / "state",
        arguments=["--set", "use_forwarded_for=true", "--set", "metadata_cache_expiration=600"],
    )
    made.start()
    yield made
    made.stop()


@pytest.fixture(scope="module")
def server(cloud: CloudProcess) -> dict[str, Any]:
    """A running server with user data, as the API shows it."""
    image = cloud.call("image", "GET", "/v2/images").json["images"][0]["id"]
    answer = cloud.compute(
        "POST", "/servers",
        {"server": {
            "name": "läsare", "flavorRef": "1", "imageRef": image, "networks": "auto",
            "metadata": {"role": "wëb"},
            "user_data": base64.b64encode(USER_DATA_TEXT.encode()).decode(),
        }},
    )
    assert answer.status == 202, answer.body
    uuid = answer.json["server"]["id"]
    wait_for(lambda: cloud.server(uuid)["status"] == "ACTIVE", lambda: str(cloud.server(uuid)))
    return cloud.server(uuid)


@pytest.fixture(scope="module")
def inside(cloud: CloudProcess, server: dict[str, Any]) -> Iterator[Guest]:
    """The guest's side of the wire."""
    address = server["addresses"]["private"][0]["addr"]
    made = Guest(8775 + cloud.offset, address)
    threading.Thread(target=made.serve_forever, daemon=True).start()
    yield made
    made.shutdown()
    made.server_close()


def _ask(inside: Guest, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", inside.server_port, timeout=30)
    connection.request(method, path, body)
    answer = connection.getresponse()
    found = answer.status, answer.read()
    connection.close()
    return found


def test_cloud_init_understands_service_and_drive(
    server: dict[str, Any], inside: Guest, tmp_path: Path
) -> None:
    check = subprocess.run([PYTHON, "-c", "import cloudinit"], capture_output=True, check=False)
    if check.returncode:
        if os.environ.get("CI") == "true":
            pytest.fail("cloud-init is not installed")
        pytest.skip("cloud-init is not installed")
    drive = guest()
    spec = GuestSpec(instance=drive, vifs=drive.network_info, files={"/etc/motd": "aGVq"})
    for name, content in drive_files(spec, "novalocal").items():
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    done = subprocess.run(
        [PYTHON, str(READER), inside.url, str(tmp_path)], capture_output=True, text=True, check=False,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    metadata = found["service"]["metadata"]
    assert found["service"]["version"] == 2
    assert metadata["instance-id"] == metadata["uuid"] == server["id"]
    assert metadata["local-hostname"] == metadata["hostname"]
    assert metadata["meta"] == {"role": "wëb"}
    assert found["service"]["userdata"].encode("latin-1").decode() == USER_DATA_TEXT
    mac = server["addresses"]["private"][0]["OS-EXT-IPS-MAC:mac_addr"]
    card = found["network"]["config"][0]
    assert (card["mac_address"], card["subnets"]) == (mac, [{"type": "dhcp4"}])
    assert found["ec2"]["local-ipv4"] == inside.address
    assert found["ec2"]["instance-id"].startswith("i-")
    assert found["ec2_userdata"].encode("latin-1").decode() == USER_DATA_TEXT
    on_drive = found["drive"]
    assert on_drive["metadata"]["public_keys"] == {"nyckel": KEY}
    assert on_drive["files"] == {"/etc/motd": "hej"}
    assert on_drive["userdata"].encode("latin-1") == USER_DATA
    subnet = found["drive_network"]["config"][0]["subnets"][0]
    assert (subnet["address"], subnet["type"], subnet["netmask"]) == (
        "10.9.0.3", "static", "255.255.255.0"
    )


def test_a_password_goes_from_the_guest_to_its_owner(
    cloud: CloudProcess, server: dict[str, Any], inside: Guest
) -> None:
    path = "/openstack/latest/password"
    assert _ask(inside, "GET", path) == (200, b"")
    assert _ask(inside, "POST", path, b"kryptiskt") == (200, b"")
    assert _ask(inside, "GET", path) == (200, b"kryptiskt")
    assert _ask(inside, "POST", path, b"annat")[0] == 409
    shown = cloud.compute("GET", f"/servers/{server['id']}/os-server-password")
    assert shown.json == {"password": "kryptiskt"}
    assert cloud.compute("DELETE", f"/servers/{server['id']}/os-server-password").status == 204
    assert _ask(inside, "POST", path, b"nytt") == (200, b"")
    assert _ask(inside, "GET", path) == (200, b"nytt")


def test_a_rebuilt_server_is_told_its_new_name_at_once(
    cloud: CloudProcess, server: dict[str, Any], inside: Guest
) -> None:
    """Metadata is remembered for ten minutes here; the end of the rebuild is what makes it new."""
    assert b"l\xc3\xa4sare" in _ask(inside, "GET", "/openstack/latest/meta_data.json")[1]
    image = cloud.call("image", "GET", "/v2/images").json["images"][0]["id"]
    answer = cloud.compute(
        "POST", f"/servers/{server['id']}/action", {"rebuild": {"imageRef": image, "name": "omgjord"}}
    )
    assert answer.status == 202, answer.body
    wait_for(
        lambda: cloud.server(server["id"])["OS-EXT-STS:task_state"] is None,
        lambda: str(cloud.server(server["id"])),
    )
    wait_for(
        lambda: json.loads(_ask(inside, "GET", "/openstack/latest/meta_data.json")[1])["name"]
        == "omgjord",
        lambda: "the old name is still told",
    )


def test_a_deleted_server_is_told_nothing(
    cloud: CloudProcess, server: dict[str, Any], inside: Guest
) -> None:
    assert _ask(inside, "GET", "/latest/meta-data/")[0] == 200
    assert cloud.compute("DELETE", f"/servers/{server['id']}").status == 204
    wait_for(
        lambda: _ask(inside, "GET", "/latest/meta-data/")[0] == 404, lambda: "it is still answered"
    )
