# SPDX-License-Identifier: Apache-2.0
"""The all-in-one cloud on a private libvirt, and what the tests of real guests do with it."""

from __future__ import annotations

import base64
import http.client
import re
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tests.api.cloud_process import BASE_PORTS, Answer, CloudProcess, wait_for
from tests.host.hypervisor import PrivateLibvirt

#: More than a guest takes to boot under emulation on a busy machine.
PATIENCE = 180.0


class GuestCloud(CloudProcess):
    """One host; the guest image is ``image_id``, the flavors ``small`` and ``large`` differ in all sizes."""

    def __init__(
        self, hypervisor: PrivateLibvirt, image: Path, *, arguments: Sequence[str] = (),
        image_format: str = "qcow2", prefix: Sequence[str] = (),
    ) -> None:
        directory = Path(tempfile.mkdtemp(prefix="nova-host-cloud-"))
        directory.chmod(0o711)
        super().__init__(
            directory / "state",
            arguments=[
                "--set", "compute_driver=libvirt.LibvirtDriver", "--set", "libvirt.virt_type=qemu",
                "--set", f"libvirt.connection_uri={hypervisor.uri}",
                "--set", f"host={hypervisor.name}", "--set", "shutdown_timeout=15",
                "--set", "libvirt.wait_soft_reboot_seconds=30",
                "--set", "allow_resize_to_same_host=true", *arguments,
            ],
            prefix=prefix,
        )
        self.hypervisor = hypervisor
        self._directory = directory
        self.image_path = image
        self._image_format = image_format
        self.image_id = ""
        self.flavors: dict[str, str] = {}

    # --- life ------------------------------------------------------------------------------------

    def begin(self) -> None:
        """Start, upload the image, make the flavors."""
        self.start()
        self.image_id = self.upload("guest", self.image_path.read_bytes(), self._image_format)
        for name, vcpus, memory, disk in (("small", 1, 128, 1), ("large", 2, 192, 2)):
            answer = self.compute(
                "POST", "/flavors",
                {"flavor": {"name": name, "vcpus": vcpus, "ram": memory, "disk": disk}}, by="admin",
            )
            assert answer.status == 200, answer.body
            self.flavors[name] = answer.json["flavor"]["id"]

    def end(self) -> None:
        """Stop and remove the state."""
        if self._process is not None and self.process.poll() is None:
            self.stop()
        shutil.rmtree(self._directory, ignore_errors=True)

    # --- images ----------------------------------------------------------------------------------

    def upload(self, name: str, data: bytes, disk_format: str, **properties: str) -> str:
        """An image with data; returns its id."""
        answer = self.call(
            "image", "POST", "/v2/images",
            {"name": name, "disk_format": disk_format, "container_format": "bare", **properties},
        )
        assert answer.status == 201, answer.body
        image_id = str(answer.json["id"])
        connection = http.client.HTTPConnection(
            "127.0.0.1", BASE_PORTS["image"] + self.offset, timeout=60
        )
        connection.request(
            "PUT", f"/v2/images/{image_id}/file", data,
            {"X-Auth-Token": self.login("demo")[0], "Content-Type": "application/octet-stream"},
        )
        stored = Answer(connection.getresponse())
        connection.close()
        assert stored.status == 204, stored.body
        return image_id

    # --- servers ---------------------------------------------------------------------------------

    def boot(self, name: str, *, flavor: str = "small", image: str | None = None, **facts: Any) -> str:
        """Ask for a server; returns its uuid."""
        script = facts.pop("script", None)
        body: dict[str, Any] = {
            "name": name, "flavorRef": self.flavors.get(flavor, flavor),
            "imageRef": self.image_id if image is None else image, "networks": "auto", **facts,
        }
        if script is not None:
            body["user_data"] = base64.b64encode(script.encode()).decode()
            body["config_drive"] = True
        answer = self.compute("POST", "/servers", {"server": body})
        assert answer.status == 202, answer.body
        return str(answer.json["server"]["id"])

    def flavor(
        self, name: str, *, vcpus: int = 1, ram: int = 128, disk: int = 1, ephemeral: int = 0, swap: int = 0,
        specs: dict[str, str] | None = None,
    ) -> str:
        """A flavor of these sizes; returns its id."""
        answer = self.compute("POST", "/flavors", {"flavor": {
            "name": name, "vcpus": vcpus, "ram": ram, "disk": disk, "OS-FLV-EXT-DATA:ephemeral": ephemeral,
            "swap": swap,
        }}, by="admin")
        assert answer.status == 200, answer.body
        flavor = str(answer.json["flavor"]["id"])
        if specs:
            added = self.compute(
                "POST", f"/flavors/{flavor}/os-extra_specs", {"extra_specs": specs}, by="admin"
            )
            assert added.status == 200, added.body
        return flavor

    def fault(self, uuid: str, action: str) -> str:
        """What the newest action of that name failed with, once it did."""
        found: dict[str, Any] = {}

        def failed() -> bool:
            listed = self.compute("GET", f"/servers/{uuid}/os-instance-actions", by="admin").json
            request = next(
                each["request_id"] for each in listed["instanceActions"] if each["action"] == action
            )
            shown = self.compute("GET", f"/servers/{uuid}/os-instance-actions/{request}", by="admin").json
            found.update(shown["instanceAction"])
            return any(event["result"] == "Error" for event in found["events"])

        wait_for(failed, lambda: f"{action} did not fail: {found}", PATIENCE)
        return " ".join(str(event.get("details")) for event in found["events"])

    def act(self, uuid: str, action: str, body: Any = None, *, by: str = "demo") -> Answer:
        """One action, which has to be accepted."""
        answer = self.compute("POST", f"/servers/{uuid}/action", {action: body}, by=by)
        assert answer.status in (200, 202, 204), answer.body
        return answer

    def reach(self, uuid: str, status: str, timeout: float = PATIENCE) -> dict[str, Any]:
        """The server once it is ``status`` without a task."""
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.update(self.server(uuid))
            assert status == "ERROR" or seen["status"] != "ERROR", seen.get("fault")
            return seen["status"] == status and seen["OS-EXT-STS:task_state"] is None

        wait_for(
            reached, lambda: f"{status} expected, but {seen.get('status')} task "
            f"{seen.get('OS-EXT-STS:task_state')} fault {seen.get('fault')}", timeout,
        )
        return seen

    def console(self, uuid: str) -> str:
        """The console's text."""
        return str(self.act(uuid, "os-getConsoleOutput", {}).json["output"])

    def says(self, uuid: str, pattern: str, *, times: int = 1, timeout: float = PATIENCE) -> re.Match[str]:
        """The last match of ``pattern`` in the console, once there are ``times``."""
        text = ""
        deadline = time.monotonic() + timeout
        while True:
            text = self.console(uuid)
            found = list(re.finditer(pattern, text))
            if len(found) >= times:
                return found[-1]
            assert time.monotonic() < deadline, f"{pattern} is not {times} times in:\n{text[-3000:]}"
            time.sleep(0.3)

    def remove(self, uuid: str) -> None:
        """Delete a server and wait until nothing of it is left."""
        assert self.compute("DELETE", f"/servers/{uuid}").status == 204
        self.until_gone(uuid)

    def files(self, uuid: str) -> Path:
        """The directory of a guest."""
        return self.state / "instances" / uuid
