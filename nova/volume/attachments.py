# SPDX-License-Identifier: Apache-2.0
"""Attachments of volumes to servers: reserved, connected, complete, gone.

A volume's status follows from its attachments, except while it is marked as ``detaching``.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import BadRequest, Conflict, InvalidVolume, VolumeAttachmentNotFound
from nova.objects.context import RequestContext
from nova.objects.volume_record import AttachmentRecord, VolumeRecord
from nova.volume.core import VolumeCore, new_id

#: Statuses that follow from attachments.
_FOLLOWING = ("available", "reserved", "attaching", "in-use", "detaching")
#: A volume's status by its attachment that is furthest, the furthest first.
_STATUS = (("attached", "in-use"), ("attaching", "attaching"), ("reserved", "reserved"))


class Attachments:
    """Attachments of the caller's project; an administrator's are everybody's."""

    def __init__(self, core: VolumeCore) -> None:
        self._core = core

    def get(self, context: RequestContext, attachment_id: str) -> AttachmentRecord:
        """One attachment; ``VolumeAttachmentNotFound``."""
        with self._core.db.read() as tx:
            return self._core.attachment(tx, context, attachment_id)

    def page(
        self, context: RequestContext, *, everywhere: bool = False, **equal: str | None
    ) -> list[AttachmentRecord]:
        """Attachments of the caller's project, or with ``everywhere`` of all projects."""
        with self._core.db.read() as tx:
            project = None if everywhere and context.is_admin else context.project_id
            return tx.volumes.attachments.list(project_id=project, **equal)

    # --- the attachments API -----------------------------------------------------------------------

    def reserve(
        self,
        context: RequestContext,
        volume_id: str,
        instance_uuid: str | None,
        mode: str | None = None,
        *,
        again: bool = False,
    ) -> AttachmentRecord:
        """Keep a volume for a server.

        With ``again`` an attachment of this server that is only reserved is the answer. Raises
        ``InvalidVolume`` where the volume is neither available nor this server's, nor may have several.
        """

        def write(tx: Transaction) -> AttachmentRecord:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            own = [
                each for each in volume.attachments
                if instance_uuid is not None and each.instance_uuid == instance_uuid
            ]
            if again:
                for each in own:
                    if each.status == "reserved":
                        return each
            allowed: tuple[str, ...] = ("available",)
            if volume.multiattach:
                allowed = ("available", "reserved", "attaching", "in-use")
            if volume.status not in allowed and not (own and volume.status in _FOLLOWING):
                raise InvalidVolume(
                    f"Volume {volume.id} status must be {' or '.join(allowed)} to reserve, but the "
                    f"current status is {volume.status}."
                )
            chosen = _mode(volume, mode)
            record = AttachmentRecord(
                id=new_id(), volume_id=volume.id, project_id=volume.project_id,
                instance_uuid=instance_uuid, mode=chosen, created_at=now(),
            )
            tx.volumes.attachments.create(record)
            if volume.status != "in-use":
                tx.volumes.update(volume.id, {"status": "reserved"})
            return record

        return self._core.db.run(write)

    def connect(
        self,
        context: RequestContext,
        attachment_id: str,
        connector: Mapping[str, Any],
        mountpoint: str | None = None,
    ) -> AttachmentRecord:
        """Open the volume to a host: the answer has the connection information."""
        if not isinstance(connector, Mapping) or not connector:
            raise BadRequest("Invalid input received: A connector is needed to connect a volume.")

        def write(tx: Transaction) -> AttachmentRecord:
            attachment, volume = self._locked(tx, context, attachment_id)
            mode = connector.get("mode") or attachment.mode
            chosen = _mode(volume, mode if mode in ("rw", "ro") else None)
            changes: dict[str, Any] = {
                "connector": dict(connector), "attached_host": connector.get("host"),
                "mountpoint": mountpoint or connector.get("mountpoint") or attachment.mountpoint,
                "mode": chosen, "connection_info": self._core.backend.connection(volume, chosen),
            }
            if attachment.status == "reserved":
                changes["status"] = "attaching"
            tx.volumes.attachments.update(attachment.id, changes)
            if volume.status in ("reserved", "available"):
                tx.volumes.update(volume.id, {"status": "attaching"})
            return msgspec.structs.replace(attachment, **changes)

        return self._core.db.run(write)

    def complete(self, context: RequestContext, attachment_id: str) -> None:
        """The disk is in the guest, or a server without a host has it. Again where it was before: nothing."""

        def write(tx: Transaction) -> None:
            attachment, _volume = self._locked(tx, context, attachment_id)
            if attachment.status == "attached":
                return
            tx.volumes.attachments.update(
                attachment.id, {"status": "attached", "attached_at": now()}
            )
            tx.volumes.transition(
                attachment.volume_id, {"status": "in-use"}, statuses=_FOLLOWING
            )

        self._core.db.run(write)

    def _locked(
        self, tx: Transaction, context: RequestContext, attachment_id: str
    ) -> tuple[AttachmentRecord, VolumeRecord]:
        """An attachment and its volume, which nobody else changes meanwhile."""
        seen = self._core.attachment(tx, context, attachment_id)
        volume = tx.volumes.get(seen.volume_id, lock=True)
        if volume is not None:
            for attachment in volume.attachments:
                if attachment.id == attachment_id:
                    return attachment, volume
        raise VolumeAttachmentNotFound(attachment_id)

    def delete(
        self, context: RequestContext, attachment_id: str, *, trusted: bool = True
    ) -> list[AttachmentRecord]:
        """End an attachment; answers those that the volume still has.

        One that is not ``trusted`` (a user, not compute) is refused with ``Conflict`` while a server of
        this cloud uses the volume through it.
        """

        def write(tx: Transaction) -> list[AttachmentRecord]:
            attachment = self._core.attachment(tx, context, attachment_id)
            if not trusted:
                _refuse_used(tx, attachment)
            return self._end(tx, attachment)

        return self._core.db.run(write)

    def _end(
        self, tx: Transaction, attachment: AttachmentRecord, statuses: tuple[str, ...] = _FOLLOWING
    ) -> list[AttachmentRecord]:
        volume = tx.volumes.get(attachment.volume_id, lock=True)
        tx.volumes.attachments.delete(attachment.id)
        left = tx.volumes.attachments.of_volume(attachment.volume_id)
        if volume is not None:
            tx.volumes.transition(volume.id, {"status": status_of(left)}, statuses=statuses)
        return left

    # --- the older way -----------------------------------------------------------------------------

    def begin_detaching(self, context: RequestContext, volume_id: str) -> None:
        """Mark a volume in use as ``detaching``."""
        self._switch(context, volume_id, ("in-use",), "detaching", "detach")

    def roll_detaching(self, context: RequestContext, volume_id: str) -> None:
        """A volume that was ``detaching`` is in use again."""

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id)
            tx.volumes.transition(volume.id, {"status": "in-use"}, statuses=("detaching",))

        self._core.db.run(write)

    def mark(self, context: RequestContext, volume_id: str) -> None:
        """Keep an available volume for whoever attaches it (``os-reserve``)."""
        volume = self._core.volume_now(context, volume_id)
        allowed = ("available", "in-use") if volume.multiattach else ("available",)
        self._switch(context, volume_id, allowed, "attaching", "reserve")

    def unmark(self, context: RequestContext, volume_id: str) -> None:
        """Let a volume go that was kept (``os-unreserve``)."""
        volume = self._core.volume_now(context, volume_id)
        self._switch(
            context, volume_id, ("attaching", "reserved"), status_of(volume.attachments), "unreserve"
        )

    def attach(
        self,
        context: RequestContext,
        volume_id: str,
        *,
        instance_uuid: str | None,
        host: str | None,
        mountpoint: str | None,
        mode: str | None,
    ) -> None:
        """Note that a volume is attached (``os-attach``)."""

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            allowed = ("available", "attaching", "reserved") + (("in-use",) * volume.multiattach)
            if volume.status not in allowed:
                raise InvalidVolume(
                    f"Volume {volume.id} status must be {' or '.join(allowed)} to attach, but the "
                    f"current status is {volume.status}."
                )
            moment = now()
            tx.volumes.attachments.create(
                AttachmentRecord(
                    id=new_id(), volume_id=volume.id, project_id=volume.project_id,
                    instance_uuid=instance_uuid, attached_host=host, mountpoint=mountpoint,
                    status="attached", mode=_mode(volume, mode), created_at=moment,
                    attached_at=moment,
                )
            )
            tx.volumes.update(volume.id, {"status": "in-use"})

        self._core.db.run(write)

    def detach(
        self,
        context: RequestContext,
        volume_id: str,
        attachment_id: str | None = None,
        *,
        trusted: bool = False,
    ) -> None:
        """End the one attachment of a volume, or the one named (``os-detach``).

        A volume in error follows its attachments again, too.
        """

        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            attachments = volume.attachments
            if attachment_id is not None:
                attachments = tuple(each for each in attachments if each.id == attachment_id)
                if not attachments:
                    raise VolumeAttachmentNotFound(attachment_id)
            elif len(attachments) > 1:
                raise InvalidVolume(
                    "Detach volume failed: More than one attachment, but no attachment_id provided."
                )
            for each in attachments:
                if not trusted:
                    _refuse_used(tx, each)
                self._end(tx, each, (*_FOLLOWING, "error"))
            if not attachments:
                tx.volumes.transition(volume.id, {"status": "available"}, statuses=_FOLLOWING)

        self._core.db.run(write)

    def connection(
        self, context: RequestContext, volume_id: str, connector: Mapping[str, Any]
    ) -> dict[str, Any]:
        """What a host needs to reach a volume (``os-initialize_connection``)."""
        volume = self._core.volume_now(context, volume_id)
        mode = "ro" if volume.readonly or connector.get("mode") == "ro" else "rw"
        return self._core.backend.connection(volume, mode)

    def disconnect(self, context: RequestContext, volume_id: str, *, trusted: bool) -> None:
        """A host let go of a volume (``os-terminate_connection``); nothing is kept of connections."""
        volume = self._core.volume_now(context, volume_id)
        if not trusted:
            with self._core.db.read() as tx:
                for each in volume.attachments:
                    _refuse_used(tx, each)

    def _switch(
        self,
        context: RequestContext,
        volume_id: str,
        allowed: tuple[str, ...],
        status: str,
        action: str,
    ) -> None:
        def write(tx: Transaction) -> None:
            volume = self._core.volume(tx, context, volume_id)
            if not tx.volumes.transition(volume.id, {"status": status}, statuses=allowed):
                raise InvalidVolume(
                    f"Volume {volume.id} status must be {' or '.join(allowed)} to {action}, but the "
                    f"current status is {volume.status}."
                )

        self._core.db.run(write)


def _refuse_used(tx: Transaction, attachment: AttachmentRecord) -> None:
    """A disk that a server of this cloud has is taken from it by compute alone (CVE-2023-2088)."""
    if attachment.connector is None or attachment.instance_uuid is None:
        return
    if attachment.instance_uuid in tx.block_devices.servers_of(attachment.volume_id):
        raise Conflict(
            f"Detach volume from instance {attachment.instance_uuid} using the Compute API"
        )


def status_of(attachments: Iterable[AttachmentRecord]) -> str:
    """The status that a volume has by its attachments."""
    found = {each.status for each in attachments}
    return next((status for each, status in _STATUS if each in found), "available")


def _mode(volume: VolumeRecord, mode: str | None) -> str:
    """The mode of an attachment; a volume that is read-only has no other."""
    if mode not in (None, "rw", "ro"):
        raise BadRequest(
            f"Invalid input received: Invalid attaching mode '{str(mode)[:20]}' for volume {volume.id}."
        )
    if volume.readonly and mode == "rw":
        raise BadRequest(
            f"Invalid input received: Invalid attaching mode 'rw' for volume {volume.id}."
        )
    return mode or ("ro" if volume.readonly else "rw")
