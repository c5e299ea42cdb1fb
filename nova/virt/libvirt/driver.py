# SPDX-License-Identifier: Apache-2.0
"""The libvirt driver: what the host is, and its sides put together."""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import libvirt

from nova.conf import Config
from nova.errors import NovaError
from nova.objects.host import HostReport
from nova.objects.topology import HostTopology, PciDevice
from nova.topology.cpus import format_cpus
from nova.topology.devices import offered, parse_device_specs
from nova.virt.driver import Capabilities
from nova.virt.libvirt import statistics
from nova.virt.libvirt.console_endpoints import GuestConsoles, console_options
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.guest_config import GuestHost
from nova.virt.libvirt.host import HypervisorConnection, power_state
from nova.virt.libvirt.host_topology import (
    cpus_in_cells,
    host_cells,
    host_cpus,
    known_topology,
    pci_device,
    reserved_pages,
)
from nova.virt.libvirt.image_cache import ImageCache
from nova.virt.libvirt.maintenance import GuestMaintenance
from nova.virt.libvirt.moves import GuestMoves
from nova.virt.libvirt.parts import DriverParts
from nova.virt.libvirt.power import GuestPower
from nova.virt.libvirt.storage import GuestStorage, StorageOptions
from nova.virt.libvirt.strangers import Strangers
from nova.virt.libvirt.vif import NicHost, tap_queue_limit

LOG = logging.getLogger(__name__)

#: Seconds between two looks for cached images that no guest uses.
_SWEEP_SECONDS = 3600.0

_URIS = {
    "kvm": "qemu:///system", "qemu": "qemu:///system", "lxc": "lxc:///system",
    "xen": "xen:///system",
}
_MACHINE = Capabilities(
    pause=True, suspend=True, rescue=True, snapshot=True, live_migration=True, password=True,
    crash_dump=True, attach_interface=True, volumes=True,
)
CAPABILITIES = {
    "kvm": _MACHINE, "qemu": _MACHINE,
    # What was not tried is not claimed.
    "xen": Capabilities(pause=True, suspend=True, snapshot=True),
    "lxc": Capabilities(pause=True),
}


class HostNotUsable(NovaError):
    """Guests cannot run on this host as it is set up."""


class LibvirtDriver(GuestPower, GuestMaintenance, GuestMoves, GuestConsoles):
    """One compute host with libvirt."""

    def __init__(self, config: Config) -> None:
        section = config.libvirt
        self._config = config
        self._connection = HypervisorConnection(section.connection_uri or _URIS[section.virt_type])
        self._meter = statistics.CpuMeter()
        self._hurried: set[str] = set()
        self._next_sweep = 0.0
        self.capabilities = CAPABILITIES[section.virt_type]
        path = config.compute_host.instances_path or f"{config.default.state_path}/instances"
        self._files = HostFiles(
            instances=Path(path).absolute(),
            snapshots=Path(section.snapshots_directory or f"{path}/snapshots").absolute(),
            host=config.default.host,
        )
        self._strangers = Strangers(
            self._connection, self._files, stop=section.unknown_domains == "stop"
        )

    # --- host ------------------------------------------------------------------------------------

    def watch(self, changed: Callable[[str | None, int], None]) -> None:
        """Tell of guests that change by themselves."""
        self._connection.watch(changed)

    def start(self) -> None:
        """Connect, look at the host, make the directories.

        Raises ``HypervisorUnreachable`` or ``HostNotUsable`` with what to do.
        """
        config, section = self._config, self._config.libvirt
        self._connection.start()
        self._files.prepare()
        require_passable(self._files.instances)
        connection = self._connection.get()
        with self._connection.translated():
            self._capabilities_xml = str(connection.getCapabilities())
        self._supported = statistics.supported_instances(self._capabilities_xml)
        if section.virt_type not in {kind for _arch, kind, _os in self._supported}:
            offered = ", ".join(sorted({kind for _arch, kind, _os in self._supported})) or "none"
            raise HostNotUsable(
                f"[libvirt] virt_type is {section.virt_type}, but {self._connection.uri} runs only "
                f"{offered}. Choose one of these, or make {section.virt_type} available."
            )
        self._read_topology(int(connection.getInfo()[2]))
        self._parts = DriverParts(
            host=config.default.host, section=section, options=config.compute_host,
            connection=self._connection,
            storage=GuestStorage(
                self._files,
                ImageCache(self._files, force_raw=config.compute_host.force_raw_images),
                StorageOptions(
                    section, config.compute_host, config.network.dhcp_domain, config.api,
                    config.default.default_availability_zone,
                ),
            ),
            guest_host=self._guest_host(), nic_host=self._nic_host(),
            consoles=console_options(config),
        )
        LOG.info("%s: %s", self._connection.uri, self.describe())

    def describe(self) -> str:
        """The hypervisor in a few words."""
        connection = self._connection.get()
        with self._connection.translated():
            version, library = connection.getVersion(), connection.getLibVersion()
        return (
            f"{self._config.libvirt.virt_type} guests by {connection.getType()} "
            f"{_version(version)}, libvirt {_version(library)}"
        )

    def stop(self) -> None:
        """Disconnect; guests go on."""
        self._connection.stop()

    def reports(self) -> Sequence[HostReport]:
        """The host as it is now; once in an hour unused images are looked for besides."""
        connection = self._connection.get()
        if time.monotonic() >= self._next_sweep:
            self._next_sweep = time.monotonic() + _SWEEP_SECONDS
            threading.Thread(
                target=self._parts.storage.remove_unused_images, name="image-sweep", daemon=True
            ).start()
        default = self._config.default
        memory, memory_used = statistics.memory_mib(Path("/proc/meminfo").read_text())
        disk, disk_free = statistics.disk_gib(self._files.instances)
        disk_free -= -(-self._parts.storage.promised_bytes() >> 30)
        with self._connection.translated():
            name, version = connection.getHostname(), connection.getVersion()
            running = connection.numOfDomains() - (self._config.libvirt.virt_type == "xen")
        return [
            HostReport(
                host=default.host, hypervisor_hostname=name, host_ip=default.my_ip,
                hypervisor_type=connection.getType(), hypervisor_version=version,
                vcpus=len(self._cpus.shared), pcpus=self._cpus.apart, topology=self._topology,
                memory_mb=memory, local_gb=disk,
                reserved_memory_mb=default.reserved_host_memory_mb,
                reserved_disk_gb=-(-default.reserved_host_disk_mb // 1024),
                cpu_allocation_ratio=default.cpu_allocation_ratio,
                ram_allocation_ratio=default.ram_allocation_ratio,
                disk_allocation_ratio=default.disk_allocation_ratio,
                cpu_info=statistics.cpu_info(self._capabilities_xml),
                supported_instances=self._supported,
                metrics={
                    "cpu_percent": self._meter.percent(), "memory_mb_used": float(memory_used),
                },
                disk_available_least=disk_free, running_vms=running, uptime=self.uptime(),
            )
        ]

    def guests(self) -> dict[str, int]:
        """Every domain with its power state, ours or not."""
        found: dict[str, int] = {}
        with self._connection.translated():
            for domain in self._connection.get().listAllDomains():
                try:
                    # Xen counts the system that runs the host among them.
                    if domain.ID() != 0:
                        found[domain.UUIDString()] = power_state(domain)
                except libvirt.libvirtError as error:
                    if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                        raise
        self._strangers.look(found)
        return found

    def uptime(self) -> str:
        """As the ``uptime`` command tells it."""
        return statistics.uptime_text()

    def _read_topology(self, count: int) -> None:
        """The host's CPUs by use, its NUMA cells and the PCI devices that guests may have."""
        config = self._config
        host = config.compute_host
        compute_cpus = config.compute_cpus
        self._cpus = host_cpus(
            cpus_in_cells(self._capabilities_xml) or range(count), host.vcpu_pin_set,
            compute_cpus.cpu_dedicated_set, compute_cpus.cpu_shared_set,
        )
        self._topology: HostTopology | None = None
        if config.libvirt.virt_type not in ("kvm", "qemu"):
            # The others cannot be pinned: what is not told of is not asked for.
            return
        cells = host_cells(
            self._capabilities_xml, self._cpus, reserved_pages(host.reserved_huge_pages)
        )
        self._topology = known_topology(cells, self._pci_devices())

    def _pci_devices(self) -> tuple[PciDevice, ...]:
        specs = parse_device_specs(self._config.pci.device_spec)
        if not specs:
            return ()
        with self._connection.translated():
            texts = [
                device.XMLDesc()
                for device in self._connection.get().listAllDevices(
                    libvirt.VIR_CONNECT_LIST_NODE_DEVICES_CAP_PCI_DEV
                )
            ]
        return offered(filter(None, map(pci_device, texts)), specs)

    # --- what guests depend on -------------------------------------------------------------------

    def _guest_host(self) -> GuestHost:
        config = self._config
        section, host = config.libvirt, config.compute_host
        arch = statistics.host_arch(self._capabilities_xml)
        bounded = host.vcpu_pin_set or self._config.compute_cpus.cpu_shared_set
        shared = format_cpus(self._cpus.shared) or None
        machines = dict(text.partition("=")[::2] for text in section.hw_machine_type)
        return GuestHost(
            virt_type=section.virt_type, arch=arch,
            host_uuid=statistics.host_uuid(self._capabilities_xml),
            cpuset=shared if bounded else None, shared_cpus=shared,
            cpu_mode=section.cpu_mode, cpu_model=section.cpu_model, machine=machines.get(arch),
            vnc_listen=host.vncserver_listen if host.vnc_enabled else None,
            spice_listen=config.spice.server_listen if config.spice.enabled else None,
            rng_source=section.rng_dev_path, balloon_period=section.mem_stats_period_seconds,
        )

    def _nic_host(self) -> NicHost:
        section = self._config.libvirt
        return NicHost(
            virt_type=section.virt_type,
            tap_queues=tap_queue_limit(os.uname().release, section.max_queues),
            vhost=os.path.exists("/dev/vhost-net"),
            user_network=self._config.network.fake_network,
            virtio=section.use_virtio_for_bridges,
        )


def _version(number: int) -> str:
    return f"{number // 1000000}.{number // 1000 % 1000}.{number % 1000}"


def require_passable(directory: Path) -> None:
    """Guests of a system libvirt run as a user of their own, who has to get to their disks."""
    if os.geteuid() != 0:
        return
    for path in (directory, *directory.parents):
        if not path.stat().st_mode & 0o001:
            raise HostNotUsable(
                f"Guests cannot get to their disks: others may not pass through {path}. Run "
                f"chmod o+x {path}, or keep guests elsewhere by instances_path."
            )
