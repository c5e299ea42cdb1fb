# SPDX-License-Identifier: Apache-2.0
"""What is done on the backend for each task, and what is written then."""

from __future__ import annotations

import logging
from collections.abc import Callable

from nova.compute.images import Images
from nova.db.engine import Database, Transaction
from nova.errors import NotFound
from nova.objects.context import RequestContext, internal_context
from nova.objects.volume_record import SnapshotRecord, VolumeRecord, VolumeTask
from nova.volume.backend import Backend
from nova.volume.messages import NoBackend, tell
from nova.volume.tasks import Outcome, Postponed

LOG = logging.getLogger(__name__)

#: The status after work that failed for good, where it is not ``error``.
_FAILED = {
    "delete": "error_deleting", "extend": "error_extending", "delete_snapshot": "error_deleting",
}

Listener = Callable[[VolumeRecord, str], object]


class VolumeFlows:
    """One method a flow. A volume that vanished meanwhile leaves nothing to write."""

    def __init__(self, db: Database, backend: Backend, images: Images) -> None:
        self._db = db
        self._backend = backend
        self._images = images
        self._flows: dict[str, Callable[[VolumeTask], Outcome]] = {
            "create": self._create, "delete": self._delete, "extend": self._extend,
            "reimage": self._reimage, "revert": self._revert, "upload": self._upload,
            "create_snapshot": self._create_snapshot, "delete_snapshot": self._delete_snapshot,
        }
        #: Called with a volume in use that grew, and with one that has a new image, and the request's id.
        self.extended: Listener = lambda _volume, _request_id: None
        self.reimaged: Listener = lambda _volume, _request_id: None

    def run(self, task: VolumeTask) -> Outcome:
        """Do what a task says."""
        return self._flows[task.flow](task)

    def failed(self, task: VolumeTask, error: Exception) -> Outcome:
        """The volume or snapshot is in error; after an upload it is what it was. Its owner is told."""
        if task.flow == "upload":
            self._forget_image(task)

        def write(tx: Transaction) -> None:
            status = _FAILED.get(task.flow, "error")
            if task.flow == "upload":
                self._after_upload(tx, task)
            elif task.snapshot_id is not None and task.flow.endswith("_snapshot"):
                tx.volumes.snapshots.update(task.snapshot_id, {"status": status})
            else:
                tx.volumes.update(task.volume_id, {"status": status, "growing": 0})
            tell(tx, task, error)

        return write

    # --- volumes ---------------------------------------------------------------------------------

    def _create(self, task: VolumeTask) -> Outcome:
        volume = self._volume(task)
        if volume is None:
            return _nothing
        self._require_backend(volume)
        image_id = task.payload.get("image_id")
        if image_id is not None:
            self._write_image(task, volume, image_id)
        elif task.source_id is not None:
            self._backend.clone(volume, self._source(task.source_id))
        else:
            self._backend.create(volume)
        return lambda tx: tx.volumes.transition(
            volume.id, {"status": "available"}, statuses=("creating", "downloading")
        )

    def _require_backend(self, volume: VolumeRecord) -> None:
        """A type that asks for another backend finds none."""
        with self._db.read() as tx:
            type_ = tx.volumes.types.get(volume.type_id)
        own = {
            "volume_backend_name": volume.host.partition("@")[2].partition("#")[0],
            "storage_protocol": self._backend.protocol, "vendor_name": "Nova",
        }
        for name, wanted in (type_.extra_specs if type_ is not None else {}).items():
            found = own.get(name.removeprefix("capabilities:"))
            if found is not None and found != wanted.removeprefix("<in> ").removeprefix("s== "):
                raise NoBackend(
                    f"Could not find any available weighted backend: {name} of this one is {found}, not "
                    f"{wanted[:80]}."
                )

    def _write_image(self, task: VolumeTask, volume: VolumeRecord, image_id: str) -> None:
        context = internal_context(task.request_id)
        image = self._images.show(context, image_id)
        self._db.run(
            lambda tx: tx.volumes.transition(volume.id, {"status": "downloading"}, statuses=("creating",))
        )
        self._backend.write_image(
            volume, image, lambda: iter(self._images.download(context, image_id))
        )

    def _reimage(self, task: VolumeTask) -> Outcome:
        volume = self._volume(task)
        if volume is None:
            return _nothing
        self._write_image(task, volume, task.payload["image_id"])

        def write(tx: Transaction) -> None:
            status = volume.previous_status or "available"
            tx.volumes.transition(
                volume.id,
                {"status": status, "previous_status": None, "bootable": True,
                 "image_metadata": task.payload["image_metadata"]},
                statuses=("downloading",),
            )
            tx.after_commit(lambda: self.reimaged(volume, task.request_id))

        return write

    def _delete(self, task: VolumeTask) -> Outcome:
        self._wait(task)
        volume = self._volume(task)
        if volume is None:
            return _nothing
        with self._db.read() as tx:
            snapshots = tx.volumes.snapshots.of_volume(volume.id)
        for snapshot in snapshots:
            self._backend.delete_snapshot(snapshot)
        self._backend.delete(volume)

        def write(tx: Transaction) -> None:
            tx.volumes.tasks.drop_of_volume(volume.id)
            for snapshot in snapshots:
                tx.volumes.snapshots.delete(snapshot.id)
            tx.volumes.delete(volume.id)

        return write

    def _extend(self, task: VolumeTask) -> Outcome:
        volume = self._volume(task)
        if volume is None:
            return _nothing
        size = int(task.payload["size"])
        self._backend.extend(volume, size)

        def write(tx: Transaction) -> None:
            status = volume.previous_status or "available"
            tx.volumes.update(volume.id, {"size": size, "growing": 0})
            tx.volumes.transition(
                volume.id, {"status": status, "previous_status": None}, statuses=("extending",)
            )
            if status == "in-use":
                tx.after_commit(lambda: self.extended(volume, task.request_id))

        return write

    def _revert(self, task: VolumeTask) -> Outcome:
        volume = self._volume(task)
        source = self._source(task.snapshot_id or "")
        if volume is None or not isinstance(source, SnapshotRecord):
            return _nothing
        self._backend.revert(volume, source)

        def write(tx: Transaction) -> None:
            tx.volumes.transition(volume.id, {"status": "available"}, statuses=("reverting",))
            tx.volumes.snapshots.transition(source.id, {"status": "available"}, statuses=("restoring",))

        return write

    # --- images ----------------------------------------------------------------------------------

    def _upload(self, task: VolumeTask) -> Outcome:
        volume = self._volume(task)
        if volume is None:
            self._forget_image(task)
            return _nothing
        owner = _owner(task)
        with self._backend.export(volume, task.payload["disk_format"]) as pieces:
            self._images.upload(owner, task.payload["image_id"], pieces)
        return lambda tx: self._after_upload(tx, task)

    def _after_upload(self, tx: Transaction, task: VolumeTask) -> None:
        volume = tx.volumes.get(task.volume_id)
        if volume is not None:
            status = volume.previous_status or "available"
            tx.volumes.transition(
                volume.id, {"status": status, "previous_status": None}, statuses=("uploading",)
            )

    def _forget_image(self, task: VolumeTask) -> None:
        try:
            self._images.delete(_owner(task), task.payload["image_id"])
        except NotFound:
            LOG.info("the image of the failed upload %s is gone already", task.id)

    # --- snapshots -------------------------------------------------------------------------------

    def _create_snapshot(self, task: VolumeTask) -> Outcome:
        volume, snapshot = self._volume(task), self._source(task.snapshot_id or "")
        if volume is None or not isinstance(snapshot, SnapshotRecord):
            return _nothing
        self._backend.snapshot(snapshot, volume)
        return lambda tx: tx.volumes.snapshots.transition(
            snapshot.id, {"status": "available", "progress": 100}, statuses=("creating",)
        )

    def _delete_snapshot(self, task: VolumeTask) -> Outcome:
        with self._db.read() as tx:
            snapshot = tx.volumes.snapshots.get(task.snapshot_id or "")
        if snapshot is None:
            return _nothing
        self._wait(task)
        self._backend.delete_snapshot(snapshot)
        return lambda tx: tx.volumes.snapshots.delete(snapshot.id)

    # --- parts -----------------------------------------------------------------------------------

    def _volume(self, task: VolumeTask) -> VolumeRecord | None:
        with self._db.read() as tx:
            return tx.volumes.get(task.volume_id)

    def _source(self, source_id: str) -> VolumeRecord | SnapshotRecord:
        with self._db.read() as tx:
            found = tx.volumes.snapshots.get(source_id) or tx.volumes.get(source_id)
        if found is None:
            raise NotFound(f"The source {source_id} is gone.")
        return found

    def _wait(self, task: VolumeTask) -> None:
        """Nothing goes while other work is on it."""
        with self._db.read() as tx:
            if tx.volumes.tasks.waits(task):
                raise Postponed


def _nothing(_tx: Transaction) -> None:
    """There is nothing to write."""


def _owner(task: VolumeTask) -> RequestContext:
    """Who asked for an upload, as the image service is told."""
    return RequestContext(
        user_id=task.payload["user_id"], project_id=task.payload["project_id"],
        roles=("member", "reader"), request_id=task.request_id,
    )
