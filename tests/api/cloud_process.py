# SPDX-License-Identifier: Apache-2.0
"""The whole all-in-one cloud as a process of its own, as an operator starts it."""

from __future__ import annotations

import http.client
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]

#: The ports that a cloud takes, each before its offset.
BASE_PORTS = {
    "identity": 5000, "image": 9292, "compute": 8774, "network": 9696, "volume": 8776, "metadata": 8775,
    "novnc": 6080, "serial": 6083, "simulated": 6969, "simulated-serial": 6971,
}

#: Where a cloud tells its metrics, before its offset; it starts without, too.
METRICS = 9180
#: Ranges of offsets at which no two clouds share a port, nor have one that the kernel gives to clients.
OFFSETS = ((6_000, 9_300), (14_050, 23_000))

#: More than any start takes on a busy machine.
START_TIMEOUT = 60.0


class Answer:
    """One HTTP answer."""

    def __init__(self, response: http.client.HTTPResponse) -> None:
        self.status = response.status
        self.headers = response.headers
        self.body = response.read()

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class CloudProcess:
    """One cloud: started by ``start``, asked through HTTP, stopped by ``stop``."""

    def __init__(
        self, state: Path, *, offset: int | None = None, arguments: Sequence[str] = (),
        prefix: Sequence[str] = (),
    ) -> None:
        self.state = state
        self.offset = free_offset() if offset is None else offset
        self.arguments = list(arguments)
        #: A program that runs the cloud as its own command.
        self.prefix = list(prefix)
        self.lines: list[str] = []
        self.errors: list[str] = []
        self._process: subprocess.Popen[str] | None = None
        self._readers: list[threading.Thread] = []
        self._tokens: dict[str, tuple[str, str]] = {}

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> CloudProcess:
        """Start and wait for the line that begins with ``ready``."""
        self.launch()
        deadline = time.monotonic() + START_TIMEOUT
        while not self.ready_line:
            assert self.process.poll() is None, self.log
            assert time.monotonic() < deadline, self.log
            time.sleep(0.02)
        return self

    def launch(self) -> None:
        """Start the process, and do not wait for it."""
        self.lines, self.errors, self._tokens = [], [], {}
        self._process = subprocess.Popen(
            [
                *self.prefix, sys.executable, "-m", "nova.cmd.all_in_one", "--state", str(self.state),
                "--port-offset", str(self.offset), *self.arguments,
            ],
            cwd=ROOT, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            text=True, env=os.environ | {"PYTHONUNBUFFERED": "1"},
        )
        self._readers = [
            threading.Thread(target=_collect, args=pair, daemon=True)
            for pair in (
                (self._process.stdout, self.lines), (self._process.stderr, self.errors)
            )
        ]
        for reader in self._readers:
            reader.start()

    def stop(self, number: int = signal.SIGINT) -> int:
        """Send the signal to this process, and return its exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        return self.wait()

    def wait(self, timeout: float = 30.0) -> int:
        """The exit status."""
        try:
            status = self.process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise AssertionError(f"the cloud did not stop\n{self.log}") from None
        for reader in self._readers:
            reader.join(5)
        return status

    @property
    def process(self) -> subprocess.Popen[str]:
        assert self._process is not None
        return self._process

    @property
    def ready_line(self) -> str:
        """``ready after ...``, or empty as long as it isn't."""
        return next((line for line in list(self.lines) if line.startswith("ready")), "")

    @property
    def log(self) -> str:
        """Everything that it printed."""
        return "\n".join(["--- stdout", *self.lines, "--- stderr", *self.errors])

    # --- what its user has -----------------------------------------------------------------------

    def environment(self, who: str) -> dict[str, str]:
        """The ``OS_`` variables of the openrc file that the cloud wrote for ``who``."""
        text = (self.state / f"{who}-openrc.sh").read_text()
        return dict(re.findall(r"^export (\w+)='([^']*)'$", text, re.MULTILINE))

    def url(self, service: str) -> str:
        """Where a face listens, without a path."""
        return f"http://127.0.0.1:{BASE_PORTS[service] + self.offset}"

    def call(
        self, service: str, method: str, path: str, body: Any = None, *, by: str | None = "demo",
        headers: dict[str, str] | None = None,
    ) -> Answer:
        """One raw HTTP request; ``by`` names whose token goes with it (or is a token)."""
        sent = dict(headers or {})
        if by is not None:
            sent["X-Auth-Token"] = self.login(by)[0] if by in ("admin", "demo") else by
        data = None
        if body is not None:
            data = json.dumps(body).encode()
            sent.setdefault("Content-Type", "application/json")
        connection = http.client.HTTPConnection(
            "127.0.0.1", BASE_PORTS[service] + self.offset, timeout=60
        )
        try:
            connection.request(method, path, data, sent)
            return Answer(connection.getresponse())
        finally:
            connection.close()

    def compute(
        self, method: str, path: str, body: Any = None, *, by: str = "demo",
        version: str = "latest",
    ) -> Answer:
        """One raw request to the compute API at a microversion."""
        return self.call(
            "compute", method, f"/v2.1{path}", body, by=by,
            headers={"OpenStack-API-Version": f"compute {version}"},
        )

    def login(self, who: str) -> tuple[str, str]:
        """Token and project id, by the credentials of the openrc file; asked once."""
        if who not in self._tokens:
            facts = self.environment(who)
            default = {"id": "default"}
            answer = self.call("identity", "POST", "/v3/auth/tokens", {"auth": {
                "identity": {"methods": ["password"], "password": {"user": {
                    "name": facts["OS_USERNAME"], "password": facts["OS_PASSWORD"],
                    "domain": default,
                }}},
                "scope": {"project": {"name": facts["OS_PROJECT_NAME"], "domain": default}},
            }}, by=None)
            assert answer.status == 201, answer.body
            self._tokens[who] = (
                answer.headers["X-Subject-Token"], answer.json["token"]["project"]["id"]
            )
        return self._tokens[who]

    # --- servers ---------------------------------------------------------------------------------

    def become_service(self) -> None:
        """Give the administrator the role of services, by which other services are known."""
        token, project = self.login("admin")
        role = self.call("identity", "GET", "/v3/roles?name=service", by="admin").json["roles"][0]["id"]
        user = self.call(
            "identity", "GET", "/v3/auth/tokens", by="admin", headers={"X-Subject-Token": token}
        ).json["token"]["user"]["id"]
        path = f"/v3/projects/{project}/users/{user}/roles/{role}"
        assert self.call("identity", "PUT", path, by="admin").status == 204
        self.forget_tokens()

    def forget_tokens(self) -> None:
        """Log in anew: roles have changed."""
        self._tokens.clear()

    def server(self, uuid: str) -> dict[str, Any]:
        """The server as the administrator sees it."""
        answer = self.compute("GET", f"/servers/{uuid}", by="admin")
        assert answer.status == 200, answer.body
        found: dict[str, Any] = answer.json["server"]
        return found

    def until(self, uuid: str, status: str) -> dict[str, Any]:
        """The server, as soon as it is ``status`` and no task runs on it."""
        seen: dict[str, Any] = {}

        def reached() -> bool:
            seen.update(self.server(uuid))
            return seen["status"] == status and seen["OS-EXT-STS:task_state"] is None

        wait_for(reached, lambda: f"{status} expected, but {seen.get('status')} "
                 f"task {seen.get('OS-EXT-STS:task_state')} fault {seen.get('fault')}")
        return seen

    def until_gone(self, uuid: str) -> None:
        """Return when the server answers 404."""
        wait_for(
            lambda: self.compute("GET", f"/servers/{uuid}").status == 404,
            lambda: f"server {uuid} is still there",
        )


def wait_for(
    reached: Callable[[], bool], complaint: Callable[[], str], timeout: float = 20.0
) -> None:
    """Poll ``reached``; fail with the complaint."""
    deadline = time.monotonic() + timeout
    while not reached():
        assert time.monotonic() < deadline, complaint()
        time.sleep(0.05)


def free_offset() -> int:
    """An offset at which every port of a cloud is free now.

    Below the ports that the kernel gives to clients; halves of that range belong to tests side by side.
    """
    worker = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw")) % 2
    first, last = OFFSETS[worker]
    for _ in range(200):
        offset = random.randrange(first, last)
        if all(_is_free(port + offset) for port in (*BASE_PORTS.values(), METRICS)):
            return offset
    raise AssertionError("no free ports")


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
    return True


def _collect(stream: Any, lines: list[str]) -> None:
    for line in stream:
        lines.append(line.rstrip("\n"))
