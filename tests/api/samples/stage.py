# SPDX-License-Identifier: Apache-2.0
"""A stage in the cloud for one sample: a project of its own, and what the sample supposes in it."""

from __future__ import annotations

import copy
import dataclasses
import json
import time
import uuid as uuids
from collections.abc import Callable
from typing import Any

from falcon.testing import Result

from nova.objects.instance import BlockDevice
from tests.api.samples.cloud import IMAGE, SampleCloud, caller
from tests.api.samples.files import Sample, nearest

WAIT = 3.0
KEY = (
    "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAAAgQDx8nkQv/zgGgB4rMYmIf+6A4l6Rr+o/6lHBQdW5aYd44bd8JttDCE"
    "/F/pNRr0lRE+PiqSPO8nDPHw0010JeMH9gYgnnFlyY3/OcJ02RhIPyyxYpv9FhY+2YiUkpwFOcLImyrxEsYXpD/0d3ac3"
    "0bNH6Sw9JD9UZHYcpSxsIbECHw== Generated-by-Nova"
)


class Stage:
    """One project of a cloud. ``names`` fill the paths, ``texts`` replace what a request says."""

    def __init__(self, cloud: SampleCloud, api: str, minor: int) -> None:
        self.cloud = cloud
        self.api = api
        self.minor = minor
        self.project = str(uuids.uuid4())
        self.user = str(uuids.uuid4())
        self.names: dict[str, str] = {"project": self.project, "user": self.user, "image": IMAGE}
        self.texts: dict[str, str] = {}
        self.undo: list[Callable[[], Any]] = []

    # --- asking ----------------------------------------------------------------------------------

    def call(
        self, method: str, path: str, body: Any = None, *, at: int | None = None,
        by: str = "admin",
    ) -> Result:
        """One request at the stage's version, or at another."""
        version = "v2.1" if self.api == "v2.1" or at is not None else "v2"
        headers = {"X-Auth-Token": f"{by}:{self.project}:{self.user}"}
        if version == "v2.1":
            headers["OpenStack-API-Version"] = f"compute 2.{self.minor if at is None else at}"
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            headers["Content-Type"] = "application/json"
        path, _, query = path.partition("?")
        if not path.startswith("//"):
            path = f"/{version}/{self.project}{path}"
        return self.cloud.client.simulate_request(
            method, path.replace("//", "/"), query_string=query, headers=headers, body=data
        )

    def must(
        self, method: str, path: str, body: Any = None, *, at: int = 96, by: str = "admin"
    ) -> Any:
        """A request of the preparation, which has to succeed."""
        result = self.call(method, path, body, at=at, by=by)
        assert result.status_code < 300, f"{method} {path}: {result.status_code} {result.text}"
        return result.json if result.content else None

    def request(self, name: str) -> Any:
        """The request sample of the stage's version, with what the stage says in other words."""
        return self.told(nearest(self.api, name, self.minor))

    def told(self, sample: Sample) -> Any:
        """A request sample with the stage's ids and hosts."""
        text = sample.path.read_text()
        for old, new in self.texts.items():
            text = text.replace(old, new)
        return json.loads(text)

    def undo_all(self) -> None:
        """Take back what would concern other samples."""
        for undo in self.undo:
            undo()

    # --- servers ---------------------------------------------------------------------------------

    def create_body(self) -> dict[str, Any]:
        """The create sample of the version, without what its own version refuses."""
        if self.api == "v2.1":
            base = "server-create-req"
            plain = {32: 19, 37: 19, 42: 19, 67: 66}
            minor = nearest(self.api, f"servers/{base}", self.minor).minor
            body = self.told(nearest(self.api, f"servers/{base}", plain.get(minor, minor)))
        else:
            body = self.told(nearest(self.api, "all_extensions/server-post-req", 1))
        server = body["server"]
        if server.get("availability_zone", "").startswith("%"):
            server["availability_zone"] = "us-west"
        if self.minor >= 57:
            server.pop("personality", None)
        if self.minor >= 37:
            server.setdefault("networks", "auto")
        hints = body.get("OS-SCH-HNT:scheduler_hints", {})
        if hints.get("same_host", "").startswith("["):
            hints["same_host"] = "48e6a9f6-30af-47e0-bc04-acaed113bb4e"
        return copy.deepcopy(body)

    def boot(self, name: str = "server", **changes: Any) -> str:
        """Boot a server as the version's create sample says; wait until it runs."""
        body = self.create_body()
        body["server"].update(changes)
        result = self.call("POST", "/servers", body)
        assert result.status_code == 202, result.text
        uuid: str = result.json["server"]["id"]
        self.names[name] = uuid
        self.until(uuid, "ACTIVE")
        return uuid

    def act(self, body: Any, *, at: int = 96, until: str | None = None, name: str = "server") -> Any:
        """An action on a server, awaited."""
        answer = self.must("POST", f"/servers/{self.names[name]}/action", body, at=at)
        if until is not None:
            self.until(self.names[name], until)
        return answer

    def show(self, uuid: str) -> dict[str, Any]:
        """A server as the administrator sees it."""
        server: dict[str, Any] = self.must("GET", f"/servers/{uuid}")["server"]
        return server

    def until(self, uuid: str, status: str) -> dict[str, Any]:
        """The server, as soon as it is ``status`` and no task runs on it."""
        deadline = time.monotonic() + WAIT
        while True:
            server = self.show(uuid)
            if server["status"] == status and server["OS-EXT-STS:task_state"] is None:
                return server
            assert status == "ERROR" or "fault" not in server, server["fault"]
            assert time.monotonic() < deadline, server
            time.sleep(0.005)

    def until_task_ends(self, uuid: str) -> dict[str, Any]:
        """The server, as soon as no task runs on it."""
        deadline = time.monotonic() + WAIT
        while True:
            server = self.show(uuid)
            if server["OS-EXT-STS:task_state"] is None:
                return server
            assert time.monotonic() < deadline, server
            time.sleep(0.005)

    def other_host(self, name: str = "server") -> str:
        """A host of the zone on which the server is not."""
        present = self.show(self.names[name])["OS-EXT-SRV-ATTR:host"]
        return next(m.name for m in self.cloud.managers[:-1] if m.name != present)

    def volume(self, sampled: str, name: str = "volume", **facts: Any) -> str:
        """A volume that stands for the one that samples name; returns its id."""
        made = self.cloud.volumes.create(
            caller("member", self.project, self.user), facts.pop("size", 1), "Volume Name",
            "Volume Description", **facts,
        )
        self.names[name] = self.texts[sampled] = made.uuid
        return made.uuid

    def migrating(self, volume: str) -> str:
        """Let a volume be one that the block storage service moves, as it does itself."""
        with self.cloud.db.write() as tx:
            tx.volumes.update(volume, {"migration_status": "starting"})
        return volume

    def attached(self, volume: str, name: str = "server", **facts: Any) -> None:
        """Attach a volume, and wait until the server has it."""
        body = {"volumeAttachment": {"volumeId": volume, **facts}}
        self.must("POST", f"/servers/{self.names[name]}/os-volume_attachments", body, at=85)
        deadline = time.monotonic() + WAIT
        while self.cloud.volumes.show(caller("admin", "", ""), volume).status != "in-use":
            assert time.monotonic() < deadline, volume
            time.sleep(0.005)

    def volumes(self, *ids: str, name: str = "server") -> None:
        """Give a server volumes in the database, as a volume service would have attached them."""
        devices = tuple(
            BlockDevice(
                source_type="volume", destination_type="volume", volume_id=volume,
                device_name=f"/dev/sd{letter}", volume_size=1, tag="foo",
                bdm_uuid=str(uuids.uuid4()), attachment_id=str(uuids.uuid4()),
            )
            for volume, letter in zip(ids, "bcdef", strict=False)
        )
        with self.cloud.db.write() as tx:
            instance = tx.instances.get(self.names[name])
            assert instance is not None
            tx.instances.update(
                instance.uuid, {"block_devices": (*instance.block_devices, *devices)}
            )


Setup = Callable[[Stage], None]


def nothing(_stage: Stage) -> None:
    """A sample that supposes no more than the cloud."""


@dataclasses.dataclass(frozen=True)
class Case:
    """One sample, and how its answer comes about.

    ``response`` is the sample's name, None where the answer has no body; ``request`` is the name of
    the sample that is sent, or ``body`` is sent (a function of the stage mends a sample that its own
    version refuses). ``status`` may be a table {version: status from there on}. ``members`` are
    versions whose sample shows what a plain member sees. ``free`` names keys whose value is of another
    kind here, and why is said in the table; ``maps`` names objects whose keys are data. ``at`` is the
    version of a sample that lies with those of 2.1; ``path_at`` has the path from some versions on;
    ``only`` are the versions that it is for, if not all. With ``more`` the answer may have keys of
    extensions that the sample is not about. ``cloud`` is one of those in ``runner``.
    """

    response: str | None
    method: str
    path: str
    setup: Setup = nothing
    request: str | None = None
    body: Any = None
    by: str = "admin"
    status: int | dict[int, int] = 200
    members: tuple[int, ...] = ()
    free: frozenset[str] = frozenset()
    maps: frozenset[str] = frozenset()
    at: int | None = None
    path_at: tuple[tuple[int, str], ...] = ()
    only: tuple[int, ...] = ()
    more: bool = False
    cloud: str = "plain"

    def path_for(self, minor: int) -> str:
        """The path at a version."""
        return [self.path, *(path for since, path in self.path_at if since <= minor)][-1]

    def status_at(self, minor: int) -> int:
        """The success status at a version."""
        if isinstance(self.status, int):
            return self.status
        return [status for since, status in sorted(self.status.items()) if since <= minor][-1]
