# SPDX-License-Identifier: Apache-2.0
"""The fake driver: simulated hosts with simulated guests.

It talks to no hypervisor. Guests have power state, console text and diagnostics, take the time that the
[fake] options say, and survive a restart of the process: each host keeps a journal, one JSON line per
change, which is read and rewritten compactly at start.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO

import msgspec

from nova.conf.fake import FakeSection
from nova.decoding import json_decoder
from nova.errors import ConsoleTypeUnavailable, GuestNotFound, VirtError
from nova.objects.console import NOVNC, SERIAL, SPICE_DIRECT, SPICE_HTML5, WEBMKS, ConsoleEndpoint
from nova.objects.host import HostReport
from nova.objects.instance import Instance, Vif
from nova.objects.migration import Arrival, MigrationProgress
from nova.objects.states import (
    MIGRATING,
    NOSTATE,
    PAUSED,
    POWER_PAUSED,
    POWER_SUSPENDED,
    RUNNING,
    SHUTDOWN,
)
from nova.objects.topology import GuestTopology, HostTopology
from nova.virt.driver import (
    Capabilities,
    Diagnostics,
    DiskDiagnostics,
    GuestSpec,
    NicDiagnostics,
    SnapshotData,
    SourceImage,
    read_in_pieces,
)
from nova.virt.fake_topology import cpu_counts, refuse_overlap, simulated_topology
from nova.virt.fake_volumes import SimulatedVolumes

LOG = logging.getLogger(__name__)

_NAMES = {
    NOSTATE: "pending", RUNNING: "running", POWER_PAUSED: "paused", SHUTDOWN: "shutdown",
    POWER_SUSPENDED: "suspended",
}
#: Consoles that simulated guests have. Nothing listens there but what a test or a lab starts.
_CONSOLES = frozenset({NOVNC, SPICE_HTML5, SPICE_DIRECT, SERIAL, WEBMKS})
#: Console text kept of a guest, bytes.
_CONSOLE = 16384


class FakeGuest(msgspec.Struct):
    """A simulated guest. ``kept`` marks one that moved away and waits for confirm or revert.

    ``volumes`` maps those that it has to their device names.
    """

    uuid: str
    name: str
    power_state: int
    vcpus: int
    memory_mb: int
    disk_gb: int
    macs: list[str]
    booted_at: float
    console: str
    kept: bool = False
    rescued: bool = False
    config_drive: bool = False
    topology: GuestTopology | None = None
    volumes: dict[str, str] = {}
    disks: int = 1


_encode = msgspec.json.Encoder().encode
_decode = json_decoder(FakeGuest).decode


class GuestJournal:
    """The guests of one simulated host, on disk. Lines: a guest's JSON, or ``-<uuid>`` when it is gone."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._file: IO[bytes] | None = None

    def load(self) -> dict[str, FakeGuest]:
        """Read the journal and write it anew without what is gone; a torn last line is dropped.

        Where there is no space for that it stays as it is.
        """
        guests: dict[str, FakeGuest] = {}
        if self._path.exists():
            for line in self._path.read_bytes().splitlines():
                if line.startswith(b"-"):
                    guests.pop(line[1:].decode(), None)
                    continue
                try:
                    guest = _decode(line)
                except msgspec.DecodeError:
                    continue
                guests[guest.uuid] = guest
            self._rewrite(guests)
        return guests

    def _rewrite(self, guests: dict[str, FakeGuest]) -> None:
        path = self._path.resolve()
        fresh = path.with_suffix(".new")
        try:
            fresh.write_bytes(b"".join(_encode(guest) + b"\n" for guest in guests.values()))
            os.replace(fresh, path)
        except OSError as error:
            LOG.warning("the journal %s could not be written anew: %s", path, error)
            fresh.unlink(missing_ok=True)
            os.truncate(path, path.read_bytes().rfind(b"\n") + 1)

    def write(self, line: bytes) -> None:
        """Append one line; it is with the kernel when this returns.

        ``VirtError`` where the disk is full, which keeps nothing of it.
        """
        if self._file is None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._path.open("ab", buffering=0)
        size = os.fstat(self._file.fileno()).st_size
        try:
            rest = line + b"\n"
            while rest:
                rest = rest[self._file.write(rest):]
        except OSError as error:
            self._file.truncate(size)
            raise VirtError(f"The simulated host cannot write: {error.strerror}") from error

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()
            self._file = None


class FakeDriver(SimulatedVolumes):
    """One simulated compute host."""

    capabilities = Capabilities(
        pause=True, suspend=True, rescue=True, snapshot=True, live_migration=True, password=True,
        crash_dump=True, attach_interface=True, volumes=True,
    )

    def __init__(self, host: str, zone: str | None, section: FakeSection, directory: Path) -> None:
        self.host = host
        self._zone = zone
        self._section = section
        self._journal = GuestJournal(directory / f"{host}.guests")
        self._guests: dict[str, FakeGuest] = {}
        self._lock = threading.Lock()
        self._hurried: set[str] = set()
        #: Images that were fetched ahead of need, since the start.
        self.cached_images: set[str] = set()
        self._topology: HostTopology | None = None
        self._started = time.time()

    # --- host ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Read the guests of the last run. ``VirtError`` for options that make no host."""
        self._topology = simulated_topology(self._section)
        self._guests = self._journal.load()

    def stop(self) -> None:
        """Close the journal."""
        self._journal.close()

    def describe(self) -> str:
        """Simulated."""
        return "simulated guests"

    def reports(self) -> Sequence[HostReport]:
        """One node, of the size that the options say."""
        section = self._section
        running = sum(1 for g in self._guests.values() if g.power_state == RUNNING)
        shared, apart = cpu_counts(section)
        return [
            HostReport(
                host=self.host, hypervisor_hostname=self.host, host_ip="127.0.0.1",
                hypervisor_type="fake", hypervisor_version=1000, vcpus=shared, pcpus=apart,
                topology=self._topology,
                memory_mb=section.memory_mb, local_gb=section.local_gb,
                cpu_info={"arch": "x86_64", "model": "simulated", "vendor": "nova",
                          "features": ["sse", "sse2"],
                          "topology": {"cores": 1, "threads": 1, "sockets": 4}},
                supported_instances=[["x86_64", "fake", "hvm"], ["i686", "fake", "hvm"]],
                running_vms=running, disk_available_least=section.local_gb, uptime=self.uptime(),
                zone=self._zone,
            )
        ]

    def guests(self) -> dict[str, int]:
        """Every simulated guest, also those that are merely kept for a revert."""
        with self._lock:
            return {g.uuid: g.power_state for g in self._guests.values()}

    def uptime(self) -> str:
        """Since this process started."""
        seconds = int(time.time() - self._started)
        clock = time.strftime("%H:%M:%S")
        return (
            f" {clock} up {seconds // 86400} days, {seconds // 3600 % 24}:{seconds // 60 % 60:02d}, "
            "1 user, load average: 0.00, 0.00, 0.00"
        )

    def watch(self, changed: Callable[[str | None, int], None]) -> None:
        """Simulated guests never change by themselves."""

    # --- power -----------------------------------------------------------------------------------

    def spawn(self, spec: GuestSpec) -> int:
        """Create a guest; fails on the hosts named by ``fail_spawn_hosts``."""
        if self.host in self._section.fail_spawn_hosts:
            raise VirtError(f"Simulated failure to create a guest on {self.host}")
        self._wait(self._section.spawn_latency)
        instance = spec.instance
        with self._lock:
            present = self._guests.get(instance.uuid)
            if present is None or present.kept:
                self._make(spec)
            return self._guests[instance.uuid].power_state

    def destroy(self, uuid: str) -> None:
        """Remove a guest."""
        self._wait(self._section.destroy_latency)
        with self._lock:
            if uuid in self._guests:
                self._drop(uuid)

    def power_on(self, instance: Instance) -> int:
        """Start."""
        return self._switch(instance, RUNNING, booted=True)

    def power_off(self, instance: Instance) -> int:
        """Stop."""
        return self._switch(instance, SHUTDOWN)

    def reboot(self, instance: Instance, *, hard: bool) -> int:
        """Restart; a hard one also takes a guest back that waited for a revert which failed."""
        with self._lock:
            guest = self._guests.get(instance.uuid)
            if hard and guest is not None and guest.kept:
                self._store(msgspec.structs.replace(guest, kept=False))
        return self._switch(instance, RUNNING, booted=True)

    def pause(self, instance: Instance) -> int:
        """Freeze."""
        return self._switch(instance, POWER_PAUSED)

    def unpause(self, instance: Instance) -> int:
        """Thaw."""
        return self._switch(instance, RUNNING)

    def suspend(self, instance: Instance) -> int:
        """Save memory and stop."""
        return self._switch(instance, POWER_SUSPENDED)

    def resume(self, instance: Instance) -> int:
        """Start with memory."""
        return self._switch(instance, RUNNING)

    # --- maintenance -----------------------------------------------------------------------------

    def device_addresses(self, instance: Instance) -> dict[str, list[str]]:
        """A simulated guest has no bus."""
        return {}

    def rescue(self, spec: GuestSpec, image_ref: str | None) -> int:
        """Start from a rescue image."""
        state = self._switch(spec.instance, RUNNING, booted=True)
        self._change(spec.instance, rescued=True)
        return state

    def unrescue(self, instance: Instance) -> int:
        """Start from the own disk."""
        state = self._switch(instance, RUNNING, booted=True)
        self._change(instance, rescued=False)
        return state

    def rebuild(self, spec: GuestSpec, *, preserve_ephemeral: bool) -> int:
        """Replace the guest by a new one."""
        self._wait(self._section.spawn_latency)
        with self._lock:
            self._store(_new_guest(spec))
            return self._guests[spec.instance.uuid].power_state

    def snapshot(self, instance: Instance) -> SnapshotData:
        """A few bytes that stand for the root disk."""
        self._wait(self._section.snapshot_latency)
        guest = self._get(instance)
        text = f"simulated root disk of {guest.uuid}\n".encode()
        return SnapshotData("raw", "bare", read_in_pieces(text.ljust(4096, b"\0")))

    def set_password(self, instance: Instance, password: str) -> None:
        """Note on the console that it was changed."""
        self._say(instance, "passwd: password for root changed")

    def crash_dump(self, instance: Instance) -> None:
        """Note the NMI on the console."""
        self._say(instance, "Uhhuh. NMI received for unknown reason")

    def cache_image(self, image: SourceImage) -> None:
        """Read the image to its end, and remember that it was."""
        if image.id not in self.cached_images:
            for _piece in image.read():
                pass
            self.cached_images.add(image.id)

    def console_output(self, instance: Instance) -> bytes:
        """The simulated console."""
        return self._get(instance).console.encode()

    def console_endpoint(self, instance: Instance, console_type: str) -> ConsoleEndpoint:
        """A simulated console: at the address that the options name, the same for all guests."""
        self._get(instance)
        if console_type not in _CONSOLES:
            raise ConsoleTypeUnavailable(console_type)
        section = self._section
        return ConsoleEndpoint(
            host=section.console_host,
            port=section.serial_port if console_type == SERIAL else section.console_port,
            tls_port=self._section.console_port + 1 if console_type == SPICE_DIRECT else None,
        )

    def diagnostics(self, instance: Instance) -> Diagnostics:
        """Counters derived from the time since boot."""
        guest = self._get(instance)
        seconds = int(time.time() - guest.booted_at) if guest.power_state == RUNNING else 0
        return Diagnostics(
            # The API's list of drivers has none for a simulated one; "hypervisor" says what it is.
            state=_NAMES[guest.power_state], driver="libvirt", hypervisor="fake",
            hypervisor_os="linux", uptime=seconds, config_drive=guest.config_drive,
            num_cpus=guest.vcpus, cpu_time=tuple(seconds * 10**7 for _ in range(guest.vcpus)),
            memory_maximum=guest.memory_mb, memory_used=guest.memory_mb // 2,
            nics=tuple(NicDiagnostics(mac=mac) for mac in guest.macs),
            disks=tuple(DiskDiagnostics() for _ in range(guest.disks + len(guest.volumes))),
        )

    def plug(self, instance: Instance, vif: Vif) -> None:
        """Add a NIC."""
        self._edit(instance, lambda guest: {"macs": list(dict.fromkeys([*guest.macs, vif.mac]))})

    def unplug(self, instance: Instance, vif: Vif) -> None:
        """Take a NIC away."""
        self._edit(instance, lambda guest: {"macs": [mac for mac in guest.macs if mac != vif.mac]})

    # --- moves -----------------------------------------------------------------------------------

    def migrate_out(self, instance: Instance, destination: str) -> None:
        """Stop the guest and keep it for a revert."""
        self._wait(self._section.migrate_latency)
        if destination == self.host:
            self._switch(instance, SHUTDOWN)
            return
        with self._lock:
            guest = self._guests.get(instance.uuid)
            if guest is None:
                raise GuestNotFound(f"Guest {instance.uuid} is not on host {self.host}")
            self._store(msgspec.structs.replace(guest, power_state=SHUTDOWN, kept=True))

    def migrate_in(self, spec: GuestSpec, source: str) -> int:
        """Create the guest in its new size."""
        self._wait(self._section.migrate_latency)
        with self._lock:
            self._make(spec)
            return self._guests[spec.instance.uuid].power_state

    def forget_outgoing(self, instance: Instance) -> None:
        """Drop the kept guest; one that was resized in place stays."""
        with self._lock:
            guest = self._guests.get(instance.uuid)
            if guest is not None and guest.kept:
                self._drop(instance.uuid)

    def revert_outgoing(self, spec: GuestSpec) -> int:
        """Bring the kept guest back in its old size."""
        with self._lock:
            present = self._guests.get(spec.instance.uuid)
            live = spec.instance.task_state == MIGRATING
            if live and present is not None and not present.kept:
                return present.power_state
            guest = _new_guest(spec)
            if spec.instance.vm_state == PAUSED:
                guest.power_state = POWER_PAUSED
            self._store(guest)
            return guest.power_state

    def arrival(self, instance: Instance) -> Arrival:
        """As on its source."""
        return Arrival()

    def live_migrate(
        self,
        instance: Instance,
        destination: str,
        progress: Callable[[MigrationProgress], bool],
        arrival: Arrival,
    ) -> None:
        """Copy memory in ten rounds, then hand over; nothing is left to do where that was done."""
        guest = self._guests.get(instance.uuid)
        if guest is not None and guest.kept:
            return
        self._get(instance)
        memory = instance.memory_mb << 20
        disk = (instance.root_gb + instance.ephemeral_gb) << 30
        self._hurried.discard(instance.uuid)
        for round_ in range(11):
            if round_ and instance.uuid not in self._hurried:
                self._wait(self._section.migrate_latency / 10)
            done = MigrationProgress(
                memory_total=memory, memory_processed=memory * round_ // 10,
                memory_remaining=memory - memory * round_ // 10,
                disk_total=disk, disk_processed=disk * round_ // 10,
                disk_remaining=disk - disk * round_ // 10,
            )
            if not progress(done):
                raise VirtError("The live migration was aborted")
        self._change(instance, kept=True)

    def force_complete_live_migration(self, instance_uuid: str) -> None:
        """Take the rounds that are left without waiting."""
        self._hurried.add(instance_uuid)

    def live_migrated_in(self, spec: GuestSpec) -> int:
        """The guest as it arrives, running or paused."""
        self.spawn(spec)
        paused = spec.instance.vm_state == PAUSED
        return self._switch(spec.instance, POWER_PAUSED if paused else RUNNING)

    # --- simulation ------------------------------------------------------------------------------

    @staticmethod
    def _wait(seconds: float) -> None:
        if seconds > 0:
            time.sleep(seconds)

    def _get(self, instance: Instance) -> FakeGuest:
        guest = self._guests.get(instance.uuid)
        if guest is None or guest.kept:
            raise GuestNotFound(f"Guest {instance.uuid} is not on host {self.host}")
        return guest

    def _make(self, spec: GuestSpec) -> None:
        """Create a guest, unless its CPUs or devices are another's. The lock is held."""
        refuse_overlap(
            spec.instance.topology,
            (
                other.topology for other in self._guests.values()
                if other.uuid != spec.instance.uuid and not other.kept
            ),
        )
        self._store(_new_guest(spec))

    def _store(self, guest: FakeGuest) -> None:
        """The journal first: where the disk is full nothing has changed."""
        self._journal.write(_encode(guest))
        self._guests[guest.uuid] = guest

    def _drop(self, uuid: str) -> None:
        self._journal.write(b"-" + uuid.encode())
        del self._guests[uuid]

    def _change(self, instance: Instance, **values: object) -> None:
        self._edit(instance, lambda _guest: values)

    def _edit(self, instance: Instance, values: Callable[[FakeGuest], Mapping[str, object]]) -> None:
        """Change a guest by what it is now; nothing comes between."""
        with self._lock:
            guest = self._get(instance)
            changed = msgspec.structs.replace(guest, **values(guest))
            if changed != guest:
                self._store(changed)

    def _say(self, instance: Instance, line: str) -> None:
        self._change(instance, console=(self._get(instance).console + line + "\n")[-_CONSOLE:])

    def _switch(self, instance: Instance, state: int, *, booted: bool = False) -> int:
        self._wait(self._section.power_latency)
        with self._lock:
            guest = msgspec.structs.replace(self._get(instance))
            if booted:
                guest.booted_at = time.time()
                guest.console = (guest.console + _boot_text(guest.name))[-_CONSOLE:]
            guest.power_state = state
            self._store(guest)
            return state


def _boot_text(name: str) -> str:
    return (
        f"[    0.000000] Simulated guest {name}\n"
        "[    0.000001] No kernel is running here; these lines stand for its messages\n"
        "cloud-init: simulated boot finished\n"
        f"\n{name} login: "
    )


def _new_guest(spec: GuestSpec) -> FakeGuest:
    instance = spec.instance
    return FakeGuest(
        uuid=instance.uuid, name=instance.hostname,
        power_state=(POWER_PAUSED if spec.paused else RUNNING) if spec.power_on else SHUTDOWN,
        vcpus=instance.vcpus, memory_mb=instance.memory_mb,
        disk_gb=instance.root_gb + instance.ephemeral_gb, macs=[vif.mac for vif in spec.vifs],
        booted_at=time.time(), console=_boot_text(instance.hostname) if spec.power_on else "",
        config_drive=bool(instance.config_drive), topology=instance.topology,
        volumes={each.volume_id: each.device_name or "" for each in spec.volumes},
        disks=0 if instance.volume_backed else 1,
    )


def host_names(section: FakeSection) -> list[tuple[str, str | None]]:
    """The simulated hosts: (name, zone or None), zones dealt in turn."""
    width = len(str(max(section.hosts, 1)))
    return [
        (
            f"{section.host_prefix}{number:0{width}d}",
            section.zones[(number - 1) % len(section.zones)] if section.zones else None,
        )
        for number in range(1, section.hosts + 1)
    ]

