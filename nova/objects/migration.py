# SPDX-License-Identifier: Apache-2.0
"""Moves of servers between hosts, as ``os-migrations`` shows them."""

from __future__ import annotations

import datetime
from typing import Final

import msgspec

from nova.objects.flavor import Flavor

# migration_type
RESIZE: Final = "resize"
MIGRATION: Final = "migration"
LIVE_MIGRATION: Final = "live-migration"
EVACUATION: Final = "evacuation"

#: States of a live migration that is under way (API reference, "Server migrations").
LIVE_STATES: Final = ("queued", "preparing", "running", "post-migrating")

#: States after which a move changes no more.
FINAL_STATES: Final = (
    "accepted", "cancelled", "completed", "confirmed", "done", "error", "failed", "reverted",
)


class MigrationProgress(msgspec.Struct, frozen=True, kw_only=True):
    """How far a live migration is; all in bytes."""

    memory_total: int = 0
    memory_processed: int = 0
    memory_remaining: int = 0
    disk_total: int = 0
    disk_processed: int = 0
    disk_remaining: int = 0

    @property
    def percent(self) -> int:
        """How much of memory and disks is there."""
        total = self.memory_total + self.disk_total
        left = self.memory_remaining + self.disk_remaining
        return 100 - left * 100 // total if 0 <= left <= total and total else 0


class VolumePlace(msgspec.Struct, frozen=True, kw_only=True):
    """Where a host's hypervisor opens a volume: a ``file``, a ``block`` device, or a name on the ``network``.

    ``hosts`` are (name, port); ``secret`` names what the hypervisor keeps (user, kind, uuid) and holds none.
    """

    volume_id: str
    kind: str
    path: str
    protocol: str | None = None
    hosts: tuple[tuple[str, str], ...] = ()
    secret: tuple[str, str, str] | None = None


class Arrival(msgspec.Struct, frozen=True, kw_only=True):
    """How the destination of a live migration expects the guest; None is as it is on its source.

    ``address`` is where the data goes, ``volumes`` where the destination has the guest's volumes; the others
    are where the guest's consoles are served there.
    """

    address: str | None = None
    vnc_listen: str | None = None
    spice_listen: str | None = None
    serial_listen: str | None = None
    serial_port: int | None = None
    volumes: tuple[VolumePlace, ...] = ()


class Migration(msgspec.Struct, frozen=True):
    """One move of a server. The field order is that of the table's columns.

    ``source_compute`` and ``dest_compute`` are host names, ``dest_host`` is an address. The ``id``
    is 0 until it is stored. ``old_vm_state`` is what a revert goes back to.
    """

    id: int
    uuid: str
    instance_uuid: str
    operation_id: int | None
    migration_type: str
    status: str
    source_compute: str | None = None
    source_node: str | None = None
    dest_compute: str | None = None
    dest_node: str | None = None
    dest_host: str | None = None
    old_flavor: Flavor | None = None
    new_flavor: Flavor | None = None
    old_flavor_id: int | None = None
    new_flavor_id: int | None = None
    old_vm_state: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    progress: MigrationProgress | None = None
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None

    @property
    def is_live_and_running(self) -> bool:
        """Whether this is a live migration that has not ended."""
        return self.migration_type == LIVE_MIGRATION and self.status in LIVE_STATES


class MigrationFilter(msgspec.Struct, frozen=True, kw_only=True):
    """What a listing is narrowed to; None is any. ``host`` is at either end of the move."""

    status: str | None = None
    host: str | None = None
    source_compute: str | None = None
    migration_type: str | None = None
    instance_uuid: str | None = None
    user_id: str | None = None
    project_id: str | None = None
    changes_since: datetime.datetime | None = None
    changes_before: datetime.datetime | None = None
