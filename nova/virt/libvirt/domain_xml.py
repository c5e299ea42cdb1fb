# SPDX-License-Identifier: Apache-2.0
"""A guest's description as libvirt's domain XML: pure functions, no look at the host.

The elements are those of https://libvirt.org/formatdomain.html; names and paths are Kilo's.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from nova.virt.libvirt.hardware_xml import (
    HardwareConfig,
    add_devices,
    add_features,
    address_bits,
    clock_element,
)
from nova.virt.libvirt.topology_xml import (
    PlaceConfig,
    add_pins,
    guest_numa,
    host_device,
    memory_backing,
    numa_tune,
)

#: Namespace of the facts that Kilo writes about a server.
NOVA_NAMESPACE = "http://openstack.org/xmlns/libvirt/nova/1.0"


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiskConfig:
    """One disk: a file, its format as we made it (never guessed), and where the guest sees it.

    ``tuning`` holds libvirt's ``iotune`` limits by element name. A disk of another ``kind`` than ``file``
    has a block device or a name on the network for its path; ``remote`` says then where that is.
    """

    path: str
    format: str
    target: str
    bus: str
    device: str = "disk"
    cache: str = "none"
    discard: str | None = None
    serial: str | None = None
    read_only: bool = False
    boot_order: int | None = None
    tuning: Mapping[str, int] = dataclasses.field(default_factory=dict)
    kind: str = "file"
    remote: RemoteDisk | None = None
    shareable: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class RemoteDisk:
    """A disk that the hypervisor opens over the network: protocol, servers (name, port), and the secret that
    libvirt keeps for it (user, kind, uuid).
    """

    protocol: str
    hosts: tuple[tuple[str, str], ...]
    secret: tuple[str, str, str] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class NicConfig:
    """One NIC. ``bridge`` None is QEMU's user-mode network. ``bandwidth`` maps (direction, name)
    to kilobytes, as libvirt's ``bandwidth`` element wants them. ``ovs_port`` is the id by which Open
    vSwitch knows it, where the bridge is one of its own.
    """

    mac: str
    bridge: str | None
    target: str
    ovs_port: str | None = None
    model: str | None = "virtio"
    driver: str | None = None
    queues: int | None = None
    mtu: int | None = None
    bandwidth: Mapping[tuple[str, str], int] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True, kw_only=True)
class CpuConfig:
    """The CPU model (``mode`` None leaves it to the hypervisor) and (sockets, cores, threads)."""

    mode: str | None = None
    model: str | None = None
    topology: tuple[int, int, int] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class BootConfig:
    """What the guest starts from. ``init`` is the first program of a container."""

    os_type: str = "hvm"
    arch: str | None = None
    machine: str | None = None
    firmware: str | None = None
    secure: bool = False
    nvram: str | None = None
    kernel: str | None = None
    initrd: str | None = None
    command_line: str | None = None
    init: str | None = None
    menu: bool = False


@dataclasses.dataclass(frozen=True, kw_only=True)
class RngConfig:
    """A random number device; ``rate`` is bytes per period of milliseconds."""

    source: str
    rate: tuple[int, int] | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Facts:
    """What is written down about the server for those who look at the host."""

    package: str
    name: str
    created: str
    flavor_name: str
    memory_mb: int
    disk_gb: int
    swap_mb: int
    ephemeral_gb: int
    vcpus: int
    user_id: str
    project_id: str
    image_id: str


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainConfig:
    """A whole guest. Memory is KiB. ``root_directory`` is a container's file tree. ``serial`` is the
    address and port of a serial console that can be typed into. ``hidden`` keeps KVM from telling of itself.
    """

    virt_type: str
    uuid: str
    name: str
    memory_kib: int
    vcpus: int
    facts: Facts
    boot: BootConfig
    cpu: CpuConfig = CpuConfig()
    cpuset: str | None = None
    cpu_tuning: Mapping[str, int] = dataclasses.field(default_factory=dict)
    place: PlaceConfig = dataclasses.field(default_factory=PlaceConfig)
    disks: tuple[DiskConfig, ...] = ()
    scsi_model: str = "virtio-scsi"
    nics: tuple[NicConfig, ...] = ()
    root_directory: str | None = None
    emulator: str | None = None
    console_log: str
    host_uuid: str = ""
    vnc_listen: str | None = None
    spice_listen: str | None = None
    serial: tuple[str, int] | None = None
    video: str | None = None
    rng: RngConfig | None = None
    watchdog: str | None = None
    agent: bool = False
    balloon_period: int = 0
    pmu: bool | None = None
    hidden: bool = False
    hardware: HardwareConfig = dataclasses.field(default_factory=HardwareConfig)


def domain_xml(guest: DomainConfig) -> str:
    """The whole description."""
    domain = Element("domain", type=guest.virt_type)
    _text(domain, "uuid", guest.uuid)
    _text(domain, "name", guest.name)
    _metadata(domain, guest.facts)
    _text(domain, "memory", str(guest.memory_kib))
    _add(domain, memory_backing(guest.place))
    vcpu = _text(domain, "vcpu", str(guest.vcpus))
    if guest.cpuset:
        vcpu.set("cpuset", guest.cpuset)
    if guest.cpu_tuning or guest.place.pins:
        tune = SubElement(domain, "cputune")
        for name, value in guest.cpu_tuning.items():
            _text(tune, name, str(value))
        add_pins(tune, guest.place)
    _add(domain, numa_tune(guest.place))
    machine = guest.virt_type in ("kvm", "qemu")
    if machine:
        _system_information(domain, guest)
    _boot(domain, guest)
    if guest.virt_type != "lxc":
        features = SubElement(domain, "features")
        SubElement(features, "acpi")
        SubElement(features, "apic")
        if guest.hidden:
            SubElement(SubElement(features, "kvm"), "hidden", state="on")
        # Counters interrupt a real-time vCPU at times of their own.
        pmu = False if guest.place.realtime else guest.pmu
        if pmu is not None:
            SubElement(features, "pmu", state="on" if pmu else "off")
        add_features(features, guest.hardware, kvm=guest.virt_type == "kvm")
    _cpu(domain, guest)
    domain.append(clock_element(guest.hardware, guest.virt_type))
    if machine:
        # A reboot from inside restarts the guest; switching off from inside stops it.
        _text(domain, "on_poweroff", "destroy")
        _text(domain, "on_reboot", "restart")
        _text(domain, "on_crash", "destroy")
    _devices(SubElement(domain, "devices"), guest, machine=machine)
    indent(domain)
    return tostring(domain, encoding="unicode") + "\n"


def _text(parent: Element, name: str, text: str, /, **attributes: str) -> Element:
    element = SubElement(parent, name, attributes)
    element.text = text
    return element


def _metadata(domain: Element, facts: Facts) -> None:
    instance = SubElement(SubElement(domain, "metadata"), "nova:instance")
    instance.set("xmlns:nova", NOVA_NAMESPACE)
    SubElement(instance, "nova:package", version=facts.package)
    _text(instance, "nova:name", _printable(facts.name))
    _text(instance, "nova:creationTime", facts.created)
    flavor = SubElement(instance, "nova:flavor", name=_printable(facts.flavor_name))
    for name, value in (
        ("memory", facts.memory_mb), ("disk", facts.disk_gb), ("swap", facts.swap_mb),
        ("ephemeral", facts.ephemeral_gb), ("vcpus", facts.vcpus),
    ):
        _text(flavor, f"nova:{name}", str(value))
    owner = SubElement(instance, "nova:owner")
    SubElement(owner, "nova:user", uuid=facts.user_id)
    SubElement(owner, "nova:project", uuid=facts.project_id)
    if facts.image_id:
        SubElement(instance, "nova:root", type="image", uuid=facts.image_id)


def _printable(text: str) -> str:
    """XML 1.0 has no place for most control characters, and a server's name may hold any."""
    return "".join(filter(_is_printable, text))


def _is_printable(character: str) -> bool:
    if character < " ":
        return character in "\t\n\r"
    return character not in "\ufffe\uffff" and not "\ud800" <= character <= "\udfff"


def _system_information(domain: Element, guest: DomainConfig) -> None:
    system = SubElement(SubElement(domain, "sysinfo", type="smbios"), "system")
    for name, value in (
        ("manufacturer", "OpenStack Foundation"), ("product", "OpenStack Nova"),
        ("version", guest.facts.package), ("serial", guest.host_uuid or guest.uuid),
        ("uuid", guest.uuid), ("family", "Virtual Machine"),
    ):
        _text(system, "entry", value, name=name)


def _boot(domain: Element, guest: DomainConfig) -> None:
    boot = guest.boot
    os = SubElement(domain, "os")
    if boot.firmware:
        os.set("firmware", boot.firmware)
    kind = _text(os, "type", boot.os_type)
    if boot.arch:
        kind.set("arch", boot.arch)
    if boot.machine:
        kind.set("machine", boot.machine)
    if boot.firmware:
        # Unsaid, libvirt takes the host's first firmware, which on some refuses all that is not signed.
        features = SubElement(os, "firmware")
        for name in ("secure-boot", "enrolled-keys") if boot.secure else ("secure-boot",):
            SubElement(features, "feature", enabled="yes" if boot.secure else "no", name=name)
    for name, value in (
        ("nvram", None if guest.hardware.stateless else boot.nvram), ("kernel", boot.kernel),
        ("initrd", boot.initrd), ("cmdline", boot.command_line), ("init", boot.init),
    ):
        if value:
            _text(os, name, value)
    if guest.hardware.stateless:
        SubElement(os, "loader", stateless="yes")
    if boot.menu:
        SubElement(os, "bootmenu", enable="yes")
    if guest.virt_type in ("kvm", "qemu"):
        SubElement(os, "smbios", mode="sysinfo")


def _add(parent: Element, element: Element | None) -> None:
    if element is not None:
        parent.append(element)


def _cpu(domain: Element, guest: DomainConfig) -> None:
    cpu = guest.cpu
    if cpu.mode is None and cpu.topology is None:
        return
    element = SubElement(domain, "cpu")
    if cpu.mode is not None:
        element.set("mode", cpu.mode)
        if cpu.mode == "custom":
            element.set("match", "exact")
            _text(element, "model", cpu.model or "")
    if cpu.topology is not None:
        sockets, cores, threads = cpu.topology
        SubElement(
            element, "topology", sockets=str(sockets), cores=str(cores), threads=str(threads)
        )
    _add(element, address_bits(guest.hardware))
    _add(element, guest_numa(guest.place))


def _devices(devices: Element, guest: DomainConfig, *, machine: bool) -> None:
    if guest.emulator:
        _text(devices, "emulator", guest.emulator)
    if guest.root_directory:
        root = SubElement(devices, "filesystem", type="mount")
        SubElement(root, "source", dir=guest.root_directory)
        SubElement(root, "target", dir="/")
    for disk in guest.disks:
        devices.append(disk_element(disk))
    if any(disk.bus == "scsi" for disk in guest.disks):
        controller = SubElement(devices, "controller", type="scsi", index="0", model=guest.scsi_model)
        if guest.hardware.packed_rings and guest.scsi_model == "virtio-scsi":
            SubElement(controller, "driver", packed="on")
    for nic in guest.nics:
        devices.append(nic_element(nic))
    if guest.hardware.packed_rings:
        _pack_rings(devices)
    for address, managed in guest.place.devices:
        devices.append(host_device(address, managed))
    _consoles(devices, guest, machine=machine)
    if guest.rng is not None:
        rng = SubElement(devices, "rng", model="virtio")
        if guest.rng.rate is not None:
            size, period = guest.rng.rate
            SubElement(rng, "rate", bytes=str(size), period=str(period))
        _text(rng, "backend", guest.rng.source, model="random")
    if guest.watchdog:
        SubElement(devices, "watchdog", model="i6300esb", action=guest.watchdog)
    if machine:
        balloon = SubElement(devices, "memballoon", model="virtio")
        if guest.balloon_period:
            SubElement(balloon, "stats", period=str(guest.balloon_period))


def _pack_rings(devices: Element) -> None:
    """Let the virtio disks and NICs use packed rings."""
    for disk in devices.iterfind("disk"):
        target, driver = disk.find("target"), disk.find("driver")
        if target is not None and driver is not None and target.get("bus") == "virtio":
            driver.set("packed", "on")
    for nic in devices.iterfind("interface"):
        model, driver = nic.find("model"), nic.find("driver")
        if model is not None and model.get("type") == "virtio":
            (SubElement(nic, "driver") if driver is None else driver).set("packed", "on")


def _consoles(devices: Element, guest: DomainConfig, *, machine: bool) -> None:
    """The serial console, whose log goes on from boot to boot, and the screen."""
    console = _serial(devices, guest.serial) if machine and guest.serial else SubElement(
        devices, "serial" if machine else "console", type="pty"
    )
    if machine and guest.hardware.serial_ports > 1:
        # Unsaid, libvirt gives it a number after those of the others.
        SubElement(console, "target", port="0")
    if machine:
        # Not append='off': a start, and the target of a migration, would empty the log.
        SubElement(console, "log", file=guest.console_log, append="on")
    if guest.agent:
        channel = SubElement(devices, "channel", type="unix")
        SubElement(channel, "target", type="virtio", name="org.qemu.guest_agent.0")
    if machine:
        add_devices(
            devices, guest.hardware, kvm=guest.virt_type == "kvm", tablet=guest.vnc_listen is not None
        )
    if guest.vnc_listen:
        _graphics(devices, "vnc", guest.vnc_listen)
    if guest.spice_listen and machine:
        _graphics(devices, "spice", guest.spice_listen)
    if guest.video:
        model = SubElement(SubElement(devices, "video"), "model", type=guest.video)
        if guest.hardware.video_ram_kib is not None and guest.video != "none":
            model.set("vram", str(guest.hardware.video_ram_kib))


def _serial(devices: Element, where: tuple[str, int]) -> Element:
    """A serial line that QEMU offers on a port."""
    console = SubElement(devices, "serial", type="tcp")
    SubElement(console, "source", mode="bind", host=where[0], service=str(where[1]))
    SubElement(console, "protocol", type="raw")
    return console


def _graphics(devices: Element, kind: str, address: str) -> None:
    graphics = SubElement(devices, "graphics", type=kind, port="-1", autoport="yes", listen=address)
    SubElement(graphics, "listen", type="address", address=address)


def disk_element(disk: DiskConfig) -> Element:
    """One ``disk`` element."""
    element = Element("disk", type=disk.kind, device=disk.device)
    driver = SubElement(element, "driver", name="qemu", type=disk.format, cache=disk.cache)
    if disk.discard:
        driver.set("discard", disk.discard)
    element.extend(source_elements(disk.kind, disk.path, disk.remote))
    SubElement(element, "target", dev=disk.target, bus=disk.bus)
    if disk.tuning:
        tune = SubElement(element, "iotune")
        for name, value in disk.tuning.items():
            _text(tune, name, str(value))
    if disk.serial:
        _text(element, "serial", disk.serial)
    if disk.read_only:
        SubElement(element, "readonly")
    if disk.shareable:
        SubElement(element, "shareable")
    if disk.boot_order is not None:
        SubElement(element, "boot", order=str(disk.boot_order))
    if disk.bus == "scsi":
        # By itself libvirt puts every seven on a further controller, of a model that guests may not know.
        SubElement(
            element, "address", type="drive", controller="0", bus="0", target="0",
            unit=str(_place(disk.target)),
        )
    return element


def _place(target: str) -> int:
    """The place of a disk among its kind: 0 for sda, 26 for sdaa."""
    place = 0
    for letter in target.removeprefix("sd"):
        place = place * 26 + ord(letter) - ord("a") + 1
    return place - 1


def source_elements(kind: str, path: str, remote: RemoteDisk | None) -> list[Element]:
    """Where a disk is opened from; before it, where that wants a secret, as whom."""
    if remote is None:
        return [Element("source", {"dev" if kind == "block" else "file": path})]
    found = []
    if remote.secret is not None:
        user, of, uuid = remote.secret
        auth = Element("auth", username=user)
        SubElement(auth, "secret", type=of, uuid=uuid)
        found.append(auth)
    source = Element("source", protocol=remote.protocol)
    if path:
        source.set("name", path)
    for host, port in remote.hosts:
        SubElement(source, "host", {"name": host, **({"port": port} if port else {})})
    return [*found, source]


def nic_element(nic: NicConfig) -> Element:
    """One ``interface`` element. It never names a filter: a guest may answer for virtual IPs."""
    element = Element("interface", type="bridge" if nic.bridge else "user")
    SubElement(element, "mac", address=nic.mac)
    if nic.bridge:
        SubElement(element, "source", bridge=nic.bridge)
        if nic.ovs_port:
            port = SubElement(element, "virtualport", type="openvswitch")
            SubElement(port, "parameters", interfaceid=nic.ovs_port)
        SubElement(element, "target", dev=nic.target)
    if nic.model:
        SubElement(element, "model", type=nic.model)
    if nic.driver:
        driver = SubElement(element, "driver", name=nic.driver)
        if nic.queues is not None:
            driver.set("queues", str(nic.queues))
    if nic.mtu:
        SubElement(element, "mtu", size=str(nic.mtu))
    if nic.bandwidth:
        bandwidth = SubElement(element, "bandwidth")
        for direction in ("inbound", "outbound"):
            values = {
                name: str(value) for (where, name), value in nic.bandwidth.items()
                if where == direction
            }
            if values:
                SubElement(bandwidth, direction, values)
    return element


def device_xml(element: Element) -> str:
    """One device as text, for hot plugging."""
    indent(element)
    return tostring(element, encoding="unicode")
