# SPDX-License-Identifier: Apache-2.0
"""The simulated hypervisor: what the API shows of its guests."""

from __future__ import annotations

from pathlib import Path

from nova.conf.load import load
from nova.virt.driver import GuestSpec
from nova.virt.fake import FakeDriver
from tests.unit.virt.guests import instance

#: The values that the API may answer for ``driver`` from 2.48 on (API reference, diagnostics).
DRIVERS = {"libvirt", "xenapi", "vmwareapi", "ironic", "hyperv"}


def _driver(directory: Path) -> FakeDriver:
    driver = FakeDriver("fake-1", None, load().fake, directory)
    driver.start()
    return driver


def test_diagnostics_name_a_driver_that_clients_know(tmp_path: Path) -> None:
    driver = _driver(tmp_path)
    guest = instance()
    driver.spawn(GuestSpec(instance=guest, vifs=()))
    found = driver.diagnostics(guest)
    assert found.driver in DRIVERS
    assert found.hypervisor == "fake"


def test_the_console_has_enough_lines_for_a_shorter_piece_of_it(tmp_path: Path) -> None:
    driver = _driver(tmp_path)
    guest = instance()
    driver.spawn(GuestSpec(instance=guest, vifs=()))
    first = driver.console_output(guest)
    assert len(first.splitlines()) > 3
    driver.reboot(guest, hard=True)
    assert driver.console_output(guest) == first * 2
