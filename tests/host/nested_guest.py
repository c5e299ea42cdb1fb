# SPDX-License-Identifier: Apache-2.0
"""What runs in the nested machine: the driver starts a guest there; prints what came about as JSON.

    python -m tests.host.nested_guest kvm IMAGE
    python -m tests.host.nested_guest xen IMAGE KERNEL RAMDISK
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import libvirt
import msgspec

from nova.conf import load
from nova.errors import NovaError
from nova.objects.instance import Instance
from nova.objects.topology import GuestCell, GuestTopology
from nova.virt.driver import GuestSpec, SourceImage
from nova.virt.libvirt.driver import LibvirtDriver
from tests.host.nested_wishes import judged
from tests.unit.virt.guests import VIF, instance

_PLACE = Path("/var/tmp/instances")
_PATIENCE = 300.0


def main() -> None:
    """Start what the host has to have, then the guest."""
    kind, files = sys.argv[1], [Path(each) for each in sys.argv[2:]]
    said: dict[str, Any] = {"kind": kind}
    try:
        with _network(), _daemons(kind):
            (_kvm if kind == "kvm" else _xen)(said, *files)
    except BaseException as error:
        said["error"] = repr(error)
        raise
    finally:
        said["up"] = float(Path("/proc/uptime").read_text().split()[0])
        print(json.dumps(said))
        sys.stdout.flush()


def _kvm(said: dict[str, Any], image: Path) -> None:
    driver = _driver("kvm")
    said["hypervisor"] = driver.describe()
    guest = instance(
        name="nested", memory_mb=128, vcpus=2, network_info=(VIF,),
        image_properties={"hw_machine_type": "pc"},
    )
    began = time.monotonic()
    said["power"] = driver.spawn(_spec(guest, {guest.image_ref: image}))
    said["spawned in"] = round(time.monotonic() - began, 1)
    connection = libvirt.open("qemu:///system")
    domain = connection.lookupByUUIDString(guest.uuid)
    tree = ElementTree.fromstring(domain.XMLDesc())
    said["type"] = tree.get("type")
    nic = tree.find("devices/interface/driver")
    said["nic"] = dict(nic.attrib) if nic is not None else {}
    said["vhost devices"] = _open_vhost()
    said["console"] = _console(driver, guest, "MARK ready")
    said["ping"] = subprocess.run(
        ["busybox", "ping", "-c", "1", "-W", "10", "10.9.0.3"], capture_output=True, check=False
    ).returncode
    said["pause"] = [driver.pause(guest), driver.unpause(guest)]
    driver.destroy(guest.uuid)
    _step(said, "real time", lambda: _real_time(driver, image))
    said["wishes"] = judged(connection, _PLACE.with_name("wishes"))
    said["left"] = [each.name() for each in connection.listAllDomains()]
    driver.stop()


def _real_time(driver: LibvirtDriver, image: Path) -> dict[str, list[str]]:
    """Start a guest whose second vCPU runs in real time on CPU 1; returns how its threads are scheduled."""
    specs = {"hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "1"}
    cell = GuestCell(
        cpus=(0, 1), memory_mb=128, host_cell=0, pool_kb=4, pinning=((1, 1),), float_over=(0,),
    )
    guest = msgspec.structs.replace(
        instance(name="prompt", memory_mb=128, vcpus=2, network_info=(), specs=specs, id=43),
        topology=GuestTopology(cells=(cell,)), uuid="5a3c2f6e-0d0f-4f3c-8a55-6d1d9c1f7a11",
    )
    driver.spawn(_spec(guest, {guest.image_ref: image}))
    found: dict[str, list[str]] = {}
    for path in Path("/proc").glob("[0-9]*/task/*/comm"):
        with contextlib.suppress(OSError):
            name, thread = path.read_text().strip(), int(path.parent.name)
            if name.startswith("CPU "):
                policy = "fifo" if os.sched_getscheduler(thread) == os.SCHED_FIFO else "other"
                found[name] = [policy, ",".join(map(str, sorted(os.sched_getaffinity(thread))))]
    driver.destroy(guest.uuid)
    return found


def _xen(said: dict[str, Any], image: Path, kernel: Path, ramdisk: Path) -> None:
    driver = _driver("xen")
    said["hypervisor"] = driver.describe()
    guest = instance(
        name="nested", memory_mb=160, vcpus=1, network_info=(VIF,), kernel_id="kernel", ramdisk_id="ramdisk",
        root_device_name="/dev/xvda",
    )
    began = time.monotonic()
    said["power"] = driver.spawn(
        _spec(guest, {guest.image_ref: image, "kernel": kernel, "ramdisk": ramdisk})
    )
    said["spawned in"] = round(time.monotonic() - began, 1)
    domain = libvirt.open("xen:///system").lookupByUUIDString(guest.uuid)
    tree = ElementTree.fromstring(domain.XMLDesc())
    said["type"] = [tree.get("type"), tree.findtext("os/type")]
    _step(said, "xl", lambda: subprocess.run(
        ["xl", "list"], capture_output=True, text=True, check=True
    ).stdout.splitlines()[1:])
    said["console"] = _console(driver, guest, "MARK ready")
    _step(said, "ping", lambda: subprocess.run(
        ["busybox", "ping", "-c", "1", "-W", "20", "10.9.0.3"], capture_output=True, check=False
    ).returncode)
    _step(said, "pause", lambda: [driver.pause(guest), driver.unpause(guest)])
    _step(said, "diagnostics", lambda: driver.diagnostics(guest).state)
    _step(said, "reboot", lambda: driver.reboot(guest, hard=True))
    _step(said, "second console", lambda: _console(driver, guest, "MARK ready", times=2).count("MARK ready"))
    _step(said, "power off", lambda: driver.power_off(guest))
    _step(said, "power on", lambda: driver.power_on(guest))
    said["third console"] = _console(driver, guest, "MARK ready", times=3).count("MARK ready")
    _step(said, "suspend", lambda: driver.suspend(guest))
    _step(said, "resume", lambda: driver.resume(guest))
    _step(said, "guests", driver.guests)
    _step(said, "running", lambda: driver.reports()[0].running_vms)
    _step(said, "destroy", lambda: driver.destroy(guest.uuid))
    _step(said, "left", lambda: [each.name() for each in libvirt.open("xen:///system").listAllDomains()])
    driver.stop()


def _step(said: dict[str, Any], name: str, action: Callable[[], Any]) -> None:
    """Note what came of a step, an error too: the others are tried all the same."""
    began = time.monotonic()
    try:
        said[name] = action()
    except NovaError as error:
        said[name] = f"error: {error.message}"
    print(name, said[name], round(time.monotonic() - began, 1), file=sys.stderr, flush=True)


def _driver(kind: str) -> LibvirtDriver:
    options: dict[tuple[str, str], Any] = {
        ("DEFAULT", "host"): "nested", ("DEFAULT", "instances_path"): str(_PLACE),
        ("DEFAULT", "shutdown_timeout"): 60, ("libvirt", "virt_type"): kind,
        # A frame buffer would be one more program under emulation.
        ("DEFAULT", "vnc_enabled"): False,
    }
    driver = LibvirtDriver(load(overrides=options))
    driver.start()
    return driver


def _spec(guest: Instance, images: dict[str, Path]) -> GuestSpec:
    def source(image_id: str) -> SourceImage:
        path = images[image_id]
        return SourceImage(
            id=image_id, read=lambda: iter([path.read_bytes()]),
            disk_format="qcow2" if path.suffix == ".qcow2" else "raw",
        )

    return GuestSpec(instance=guest, vifs=guest.network_info, images=source)


def _console(driver: LibvirtDriver, guest: Instance, until: str, *, times: int = 1) -> str:
    deadline = time.monotonic() + _PATIENCE
    while True:
        text = driver.console_output(guest).decode("utf-8", "replace")
        if text.count(until) >= times or time.monotonic() > deadline:
            return "\n".join(line.strip() for line in text.splitlines() if "MARK" in line)
        time.sleep(1)


def _open_vhost() -> int:
    """How often QEMU has the kernel's half of a virtio NIC open."""
    count = 0
    for path in Path("/proc").glob("[0-9]*/fd/*"):
        with contextlib.suppress(OSError):
            count += os.readlink(path) == "/dev/vhost-net"
    return count


@contextlib.contextmanager
def _network() -> Iterator[None]:
    for command in (
        "ip link set lo up", "ip link add br100 type bridge forward_delay 0",
        "ip addr add 10.9.0.1/24 dev br100", "ip link set br100 up",
    ):
        subprocess.run(command.split(), check=True)
    leases = subprocess.Popen(
        ["dnsmasq", "--keep-in-foreground", "--conf-file=", "--bind-interfaces", "--interface=br100",
         "--except-interface=lo", "--port=0", "--dhcp-range=10.9.0.2,static", "--leasefile-ro",
         "--user=root", f"--dhcp-host={VIF.mac},10.9.0.3"],
        stdin=subprocess.DEVNULL,
    )
    try:
        yield
    finally:
        leases.terminate()


@contextlib.contextmanager
def _daemons(kind: str) -> Iterator[None]:
    _PLACE.mkdir(parents=True, exist_ok=True)
    uri = {"kvm": "qemu:///system", "xen": "xen:///system"}[kind]
    started = [
        subprocess.Popen([name], stdin=subprocess.DEVNULL, env={**os.environ, "LC_ALL": "C"})
        for name in ("virtlogd", "libvirtd")
    ]
    try:
        deadline = time.monotonic() + _PATIENCE
        while True:
            try:
                libvirt.open(uri).close()
                break
            except libvirt.libvirtError:
                if time.monotonic() > deadline or started[-1].poll() is not None:
                    raise
                time.sleep(1)
        yield
    finally:
        for each in reversed(started):
            each.terminate()


if __name__ == "__main__":
    main()
