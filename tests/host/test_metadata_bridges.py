# SPDX-License-Identifier: Apache-2.0
"""Guests with one and the same address on two bridges of a host, each told its own metadata."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.conftest import _refuse

ROOT = Path(__file__).resolve().parents[2]
ADDRESS = "10.9.0.3"
FIRST, SECOND = "5a3c2f6e-0d0f-4f3c-8a55-6d1d9c1f7a10", "6a3c2f6e-0d0f-4f3c-8a55-6d1d9c1f7a11"
_ASK = (
    "import sys, urllib.request; "
    "print(urllib.request.urlopen(sys.argv[1] + '/openstack/latest/meta_data.json', "
    "timeout=10).read().decode())"
)


def _ip(*arguments: str, namespace: str | None = None) -> None:
    inside = ["-n", namespace] if namespace else []
    subprocess.run(["ip", *inside, *arguments], check=True, capture_output=True, timeout=20)


def _bridge(host: str, name: str, guest: str) -> None:
    """A bridge of the host with a guest behind it; all such pairs have the same addresses."""
    _ip("netns", "add", guest)
    _ip("link", "add", name, "type", "bridge", namespace=host)
    _ip("addr", "add", "10.9.0.1/24", "dev", name, namespace=host)
    _ip("link", "set", name, "up", namespace=host)
    _ip("link", "add", f"t{name}", "type", "veth", "peer", "name", "eth0", "netns", guest,
        namespace=host)
    _ip("link", "set", f"t{name}", "master", name, "up", namespace=host)
    _ip("addr", "add", f"{ADDRESS}/24", "dev", "eth0", namespace=guest)
    _ip("link", "set", "eth0", "up", namespace=guest)
    _ip("route", "add", "default", "via", "10.9.0.1", namespace=guest)


def _told(guest: str, url: str) -> str:
    found = subprocess.run(
        ["ip", "netns", "exec", guest, sys.executable, "-c", _ASK, url],
        check=True, capture_output=True, text=True, timeout=30,
    )
    return str(json.loads(found.stdout)["uuid"])


@pytest.fixture
def host() -> Iterator[str]:
    """A network namespace that stands for a host."""
    if os.geteuid() != 0:
        _refuse("network namespaces need root")
    name = f"md{os.getpid()}"
    namespaces = [name, f"{name}a", f"{name}b"]
    try:
        _ip("netns", "add", name)
    except (OSError, subprocess.CalledProcessError):
        _refuse("network namespaces cannot be made here")
    try:
        _ip("link", "set", "lo", "up", namespace=name)
        _ip("addr", "add", "169.254.169.254/32", "dev", "lo", namespace=name)
        yield name
    finally:
        for each in namespaces:
            subprocess.run(["ip", "netns", "del", each], check=False, capture_output=True)


def test_each_guest_is_told_its_own(host: str) -> None:
    _bridge(host, "br401", f"{host}a")
    process = subprocess.Popen(
        ["ip", "netns", "exec", host, sys.executable, "-m", "tests.host.metadata_process", ADDRESS,
         f"br401={FIRST}", f"br402={SECOND}"],
        cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)}, stdout=subprocess.PIPE, text=True,
    )
    try:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        assert _told(f"{host}a", "http://169.254.169.254") == FIRST
        assert _told(f"{host}a", "http://10.9.0.1:8775") == FIRST
        # A bridge that comes later, with the same addresses.
        _bridge(host, "br402", f"{host}b")
        deadline = time.monotonic() + 60
        while True:
            try:
                assert _told(f"{host}b", "http://169.254.169.254") == SECOND
                break
            except subprocess.CalledProcessError:
                assert time.monotonic() < deadline
        assert _told(f"{host}b", "http://10.9.0.1:8775") == SECOND
        assert _told(f"{host}a", "http://169.254.169.254") == FIRST
    finally:
        process.terminate()
        process.wait(20)
