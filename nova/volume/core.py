# SPDX-License-Identifier: Apache-2.0
"""What the parts of the block storage service share: who may see what, limits, the work to be done."""

from __future__ import annotations

import uuid
from typing import Any

from nova.compute.images import Images
from nova.conf.volume import VolumeSection
from nova.db.engine import Database, Transaction
from nova.errors import (
    BadRequest,
    NotFound,
    QuotaExceeded,
    VolumeAttachmentNotFound,
    VolumeNotFound,
    VolumeSnapshotNotFound,
)
from nova.objects.context import RequestContext
from nova.objects.volume_record import (
    AttachmentRecord,
    SnapshotRecord,
    TypeUsage,
    VolumeRecord,
    VolumeType,
)
from nova.volume.backend import Backend
from nova.volume.tasks import VolumeTasks


def new_id() -> str:
    """A fresh id."""
    return str(uuid.uuid4())


def owns(context: RequestContext, project_id: str) -> bool:
    """Whether a thing of that project is the caller's to see."""
    return context.is_admin or (bool(context.project_id) and context.project_id == project_id)


class VolumeCore:
    """The database, the options, the backend and the tasks."""

    def __init__(
        self, db: Database, section: VolumeSection, backend: Backend, images: Images, tasks: VolumeTasks
    ) -> None:
        self.db = db
        self.section = section
        self.backend = backend
        self.images = images
        self.tasks = tasks

    # --- finding ---------------------------------------------------------------------------------

    def volume(
        self, tx: Transaction, context: RequestContext, volume_id: str, *, lock: bool = False
    ) -> VolumeRecord:
        """A volume that the caller may see; ``VolumeNotFound`` else."""
        record = tx.volumes.get(volume_id, lock=lock)
        if record is None or not owns(context, record.project_id):
            raise VolumeNotFound(volume_id)
        return record

    def volume_now(self, context: RequestContext, volume_id: str) -> VolumeRecord:
        """A volume as it is now; ``VolumeNotFound``."""
        with self.db.read() as tx:
            return self.volume(tx, context, volume_id)

    def snapshot(self, tx: Transaction, context: RequestContext, snapshot_id: str) -> SnapshotRecord:
        """A snapshot that the caller may see; ``VolumeSnapshotNotFound`` else."""
        record = tx.volumes.snapshots.get(snapshot_id)
        if record is None or not owns(context, record.project_id):
            raise VolumeSnapshotNotFound(snapshot_id)
        return record

    def attachment(
        self, tx: Transaction, context: RequestContext, attachment_id: str
    ) -> AttachmentRecord:
        """An attachment that the caller may see; ``VolumeAttachmentNotFound`` else."""
        record = tx.volumes.attachments.get(attachment_id)
        if record is None or not owns(context, record.project_id):
            raise VolumeAttachmentNotFound(attachment_id)
        return record

    def type(self, tx: Transaction, context: RequestContext, name_or_id: str) -> VolumeType:
        """A type that the caller may use, by its id or name; ``NotFound`` else."""
        found = tx.volumes.types.get(name_or_id) or tx.volumes.types.by_name(name_or_id)
        if found is None:
            raise _no_type(name_or_id)
        return self._usable(tx, context, found, name_or_id)

    def _usable(
        self, tx: Transaction, context: RequestContext, found: VolumeType, named: str | None = None
    ) -> VolumeType:
        if not (found.is_public or context.is_admin) and (
            context.project_id not in tx.volumes.types.projects_of(found.id)
        ):
            raise _no_type(named or found.id)
        return found

    def default_type(self, tx: Transaction, context: RequestContext) -> VolumeType:
        """The type of the caller's volumes without one: its project's, or else the configured one.

        ``NotFound`` where it is missing, or is the project's and was taken from it.
        """
        name = self.section.default_volume_type
        found = tx.volumes.types.default_for(context.project_id, name)
        if found is None:
            raise NotFound("Default volume type can not be found.")
        return found if found.name == name else self._usable(tx, context, found)

    # --- limits ----------------------------------------------------------------------------------

    def limits(self, tx: Transaction, project_id: str) -> dict[str, int]:
        """All limits of a project: the configured ones, those of the class, its own; -1 is none."""
        return {**self.configured_limits(), **tx.volumes.quotas.limits(project_id)}

    def configured_limits(self) -> dict[str, int]:
        """The limits of the options."""
        section = self.section
        return {
            "volumes": section.quota_volumes, "snapshots": section.quota_snapshots,
            "gigabytes": section.quota_gigabytes,
            "per_volume_gigabytes": section.per_volume_size_limit,
        }

    def count(
        self,
        tx: Transaction,
        project_id: str,
        type_: VolumeType,
        *,
        volumes: int = 0,
        snapshots: int = 0,
        gigabytes: int = 0,
        whole_size: int = 0,
    ) -> None:
        """Refuse what would take a project over its limits; others that count wait until it is written.

        ``whole_size`` is the GiB of the one volume in question. Raises ``QuotaExceeded``.
        """
        tx.volumes.quotas.lock(project_id)
        limits = self.limits(tx, project_id)
        each = limits["per_volume_gigabytes"]
        if 0 <= each < whole_size:
            raise QuotaExceeded(
                f"Requested volume size {whole_size}G is larger than maximum allowed limit {each}G."
            )
        usage = tx.volumes.quotas.usage(project_id)
        wanted = {"volumes": volumes, "snapshots": snapshots, "gigabytes": gigabytes}
        everything = used(usage.values())
        of_type = used([usage.get(type_.id, TypeUsage(type_.id))])
        for resource, delta in wanted.items():
            for name, in_use in (
                (resource, everything[resource]), (f"{resource}_{type_.name}", of_type[resource]),
            ):
                limit = limits.get(name, -1)
                if delta > 0 and 0 <= limit < in_use + delta:
                    raise QuotaExceeded(_refusal(name, resource, delta, limit, in_use))

    def recount(self, tx: Transaction, project_id: str, type_: VolumeType) -> None:
        """Refuse what was written where it took a project over its limits of one type."""
        tx.volumes.quotas.lock(project_id)
        limits = self.limits(tx, project_id)
        usage = tx.volumes.quotas.usage(project_id)
        for resource, in_use in used([usage.get(type_.id, TypeUsage(type_.id))]).items():
            name = f"{resource}_{type_.name}"
            limit = limits.get(name, -1)
            if 0 <= limit < in_use:
                raise QuotaExceeded(_refusal(name, resource, 1, limit, in_use - 1))

    # --- work ------------------------------------------------------------------------------------

    def add_task(
        self, tx: Transaction, context: RequestContext, flow: str, volume_id: str, **facts: Any
    ) -> None:
        """Note work that begins when the transaction is committed."""
        self.tasks.add(tx, flow, volume_id, request_id=context.request_id, **facts)


def checked_size(size: object) -> int:
    """GiB of a volume as asked for; ``BadRequest`` where that is no size."""
    if isinstance(size, str):
        try:
            size = int(size)
        except ValueError:
            size = 0
    if not isinstance(size, int) or isinstance(size, bool) or not 0 < size < 1 << 31:
        raise BadRequest(
            f"Invalid input received: Volume size '{str(size)[:40]}' must be an integer and "
            "greater than 0"
        )
    return size


def _no_type(name_or_id: str) -> NotFound:
    return NotFound(f"Volume type {name_or_id} could not be found.")


def used(usages: Any) -> dict[str, int]:
    """What types' usages are in sum, by resource."""
    found = {"volumes": 0, "snapshots": 0, "gigabytes": 0}
    for usage in usages:
        found["volumes"] += usage.volumes
        found["snapshots"] += usage.snapshots
        found["gigabytes"] += usage.volume_gigabytes + usage.snapshot_gigabytes
    return found


def _refusal(name: str, resource: str, delta: int, limit: int, in_use: int) -> str:
    if resource == "gigabytes":
        return (
            f"Requested volume or snapshot exceeds allowed {name} quota. Requested {delta}G, quota is "
            f"{limit}G and {in_use}G has been consumed."
        )
    if resource == "snapshots":
        return f"Maximum number of snapshots allowed ({limit}) exceeded"
    return f"Maximum number of volumes allowed ({limit}) exceeded for quota '{name}'."
