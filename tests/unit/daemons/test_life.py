# SPDX-License-Identifier: Apache-2.0
"""Daemons as processes: what signals do to them, with nobody at the broker's address."""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import pytest

from nova.conf import load
from nova.db import migrate
from nova.db.engine import Database
from nova.rpc.envelope import CONTROL
from nova.rpc.keys import new_key, write_key

ROOT = Path(__file__).resolve().parents[3]
#: What a daemon that is stuck takes is longer, what a slow machine takes is not.
_PATIENCE = 40

#: A nova-api that tells of its policy what requests would find. Its own look at the file comes too late.
_API = """
import sys, threading, time
from nova.daemons import build, faces, process
from nova.objects.context import RequestContext

faces._POLICY_SECONDS = 3600.0

class Watched(faces.PolicyUnit):
    def start(self):
        threading.Thread(target=self.tell, daemon=True).start()

    def tell(self):
        said, caller = None, RequestContext(user_id="u", project_id="p", roles=("reader",))
        while True:
            allows = self._policy.allows("os_compute_api:os-hypervisors:list", caller)
            if allows is not said:
                print("readers", "may" if allows else "may not", flush=True)
            said = allows
            time.sleep(0.02)

faces.PolicyUnit = Watched
process.run("nova-api", "", build.build_api, sys.argv[1:])
"""

#: A daemon one of whose threads is dead once there is a file of that name.
_HALF_DEAD = """
import os, sys
from nova.daemons.process import Built, run
from nova.daemons.unit import Units
from nova.health import Health

def build(config, ending):
    dead = lambda: ["broker"] if os.path.exists(config.default.state_path + "/dead") else []
    return Built(Units([]), lambda seconds: None, lambda: None, Health({}), dead=dead)

run("nova-conductor", "", build, sys.argv[1:])
"""

#: A daemon with work on a pool's thread that does not end.
_STUCK = """
import sys, threading, time
from concurrent.futures import ThreadPoolExecutor
from nova.daemons.process import Built, run
from nova.daemons.unit import Units
from nova.health import Health

def build(config, ending):
    ThreadPoolExecutor(1).submit(time.sleep, 600)
    return Built(Units([]), lambda seconds: time.sleep(min(seconds, 1)), lambda: None, Health({}))

run("nova-conductor", "", build, sys.argv[1:])
"""


@pytest.fixture
def started() -> Iterator[list[subprocess.Popen[str]]]:
    made: list[subprocess.Popen[str]] = []
    yield made
    for each in made:
        each.kill()
        each.wait(10)
        for pipe in (each.stdout, each.stderr):
            if pipe is not None:
                pipe.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _configuration(directory: Path) -> Path:
    write_key(directory / "control.key", new_key(CONTROL))
    (directory / "keys").mkdir()
    write_key(directory / "keys" / "node1.key", new_key("node1"))
    file = directory / "nova.conf"
    file.write_text(
        f"[DEFAULT]\nhost = node1\nmy_ip = 127.0.0.1\nstate_path = {directory}\n"
        f"transport_url = rabbit://nova:nova@127.0.0.1:{_free_port()}/\n"
        f"osapi_compute_listen = 127.0.0.1\nosapi_compute_listen_port = {_free_port()}\n"
        "compute_driver = fake.FakeDriver\nfake_network = True\nverbose = True\n"
        "[network_api]\nenabled = False\n[metrics]\nlisten_port = 0\n"
        f"[identity]\nlisten_port = {_free_port()}\n"
        f"[host_identity]\ncontrol_key_file = {directory}/control.key\nkey_directory = {directory}/keys\n"
    )
    return file


def _database(directory: Path) -> None:
    db = Database(f"sqlite:///{directory}/nova.sqlite")
    migrate.prepare(db)
    db.dispose()


def _connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), timeout=60)


def _start(
    started: list[subprocess.Popen[str]], *arguments: str, environment: dict[str, str] | None = None
) -> subprocess.Popen[str]:
    process = subprocess.Popen(
        [sys.executable, *arguments], text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(ROOT), **(environment or {})},
    )
    started.append(process)
    return process


def _read_until(stream: IO[str] | None, words: str) -> None:
    """Read a process's lines up to one with these words; the test's timeout ends a wait in vain."""
    assert stream is not None
    seen = []
    for line in stream:
        seen.append(line)
        if words in line:
            return
    raise AssertionError(f"it ended without {words!r}: {''.join(seen)}")


@pytest.mark.timeout(120)
def test_sighup_reads_the_policy_again_and_signals_in_a_storm_do_no_harm(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    _database(tmp_path)
    policy = tmp_path / "policy.yaml"
    api = _start(started, "-c", _API, "--config-file", str(_configuration(tmp_path)),
                 "--log-file", str(tmp_path / "log"))
    _read_until(api.stdout, "readers may not")
    # Written and moved: the signal that follows finds a whole file.
    for rule, found in (("role:reader", "readers may"), ("!", "readers may not")):
        fresh = tmp_path / "fresh"
        fresh.write_text(f'"os_compute_api:os-hypervisors:list": "{rule}"\n')
        fresh.replace(policy)
        api.send_signal(signal.SIGHUP)
        _read_until(api.stdout, found)
    for _ in range(300):
        api.send_signal(signal.SIGHUP)
    api.terminate()
    assert api.wait(_PATIENCE) == 0, (tmp_path / "log").read_text()


@contextlib.contextmanager
def _under_systemd(
    directory: Path, started: list[subprocess.Popen[str]], program: str, watchdog: float
) -> Iterator[tuple[socket.socket, subprocess.Popen[str]]]:
    """What systemd hears of a daemon that has to say every ``watchdog`` seconds that it lives."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as systemd:
        systemd.bind(str(directory / "systemd"))
        systemd.settimeout(60)
        yield systemd, _start(
            started, "-c", program, "--config-file", str(_configuration(directory)),
            environment={
                "NOTIFY_SOCKET": str(directory / "systemd"),
                "WATCHDOG_USEC": str(int(watchdog * 1_000_000)),
            },
        )


@pytest.mark.timeout(120)
def test_systemd_hears_of_a_daemons_whole_life(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    with _under_systemd(tmp_path, started, _STUCK, 1.0) as (systemd, daemon):

        def told() -> str:
            return systemd.recv(200).decode().partition("\n")[0]

        assert told() == "READY=1"
        assert [told(), told()] == ["WATCHDOG=1"] * 2
        daemon.send_signal(signal.SIGHUP)
        heard = [told()]
        while heard[-1] != "READY=1":
            heard.append(told())
        assert [each for each in heard if each != "WATCHDOG=1"] == ["RELOADING=1", "READY=1"]
        daemon.terminate()
        assert daemon.wait(_PATIENCE) == 0
        rest = []
        while "STOPPING=1" not in rest:
            rest.append(told())
        assert set(rest) <= {"WATCHDOG=1", "STOPPING=1"}


@pytest.mark.timeout(120)
def test_a_daemon_that_waits_for_a_conductor_ends_at_once(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    compute = _start(started, "-m", "nova.cmd.compute", "--config-file", str(_configuration(tmp_path)))
    # By the second time it has long asked what guests are wanted here.
    _read_until(compute.stderr, "waiting for the broker")
    _read_until(compute.stderr, "waiting for the broker")
    compute.terminate()
    # An answer is waited for 60 seconds otherwise.
    assert compute.wait(_PATIENCE) == 0


@pytest.mark.timeout(120)
def test_work_that_does_not_end_is_left_when_its_time_is_over(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    stuck = _start(started, "-c", _STUCK, "--config-file", str(_configuration(tmp_path)))
    _read_until(stuck.stderr, "is ready")
    stuck.terminate()
    assert stuck.wait(_PATIENCE) == 0


@pytest.mark.timeout(120)
def test_a_body_that_is_on_its_way_at_sigterm_comes_to_its_end(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    _database(tmp_path)
    file = _configuration(tmp_path)
    port = load([str(file)]).identity.listen_port
    identity = _start(started, "-m", "nova.cmd.identity", "--config-file", str(file))
    _read_until(identity.stderr, "is ready")
    with _connect(port) as idle, _connect(port) as slow:
        idle.sendall(b"GET /v3 HTTP/1.1\r\nHost: x\r\n\r\n")
        assert idle.recv(4096).startswith(b"HTTP/1.1 200")
        slow.sendall(b"POST /v3/auth/tokens HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{")
        identity.terminate()
        # Five seconds are what the rest of a short answer has.
        with pytest.raises(subprocess.TimeoutExpired):
            identity.wait(6)
        with pytest.raises(ConnectionRefusedError):
            _connect(port)
        slow.sendall(b"}")
        assert slow.recv(4096).startswith(b"HTTP/1.1 400")
        assert identity.wait(_PATIENCE) == 0


@pytest.mark.timeout(120)
def test_a_daemon_with_a_dead_thread_says_no_more_that_it_lives(
    tmp_path: Path, started: list[subprocess.Popen[str]]
) -> None:
    with _under_systemd(tmp_path, started, _HALF_DEAD, 0.2) as (systemd, daemon):
        assert systemd.recv(200) == b"READY=1"
        assert systemd.recv(200) == b"WATCHDOG=1"
        (tmp_path / "dead").touch()
        _read_until(daemon.stderr, "should live and do not: broker")
        # What it said before that is still to be read.
        systemd.setblocking(False)
        with contextlib.suppress(BlockingIOError):
            while True:
                systemd.recv(200)
        for _ in range(10):
            _read_until(daemon.stderr, "should live and do not: broker")
        with pytest.raises(BlockingIOError):
            systemd.recv(200)
