# SPDX-License-Identifier: Apache-2.0
"""What a step has at hand: the driver, the conductor, the images."""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Callable, Iterable
from typing import Any, Protocol

import msgspec

from nova.compute.conductor_client import ConductorClient
from nova.compute.host_network import HostNetworking
from nova.compute.undo import Undo
from nova.decoding import convert
from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.objects.operation import StepResult, StepTask
from nova.objects.topology import GuestTopology
from nova.objects.volume_connection import VolumeConnection
from nova.virt.driver import Driver, GuestSpec, SourceImage


class HostImages(Protocol):
    """How a host reads and writes image data, without any right beyond the operation at hand."""

    def source(self, task: StepTask, image_id: str) -> SourceImage:
        """An image to read; ``HostRefused`` for one that the operation is not about,
        ``ImageNotFound`` for one that is gone.
        """
        ...

    def to_cache(self, image_id: str) -> SourceImage:
        """An image that an administrator asked to be cached here; ``ImageNotFound`` as above."""
        ...

    def upload(self, task: StepTask, image_id: str, chunks: Iterable[bytes]) -> None:
        """Store the data of an image that the operation made."""
        ...


@dataclasses.dataclass(frozen=True)
class FlowHost:
    """One compute host. ``aborts`` holds the operations whose live migration is to stop; ``network`` is None
    where hosts do not set up their networks.
    """

    name: str
    driver: Driver
    conductor: ConductorClient
    images: HostImages
    aborts: set[int]
    network: HostNetworking | None = None

    def prepare_network(self, instance: Instance) -> None:
        """See that the networks of an instance are on this host; ``NetworkNotReady`` where they cannot be.
        """
        if self.network is not None:
            self.network.prepare(instance.network_info)

    def open_volumes(self, task: StepTask) -> tuple[VolumeConnection, ...]:
        """Have the volumes that a task is about opened to this host; nothing is asked where there are none.
        """
        if not task.instance.volumes:
            return ()
        if not self.driver.capabilities.volumes:
            raise VirtError(f"Guests of host {self.name} cannot have volumes.")
        return tuple(
            self.conductor.connect_volumes(task.operation_id, self.driver.connector())
        )

    def volumes_done(self, task: StepTask) -> None:
        """The guest has the disks of what was opened for the task."""
        if task.instance.volumes:
            self.conductor.complete_volumes(task.operation_id)


StepFunction = Callable[[FlowHost, StepTask, Undo], StepResult]


def placed(task: StepTask, key: str = "topology") -> Instance:
    """The instance with the place on its host that the operation has for it, where it has one."""
    if key not in task.payload:
        return task.instance
    topology = convert(task.payload[key], GuestTopology | None)
    return msgspec.structs.replace(task.instance, topology=topology)


def guest_spec(
    host: FlowHost, task: StepTask, *, instance: Instance | None = None, **values: Any
) -> GuestSpec:
    """The guest that a task is about, with the password, files and images that the operation has."""
    chosen = instance or task.instance
    facts: dict[str, Any] = {
        "instance": chosen,
        "vifs": chosen.network_info,
        "admin_password": task.payload.get("admin_password"),
        "files": task.payload.get("files") or {},
        "power_on": task.payload.get("power_on", True),
        "paused": task.payload.get("held", False),
        "images": functools.partial(host.images.source, task),
        "volumes": host.open_volumes(task),
    }
    return GuestSpec(**{**facts, **values})
