# SPDX-License-Identifier: Apache-2.0
"""An image service on a port of its own, and how the tests call it."""

from __future__ import annotations

import http.client
import json
import resource
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from nova.conf.image import ImageSection
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.errors import Unauthorized
from nova.http.server import HttpServer
from nova.image.app import make_image_app
from nova.image.service import ImageService
from nova.objects.context import RequestContext

#: The id of no image.
NO_IMAGE = "0b5e2d9a-7c31-4f0e-9d52-6a1f3c8e4b70"
PATCH = "application/openstack-images-v2.1-json-patch"
OLD_PATCH = "application/openstack-images-v2.0-json-patch"

CALLERS = {
    "admin": RequestContext(user_id="root", project_id="adm", roles=("admin",), is_admin=True),
    "alice": RequestContext(user_id="alice", project_id="a", roles=("member", "reader")),
    "carol": RequestContext(user_id="carol", project_id="a", roles=("reader",)),
    "bob": RequestContext(user_id="bob", project_id="b", roles=("member", "reader")),
    "eve": RequestContext(user_id="eve", project_id="e", roles=("member", "reader")),
}


class Tokens:
    """A token is the caller's name."""

    def authenticate(self, token: str) -> RequestContext:
        if token not in CALLERS:
            raise Unauthorized()
        return CALLERS[token]


class Answer:
    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    @property
    def message(self) -> str:
        return str(self.json["error"]["message"])


class Cloud:
    """The image service on a port, and how tests call it."""

    def __init__(self, directory: Path, **options: int) -> None:
        self.directory = directory / "images"
        self.database = Database(f"sqlite:///{directory}/n.sqlite")
        metadata.create_all(self.database.engine)
        self.service = ImageService(self.database, ImageSection(**options), self.directory)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        app = make_image_app(self.service, Tokens(), "http://identity.test/v3")
        self.server = HttpServer("image", app, "127.0.0.1", self.port, threads=4)
        self.server.start()
        deadline = time.monotonic() + 5
        while time.monotonic() < deadline:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.01)
        raise AssertionError("the server did not start")

    def stop(self) -> None:
        self.server.stop()
        self.database.dispose()

    def call(
        self,
        method: str,
        path: str,
        body: Any = None,
        *,
        token: str | None = "alice",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        sent = dict(headers or {})
        if token is not None:
            sent["X-Auth-Token"] = token
        if isinstance(body, (dict, list)):
            body = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, body, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def create(self, *, token: str = "alice", **fields: Any) -> dict[str, Any]:
        body = {"disk_format": "raw", "container_format": "bare", "name": "image", **fields}
        answer = self.call("POST", "/v2/images", body, token=token)
        assert answer.status == 201, answer.body
        created: dict[str, Any] = answer.json
        return created

    def upload(self, image_id: str, data: Any, *, token: str = "alice", **headers: str) -> Answer:
        return self.call(
            "PUT", f"/v2/images/{image_id}/file", data, token=token,
            headers={"Content-Type": "application/octet-stream", **headers},
        )

    def show(self, image_id: str, *, token: str = "alice") -> dict[str, Any]:
        answer = self.call("GET", f"/v2/images/{image_id}", token=token)
        assert answer.status == 200, answer.body
        shown: dict[str, Any] = answer.json
        return shown

    def patch(
        self, image_id: str, changes: Any, *, token: str = "alice", media_type: str = PATCH
    ) -> Answer:
        return self.call(
            "PATCH", f"/v2/images/{image_id}", changes, token=token,
            headers={"Content-Type": media_type},
        )

    def files(self) -> list[str]:
        return sorted(
            str(path.relative_to(self.directory))
            for path in self.directory.rglob("*")
            if path.is_file() and path.name != "gate"
        )

    def ids(self, query: str = "", *, token: str = "alice") -> list[str]:
        answer = self.call("GET", f"/v2/images{query}", token=token)
        assert answer.status == 200, answer.body
        return [image["id"] for image in answer.json["images"]]


def wait_for_status(cloud: Cloud, image_id: str, status: str) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        if cloud.show(image_id)["status"] == status:
            return
        time.sleep(0.01)
    raise AssertionError(cloud.show(image_id)["status"])


def serve_for_ever(directory: str) -> None:
    """A process' whole work: serve, say the port, and for each line read the peak memory in KiB."""
    cloud = Cloud(Path(directory))
    print(cloud.port, flush=True)
    for _ in sys.stdin:
        print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, flush=True)


class OtherProcess:
    """An image service in a process that can be killed and measured."""

    def __init__(self, directory: Path) -> None:
        program = f"from tests.api.image_cloud import *; serve_for_ever({str(directory)!r})"
        self._process = subprocess.Popen(
            [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, cwd=Path(__file__).parents[2],
        )
        self.cloud = Cloud.__new__(Cloud)
        self.cloud.port = self._number()
        self.cloud.directory = directory / "images"

    def _number(self) -> int:
        assert self._process.stdout is not None
        return int(self._process.stdout.readline())

    def peak_memory(self) -> int:
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        return self._number()

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()
