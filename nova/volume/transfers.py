# SPDX-License-Identifier: Apache-2.0
"""Volumes that one project offers and another takes, who is told the key."""

from __future__ import annotations

import hashlib
import hmac
import secrets

from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import BadRequest, InvalidVolume, NotFound
from nova.objects.context import RequestContext
from nova.objects.volume_record import TransferRecord
from nova.volume.core import VolumeCore, new_id, owns


class Transfers:
    """Offers of the caller's project."""

    def __init__(self, core: VolumeCore) -> None:
        self._core = core

    def get(self, context: RequestContext, transfer_id: str) -> TransferRecord:
        """One offer; ``NotFound``. Whoever has its id may see it, as the taker has to."""
        with self._core.db.read() as tx:
            found = tx.volumes.transfers.get(transfer_id)
        if found is None or not owns(context, found.project_id):
            raise NotFound(f"Transfer {transfer_id} could not be found.")
        return found

    def page(self, context: RequestContext, *, everywhere: bool = False) -> list[TransferRecord]:
        """Offers of the caller's project, or with ``everywhere`` an administrator's of all projects."""
        with self._core.db.read() as tx:
            project = None if everywhere and context.is_admin else context.project_id
            return tx.volumes.transfers.list(project)

    def create(
        self, context: RequestContext, volume_id: str, name: str | None, *, no_snapshots: bool = False
    ) -> tuple[TransferRecord, str]:
        """Offer an available volume; answers the offer and the key that opens it, which is not kept."""
        key = secrets.token_hex(8)

        def write(tx: Transaction) -> TransferRecord:
            volume = self._core.volume(tx, context, volume_id, lock=True)
            if volume.status != "available":
                raise InvalidVolume("status must be available")
            for snapshot in tx.volumes.snapshots.of_volume(volume.id):
                if no_snapshots or snapshot.status != "available":
                    raise InvalidVolume(
                        f"volume {volume.id} has the snapshot {snapshot.id}, which has to be available "
                        "and go with it"
                    )
            tx.volumes.update(volume.id, {"status": "awaiting-transfer"})
            record = TransferRecord(
                id=new_id(), volume_id=volume.id, project_id=volume.project_id, name=name,
                key_hash=_hash(key), no_snapshots=no_snapshots, created_at=now(),
            )
            tx.volumes.transfers.create(record)
            return record

        return self._core.db.run(write), key

    def accept(self, context: RequestContext, transfer_id: str, key: str) -> TransferRecord:
        """Take a volume over; ``BadRequest`` for a wrong key, ``QuotaExceeded``."""

        def write(tx: Transaction) -> TransferRecord:
            found = tx.volumes.transfers.get(transfer_id)
            if found is None:
                raise NotFound(f"Transfer {transfer_id} could not be found.")
            if not hmac.compare_digest(found.key_hash, _hash(key)):
                raise BadRequest(
                    f"Invalid auth key: Attempt to transfer {transfer_id} with invalid auth key."
                )
            volume = tx.volumes.get(found.volume_id, lock=True)
            if volume is None or volume.status != "awaiting-transfer":
                raise InvalidVolume(f"volume {found.volume_id} is not awaiting a transfer")
            type_ = tx.volumes.types.get(volume.type_id)
            assert type_ is not None
            snapshots = tx.volumes.snapshots.of_volume(volume.id)
            if volume.project_id != context.project_id:
                self._core.count(
                    tx, context.project_id, type_, volumes=1, snapshots=len(snapshots),
                    gigabytes=volume.size + sum(each.size for each in snapshots),
                )
            owner = {"project_id": context.project_id, "user_id": context.user_id}
            tx.volumes.update(volume.id, {"status": "available", **owner})
            tx.volumes.snapshots.change_project(volume.id, **owner)
            tx.volumes.transfers.delete(found.id)
            return found

        return self._core.db.run(write)

    def delete(self, context: RequestContext, transfer_id: str) -> None:
        """Take an offer back."""

        def write(tx: Transaction) -> None:
            found = tx.volumes.transfers.get(transfer_id)
            if found is None or not owns(context, found.project_id):
                raise NotFound(f"Transfer {transfer_id} could not be found.")
            tx.volumes.transition(
                found.volume_id, {"status": "available"}, statuses=("awaiting-transfer",)
            )
            tx.volumes.transfers.delete(found.id)

        self._core.db.run(write)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()
