# SPDX-License-Identifier: Apache-2.0
"""Block storage as compute asks for it: the embedded service here, or an external one.

The life of an attachment, in the manner of Cinder's attachments API (microversions 3.27 and 3.44):

    reserve ─▶ connect ─▶ (the host plugs the disk) ─▶ complete          volume: reserved, attaching, in-use
                                                          │
    detach ◀── (the host unplugs it) ◀── begin_detaching ◀┘              volume: detaching, available
                        └ failed: roll_detaching                         volume: in-use

``detach`` is the undo at every step. Every call may be repeated after an answer was lost.

Every method takes the caller first, and raises ``VolumeNotFound``, ``VolumeSnapshotNotFound`` or
``VolumeAttachmentNotFound`` for what is not there or not the caller's (an administrator sees every
project's), and ``ServiceUnavailable`` where an external service cannot be reached.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from nova.objects.context import RequestContext
from nova.objects.volume import Volume, VolumeAttachment, VolumeSnapshot


class BlockStorage(Protocol):
    """What holds volumes."""

    # --- volumes ---------------------------------------------------------------------------------

    def show(self, context: RequestContext, volume_id: str) -> Volume:
        """One volume."""
        ...

    def list_volumes(self, context: RequestContext) -> list[Volume]:
        """The volumes of the caller's project, newest first."""
        ...

    def create(
        self,
        context: RequestContext,
        size_gb: int,
        name: str,
        description: str,
        *,
        snapshot_id: str | None = None,
        source_id: str | None = None,
        image_id: str | None = None,
        volume_type: str | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Volume:
        """Start a volume of ``size_gb`` GiB, empty or of at most one source; answers at once.

        It is ``creating``: poll ``show`` until it is ``available`` (or ``error``). Raises ``BadRequest``
        where the source does not fit or an argument is wrong, ``QuotaExceeded`` beyond the limits.
        """
        ...

    def delete(self, context: RequestContext, volume_id: str) -> None:
        """Start the deletion of a volume that is available or in error; ``InvalidVolume`` else.

        A volume that is being deleted already is left to that.
        """
        ...

    def reimage(self, context: RequestContext, volume_id: str, image_id: str) -> None:
        """Start writing an image over a volume that is available, in error or reserved.

        The volume is ``downloading`` until it has the status from before again (or ``error``); its
        reservations stay. Raises ``InvalidVolume`` in another status, ``BadRequest`` for an image that
        does not fit.
        """
        ...

    def has_type(self, context: RequestContext, volume_type: str) -> bool:
        """Whether the caller may use a volume type of that name or id."""
        ...

    # --- snapshots -------------------------------------------------------------------------------

    def show_snapshot(self, context: RequestContext, snapshot_id: str) -> VolumeSnapshot:
        """One snapshot."""
        ...

    def list_snapshots(self, context: RequestContext) -> list[VolumeSnapshot]:
        """The snapshots of the caller's project, newest first."""
        ...

    def create_snapshot(
        self, context: RequestContext, volume_id: str, name: str, description: str, force: bool = False
    ) -> VolumeSnapshot:
        """Start a snapshot of a volume that is available, or with ``force`` of one in use too.

        Raises ``InvalidVolume`` in another status, ``QuotaExceeded`` beyond the project's limits.
        """
        ...

    def delete_snapshot(self, context: RequestContext, snapshot_id: str) -> None:
        """Start the deletion of a snapshot that is available or in error; ``InvalidSnapshot`` else."""
        ...

    def update_snapshot_status(
        self, context: RequestContext, snapshot_id: str, status: str
    ) -> None:
        """Tell how a host's part in a snapshot of an attached volume ended: creating or deleting is well,
        error or error_deleting is not. May be repeated.
        """
        ...

    # --- attachments -----------------------------------------------------------------------------

    def reserve(
        self, context: RequestContext, volume_id: str, instance_uuid: str, mode: str | None = None
    ) -> str:
        """Keep a volume for a server; answers the attachment's id.

        The volume is ``reserved`` then. ``mode`` is rw or ro; None is what the volume says. Where this
        server has an attachment that is only reserved, that one is the answer, so that a repeated call
        changes nothing. Where it has one that is further (the server moves between hosts), a second one
        is made. Raises ``InvalidVolume`` where the volume is not available (nor multiattach and in use).
        """
        ...

    def connect(
        self,
        context: RequestContext,
        attachment_id: str,
        connector: Mapping[str, Any],
        mountpoint: str | None = None,
    ) -> dict[str, Any]:
        """Open the volume to a host; answers the connection information, the same when repeated.

        ``connector`` is the host's own description (``host``, ``ip``, ``initiator``, ``mountpoint`` …).
        The answer has ``driver_volume_type`` and ``data``, as Cinder's ``connection_info`` has them; the
        embedded service's is ``{"driver_volume_type": "file", "data": {"device_path": <file>, "name":
        <file name>, "export": <directory>, "format": "raw" | "qcow2", "access_mode": "rw" | "ro",
        "qos_specs": None, "encrypted": False, "volume_id": <uuid>, "discard": True}}``, or of type
        ``simulated`` with no path where volumes are records alone. The volume is ``attaching``.
        """
        ...

    def complete(self, context: RequestContext, attachment_id: str) -> None:
        """The host has the disk in the guest: attachment ``attached``, volume ``in-use``.

        One that is only reserved can be completed too, for a server that is shelved; it is connected later.
        """
        ...

    def detach(self, context: RequestContext, attachment_id: str) -> None:
        """End an attachment in whatever step; one that is gone is no error.

        The volume is ``available`` again where this was its last.
        """
        ...

    def begin_detaching(self, context: RequestContext, volume_id: str) -> None:
        """Mark a volume in use as ``detaching``; ``InvalidVolume`` where it is not in use."""
        ...

    def roll_detaching(self, context: RequestContext, volume_id: str) -> None:
        """Mark a volume that is ``detaching`` as in use again; others are left as they are."""
        ...

    def complete_migration(
        self, context: RequestContext, volume_id: str, target_id: str, *, failed: bool
    ) -> None:
        """A guest writes to the copy of a volume that the service itself moves, or could not be made to.

        The copy becomes the volume then, with its id, or is deleted. Raises ``InvalidVolume`` where the
        service moves no such volume.
        """
        ...

    def show_attachment(self, context: RequestContext, attachment_id: str) -> VolumeAttachment:
        """One attachment."""
        ...
