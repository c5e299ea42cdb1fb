# SPDX-License-Identifier: Apache-2.0
"""Which driver a host gets, which images it may read, and what it may say of its guests' power."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nova import wiring
from nova.conf.load import load
from nova.errors import HostRefused
from nova.objects.image import Image, snapshot_format
from nova.objects.operation import StepTask
from tests.unit.compute.small_cloud import SmallCloud
from tests.unit.virt.guests import IMAGE, instance


class OneImage:
    """An image service with one image."""

    def show(self, context: Any, image_id: str) -> Image:
        assert context.is_admin
        return Image(id=image_id, disk_format="qcow2", size=3, os_hash_algo="sha512", os_hash_value="ab")

    def download(self, context: Any, image_id: str) -> Any:
        return iter([b"abc"])


def _task(**payload: Any) -> StepTask:
    return StepTask(
        operation_id=1, request_id="req-1", flow="create", step="spawn", host="h", instance=instance(),
        payload=payload,
    )


def test_a_host_reads_only_the_images_that_an_operation_is_about() -> None:
    images = wiring.LocalHostImages(OneImage(), ("rescue-image",))  # type: ignore[arg-type]
    found = images.source(_task(), IMAGE)
    assert (found.disk_format, found.size, found.os_hash_value) == ("qcow2", 3, "ab")
    assert b"".join(found.read()) == b"abc"
    assert images.source(_task(image_ref="other"), "other").id == "other"
    assert images.source(_task(), "rescue-image").id == "rescue-image"
    with pytest.raises(HostRefused, match="not about image other"):
        images.source(_task(), "other")
    with pytest.raises(HostRefused):
        images.source(_task(), "")


def test_an_unknown_compute_driver_is_named() -> None:
    config = load([], {("DEFAULT", "compute_driver"): "hyperv.HyperVDriver"})
    with pytest.raises(wiring.DriverUnknown, match=r"hyperv\.HyperVDriver is unknown"):
        wiring.build_hosts(config, wiring.in_process_transport(), None, Path("x"))  # type: ignore[arg-type]


def test_simulated_hosts_are_the_default() -> None:
    transport = wiring.in_process_transport()
    made = wiring.build_hosts(load([]), transport, None, Path("x"))  # type: ignore[arg-type]
    assert [manager.describe() for manager in made] == ["simulated guests"] * 4
    transport.close()


def test_snapshots_are_qcow2_or_raw() -> None:
    assert snapshot_format({"disk_format": "qcow2"}) == "qcow2"
    for other in ({"disk_format": "iso"}, {"disk_format": "raw"}, {}, None):
        assert snapshot_format(other) == "raw"


def test_a_host_changes_the_power_of_its_own_idle_servers_only(tmp_path: Path) -> None:
    cloud = SmallCloud(tmp_path)
    try:
        server = cloud.boot()
        conductor = cloud.control.conductor
        conductor.guest_changed("another-host", server.uuid, 4)
        assert cloud.show(server.uuid).vm_state == "active"
        assert server.host is not None
        assert [each.uuid for each in conductor.guests_wanted(server.host)] == [server.uuid]
        conductor.guest_changed(server.host, server.uuid, 4)
        assert (cloud.show(server.uuid).vm_state, cloud.show(server.uuid).power_state) == ("stopped", 4)
        assert conductor.guests_wanted(server.host) == []
        conductor.guest_changed(server.host, server.uuid, 1)
        assert cloud.show(server.uuid).vm_state == "active"
        conductor.guest_changed(server.host, "no such server", 4)
    finally:
        cloud.stop()


@pytest.mark.parametrize("wanted", [True, False])
def test_guests_that_ran_when_the_host_went_down_are_started_again(tmp_path: Path, wanted: bool) -> None:
    cloud = SmallCloud(tmp_path, resume_guests_state_on_host_boot=wanted)
    try:
        server = cloud.boot()
        assert server.host is not None
        manager = cloud.managers[server.host]
        driver = manager._host.driver
        driver.power_off(server)  # as a host finds its guests after a power failure
        manager.start()
        assert driver.guests()[server.uuid] == (1 if wanted else 4)
    finally:
        cloud.stop()
