# SPDX-License-Identifier: Apache-2.0
"""What the sides of the driver share: the connection, the disks, the way from an instance to a domain."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import time
from typing import Any

import libvirt

from nova.conf.compute_host import ComputeHostSection
from nova.conf.libvirt import LibvirtSection
from nova.errors import GuestNotFound, VirtError
from nova.objects.device_addresses import DeviceAddresses
from nova.objects.instance import Instance, Vif
from nova.objects.states import RUNNING
from nova.virt.libvirt.console_endpoints import ConsoleOptions, SerialPorts
from nova.virt.libvirt.containers import mount_root, unmount_root
from nova.virt.libvirt.device_places import places_of
from nova.virt.libvirt.domain_xml import NicConfig, domain_xml
from nova.virt.libvirt.guest_config import GuestHost, domain_config
from nova.virt.libvirt.host import HypervisorConnection, power_state
from nova.virt.libvirt.storage import GuestStorage
from nova.virt.libvirt.vif import NicHost, bridge_exists, nic_config

LOG = logging.getLogger(__name__)

#: Domain states in which a guest uses its disks.
_ACTIVE_POLL = 0.2


@dataclasses.dataclass
class DriverParts:
    """Made by the driver's ``start``, once the host is known."""

    host: str
    section: LibvirtSection
    options: ComputeHostSection
    connection: HypervisorConnection
    storage: GuestStorage
    guest_host: GuestHost
    nic_host: NicHost
    consoles: ConsoleOptions = dataclasses.field(default_factory=ConsoleOptions)
    serial_ports: SerialPorts = dataclasses.field(default_factory=SerialPorts)

    # --- from instance to domain -----------------------------------------------------------------

    def nic(self, instance: Instance, vif: Vif) -> NicConfig:
        """The NIC of a virtual interface on this host."""
        # libvirt hands the tap to Open vSwitch, whose bridges the kernel does not call bridges.
        has_bridge = vif.bridge is not None and (vif.kind == "ovs" or bridge_exists(vif.bridge))
        if not has_bridge and self.nic_host.user_network:
            LOG.warning(
                "guest %s gets a user-mode NIC: there is no bridge %s on this host and fake_network "
                "is set", instance.uuid, vif.bridge,
            )
        return nic_config(instance, vif, self.nic_host, has_bridge=has_bridge)

    def describe(self, instance: Instance) -> str:
        """A guest's domain XML with the disks that are on this host."""
        kernel, ramdisk = self.storage.kernel_files(instance.uuid)
        directory = self.storage.files.guest(instance.uuid)
        container = self.section.virt_type == "lxc"
        return domain_xml(
            domain_config(
                instance, self.guest_host,
                disks=() if container else self.storage.disks(instance),
                nics=tuple(self.nic(instance, vif) for vif in instance.network_info),
                console_log=str(directory.console_log), serial=self.serial(instance),
                kernel=kernel, ramdisk=ramdisk, nvram=str(directory.file("nvram")),
                root_directory=str(directory.file("rootfs")) if container else None,
            )
        )

    def serial(self, instance: Instance) -> tuple[str, int] | None:
        """The address and port of a guest's serial console, where guests have one."""
        if self.consoles.serial_ports is None or self.section.virt_type not in ("kvm", "qemu"):
            return None
        with self.connection.translated():
            port = self.serial_ports.choose(instance.uuid, self.consoles, self.connection.get())
        return None if port is None else (self.consoles.serial_address, port)

    def define(self, instance: Instance) -> Any:
        """Write a guest's description down in libvirt; returns the domain."""
        text = self.describe(instance)
        self.storage.files.hold(instance.uuid)
        with self.connection.translated():
            return self.connection.get().defineXML(text)

    def device_addresses(self, domain: Any, instance: Instance) -> DeviceAddresses:
        """Where the guest sees its NICs and tagged disks."""
        with self.connection.translated():
            text = domain.XMLDesc(0)
        records = self.storage.volume_records(instance.uuid).load()
        serials = {each.connection.volume_id: each.serial for each in records}
        return places_of(text, instance, self.storage.disks(instance), serials)

    # --- power -----------------------------------------------------------------------------------

    def start(self, domain: Any, *, paused: bool = False) -> int:
        """Start a defined domain; one that runs is left running. ``paused`` is not for containers."""
        with self.connection.translated():
            if not domain.isActive():
                if self.section.virt_type == "lxc":
                    mount_root(self.storage.files.guest(domain.UUIDString()))
                    paused = False
                domain.createWithFlags(libvirt.VIR_DOMAIN_START_PAUSED if paused else 0)
            return power_state(domain)

    def switch_off(self, domain: Any) -> None:
        """Pull the plug; no error where it is off."""
        with self.connection.translated():
            try:
                domain.destroyFlags(
                    libvirt.VIR_DOMAIN_DESTROY_GRACEFUL
                    if self.section.virt_type in ("kvm", "qemu") else 0
                )
            except libvirt.libvirtError as error:
                if domain.isActive():
                    LOG.warning("a graceful end failed (%s); killing the guest", error)
                    domain.destroy()
            if self.section.virt_type == "lxc":
                unmount_root(self.storage.files.guest(domain.UUIDString()))

    def shut_down(self, domain: Any, seconds: float) -> bool:
        """Ask a guest to shut down, again every ten seconds; False where it did not in time."""
        deadline = time.monotonic() + seconds
        asked = 0.0
        while True:
            with self.connection.translated():
                if not domain.isActive():
                    return True
                if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                    return False
                if time.monotonic() >= deadline:
                    return False
                if time.monotonic() - asked >= 10:
                    asked = time.monotonic()
                    try:
                        domain.shutdown()
                    except libvirt.libvirtError as error:
                        if not domain.isActive():
                            return True
                        LOG.info("a guest cannot be asked to shut down: %s", error)
                        return False
            time.sleep(_ACTIVE_POLL)

    def stop_guest(self, instance: Instance) -> None:
        """Shut a guest down by ACPI, and switch it off where it does not follow."""
        domain = self.connection.domain(instance.uuid)
        wanted = (instance.image_properties or {}).get("os_shutdown_timeout")
        seconds = self.options.shutdown_timeout
        if wanted is not None:
            with contextlib.suppress(ValueError):
                seconds = int(wanted)
        if not self.shut_down(domain, seconds):
            LOG.info("guest %s did not shut down in %d s; switching it off", instance.uuid, seconds)
            self.switch_off(domain)

    def restart_hard(self, instance: Instance) -> int:
        """Off, described anew, on: mends whatever is wrong with the domain but not its disks."""
        domain = self.connection.find(instance.uuid)
        if domain is not None:
            self.switch_off(domain)
            self.forget_saved_memory(domain)
        if not self.storage.files.guest(instance.uuid).exists() and not self.storage.restore_kept(
            instance.uuid
        ):
            raise GuestNotFound(f"Guest {instance.uuid} is not on host {self.host}")
        return self.start(self.define(instance))

    def forget_saved_memory(self, domain: Any) -> None:
        """Drop the memory of a suspended guest that is to boot afresh."""
        if self.section.virt_type == "lxc":
            return
        with self.connection.translated():
            if domain.hasManagedSaveImage():
                domain.managedSaveRemove()

    def undefine(self, uuid: str) -> None:
        """Switch a guest off and let libvirt forget it; no error where there is none."""
        domain = self.connection.find(uuid)
        if domain is None:
            return
        self.switch_off(domain)
        flags = (
            libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
            | libvirt.VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA
            # It lies with the guest's disks, and stays or goes with them.
            | libvirt.VIR_DOMAIN_UNDEFINE_KEEP_NVRAM
            | libvirt.VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA
        )
        if self.section.virt_type == "lxc":
            flags = 0
        elif self.section.virt_type == "xen":
            flags = libvirt.VIR_DOMAIN_UNDEFINE_MANAGED_SAVE
        with self.connection.translated():
            try:
                domain.undefineFlags(flags) if flags else domain.undefine()
            except libvirt.libvirtError as error:
                if error.get_error_code() != libvirt.VIR_ERR_NO_DOMAIN:
                    raise

    def require_running(self, domain: Any, action: str) -> None:
        """``VirtError`` for a guest that does not run."""
        with self.connection.translated():
            if power_state(domain) != RUNNING:
                raise VirtError(f"The guest does not run; {action} needs it to.")
