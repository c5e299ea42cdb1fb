# SPDX-License-Identifier: Apache-2.0
"""Measures the libvirt driver on a private libvirtd (root): ``figure NAME VALUE UNIT`` a line.

What the driver costs is the time of its flow without that of libvirt's ``create``, in which QEMU starts. The
same guests are then started by libvirt alone, all at once, to see who limits whom. They hold no system, so
that nothing but their start takes time.
"""

from __future__ import annotations

import argparse
import logging
import shutil
import signal
import statistics
import sys
import tempfile
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

import libvirt  # noqa: E402
import msgspec  # noqa: E402

from nova.conf import load  # noqa: E402
from nova.objects.instance import Instance  # noqa: E402
from nova.virt.driver import GuestSpec, SourceImage  # noqa: E402
from nova.virt.libvirt.domain_xml import domain_xml  # noqa: E402
from nova.virt.libvirt.driver import LibvirtDriver  # noqa: E402
from nova.virt.libvirt.guest_config import GuestHost, domain_config  # noqa: E402
from nova.virt.libvirt.vif import NicHost, nic_config  # noqa: E402
from tests.host.hypervisor import PrivateLibvirt, require_parts  # noqa: E402
from tests.unit.virt.guests import VIF, instance  # noqa: E402

GUESTS = 20
ALONE = 5


def figure(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(f"figure {name} {value:.6g} {unit}", flush=True)


def guest(number: int) -> Instance:
    """One of the guests."""
    made = instance(
        uuid=str(uuid.uuid4()), id=number, name=f"bench{number}", memory_mb=48, vcpus=1, root_gb=1,
        config_drive="True",
    )
    return msgspec.structs.replace(made, network_info=(VIF,))


def description() -> None:
    """How long a guest's XML takes to be made."""
    host = GuestHost(virt_type="kvm", arch="x86_64", vnc_listen="0.0.0.0")
    nic = NicHost(virt_type="kvm", tap_queues=256, vhost=True, user_network=False)
    one = guest(1)

    def make() -> str:
        nics = (nic_config(one, VIF, nic, has_bridge=True),)
        return domain_xml(domain_config(one, host, disks=(), nics=nics, console_log="/x/console.log"))

    make()
    times = []
    for _ in range(500):
        began = time.perf_counter()
        make()
        times.append(time.perf_counter() - began)
    figure("host.xml", statistics.median(times) * 1000, "ms")


class Starts:
    """Counts what libvirt and QEMU take to start a domain, by thread."""

    def __init__(self) -> None:
        self.seconds = threading.local()
        for name in ("create", "createWithFlags"):
            self._watch(name)

    def _watch(self, name: str) -> None:
        works = getattr(libvirt.virDomain, name)

        def timed(domain: Any, *arguments: Any) -> Any:
            began = time.perf_counter()
            try:
                return works(domain, *arguments)
            finally:
                self.seconds.spent = time.perf_counter() - began

        setattr(libvirt.virDomain, name, timed)


def spawn(driver: LibvirtDriver, starts: Starts, one: Instance, image: Path) -> tuple[float, float]:
    """Make one guest: all seconds, and those of them that were not QEMU's start."""

    def source(image_id: str) -> SourceImage:
        return SourceImage(id=image_id, read=lambda: iter([image.read_bytes()]), disk_format="raw")

    began = time.perf_counter()
    driver.spawn(GuestSpec(instance=one, vifs=one.network_info, images=source))
    whole = time.perf_counter() - began
    return whole, whole - starts.seconds.spent


def at_once(work: Callable[[Any], Any], items: Sequence[Any]) -> float:
    """Seconds that all take when they are begun at the same time."""
    began = time.perf_counter()
    with ThreadPoolExecutor(len(items)) as pool:
        for _ in pool.map(work, items):
            pass
    return time.perf_counter() - began


def real_guests(count: int) -> None:
    """Guests on a private libvirt."""
    require_parts()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    logging.disable(logging.WARNING)
    directory = Path(tempfile.mkdtemp(prefix="nova-bench-host-"))
    directory.chmod(0o711)
    hypervisor = PrivateLibvirt("bench")
    try:
        image = directory / "empty"
        image.write_bytes(bytes(1 << 20))
        hypervisor.start()
        driver = LibvirtDriver(load([], {
            ("libvirt", "virt_type"): "qemu", ("libvirt", "connection_uri"): hypervisor.uri,
            ("DEFAULT", "instances_path"): str(directory / "instances"), ("DEFAULT", "host"): "bench",
            ("DEFAULT", "fake_network"): True, ("DEFAULT", "vnc_enabled"): False,
        }))
        driver.start()
        for name, value, unit in measured(driver, image, count):
            figure(name, value, unit)
        driver.stop()
    finally:
        hypervisor.stop()
        shutil.rmtree(directory, ignore_errors=True)


def measured(driver: LibvirtDriver, image: Path, count: int) -> Iterator[tuple[str, float, str]]:
    """The figures of real guests."""
    starts = Starts()
    first = guest(0)
    spawn(driver, starts, first, image)
    driver.destroy(first.uuid)
    own, whole = [], []
    for number in range(1, ALONE + 1):
        one = guest(number)
        seconds, ours = spawn(driver, starts, one, image)
        whole.append(seconds)
        own.append(ours)
        driver.destroy(one.uuid)
    yield "host.spawn", statistics.median(whole) * 1000, "ms"
    yield "host.spawn.driver", statistics.median(own) * 1000, "ms"

    guests = [guest(100 + number) for number in range(count)]
    yield f"host.spawn.parallel_{count}", at_once(
        lambda one: spawn(driver, starts, one, image), guests
    ), "s"
    domains = [driver._parts.connection.domain(one.uuid) for one in guests]
    for domain in domains:
        domain.destroy()
    # The same domains by libvirt alone: what no driver could be faster than.
    yield f"host.start.parallel_{count}", at_once(lambda domain: domain.create(), domains), "s"
    at_once(lambda one: driver.destroy(one.uuid), guests)


def main() -> int:
    """Measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--guests", type=int, default=GUESTS, help="how many at once")
    arguments = parser.parse_args()
    description()
    real_guests(arguments.guests)
    return 0


if __name__ == "__main__":
    sys.exit(main())
