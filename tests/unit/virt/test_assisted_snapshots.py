# SPDX-License-Identifier: Apache-2.0
"""The files of volumes whose snapshots a block storage service takes: found, refused, merged at rest."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

pytest.importorskip("libvirt", reason="libvirt-python is not installed")
from nova.errors import VirtError
from nova.virt.libvirt.assisted_snapshots import beside, chain_of, commit, pull

pytestmark = pytest.mark.skipif(
    not all(shutil.which(name) for name in ("qemu-img", "prlimit")), reason="qemu-img is not installed"
)

_SIZE = 1 << 20


def _create(path: Path, below: str | None = None, disk_format: str | None = None) -> Path:
    backing = ["-b", below, "-F", disk_format] if below and disk_format else []
    subprocess.run(
        ["qemu-img", "create", "-q", "-u", "-f", "qcow2", *backing, path.name, str(_SIZE)], cwd=path.parent,
        check=True,
    )
    return path


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """A raw file and two on top of it, as a service makes them; each has a sector of its own."""
    base = tmp_path / "volume"
    base.write_bytes(b"base".ljust(_SIZE, b"\0"))
    found = [base]
    for number, (name, below, of) in enumerate([("one", "volume", "raw"), ("two", "one", "qcow2")], 1):
        path = _create(tmp_path / name, below, of)
        subprocess.run(
            ["qemu-io", "-f", "qcow2", "-c", f"write -P {number} {number * 65536} 512", str(path)],
            check=True, capture_output=True,
        )
        found.append(path)
    return found


def _content(path: Path, disk_format: str) -> bytes:
    """What a guest would find: the starts of the first four blocks."""
    flat = path.with_suffix(".flat")
    subprocess.run(
        ["qemu-img", "convert", "-f", disk_format, "-O", "raw", str(path), str(flat)], check=True
    )
    data = flat.read_bytes()
    return bytes(data[number * 65536] for number in range(4))


_WHOLE = b"b\1\2\0"


def test_the_files_of_a_disk_are_found_by_their_names(files: list[Path]) -> None:
    chain = chain_of(files[2], "qcow2")
    assert [(each.path, each.format) for each in chain] == [
        (files[2], "qcow2"), (files[1], "qcow2"), (files[0], "raw"),
    ]


@pytest.mark.parametrize(
    ("below", "text"),
    [("/etc/shadow", "not beside it"), ("../volume", "not beside it"), ("other", "circle")],
)
def test_files_that_lead_elsewhere_are_refused(tmp_path: Path, below: str, text: str) -> None:
    path = _create(tmp_path / "loop", below, "qcow2" if below == "other" else "raw")
    _create(tmp_path / "other", "loop", "qcow2")
    with pytest.raises(VirtError, match=text):
        chain_of(path, "qcow2")


@pytest.mark.parametrize("name", ["../x", "/etc/passwd", "..", "", "a/b"])
def test_a_name_that_leads_out_of_the_directory_is_refused(name: str) -> None:
    with pytest.raises(VirtError, match="no name of a file"):
        beside(Path("/mnt/volume"), name)


def test_a_snapshot_of_a_guest_that_is_off_is_merged_downwards(files: list[Path]) -> None:
    base, one, two = files
    for _ in range(2):
        left = commit(None, "vdb", chain_of(two, "qcow2"), one, base)
        assert left.path == two
    chain = chain_of(two, "qcow2")
    assert [(each.path, each.below) for each in chain] == [(two, "volume"), (base, None)]
    assert _content(two, "qcow2") == _WHOLE
    assert commit(None, "vdb", chain, two, base).path == base
    assert _content(base, "raw") == _WHOLE


def test_a_snapshot_of_a_guest_that_is_off_is_merged_upwards(files: list[Path]) -> None:
    base, _one, two = files
    for below in (base, base, None, None):
        pull(None, "vdb", chain_of(two, "qcow2"), below)
        assert _content(two, "qcow2") == _WHOLE
        assert [each.path for each in chain_of(two, "qcow2")[1:]] == ([below] if below else [])
    assert base.read_bytes()[:4] == b"base"


def test_files_that_are_none_of_the_disks_are_not_merged(files: list[Path]) -> None:
    base, one, two = files
    chain = chain_of(two, "qcow2")
    with pytest.raises(VirtError, match="is not one of those"):
        commit(None, "vdb", chain, one, base.with_name("other"))
    with pytest.raises(VirtError, match="is not below"):
        commit(None, "vdb", chain, base, one)
    with pytest.raises(VirtError, match="writes to the file"):
        pull(None, "vdb", chain, two)
    assert [each.path for each in chain_of(two, "qcow2")] == [two, one, base]
