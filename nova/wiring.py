# SPDX-License-Identifier: Apache-2.0
"""The composition root: builds each service's object graph from configuration. Nothing is made on import."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import socket
import uuid
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from nova.compute.caches import Caches
from nova.compute.cloud_events import CloudEvents
from nova.compute.consoles import ConsoleTokens
from nova.compute.flavor_cache import FlavorCache
from nova.compute.images import Images
from nova.compute.limit_cache import LimitCache
from nova.compute.operations import Operations
from nova.conductor.core import ConductorCore
from nova.conductor.dispatch import Dispatcher
from nova.conductor.host_services import HostServices
from nova.conductor.manager import Conductor
from nova.conf import Config
from nova.db.engine import Database
from nova.errors import Conflict, HostRefused
from nova.external.build import ExternalServiceMisconfigured
from nova.network.allocation import NetworkAllocator
from nova.network.probing import AddressProber
from nova.network.refreshes import NetworkRefreshes
from nova.objects.context import RequestContext, internal_context
from nova.objects.operation import StepTask
from nova.rpc.calls import CACHES, COMPUTE, CONDUCTOR, CONSOLES, SCHEDULER
from nova.rpc.transport import InProcessTransport, Transport
from nova.scheduler.service import SchedulerService
from nova.virt.driver import SourceImage
from nova.volume.absent import no_volumes
from nova.volume.interface import BlockStorage
from nova.wiring_host import (
    DriverUnknown as DriverUnknown,
)
from nova.wiring_host import (
    build_compute as build_compute,
)
from nova.wiring_host import (
    build_driver as build_driver,
)
from nova.wiring_host import (
    build_fake_hosts as build_fake_hosts,
)
from nova.wiring_host import (
    build_hosts as build_hosts,
)
from nova.wiring_host import (
    build_metadata as build_metadata,
)
from nova.wiring_host import (
    build_network_host as build_network_host,
)
from nova.wiring_host import (
    plumbs as plumbs,
)
from nova.wiring_projects import build_projects

if TYPE_CHECKING:
    from nova.api.compute.cloud import Cloud
    from nova.conductor.host_table import SchedulerTable
    from nova.policy import Policy


@dataclasses.dataclass(frozen=True)
class ControlSide:
    """What API, scheduler and conductor share in one process."""

    config: Config
    db: Database
    transport: Transport
    networks: NetworkAllocator
    images: Images
    hosts: HostServices
    dispatcher: Dispatcher
    conductor: Conductor
    core: ConductorCore

    @property
    def table(self) -> SchedulerTable:
        """What chooses hosts, in a process that does; ``TypeError`` in others."""
        return self.conductor.placer.hosts


def build_control_side(
    config: Config,
    db: Database,
    transport: Transport,
    images: Images,
    serves: frozenset[str] = frozenset({CONDUCTOR, SCHEDULER}),
    volumes: BlockStorage | None = None,
) -> ControlSide:
    """The control side's parts on a database and a transport; ``serves`` says which of them answer here.

    Without ``volumes`` the cloud has no block storage service.
    """
    hosts = (
        build_scheduler_table(config, db) if SCHEDULER in serves
        else HostServices(db, config.default.service_down_time)
    )
    hosts.announce = lambda: transport.cast(CACHES, None, "forget", ["hosts"])
    owner = f"{socket.gethostname()}:{os.getpid()}"
    dispatcher = Dispatcher(transport, owner, config.conductor.lease_seconds)
    networks = build_networks(config, transport)
    if networks.refreshes is not None:
        networks.prober = AddressProber(
            db, transport, config.network, config.default.service_down_time
        )
    core = ConductorCore(
        config=config, db=db, dispatcher=dispatcher, networks=networks, images=images, hosts=hosts,
        volumes=volumes or no_volumes(),
    )
    conductor = Conductor(core)
    if CONDUCTOR in serves:
        transport.serve(CONDUCTOR, None, conductor)
    if SCHEDULER in serves:
        transport.serve(SCHEDULER, None, SchedulerService(conductor.placer))
    if CONDUCTOR in serves:
        transport.serve(CONSOLES, None, ConsoleTokens(db, transport))
    return ControlSide(
        config=config, db=db, transport=transport, networks=networks, images=images, hosts=hosts,
        dispatcher=dispatcher, conductor=conductor, core=core,
    )


def build_scheduler_table(config: Config, db: Database) -> SchedulerTable:
    """What chooses hosts. Only a process that does so pays for it: with NumPy it takes 15 MB."""
    from nova.conductor.host_contents import HostContents
    from nova.conductor.host_table import SchedulerTable
    from nova.scheduler.scheduler import Scheduler
    from nova.scheduler.table import HostTable

    table = HostTable()
    contents = HostContents(db)
    scheduler = Scheduler(
        config.scheduler, table, default_zone=config.default.default_availability_zone,
        flavors_by_host=contents.flavors, instances_of_host=contents.servers,
        image_properties_by_host=contents.image_properties,
        pack_cells=config.compute_cpus.packing_host_numa_cells_allocation_strategy,
    )
    return SchedulerTable(db, table, scheduler, config.default.service_down_time)


def build_networks(config: Config, transport: Transport) -> NetworkAllocator:
    """Where servers get their cards: our own networks, or an external network service.

    Raises ``ExternalServiceMisconfigured`` where that cannot be asked.
    """
    if not config.network.external:
        networks = NetworkAllocator(config.network, config.default.default_availability_zone)
        if plumbs(config):
            networks.refreshes = NetworkRefreshes(
                transport, names_everywhere=config.network.update_dns_entries
            )
        return networks
    section = config.neutron_service
    if not section.auth_url:
        raise ExternalServiceMisconfigured("use_neutron is set, and [neutron] auth_url is not.")
    if importlib.util.find_spec("openstack") is None:
        raise ExternalServiceMisconfigured(
            "use_neutron needs the Python package openstacksdk: install nova-fabric[external]."
        )
    from nova.network.external import ExternalNetworks
    from nova.network.neutron import NeutronNetworks
    from nova.network.neutron_client import NeutronClient

    return ExternalNetworks(
        config.network, NeutronNetworks(NeutronClient(section), section.ovs_bridge),
        lambda ids: transport.cast(CONDUCTOR, None, "network_tasks", ids),
    )


def build_operations(control: ControlSide) -> Operations:
    """What users may ask for, without the faces that they ask it through."""
    config, db = control.config, control.db
    return Operations(
        config=config, db=db, dispatcher=control.dispatcher, transport=control.transport,
        images=control.images, networks=control.networks, flavors=FlavorCache(db),
        limits=LimitCache(db, config.quota), hosts=control.hosts, volumes=control.core.volumes,
    )


def build_cloud(control: ControlSide, policy: Policy) -> Cloud:
    """What the compute API is built on."""
    from nova.api.compute.cloud import Cloud

    config, db = control.config, control.db
    operations = build_operations(control)
    flavors, limits = operations.flavors, operations.limits
    transport = control.transport
    flavors.announce = lambda: transport.cast(CACHES, None, "forget", ["flavors"])
    limits.announce = lambda: transport.cast(CACHES, None, "forget", ["limits"])
    cloud = Cloud(
        config=config, db=db, policy=policy, images=control.images, operations=operations,
        networks=control.networks, flavors=flavors, limits=limits,
        events=CloudEvents(
            services_changed=lambda: _forget_hosts(control, cloud),
            aggregates_changed=lambda: _forget_hosts(control, cloud),
            networks_changed=lambda: _forget_networks(control),
            images_wanted=lambda hosts, ids: _cache_images(control, hosts, ids),
        ),
        projects=build_projects(config, db),
    )
    return cloud


def serve_caches(control: ControlSide, cloud: Cloud | None = None) -> None:
    """Let this process hear when another one changed what it keeps in memory."""
    forgetters: dict[str, Callable[[], object]] = {
        "networks": control.networks.forget_networks, "hosts": control.hosts.changed,
    }
    if cloud is not None:
        forgetters |= {
            "hosts": lambda: _drop_hosts(control, cloud), "flavors": cloud.flavors.drop,
            "limits": cloud.limits.drop,
        }
    control.transport.serve(CACHES, None, Caches(forgetters))


def _cache_images(control: ControlSide, hosts: Sequence[str], image_ids: Sequence[str]) -> None:
    for host in hosts:
        control.transport.cast(COMPUTE, host, "cache_images", list(image_ids))


def _forget_networks(control: ControlSide) -> None:
    control.networks.forget_networks()
    control.transport.cast(CACHES, None, "forget", ["networks"])
    if control.networks.refreshes is not None:
        control.networks.refreshes.networks_changed()


def _forget_hosts(control: ControlSide, cloud: Cloud) -> None:
    control.transport.cast(CACHES, None, "forget", ["hosts"])
    _drop_hosts(control, cloud)


def _drop_hosts(control: ControlSide, cloud: Cloud) -> None:
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
        return self._source(internal_context(task.request_id), image_id)

    def to_cache(self, image_id: str) -> SourceImage:
        """An image for the cache: what shares this process is trusted with all of them."""
        return self._source(internal_context(f"req-{uuid.uuid4()}"), image_id)

    def _source(self, context: RequestContext, image_id: str) -> SourceImage:
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


def build_policy(config: Config, directory: Path) -> Policy:
    """The policy of the compute and network APIs with the operator's file, if there is one."""
    from nova.api.compute.routes import RULES
    from nova.api.network.tables import RULES as NETWORK_RULES
    from nova.policy import Policy

    return Policy((*RULES, *NETWORK_RULES), str(directory / config.policy.policy_file))


def in_process_transport() -> InProcessTransport:
    """The transport of the all-in-one cloud."""
    return InProcessTransport()
