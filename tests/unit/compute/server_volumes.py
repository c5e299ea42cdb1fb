# SPDX-License-Identifier: Apache-2.0
"""Volumes, and servers that have them, as tests ask for them."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from nova.objects.instance import BlockDevice, Instance
from nova.objects.volume import Volume
from tests.unit.compute.small_cloud import USER, SmallCloud


@contextlib.contextmanager
def leakless(directory: Path) -> Iterator[SmallCloud]:
    """A cloud in which nothing may be left behind at the end."""
    made = SmallCloud(directory)
    yield made
    try:
        made.settle()
        assert made.leaks() == []
    finally:
        made.stop()


def volume(cloud: SmallCloud, size: int = 1, **facts: Any) -> str:
    made = cloud.volumes.create(USER, size, "data", "", **facts)
    return str(made.uuid)


def status(cloud: SmallCloud, volume_id: str) -> str:
    found: Volume = cloud.volumes.show(USER, volume_id)
    return found.status


def attach(cloud: SmallCloud, server: Instance, volume_id: str, **facts: Any) -> BlockDevice:
    made = cloud.operations.attach_volume(USER, server, volume_id, **facts)
    cloud.settle()
    return made


def disks(cloud: SmallCloud, server: Instance) -> int:
    return len(cloud.operations.diagnostics(USER, cloud.show(server.uuid)).disks)


def from_volume(**facts: Any) -> tuple[BlockDevice, ...]:
    return (
        BlockDevice(
            destination_type="volume", boot_index=0,
            **{"source_type": "image", "volume_size": 1, **facts},
        ),
    )


def boot_from_volume(cloud: SmallCloud, **facts: Any) -> Instance:
    facts.setdefault("uuid", cloud.image)
    return cloud.boot(image_ref="", block_devices=from_volume(**facts))


def recovered(cloud: SmallCloud, seconds: float = 20.0) -> None:
    """Wait until nothing is under way; what was interrupted is brought on again and again."""
    deadline = time.monotonic() + seconds
    while True:
        with cloud.db.read() as tx:
            if not tx.operations.unfinished():
                return
        assert time.monotonic() < deadline
        cloud.control.conductor.recovery.run(everything=True)
        time.sleep(0.01)
