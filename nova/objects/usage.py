# SPDX-License-Identifier: Apache-2.0
"""What servers used in a period."""

from __future__ import annotations

import datetime

import msgspec

from nova.objects.flavor import Flavor


class ServerUsage(msgspec.Struct, frozen=True):
    """A server that ran in a period. ``memory_mb`` is MiB, ``root_gb`` and ``ephemeral_gb`` GiB.

    ``flavor`` and ``name`` are None where only the sums were asked for. ``terminated_at`` is None
    while the server is there.
    """

    uuid: str
    project_id: str
    vcpus: int
    memory_mb: int
    root_gb: int
    ephemeral_gb: int
    vm_state: str
    launched_at: datetime.datetime
    terminated_at: datetime.datetime | None
    name: str | None = None
    flavor: Flavor | None = None

    @property
    def local_gb(self) -> int:
        """Disk on the host, GiB."""
        return self.root_gb + self.ephemeral_gb

    def hours_in(self, start: datetime.datetime, stop: datetime.datetime) -> float:
        """Hours that the server was there between two moments."""
        first = max(self.launched_at, start)
        last = stop if self.terminated_at is None else min(stop, self.terminated_at)
        return max(0.0, (last - first).total_seconds() / 3600)


class UsageAudit(msgspec.Struct, frozen=True):
    """That the servers of a host were counted for a period."""

    host: str
    state: str
    instances: int
    errors: int
    message: str


class HostedServer(msgspec.Struct, frozen=True):
    """What operators are told of a server on a host. ``memory_mb`` is MiB, the disks GiB."""

    id: int
    uuid: str
    project_id: str
    host: str
    vcpus: int
    memory_mb: int
    root_gb: int
    ephemeral_gb: int

    @property
    def internal_name(self) -> str:
        """The name of the guest on its host."""
        return f"instance-{self.id:08x}"

    @property
    def local_gb(self) -> int:
        """Disk on the host, GiB."""
        return self.root_gb + self.ephemeral_gb
