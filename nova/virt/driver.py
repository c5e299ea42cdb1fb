# SPDX-License-Identifier: Apache-2.0
"""What a virt driver does, as small protocols, and the record of what one can do.

Every method may be repeated: a step that was interrupted is run again with the same arguments. A driver
raises ``nova.errors.VirtError`` with a text for the user; ``GuestNotFound`` where the guest is missing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import msgspec

from nova.errors import VirtError
from nova.objects.console import ConsoleEndpoint
from nova.objects.device_addresses import DeviceAddresses
from nova.objects.diagnostics import Diagnostics as Diagnostics
from nova.objects.diagnostics import DiskDiagnostics as DiskDiagnostics
from nova.objects.diagnostics import NicDiagnostics as NicDiagnostics
from nova.objects.host import HostReport
from nova.objects.instance import Instance, Vif
from nova.objects.migration import Arrival, MigrationProgress
from nova.objects.rescue_disk import RescueDisk
from nova.objects.volume_connection import VolumeConnection


class Capabilities(msgspec.Struct, frozen=True, kw_only=True):
    """What the driver can do; the API refuses early what it cannot."""

    pause: bool = False
    suspend: bool = False
    rescue: bool = False
    snapshot: bool = False
    live_migration: bool = False
    password: bool = False
    crash_dump: bool = False
    attach_interface: bool = False
    volumes: bool = False


class SourceImage(msgspec.Struct, frozen=True, kw_only=True):
    """An image whose data a host may read: what the image service says of it, and the data in pieces.

    ``size`` is bytes, digests are hexadecimal. Nothing of it is to be trusted before it is checked.
    """

    id: str
    read: Callable[[], Iterator[bytes]]
    disk_format: str | None = None
    size: int | None = None
    checksum: str | None = None
    os_hash_algo: str | None = None
    os_hash_value: str | None = None


def no_images(image_id: str) -> SourceImage:
    """For a guest that is made of no image."""
    raise VirtError(f"The data of image {image_id} is not at hand here.")


class GuestSpec(msgspec.Struct, frozen=True, kw_only=True):
    """What a guest is made of, beyond its instance row.

    ``images`` opens an image by its id. ``root_image`` is the one that the root disk begins as; None is the
    instance's own. ``volumes`` are those of its disks that are volumes, opened to this host. With ``paused``
    the guest stands still once it is there, where the hypervisor can do that. Without ``rescue_disk`` a
    rescue's disk comes first.
    """

    instance: Instance
    vifs: tuple[Vif, ...]
    power_on: bool = True
    paused: bool = False
    admin_password: str | None = None
    files: dict[str, str] = {}
    images: Callable[[str], SourceImage] = no_images
    root_image: str | None = None
    volumes: tuple[VolumeConnection, ...] = ()
    rescue_disk: RescueDisk | None = None


class SnapshotData(msgspec.Struct, frozen=True):
    """A snapshot's content: its format and its bytes, in pieces."""

    disk_format: str
    container_format: str
    chunks: Iterable[bytes]


class Host(Protocol):
    """The host itself."""

    capabilities: Capabilities

    def start(self) -> None:
        """Connect and read what is there. Called once, before anything else."""
        ...

    def stop(self) -> None:
        """Let go of the hypervisor; guests go on."""
        ...

    def describe(self) -> str:
        """The hypervisor in a few words, for people; known once it was started."""
        ...

    def reports(self) -> Sequence[HostReport]:
        """The nodes of this host with their sizes and measured load."""
        ...

    def guests(self) -> dict[str, int]:
        """Every guest on this host, kept ones too: instance uuid -> power state."""
        ...

    def uptime(self) -> str:
        """The host's uptime, in the form of the ``uptime`` command."""
        ...

    def watch(self, changed: Callable[[str | None, int], None]) -> None:
        """Call ``changed(instance uuid, power state)`` when a guest changes by itself, and
        ``changed(None, 0)`` when changes may have been missed. Called once, before ``start``.
        """
        ...


class Power(Protocol):
    """Making, removing and switching guests. Each returns the power state that resulted."""

    def spawn(self, spec: GuestSpec) -> int:
        """Create the guest; one that exists with the same uuid is left as it is."""
        ...

    def destroy(self, uuid: str) -> None:
        """Remove the guest and its disks; no error where there is none."""
        ...

    def power_on(self, instance: Instance) -> int:
        """Start it."""
        ...

    def power_off(self, instance: Instance) -> int:
        """Stop it, by ACPI first where the driver can."""
        ...

    def reboot(self, instance: Instance, *, hard: bool) -> int:
        """Restart it; a hard one also mends a guest that was off."""
        ...

    def pause(self, instance: Instance) -> int:
        """Freeze it."""
        ...

    def unpause(self, instance: Instance) -> int:
        """Thaw it."""
        ...

    def suspend(self, instance: Instance) -> int:
        """Save its memory and stop it."""
        ...

    def resume(self, instance: Instance) -> int:
        """Start it with its memory."""
        ...


class Maintenance(Protocol):
    """What is done to a guest once in a while."""

    def rescue(self, spec: GuestSpec, image_ref: str | None) -> int:
        """Start it from a rescue image, its own disk beside."""
        ...

    def unrescue(self, instance: Instance) -> int:
        """Start it from its own disk again."""
        ...

    def rebuild(self, spec: GuestSpec, *, preserve_ephemeral: bool) -> int:
        """Replace its root disk by the image."""
        ...

    def snapshot(self, instance: Instance) -> SnapshotData:
        """The content of its root disk."""
        ...

    def set_password(self, instance: Instance, password: str) -> None:
        """Set the administrator's password inside."""
        ...

    def crash_dump(self, instance: Instance) -> None:
        """Make the guest's kernel dump (NMI)."""
        ...

    def device_addresses(self, instance: Instance) -> DeviceAddresses:
        """Where the guest sees its NICs and those disks that have a tag; empty where that is not known."""
        ...

    def cache_image(self, image: SourceImage) -> None:
        """Fetch an image into the host's cache ahead of need; nothing where it is there already."""
        ...

    def console_output(self, instance: Instance) -> bytes:
        """What the guest wrote to its serial console."""
        ...

    def console_endpoint(self, instance: Instance, console_type: str) -> ConsoleEndpoint:
        """Where its console is served to proxies: ``novnc``, ``spice-html5``, ``spice-direct``,
        ``serial`` or ``webmks``.

        Raises ``ConsoleTypeUnavailable`` for a type that guests here have none of.
        """
        ...

    def diagnostics(self, instance: Instance) -> Diagnostics:
        """Its counters."""
        ...

    def plug(self, instance: Instance, vif: Vif) -> None:
        """Add a NIC to a running or stopped guest."""
        ...

    def unplug(self, instance: Instance, vif: Vif) -> None:
        """Take a NIC away."""
        ...


class Moves(Protocol):
    """Moving guests between hosts."""

    def migrate_out(self, instance: Instance, destination: str) -> None:
        """Stop the guest and keep its disks ready to be taken; it stays until confirmed."""
        ...

    def migrate_in(self, spec: GuestSpec, source: str) -> int:
        """Create the guest here from what the source keeps, with the size that ``spec`` has."""
        ...

    def forget_outgoing(self, instance: Instance) -> None:
        """Drop what ``migrate_out`` kept, or what ``live_migrate`` left here."""
        ...

    def revert_outgoing(self, spec: GuestSpec) -> int:
        """Bring back the guest that ``migrate_out`` kept, or that no host took from ``live_migrate``.

        One that never left in a live migration (the instance's task is ``migrating``) is not touched.
        """
        ...

    def arrival(self, instance: Instance) -> Arrival:
        """On the destination, before a guest comes here running: how it is to come."""
        ...

    def live_migrate(
        self,
        instance: Instance,
        destination: str,
        progress: Callable[[MigrationProgress], bool],
        arrival: Arrival,
    ) -> None:
        """Move it while it runs; ``progress`` is told how far it is, and says False to abort."""
        ...

    def force_complete_live_migration(self, instance_uuid: str) -> None:
        """Let a live migration of this guest end now, pausing it if needed."""
        ...

    def live_migrated_in(self, spec: GuestSpec) -> int:
        """Take over a guest that has arrived."""
        ...


class Volumes(Protocol):
    """Disks that are volumes of a block storage service."""

    def connector(self) -> dict[str, Any]:
        """What the service has to know of this host to open a volume to it (``ip``, ``initiator`` …)."""
        ...

    def connect_volumes(self, instance: Instance, volumes: Sequence[VolumeConnection]) -> None:
        """Have volumes ready for a guest that is about to come here."""
        ...

    def attach_volume(self, instance: Instance, volume: VolumeConnection) -> None:
        """Add a disk to a guest, running or not; one that it has is left."""
        ...

    def detach_volume(self, instance: Instance, volume_id: str) -> None:
        """Take a disk away; no error where it is not there. ``VirtError`` where the guest holds on to it."""
        ...

    def swap_volume(
        self, instance: Instance, old_volume_id: str, volume: VolumeConnection
    ) -> None:
        """Copy a disk to another volume while it is used, and go on with that one."""
        ...

    def extend_volume(self, instance: Instance, volume_id: str, size: int) -> None:
        """A volume has grown to ``size`` bytes: tell a running guest. One that is as large is left."""
        ...

    def snapshot_volume(
        self, instance: Instance, volume_id: str, create_info: Mapping[str, str]
    ) -> None:
        """Let what is written to a file-backed volume go to ``new_file`` from now on (assisted snapshots)."""
        ...

    def delete_volume_snapshot(
        self, instance: Instance, volume_id: str, delete_info: Mapping[str, str | None]
    ) -> None:
        """Merge ``file_to_merge`` into ``merge_target_file``, or all that is below into the active file."""
        ...


class Driver(Host, Power, Maintenance, Moves, Volumes, Protocol):
    """A whole driver."""


def read_in_pieces(data: bytes, size: int = 65536) -> Iterator[bytes]:
    """Bytes as pieces."""
    for start in range(0, len(data), size):
        yield data[start : start + size]
