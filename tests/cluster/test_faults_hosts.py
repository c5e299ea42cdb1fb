# SPDX-License-Identifier: Apache-2.0
"""What befalls single hosts under load: a full disk, a clock that jumps, death. Nothing is lost or left."""

from __future__ import annotations

import contextlib
import itertools
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.load import Load, wait_until
from tests.cluster.rounds import LONG, ROUNDS, SEED
from tests.cluster.settling import settle

pytestmark = [pytest.mark.timeout(1200), pytest.mark.usefixtures("renewed_after_a_failure")]

_FAKETIME = ("/usr/lib/x86_64-linux-gnu/faketime/libfaketime.so.1",
             "/usr/lib/aarch64-linux-gnu/faketime/libfaketime.so.1", "/usr/lib64/faketime/libfaketime.so.1")


@pytest.fixture
def small_disk(cluster: Cluster) -> Iterator[Path]:
    """A file system of 256 KiB with all that node3 keeps."""
    if os.geteuid() != 0:
        pytest.skip("mounting a file system needs root")
    daemon, journal = cluster.daemons["node3"], cluster.guests / "node3.guests"
    place = cluster.directory / "small"
    place.mkdir(exist_ok=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(place)], check=True)
    try:
        daemon.end()
        journal.parent.mkdir(exist_ok=True)
        journal.touch()
        shutil.move(journal, place / journal.name)
        journal.symlink_to(place / journal.name)
        daemon.start()
        cluster.wait_ready()
        yield place
    finally:
        daemon.end()
        if journal.is_symlink():
            journal.unlink()
            shutil.copy(place / journal.name, journal)
        subprocess.run(["umount", str(place)], check=True)
        daemon.start()
        cluster.wait_ready()


def _fill(place: Path) -> Path:
    filler = place / "filler"
    with contextlib.suppress(OSError), filler.open("wb", buffering=0) as file:
        while True:
            file.write(b"\0" * 1024)
    return filler


def test_a_full_disk_loses_nothing(cluster: Cluster, small_disk: Path) -> None:
    for number in range(ROUNDS):
        with Load(cluster, 4, seed=SEED + number) as load:
            load.wait_for(20)
            filler = _fill(small_disk)
            load.wait_for(200 if LONG else 60)
            filler.unlink()
            ended = time.monotonic()
            load.wait_for(10)
        # What could not be attached there was refused, with the reason.
        load.surprises = [each for each in load.surprises if "No space left on device" not in each]
        settle(cluster, load, ended, "disk full on a host")
        assert cluster.daemons["node3"].lines("No space left on device")


@pytest.fixture
def clock(cluster: Cluster, tmp_path: Path) -> Iterator[Path]:
    """The file that says by how much node2's clock is wrong."""
    library = next((each for each in _FAKETIME if os.path.exists(each)), None)
    if library is None:
        pytest.skip("libfaketime is not installed (make system-parts)")
    file = tmp_path / "clock"
    file.write_text("+0\n")
    daemon = cluster.daemons["node2"]
    daemon.end()
    daemon.environment = {"LD_PRELOAD": library, "FAKETIME_TIMESTAMP_FILE": str(file),
                          "FAKETIME_NO_CACHE": "1", "DONT_FAKE_MONOTONIC": "1"}
    daemon.start()
    cluster.wait_ready()
    try:
        yield file
    finally:
        daemon.environment = {}
        daemon.end()
        daemon.start()
        cluster.wait_ready()


def test_a_clock_that_jumps_on_a_host_loses_nothing(cluster: Cluster, clock: Path) -> None:
    seconds = 20 if LONG else 2
    log = cluster.daemons["node2"].log
    for _ in range(ROUNDS):
        with Load(cluster) as load:
            load.wait_for(10)
            for jump in ("+10m", "-10m", "+10m", "+0"):
                fresh = clock.with_suffix(".new")
                fresh.write_text(jump + "\n")
                fresh.replace(clock)
                load.wait_for(15)
                time.sleep(seconds)
            ended = time.monotonic()
        settle(cluster, load, ended, "a host's clock 10 minutes ahead, behind, ahead, right again")
    # It did jump: lines of the log go back in time.
    times = [line[:19] for line in log.read_text(errors="replace").splitlines() if line[:2] == "20"]
    assert any(later < earlier for earlier, later in itertools.pairwise(times))


@pytest.mark.parametrize("how", ["killed", pytest.param("hung", marks=pytest.mark.skipif(
    not LONG, reason="a longer round: make cluster-test"))])
def test_a_host_that_is_gone_is_evacuated_and_cleans_up_when_it_comes_back(
    cluster: Cluster, how: str
) -> None:
    api = cluster.api()
    daemon = cluster.daemons["node4"]
    service = next(
        each["id"] for each in api.get("/os-services?binary=nova-compute")["services"]
        if each["host"] == "node4"
    )
    with Load(cluster) as load:
        load.wait_for(30)
        assert daemon.process is not None
        if how == "killed":
            daemon.end(signal.SIGKILL)
        else:
            daemon.process.send_signal(signal.SIGSTOP)
        assert api.ask("PUT", f"/os-services/{service}", {"forced_down": True})[0] == 200
        load.wait_for(10)
    there = _evacuate_all(cluster, "node4")
    guests = (cluster.guests / "node4.guests").read_bytes()
    if how == "killed":
        daemon.start()
    else:
        daemon.process.send_signal(signal.SIGCONT)
    ended = time.monotonic()
    # Refused until the host has come back and knows what it has lost.
    assert wait_until(
        lambda: api.ask("PUT", f"/os-services/{service}", {"forced_down": False})[0] == 200, 60
    )
    cluster.wait_ready()
    settle(cluster, load, ended, f"host {how} for ever; {len(there)} servers evacuated")
    assert any(uuid.encode() in guests for uuid in there)
    left = {
        each["id"]: each["status"] for each in api.get("/servers/detail?host=node4&all_tenants=1")["servers"]
    }
    assert not there & left.keys(), left


def _evacuate_all(cluster: Cluster, host: str) -> set[str]:
    """Evacuate a host as its operator does; answers the servers that were brought away."""
    api = cluster.api()
    moved: set[str] = set()

    def empty() -> bool:
        servers = api.get(f"/servers/detail?host={host}&all_tenants=1&limit=1000")["servers"]
        for each in servers:
            status, answer = api.ask("POST", f"/servers/{each['id']}/action", {"evacuate": {}})
            if status == 200:
                moved.add(each["id"])
            else:
                # Something was under way when the host died; it ends by itself first.
                assert status in (404, 409), answer
        return not any(each["status"] in ("ACTIVE", "SHUTOFF") for each in servers)

    assert wait_until(empty, 90), api.get(f"/servers/detail?host={host}&all_tenants=1")
    return moved
