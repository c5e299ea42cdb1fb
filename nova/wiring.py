# SPDX-License-Identifier: Apache-2.0
"""The composition root: builds each service's object graph from configuration. Nothing is made on import."""

from __future__ import annotations

import dataclasses
import os
import socket
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from nova.compute.cloud_events import CloudEvents
from nova.compute.conductor_client import ConductorClient
from nova.compute.flavor_cache import FlavorCache
from nova.compute.flows.host import FlowHost, HostImages
from nova.compute.images import Images
from nova.compute.limit_cache import LimitCache
from nova.compute.manager import ComputeManager
from nova.compute.operations import Operations
from nova.conductor.core import ConductorCore
from nova.conductor.dispatch import Dispatcher
from nova.conductor.host_table import SchedulerTable
from nova.conductor.manager import Conductor
from nova.conf import Config
from nova.db.engine import Database
from nova.errors import Conflict, HostRefused, NovaError
from nova.network.allocation import NetworkAllocator
from nova.objects.context import RequestContext, internal_context
from nova.objects.operation import StepTask
from nova.policy import Policy
from nova.rpc.calls import COMPUTE, CONDUCTOR
from nova.rpc.transport import InProcessTransport, Transport
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.table import HostTable
from nova.virt.driver import Driver, SourceImage
from nova.virt.fake import FakeDriver, host_names

if TYPE_CHECKING:
    from nova.api.compute.cloud import Cloud


@dataclasses.dataclass(frozen=True)
class ControlSide:
    """What API, scheduler and conductor share in one process."""

    config: Config
    db: Database
    transport: Transport
    networks: NetworkAllocator
    images: Images
    hosts: SchedulerTable
    dispatcher: Dispatcher
    conductor: Conductor
    core: ConductorCore


def build_control_side(
    config: Config, db: Database, transport: Transport, images: Images
) -> ControlSide:
    """The conductor with its scheduler, on a database and a transport."""
    table = HostTable()
    scheduler = Scheduler(
        config.scheduler, table, default_zone=config.default.default_availability_zone
    )
    hosts = SchedulerTable(db, table, scheduler, config.default.service_down_time)
    owner = f"{socket.gethostname()}:{os.getpid()}"
    dispatcher = Dispatcher(transport, owner, config.conductor.lease_seconds)
    networks = NetworkAllocator(config.network)
    core = ConductorCore(
        config=config, db=db, dispatcher=dispatcher, networks=networks, images=images, hosts=hosts
    )
    conductor = Conductor(core)
    transport.serve(CONDUCTOR, None, conductor)
    return ControlSide(
        config=config, db=db, transport=transport, networks=networks, images=images, hosts=hosts,
        dispatcher=dispatcher, conductor=conductor, core=core,
    )


def build_cloud(control: ControlSide, policy: Policy) -> Cloud:
    """What the compute API is built on."""
    from nova.api.compute.cloud import Cloud

    config, db = control.config, control.db
    flavors = FlavorCache(db)
    limits = LimitCache(db, config.quota)
    operations = Operations(
        config=config, db=db, dispatcher=control.dispatcher, transport=control.transport,
        images=control.images, networks=control.networks, flavors=flavors, limits=limits,
        hosts=control.hosts,
    )
    cloud = Cloud(
        config=config, db=db, policy=policy, images=control.images, operations=operations,
        networks=control.networks, flavors=flavors, limits=limits,
        events=CloudEvents(
            services_changed=lambda: _forget_hosts(control, cloud),
            aggregates_changed=lambda: _forget_hosts(control, cloud),
            networks_changed=control.networks.forget_networks,
        ),
    )
    return cloud


def _forget_hosts(control: ControlSide, cloud: Cloud) -> None:
    control.hosts.changed()
    cloud.zones.forget()
    cloud.host_statuses.forget()


class LocalHostImages:
    """Image data for hosts that share the process with the image service."""

    def __init__(self, images: Images, always: Iterable[str | None] = ()) -> None:
        """``always`` names images that every operation may read, such as the rescue image."""
        self._images = images
        self._always = frozenset(always)

    def source(self, task: StepTask, image_id: str) -> SourceImage:
        """An image that the task's instance is made of, or that the operation names."""
        instance = task.instance
        named = (
            instance.image_ref, instance.kernel_id, instance.ramdisk_id,
            task.payload.get("image_ref"), instance.system_metadata.get("shelved_image_id"),
        )
        if not image_id or (image_id not in named and image_id not in self._always):
            raise HostRefused(f"The operation {task.flow} is not about image {image_id}.")
        context = internal_context(task.request_id)
        image = self._images.show(context, image_id)
        return SourceImage(
            id=image.id, read=lambda: self._images.download(context, image_id),
            disk_format=image.disk_format, size=image.size, checksum=image.checksum,
            os_hash_algo=image.os_hash_algo, os_hash_value=image.os_hash_value,
        )

    def upload(self, task: StepTask, image_id: str, chunks: Iterable[bytes]) -> None:
        """Store the data of an image that the operation made; data stored already is kept."""
        owner = RequestContext(
            user_id=task.instance.user_id, project_id=task.instance.project_id,
            roles=("member", "reader"), request_id=task.request_id,
        )
        try:
            self._images.upload(owner, image_id, chunks)
        except Conflict:
            # An earlier try of this step may have come as far as this.
            if not task.resumed or self._images.show(owner, image_id).status != "active":
                raise


def build_fake_hosts(
    config: Config, transport: Transport, images: HostImages, directory: Path
) -> list[ComputeManager]:
    """One compute service for each simulated host."""
    return [
        build_compute(
            config, transport, images, name, FakeDriver(name, zone, config.fake, directory)
        )
        for name, zone in host_names(config.fake)
    ]


def build_hosts(
    config: Config, transport: Transport, images: HostImages, directory: Path
) -> list[ComputeManager]:
    """The compute services of this process: the host itself, or all simulated ones.

    Raises ``DriverUnknown`` for a ``compute_driver`` that there is none of.
    """
    kind = config.default.compute_driver.removeprefix("nova.virt.")
    if kind in ("fake.FakeDriver", "fake.SmallFakeDriver"):
        return build_fake_hosts(config, transport, images, directory)
    driver = build_driver(config)
    return [build_compute(config, transport, images, config.default.host, driver)]


class DriverUnknown(NovaError):
    """There is no such compute driver."""


def build_driver(config: Config) -> Driver:
    """The driver of a real host; nothing is connected yet."""
    kind = config.default.compute_driver.removeprefix("nova.virt.")
    if kind in ("libvirt.LibvirtDriver", "libvirt.driver.LibvirtDriver"):
        try:
            from nova.virt.libvirt.driver import LibvirtDriver
        except ModuleNotFoundError as error:
            if error.name != "libvirt":
                raise
            raise DriverUnknown(
                f"compute_driver {config.default.compute_driver} needs the Python package "
                "libvirt-python: install nova-fabric[libvirt]."
            ) from None
        return LibvirtDriver(config)
    raise DriverUnknown(
        f"compute_driver {config.default.compute_driver} is unknown; there are fake.FakeDriver and "
        "libvirt.LibvirtDriver."
    )


def build_compute(
    config: Config, transport: Transport, images: HostImages, name: str, driver: Driver
) -> ComputeManager:
    """The compute service of one host."""
    host = FlowHost(
        name=name, driver=driver, conductor=ConductorClient(transport, name), images=images,
        aborts=set(),
    )
    manager = ComputeManager(
        host, max_concurrent_builds=config.default.max_concurrent_builds,
        resume_guests=config.compute_host.resume_guests_state_on_host_boot
        or config.compute_host.start_guests_on_host_boot,
    )
    transport.serve(COMPUTE, name, manager)
    return manager


def build_policy(config: Config, directory: Path) -> Policy:
    """The policy of the compute and network APIs with the operator's file, if there is one."""
    from nova.api.compute.routes import RULES
    from nova.api.network.tables import RULES as NETWORK_RULES

    return Policy((*RULES, *NETWORK_RULES), str(directory / config.policy.policy_file))


def in_process_transport() -> InProcessTransport:
    """The transport of the all-in-one cloud."""
    return InProcessTransport()


