# SPDX-License-Identifier: Apache-2.0
"""nova-compute from the image of the Dockerfile, with a real guest: minutes, not in ``make test``.

``make test-container`` runs it. The image is built by podman; its base is made of Debian's packages where
the Dockerfile's own cannot be fetched.
"""

from __future__ import annotations

import grp
import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cluster.cluster import ROOT
from tests.host.guest_cluster import GuestCluster, running

pytestmark = [
    pytest.mark.timeout(1800),
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
]

IMAGE = "localhost/nova:test"
_BASE = "docker.io/library/python:3.11-slim-bookworm"
#: Runs where cgroups are those of version 1 and of version 2 at once, and where limits cannot be raised.
_ENGINE = """[containers]
default_ulimits = [{limits}]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
events_logger = "file"
"""


def _run(*command: str, **environment: str) -> str:
    done = subprocess.run(
        command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=900,
        env=os.environ | environment,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def _own_limits() -> str:
    """Limits within this process's own; those that Podman would take need a right to raise them."""
    found = []
    for name, kind in (("nofile", resource.RLIMIT_NOFILE), ("nproc", resource.RLIMIT_NPROC)):
        hard = resource.getrlimit(kind)[1]
        limit = 1024 if hard == resource.RLIM_INFINITY else min(hard, 1024)
        found.append(f'"{name}={limit}:{limit}"')
    return ", ".join(found)


def _make_base(directory: Path) -> None:
    root = directory / "base"
    packages = "python3,python3-venv,python3-dev,ca-certificates"
    _run("debootstrap", "--variant=minbase", f"--include={packages}", "bookworm", str(root))
    (root / "usr/bin/python").symlink_to("python3")
    shutil.copy("/etc/ssl/certs/ca-certificates.crt", root / "etc/ssl/certs")
    archive = directory / "base.tar"
    _run("tar", "-C", str(root), "-cf", str(archive), ".")
    _run("podman", "import", str(archive), _BASE)


@pytest.fixture(scope="module")
def container(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The image, with this machine's numbers of the groups."""
    missing = [name for name in ("podman", "runc", "debootstrap") if shutil.which(name) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not installed (tools/system-parts.sh container)")
    directory = tmp_path_factory.mktemp("container")
    settings = directory / "containers.conf"
    settings.write_text(_ENGINE.format(limits=_own_limits()))
    os.environ["CONTAINERS_CONF"] = str(settings)
    if subprocess.run(["podman", "image", "exists", _BASE], check=False).returncode != 0:
        _make_base(directory)
    numbers = {name: str(grp.getgrnam(group).gr_gid)
               for name, group in (("LIBVIRT_GID", "libvirt"), ("QEMU_GID", "libvirt-qemu"))}
    print(_run(
        "podman", "build", "--network=host", "--tag", IMAGE, "--build-arg", "TZ=Asia/Shanghai",
        *(word for name, value in numbers.items() for word in ("--build-arg", f"{name}={value}")),
        "--volume", "/etc/ssl/certs/ca-certificates.crt:/etc/ssl/certs/ca-certificates.crt:ro", ".",
    )[-200:], file=sys.stderr)
    yield IMAGE
    _run("podman", "rmi", "--force", IMAGE)
    del os.environ["CONTAINERS_CONF"]


@pytest.fixture(scope="module")
def cloud(parts: None, image: Path, container: str) -> Iterator[GuestCluster]:
    with running(image, container=container) as made:
        yield made


def test_a_guest_lives_under_a_service_in_a_container(cloud: GuestCluster) -> None:
    host, other = cloud.hosts
    uuid = cloud.boot("größe", host)
    cloud.reach(uuid, "ACTIVE", on=host)
    cloud.says(uuid, "MARK ready")
    cloud.act(uuid, "reboot", {"type": "HARD"})
    cloud.reach(uuid, "ACTIVE", on=host)
    cloud.says(uuid, "MARK ready")
    # The unit stops and removes an old one first; guests go on.
    _run(*host.libvirt.enter("podman", "kill", "--signal=KILL", f"nova-compute-{host.name}"))
    host.compute.end()
    cloud.until(lambda: not cloud.up(host), "the service counts as down")
    host.compute.start()
    cloud.until(lambda: cloud.up(host), "the service is back")
    cloud.migrate_live(uuid)
    cloud.reach(uuid, "ACTIVE", on=other)
    cloud.remove(uuid)
