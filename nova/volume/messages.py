# SPDX-License-Identifier: Apache-2.0
"""What users are told of work that failed: the reason, for a while, under the request's id."""

from __future__ import annotations

import datetime

from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import NotFound, NovaError
from nova.objects.context import RequestContext
from nova.objects.volume_record import VolumeMessage, VolumeTask
from nova.volume.core import new_id, owns

#: How long a message is kept, as Cinder does (``message_ttl``).
_KEPT = datetime.timedelta(days=30)
#: What was done, by flow: Cinder's number of the action, and its words.
_ACTIONS = {
    "create": ("008", "create volume from backend storage"),
    "create_image": ("005", "copy image to volume"), "upload": ("003", "copy volume to image"),
    "extend": ("007", "extend volume"), "create_snapshot": ("009", "create snapshot"),
    "delete_snapshot": ("010", "delete snapshot"), "reimage": ("016", "reimage volume"),
    "delete": ("000", "delete volume"), "revert": ("000", "revert volume"),
}


class NoBackend(NovaError):
    """No storage suits the volume's type."""


def tell(tx: Transaction, task: VolumeTask, error: Exception) -> None:
    """Keep the reason why a task failed. Errors of our own code are told without their inside."""
    snapshot = task.flow.endswith("_snapshot") and task.snapshot_id is not None
    record = (
        tx.volumes.snapshots.get(task.snapshot_id or "") if snapshot
        else tx.volumes.get(task.volume_id)
    )
    if record is None:
        return
    flow = "create_image" if task.flow == "create" and "image_id" in task.payload else task.flow
    action, words = _ACTIONS[flow]
    detail = "003" if isinstance(error, NoBackend) else "001"
    reason = error.message if isinstance(error, NovaError) else "An unknown error occurred."
    kind, moment = ("VOLUME_SNAPSHOT" if snapshot else "VOLUME"), now()
    tx.volumes.messages.create(
        VolumeMessage(
            id=new_id(), project_id=record.project_id, resource_type=kind, resource_id=record.id,
            event_id=f"VOLUME_{kind}_{action}_{detail}", text=f"{words}: {reason}",
            request_id=task.request_id, created_at=moment, expires_at=moment + _KEPT,
        )
    )


class Messages:
    """Messages of the caller's project."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def page(self, context: RequestContext) -> list[VolumeMessage]:
        """All of them, newest first."""
        with self._db.read() as tx:
            return tx.volumes.messages.of_project(context.project_id)

    def get(self, context: RequestContext, message_id: str) -> VolumeMessage:
        """One message; ``NotFound``."""
        with self._db.read() as tx:
            found = tx.volumes.messages.get(message_id)
        if found is None or not owns(context, found.project_id):
            raise NotFound(f"Message {message_id[:64]} could not be found.")
        return found

    def delete(self, context: RequestContext, message_id: str) -> None:
        """Remove one; ``NotFound``."""
        found = self.get(context, message_id)
        self._db.run(lambda tx: tx.volumes.messages.delete(found.id))
