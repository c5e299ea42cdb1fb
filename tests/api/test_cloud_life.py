# SPDX-License-Identifier: Apache-2.0
"""The all-in-one cloud as a process: what it prints, refuses and keeps, and two beside each other."""

from __future__ import annotations

import re
import signal
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud_process import BASE_PORTS, ROOT, CloudProcess, free_offset, wait_for
from tests.api.public_clients import Commands

FAST = ["--set", "identity.bcrypt_rounds=4"]
SERVER = ("server", "create", "--flavor", "m1.tiny", "--image", "nova-test")


@pytest.fixture
def own(tmp_path: Path) -> Iterator[CloudProcess]:
    """A cloud that the test may stop and start."""
    running = CloudProcess(tmp_path / "state", arguments=FAST).start()
    yield running
    if running.process.poll() is None:
        assert running.stop() == 0, running.log


def test_everything_is_there_after_a_restart(own: CloudProcess) -> None:
    with Commands(own, "demo") as demo, Commands(own, "admin") as admin:
        kept, stopped, resized = before_the_restart(own, demo, admin)
        before = {uuid: own.server(uuid) for uuid in (kept, stopped, resized)}
        token, _project = own.login("demo")

    assert own.stop(signal.SIGTERM) == 0, own.log
    assert own.lines[-1] == "stopping"
    own.start()

    # A token of before still counts.
    assert own.call("compute", "GET", "/v2.1/servers", by=token).status == 200
    for uuid, server_before in before.items():
        assert own.server(uuid) == server_before
    with Commands(own, "demo") as demo, Commands(own, "admin") as admin:
        demo("server", "start", stopped)
        own.until(stopped, "ACTIVE")
        demo("server", "resize", "revert", resized)
        own.until(resized, "ACTIVE")
        demo("server", "reboot", "--hard", kept)
        own.until(kept, "ACTIVE")
        fourth = demo.value("server", "create", "--flavor", "m1.tiny", "--image", "快照",
                            "--nic", "auto", "fourth")
        own.until(fourth, "ACTIVE")
        assert "Quota exceeded for instances" in demo.refused(*SERVER, "--nic", "none", "fifth")
        addresses = [
            demo.json("server", "show", uuid)["addresses"]["private"][0]
            for uuid in (kept, resized, fourth)
        ]
        assert len(set(addresses)) == 3
        demo("server", "delete", kept, stopped, resized, fourth)
        for uuid in (kept, stopped, resized, fourth):
            own.until_gone(uuid)
        assert admin.json("hypervisor", "stats", "show")["memory_mb_used"] == 0


def before_the_restart(own: CloudProcess, demo: Commands, admin: Commands) -> list[str]:
    """An active, a stopped and a resized server, an image and a quota."""
    made = [
        demo.value(*SERVER, "--property", "k=值", "--tag", "标", "--nic", "auto", "留下"),
        demo.value(*SERVER, "--nic", "none", "stopped"),
        demo.value(*SERVER, "--nic", "auto", "resized"),
    ]
    for uuid in made:
        own.until(uuid, "ACTIVE")
    kept, stopped, resized = made
    demo("server", "stop", stopped)
    demo("server", "resize", "--flavor", "m1.small", resized)
    image = demo.value("server", "image", "create", "--name", "快照", kept)
    admin("quota", "set", "--instances", "4", "demo")
    own.until(stopped, "SHUTOFF")
    own.until(resized, "VERIFY_RESIZE")
    wait_for(
        lambda: demo.value("image", "show", image, column="status") == "active",
        lambda: "the image is not active",
    )
    return made


def test_servers_of_a_dead_host_are_evacuated_and_it_comes_back(own: CloudProcess) -> None:
    with Commands(own, "admin") as admin:
        uuid = admin.value(*SERVER, "--nic", "auto", "evacuated")
        dead = own.until(uuid, "ACTIVE")["OS-EXT-SRV-ATTR:host"]
        admin("compute", "service", "set", "--down", dead, "nova-compute")
        assert admin.json("hypervisor", "show", dead)["state"] == "down"
        admin("server", "evacuate", uuid)
        wait_for(
            lambda: own.server(uuid)["OS-EXT-SRV-ATTR:host"] != dead, lambda: f"still on {dead}"
        )
    assert own.stop() == 0, own.log
    own.start()
    with Commands(own, "admin") as admin:
        admin("compute", "service", "set", "--up", dead, "nova-compute")
        assert admin.json("hypervisor", "show", dead)["state"] == "up"
    assert own.server(uuid)["OS-EXT-SRV-ATTR:host"] != dead


def test_what_it_prints_and_leaves_on_the_disk(own: CloudProcess) -> None:
    ready = re.fullmatch(r"ready after (\d+\.\d\d) s; Ctrl-C stops it", own.ready_line)
    assert ready is not None
    assert float(ready[1]) < 30
    printed = "\n".join(own.lines)
    for service in ("identity", "image", "compute"):
        assert own.url(service) in printed
    for name in ("admin-openrc.sh", "demo-openrc.sh", "clouds.yaml"):
        assert str(own.state / name) in printed
    assert own.environment("demo")["OS_PASSWORD"] not in printed
    assert own.stop() == 0
    assert stat.S_IMODE(own.state.stat().st_mode) == 0o700
    open_to_others = [
        str(path) for path in own.state.rglob("*")
        if not path.is_symlink() and path.stat().st_mode & 0o077
    ]
    assert open_to_others == []


def test_a_second_cloud_on_the_same_state_is_refused(own: CloudProcess) -> None:
    second = CloudProcess(own.state)
    second.launch()
    assert second.wait() == 1
    assert second.lines == []
    (line,) = second.errors
    assert line.startswith(f"nova-all-in-one: Another cloud runs on {own.state}.")
    assert own.compute("GET", "/servers").status == 200


@pytest.mark.parametrize("service", sorted(BASE_PORTS))
def test_a_taken_port_is_refused(tmp_path: Path, service: str) -> None:
    offset = free_offset()
    port = BASE_PORTS[service] + offset
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", port))
        holder.listen()
        refused = CloudProcess(tmp_path / "state", offset=offset, arguments=FAST)
        refused.launch()
        assert refused.wait() == 1, refused.log
    assert refused.ready_line == ""
    assert len(refused.errors) == 1, refused.log
    assert refused.errors[0].startswith("nova-all-in-one: ")
    assert str(port) in refused.errors[0]
    # The next start finds the port free, and everything in order.
    refused.start()
    assert refused.compute("GET", "/servers").status == 200
    assert refused.stop() == 0


def test_two_clouds_side_by_side_know_nothing_of_each_other(
    own: CloudProcess, tmp_path: Path
) -> None:
    other = CloudProcess(tmp_path / "other", arguments=[*FAST, "--set", "fake.hosts=2"]).start()
    try:
        made = own.compute("POST", "/servers", {"server": {
            "name": "only here", "flavorRef": "1", "networks": "none",
            "imageRef": "6e6f7661-7465-4374-8000-000000000001",
        }})
        assert made.status == 202, made.body
        assert len(own.compute("GET", "/servers").json["servers"]) == 1
        assert other.compute("GET", "/servers").json["servers"] == []
        hosts = other.compute("GET", "/os-hypervisors", by="admin").json["hypervisors"]
        assert len(hosts) == 2
        stranger = other.call("compute", "GET", "/v2.1/servers", by=own.login("demo")[0])
        assert stranger.status == 401
    finally:
        assert other.stop() == 0, other.log


def test_help_names_every_option(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "nova.cmd.all_in_one", "--help"], cwd=ROOT, capture_output=True,
        text=True, timeout=30, check=False,
    )
    assert done.returncode == 0
    for word in ("--state", "--port-offset", "--listen", "--config-file", "--set", "examples:"):
        assert word in done.stdout


@pytest.mark.parametrize(("arguments", "word"), [
    (["--set", "nonsense"], "nonsense"), (["--set", "fake.nonsense=1"], "nonsense"),
    (["--set", "fake.hosts=many"], "hosts"), (["--config-file", "/nirgends.conf"], "nirgends"),
    (["--listen", "192.0.2.1"], "192.0.2.1"),
], ids=lambda value: " ".join(value) if isinstance(value, list) else "")
def test_bad_options_are_refused_in_one_line(
    tmp_path: Path, arguments: list[str], word: str
) -> None:
    refused = CloudProcess(tmp_path / "state", arguments=arguments)
    refused.launch()
    assert refused.wait() in (1, 2), refused.log
    assert len(refused.errors) == 1, refused.log
    assert word in refused.errors[0]
