# SPDX-License-Identifier: Apache-2.0
"""A cloud in a process of its own, and clients with one connection each, for the benchmarks."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

PORT_OFFSET = 30000


class Client:
    """One kept-alive connection to the compute API, with a token."""

    def __init__(self, port: int, token: str, version: str = "2.1") -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        self._headers = {
            "X-Auth-Token": token, "Content-Type": "application/json",
            "OpenStack-API-Version": f"compute {version}",
        }

    def request(self, method: str, path: str, body: Any = None) -> bytes:
        """The body of the answer; ``RuntimeError`` with it for a status of 400 or more."""
        data = None if body is None else json.dumps(body)
        self._connection.request(method, path, data, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status >= 400:
            raise RuntimeError(f"{method} {path}: {answer.status} {content[:300]!r}")
        return content

    def json(self, method: str, path: str, body: Any = None) -> Any:
        """The same, decoded."""
        content = self.request(method, path, body)
        return json.loads(content) if content else None


class Cloud:
    """A running all-in-one cloud with a fresh state directory."""

    def __init__(self, state: Path, *settings: str) -> None:
        self.state = state
        self.compute_port = 8774 + PORT_OFFSET
        self._settings = settings
        self.ready_seconds = self._start()
        self.token = self._login()

    def _start(self) -> float:
        command = [
            sys.executable, "-m", "nova.cmd.all_in_one", "--state", str(self.state),
            "--port-offset", str(PORT_OFFSET),
        ]
        for setting in self._settings:
            command += ["--set", setting]
        began = time.monotonic()
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        for line in self.process.stdout:
            if line.startswith("ready"):
                return time.monotonic() - began
        raise RuntimeError("the cloud did not start")

    def _login(self) -> str:
        secrets = json.loads((self.state / "secrets.json").read_text())
        body = {
            "auth": {
                "identity": {
                    "methods": ["password"],
                    "password": {
                        "user": {
                            "name": "admin", "domain": {"id": "default"},
                            "password": secrets["admin_password"],
                        }
                    },
                },
                "scope": {"project": {"name": "admin", "domain": {"id": "default"}}},
            }
        }
        connection = http.client.HTTPConnection("127.0.0.1", 5000 + PORT_OFFSET)
        connection.request(
            "POST", "/v3/auth/tokens", json.dumps(body), {"Content-Type": "application/json"}
        )
        answer = connection.getresponse()
        self.project = json.loads(answer.read())["token"]["project"]["id"]
        return str(answer.headers["X-Subject-Token"])

    def client(self, version: str = "2.1") -> Client:
        """A new connection."""
        return Client(self.compute_port, self.token, version)

    def peak_memory_mib(self) -> float:
        """Largest resident size of the cloud's process so far, MiB."""
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        found = re.search(r"VmHWM:\s+(\d+) kB", status)
        assert found is not None
        return int(found.group(1)) / 1024

    def stop(self) -> None:
        """End the cloud's process."""
        self.process.send_signal(signal.SIGINT)
        self.process.wait(20)


@contextlib.contextmanager
def cloud(*settings: str) -> Iterator[Cloud]:
    """A cloud for the time of a block."""
    state = Path(tempfile.mkdtemp(prefix="nova-bench-", dir=os.environ.get("BENCH_DIR")))
    running = Cloud(state, *settings)
    try:
        yield running
    finally:
        running.stop()
        shutil.rmtree(state, ignore_errors=True)


def in_parallel(clients: int, work: Callable[[int], None]) -> float:
    """Run ``work(number)`` on so many threads; the seconds it took."""
    failures: list[BaseException] = []

    def guarded(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=guarded, args=(n,)) for n in range(clients)]
    began = time.monotonic()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failures:
        raise failures[0]
    return time.monotonic() - began


def figure(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(f"figure {name} {value:.2f} {unit}", flush=True)
