# SPDX-License-Identifier: Apache-2.0
"""Real guests: a private libvirtd, a guest image made here, and a whole cloud on top.

Where a part is missing the tests are skipped by its name; with CI=true that is a failure.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host import guest_image
from tests.host.cloud import GuestCloud
from tests.host.hypervisor import MissingPart, PrivateLibvirt, program_missing, require_parts


def _refuse(reason: str) -> None:
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Guests under emulation on a busy machine need more time than other tests."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(600))


@pytest.fixture(scope="session")
def binding() -> None:
    """Python can speak to libvirt."""
    try:
        import libvirt  # noqa: F401
    except ModuleNotFoundError:
        _refuse("libvirt-python is not installed")


@pytest.fixture(scope="session")
def parts(binding: None) -> None:
    """Everything that real guests need is here."""
    try:
        require_parts()
    except MissingPart as error:
        _refuse(str(error))
    if guest_image.kernel_release() is None:
        _refuse("no kernel with modules is installed (linux-image-amd64)")


@pytest.fixture(scope="session")
def image(parts: None) -> Iterator[Path]:
    """The guest image, made once."""
    directory = Path(tempfile.mkdtemp(prefix="nova-host-image-"))
    release = guest_image.kernel_release()
    assert release is not None
    try:
        yield guest_image.build(directory, release)
    finally:
        shutil.rmtree(directory, ignore_errors=True)


@pytest.fixture(scope="session")
def rich_image(parts: None) -> bytes:
    """A guest image with the guest agent and more modules, which starts from UEFI too."""
    missing = program_missing(["qemu-ga", "objcopy"])
    if missing or not guest_image.EFI_STUB.exists():
        _refuse(f"{', '.join(missing) or 'systemd-boot-efi'} not installed (make system-parts)")
    release = guest_image.kernel_release()
    assert release is not None
    with tempfile.TemporaryDirectory(prefix="nova-host-image-") as name:
        return guest_image.build(Path(name), release, extras=True).read_bytes()


@pytest.fixture(scope="session")
def hypervisor(parts: None) -> Iterator[PrivateLibvirt]:
    """A private libvirtd."""
    made = PrivateLibvirt("hosta")
    try:
        made.start()
        yield made
    finally:
        made.stop()


@pytest.fixture(scope="session")
def cloud(hypervisor: PrivateLibvirt, image: Path) -> Iterator[GuestCloud]:
    """A cloud with one host, whose guests have user-mode NICs, and the guest image in it."""
    made = GuestCloud(hypervisor, image)
    try:
        made.begin()
        yield made
    finally:
        made.end()
