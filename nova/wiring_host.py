# SPDX-License-Identifier: Apache-2.0
"""The composition root's half for hosts: nothing here leads to the database."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nova.compute.conductor_client import ConductorClient
from nova.compute.flows.host import FlowHost, HostImages
from nova.compute.host_network import HostNetworking, ask_at, ask_here
from nova.compute.manager import ComputeManager
from nova.conf import Config
from nova.conf.network import NetworkSection
from nova.errors import InvalidInput, NovaError
from nova.network.linux.state_files import StateFiles
from nova.rpc.calls import COMPUTE, NETWORK
from nova.rpc.transport import InProcessTransport, Transport
from nova.virt.driver import Driver
from nova.virt.fake import FakeDriver, host_names

if TYPE_CHECKING:
    from nova.api.metadata.guests import Guests, GuestSource
    from nova.api.metadata.service import MetadataService
    from nova.network.host_manager import HostNetworkManager, HostPart


def build_fake_hosts(
    config: Config, transport: Transport, images: HostImages, directory: Path
) -> list[ComputeManager]:
    """One compute service for each simulated host."""
    return [
        build_compute(
            config, transport, images, name, FakeDriver(name, zone, config.fake, directory),
            plumbed=False,
        )
        for name, zone in host_names(config.fake)
    ]


def build_hosts(
    config: Config, transport: Transport, images: HostImages, directory: Path
) -> list[ComputeManager]:
    """The compute services of this process: the host itself, or all simulated ones.

    Raises ``DriverUnknown`` for a ``compute_driver`` that there is none of.
    """
    if is_fake(config):
        return build_fake_hosts(config, transport, images, directory)
    driver = build_driver(config)
    return [build_compute(config, transport, images, config.default.host, driver)]


def is_fake(config: Config) -> bool:
    """Whether hosts are simulated."""
    kind = config.default.compute_driver.removeprefix("nova.virt.")
    return kind in ("fake.FakeDriver", "fake.SmallFakeDriver")


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
    config: Config,
    transport: Transport,
    images: HostImages,
    name: str,
    driver: Driver,
    *,
    plumbed: bool | None = None,
    serves: bool = True,
) -> ComputeManager:
    """The compute service of one host; without ``serves`` who starts it lets steps come.

    ``plumbed`` says whether guests wait for the host's network service; where it is not said, the
    configuration decides.
    """
    if plumbed is None:
        plumbed = plumbs(config, default=not isinstance(transport, InProcessTransport))
    host = FlowHost(
        name=name, driver=driver, conductor=ConductorClient(transport, name), images=images,
        aborts=set(), network=_networking(config, transport, name) if plumbed else None,
    )
    manager = ComputeManager(
        host, max_concurrent_builds=config.default.max_concurrent_builds,
        resume_guests=config.compute_host.resume_guests_state_on_host_boot
        or config.compute_host.start_guests_on_host_boot,
        clock=transport.now,
    )
    if serves:
        transport.serve(COMPUTE, name, manager)
    return manager


def build_metadata(
    config: Config,
    source: GuestSource,
    *,
    listen: str | None = None,
    port: int | None = None,
    by_bridge: bool | None = None,
) -> tuple[MetadataService, Guests]:
    """The metadata service and the guests that it remembers; nothing listens yet.

    On a host ``source`` is ``HostGuests(transport, host)``, and ``ForgetGuest(guests)`` is what it serves
    under ``METADATA``. Raises ``SecretMissing`` where a proxy is to be trusted and has no secret.
    """
    from nova.api.metadata.app import make_metadata_app
    from nova.api.metadata.callers import Callers
    from nova.api.metadata.guests import Guests
    from nova.api.metadata.service import MetadataService
    from nova.metadata.tree import GuestTree
    from nova.metadata.vendor_data import VendorData

    vendor_data = VendorData(config.api)
    domain, zone = config.network.dhcp_domain, config.default.default_availability_zone
    guests = Guests(
        source, lambda instance: GuestTree(instance, vendor_data, domain=domain, zone=zone),
        config.api.metadata_cache_expiration,
    )
    app = make_metadata_app(Callers(config, guests), guests)
    service = MetadataService(config, app, listen=listen, port=port, by_bridge=by_bridge)
    return service, guests


def _networking(config: Config, transport: Transport, host: str) -> HostNetworking:
    """The network service of the same host: in this process, or behind its socket."""
    if isinstance(transport, InProcessTransport):
        return HostNetworking(host, ask_here(transport, host))
    return HostNetworking(host, ask_at(state_files(config).door))


def state_files(config: Config) -> StateFiles:
    """Where the network service of a host keeps its state."""
    section = config.network
    return StateFiles(Path(section.networks_path or Path(config.default.state_path) / "networks"))


def _look_interval(section: NetworkSection) -> float:
    """Seconds between two whole looks, which bring DNS up to date too."""
    names = section.dns_update_periodic_interval
    return min(section.network_sync_interval, names) if names > 0 else section.network_sync_interval


def plumbs(config: Config, *, default: bool = True) -> bool:
    """Whether hosts set up their network themselves (``network_driver``, ``fake_network``).

    Raises ``InvalidInput`` for a ``network_driver`` that there is none of.
    """
    driver = config.network.network_driver
    if config.network.fake_network or config.network.external or driver in ("none", ""):
        return False
    if driver is None:
        return default
    if driver in ("nova.network.linux_net", "nova.network.linux"):
        return True
    raise InvalidInput("network_driver", "It must be nova.network.linux_net or none.", driver)


def build_network_host(
    config: Config, transport: Transport, host: str | None = None
) -> HostNetworkManager:
    """The network service of one host; nothing is touched before its ``start``.

    Raises ``NetworkNotReady`` naming a capability that this process lacks.
    """
    from nova.network.host_manager import HostNetworkManager, NetworkConductor
    from nova.network.linux.bridges import Bridges
    from nova.network.linux.capabilities import check_capabilities
    from nova.network.linux.dhcp import Dhcp
    from nova.network.linux.filtering import Filtering
    from nova.network.linux.firewall import Firewall
    from nova.network.linux.floating import FloatingAddresses
    from nova.network.linux.host_prober import HostProber
    from nova.network.linux.isolation import Isolation
    from nova.network.linux.routers import Routers

    check_capabilities()
    section = config.network
    name = host or config.default.host
    files = state_files(config)
    conductor = NetworkConductor(transport, name)
    bridges = Bridges(section)
    bridges.known = files.networks
    parts: list[HostPart] = [
        bridges, Isolation(section), Dhcp(section, files, conductor.lease_changed, conductor.names),
        Routers(routes=section.l3_lib != "nova.network.l3.NullL3"),
        Filtering(conductor, Firewall(), FloatingAddresses(section, config.default.my_ip)),
    ]
    manager = HostNetworkManager(
        conductor, parts, interval=_look_interval(section), memory=files,
        prober=HostProber(section),
    )
    transport.serve(NETWORK, name, manager)
    return manager
