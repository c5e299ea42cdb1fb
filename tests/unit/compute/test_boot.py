# SPDX-License-Identifier: Apache-2.0
"""What a boot refuses and what it gives a server, on a whole cloud without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.errors import BadRequest
from nova.network import security_groups
from nova.objects.instance import BlockDevice
from tests.unit.compute.small_cloud import SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("networks", [None, ()])
def test_an_unknown_security_group_is_refused_with_and_without_a_nic(
    cloud: SmallCloud, networks: tuple[()] | None
) -> None:
    with pytest.raises(BadRequest, match="nowhere"):
        cloud.ask(security_groups=("nowhere",), networks=networks)


def test_a_server_without_a_nic_is_in_no_group(cloud: SmallCloud) -> None:
    with cloud.db.write() as tx:
        security_groups.create_group(tx, "p", "u", "web", "")
    assert not cloud.boot(security_groups=("web",), networks=()).security_groups
    assert list(cloud.boot(security_groups=("web",)).security_groups) == ["web"]


@pytest.mark.parametrize(
    ("source", "complaint"),
    [("volume", "failed to get volume v"), ("snapshot", "failed to get snapshot v"),
     ("image", "failed to get image v"), ("blank", "non-zero size")],
)
def test_a_volume_that_nobody_can_provide_is_refused_rather_than_left_out(
    cloud: SmallCloud, source: str, complaint: str
) -> None:
    device = BlockDevice(
        source_type=source, destination_type="volume", uuid="v", boot_index=0,
        volume_size=None if source == "blank" else 1,
    )
    with pytest.raises(BadRequest, match=complaint):
        cloud.ask(block_devices=(device,))


def test_disks_larger_than_the_flavor_gives_are_refused(cloud: SmallCloud) -> None:
    with cloud.db.write() as tx:
        tx.flavors.create(
            "f", flavorid="f", memory_mb=64, vcpus=1, root_gb=1, ephemeral_gb=2, swap=8
        )

    def disk(size: int | None, kind: str | None = None) -> BlockDevice:
        return BlockDevice(
            source_type="blank", destination_type="local", boot_index=-1, volume_size=size,
            guest_format=kind,
        )

    for devices, complaint in (
        ((disk(3),), "Ephemeral disks"), ((disk(1), disk(2)), "Ephemeral disks"),
        ((disk(9, "swap"),), "Swap drive"), ((disk(1, "swap"), disk(1, "swap")), "More than one"),
    ):
        with pytest.raises(BadRequest, match=complaint):
            cloud.ask(flavor="f", block_devices=devices)
    fitting = (disk(1), disk(1), disk(8, "swap"))
    assert cloud.boot(flavor="f", block_devices=fitting).vm_state == "active"
