# SPDX-License-Identifier: Apache-2.0
"""Rescue, rebuild, snapshots, console, counters, hot plugging."""

from __future__ import annotations

import contextlib
import datetime
import time
from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import libvirt
import msgspec

from nova.errors import VirtError
from nova.objects.device_addresses import DeviceAddresses
from nova.objects.image import snapshot_format
from nova.objects.instance import Instance, Vif
from nova.objects.rescue_disk import rescue_disk_of
from nova.objects.states import (
    CRASHED,
    NOSTATE,
    POWER_PAUSED,
    POWER_SUSPENDED,
    RUNNING,
    SHUTDOWN,
)
from nova.virt.driver import (
    Diagnostics,
    DiskDiagnostics,
    GuestSpec,
    NicDiagnostics,
    SnapshotData,
    SourceImage,
)
from nova.virt.libvirt import console, guest_agent, snapshots
from nova.virt.libvirt.containers import read_console
from nova.virt.libvirt.domain_xml import device_xml, nic_element
from nova.virt.libvirt.host import power_state
from nova.virt.libvirt.storage import require_rescue_disk
from nova.virt.libvirt.volumes import GuestVolumes

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

_STATES = {
    NOSTATE: "pending", RUNNING: "running", POWER_PAUSED: "paused", SHUTDOWN: "shutdown",
    CRASHED: "crashed", POWER_SUSPENDED: "suspended",
}
_UNPLUG_SECONDS = 20.0


class GuestMaintenance(GuestVolumes):
    """The ``Maintenance`` protocol."""

    _parts: DriverParts

    def device_addresses(self, instance: Instance) -> DeviceAddresses:
        """By the description that libvirt completed; empty where there is no guest."""
        domain = self._parts.connection.find(instance.uuid)
        return {} if domain is None else self._parts.device_addresses(domain, instance)

    def rescue(self, spec: GuestSpec, image_ref: str | None) -> int:
        """Start from a rescue image, the own root disk second unless the image says its own place."""
        parts = self._parts
        image_id = image_ref or parts.section.rescue_image_id or spec.instance.image_ref
        if image_ref is None and image_id == spec.instance.image_ref:
            spec = msgspec.structs.replace(
                spec, rescue_disk=rescue_disk_of(spec.instance.image_properties or {})
            )
        if spec.rescue_disk is not None:
            require_rescue_disk(spec.rescue_disk)
        domain = parts.connection.find(spec.instance.uuid)
        if domain is not None and "disk.rescue" not in self._formats(spec.instance):
            parts.stop_guest(spec.instance)
            parts.forget_saved_memory(domain)
        self.connect_volumes(spec.instance, spec.volumes)
        parts.storage.rescue_disk(spec, image_id)
        return parts.restart_hard(spec.instance)

    def unrescue(self, instance: Instance) -> int:
        """Drop the rescue disk and start as before."""
        parts = self._parts
        domain = parts.connection.find(instance.uuid)
        if domain is not None:
            parts.switch_off(domain)
        parts.storage.files.guest(instance.uuid).remove_disk("disk.rescue")
        return parts.restart_hard(instance)

    def rebuild(self, spec: GuestSpec, *, preserve_ephemeral: bool) -> int:
        """Make the disks anew from the image that the instance names now."""
        parts = self._parts
        parts.undefine(spec.instance.uuid)
        self.connect_volumes(spec.instance, spec.volumes)
        parts.storage.replace_root(spec, preserve_ephemeral=preserve_ephemeral)
        domain = parts.define(spec.instance)
        return parts.start(domain) if spec.power_on else SHUTDOWN

    def snapshot(self, instance: Instance) -> SnapshotData:
        """A flat copy of the root disk; a running guest goes on running."""
        disk_format = snapshot_format(instance.image_properties)
        return SnapshotData(
            disk_format, "bare", snapshots.take(self._parts, instance, disk_format)
        )

    def set_password(self, instance: Instance, password: str) -> None:
        """Through the guest agent, which the image has to hold and to announce."""
        guest_agent.set_password(self._parts, instance, password)

    def crash_dump(self, instance: Instance) -> None:
        """Inject an NMI."""
        domain = self._parts.connection.domain(instance.uuid)
        with self._parts.connection.translated():
            domain.injectNMI(0)

    def cache_image(self, image: SourceImage) -> None:
        """Fetch an image ahead of need; it is kept as long as any other that no guest uses."""
        self._parts.storage.cache_image(image)

    def console_output(self, instance: Instance) -> bytes:
        """The end of the console log, over all boots."""
        log = self._parts.storage.files.guest(instance.uuid).console_log
        if self._parts.section.virt_type in ("lxc", "xen"):
            domain = self._parts.connection.find(instance.uuid)
            if domain is not None:
                read_console(domain, log)
        return console.tail(log)

    def diagnostics(self, instance: Instance) -> Diagnostics:
        """Counters as libvirt keeps them."""
        domain = self._parts.connection.domain(instance.uuid)
        with self._parts.connection.translated():
            return _diagnostics(
                domain, instance, self._parts.section.virt_type,
                "disk.config" in self._formats(instance),
            )

    def plug(self, instance: Instance, vif: Vif) -> None:
        """Add a NIC to the description and, if it runs, to the guest."""
        domain = self._parts.connection.domain(instance.uuid)
        text = device_xml(nic_element(self._parts.nic(instance, vif)))
        with self._parts.connection.translated():
            for flag in _places(domain):
                if vif.mac not in _macs(domain, flag):
                    domain.attachDeviceFlags(text, flag)

    def unplug(self, instance: Instance, vif: Vif) -> None:
        """Take a NIC away; a guest that holds on to it for 20 s makes it an error."""
        domain = self._parts.connection.domain(instance.uuid)
        text = device_xml(nic_element(self._parts.nic(instance, vif)))
        with self._parts.connection.translated():
            for flag in _places(domain):
                if vif.mac in _macs(domain, flag):
                    domain.detachDeviceFlags(text, flag)
            deadline = time.monotonic() + _UNPLUG_SECONDS
            while domain.isActive() and vif.mac in _macs(domain, libvirt.VIR_DOMAIN_AFFECT_LIVE):
                if time.monotonic() > deadline:
                    raise VirtError(f"The guest does not let go of the NIC {vif.mac}.")
                time.sleep(0.1)

    def _formats(self, instance: Instance) -> dict[str, str]:
        return self._parts.storage.files.guest(instance.uuid).formats()


def _places(domain: Any) -> list[int]:
    """What of a domain is changed: its description, and the running guest."""
    places = [libvirt.VIR_DOMAIN_AFFECT_CONFIG]
    if domain.isActive():
        places.append(libvirt.VIR_DOMAIN_AFFECT_LIVE)
    return places


def _devices(domain: Any, kind: str, flags: int = 0) -> list[ElementTree.Element]:
    return ElementTree.fromstring(domain.XMLDesc(flags)).findall(f"devices/{kind}")  # noqa: S314


def _macs(domain: Any, place: int) -> list[str]:
    inactive = libvirt.VIR_DOMAIN_XML_INACTIVE if place == libvirt.VIR_DOMAIN_AFFECT_CONFIG else 0
    found = []
    for nic in _devices(domain, "interface", inactive):
        mac = nic.find("mac")
        if mac is not None:
            found.append(str(mac.get("address")))
    return found


def _diagnostics(
    domain: Any, instance: Instance, virt_type: str, config_drive: bool
) -> Diagnostics:
    state = power_state(domain)
    info = domain.info()
    cpus: tuple[int, ...] = ()
    memory: dict[str, int] = {}
    with contextlib.suppress(libvirt.libvirtError):
        cpus = tuple(each[2] for each in domain.vcpus()[0])
    if state in (RUNNING, POWER_PAUSED):
        with contextlib.suppress(libvirt.libvirtError):
            memory = domain.memoryStats()
    return Diagnostics(
        state=_STATES[state], driver="libvirt", hypervisor=virt_type, hypervisor_os="linux",
        uptime=_uptime(instance), config_drive=config_drive, num_cpus=info[3],
        cpu_time=cpus or (info[4],), memory_maximum=info[1] // 1024,
        memory_used=(memory.get("available", 0) - memory.get("unused", 0)) // 1024
        if "unused" in memory else info[2] // 1024,
        nics=tuple(_nic(domain, each) for each in _devices(domain, "interface")),
        disks=tuple(_disk(domain, each) for each in _devices(domain, "disk")),
    )


def _uptime(instance: Instance) -> int:
    """Seconds since the server was launched, as the original counts it."""
    if instance.launched_at is None:
        return 0
    now = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    return max(0, int((now - instance.launched_at).total_seconds()))


def _nic(domain: Any, nic: ElementTree.Element) -> NicDiagnostics:
    mac, target = nic.find("mac"), nic.find("target")
    address = str(mac.get("address")) if mac is not None else ""
    if target is None:
        return NicDiagnostics(mac=address)
    try:
        counters = domain.interfaceStats(target.get("dev"))
    except libvirt.libvirtError:
        return NicDiagnostics(mac=address)
    return NicDiagnostics(
        mac=address, rx_octets=counters[0], rx_packets=counters[1], rx_errors=counters[2],
        rx_drop=counters[3], tx_octets=counters[4], tx_packets=counters[5],
        tx_errors=counters[6], tx_drop=counters[7],
    )


def _disk(domain: Any, disk: ElementTree.Element) -> DiskDiagnostics:
    target = disk.find("target")
    try:
        counters = domain.blockStats(target.get("dev") if target is not None else "")
    except libvirt.libvirtError:
        return DiskDiagnostics()
    return DiskDiagnostics(
        read_requests=counters[0], read_bytes=counters[1], write_requests=counters[2],
        write_bytes=counters[3], errors_count=max(0, counters[4]),
    )
