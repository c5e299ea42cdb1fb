# SPDX-License-Identifier: Apache-2.0
"""Work that outlives the request and the process: rows, leased to the process that does them.

    request ─▶ row + status (one transaction) ─▶ thread ─▶ backend ─▶ status, row gone (one transaction)

What a process leaves behind is taken up again once its lease is over, or at once where no other process
is there. What fails three times is given up, and its volume or snapshot is in error.
"""

from __future__ import annotations

import datetime
import logging
import os
import socket
import threading
import uuid
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

from nova import log
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import NovaError
from nova.objects.volume_record import VolumeTask
from nova.volume.backend import Interrupted

LOG = logging.getLogger(__name__)

#: How often work is begun before it is given up.
ATTEMPTS = 3

#: What is written with the task's end.
Outcome = Callable[[Transaction], object]


class Postponed(Exception):
    """The work has to wait for other work."""


class Flows(Protocol):
    """What is done for a task."""

    def run(self, task: VolumeTask) -> Outcome:
        """Do it; answers what to write then. Raises ``Postponed`` or ``Interrupted`` for later."""
        ...

    def failed(self, task: VolumeTask, error: Exception) -> Outcome:
        """What to write where it failed for good."""
        ...


class VolumeTasks:
    """The tasks of one process."""

    def __init__(
        self, db: Database, *, workers: int, lease_seconds: int, immediate: bool, works: bool = True
    ) -> None:
        """``works`` False leaves the tasks to another process, unless they are ``immediate``."""
        self._db = db
        self._works = works
        self._workers = workers
        self._lease = lease_seconds
        self._immediate = immediate
        self._owner = f"{socket.gethostname()}:{os.getpid()}:{uuid.uuid4().hex[:8]}"
        self._pool: ThreadPoolExecutor | None = None
        self._running: set[str] = set()
        self._lock = threading.Lock()
        self._ending = False
        self._postponed = False
        self.flows: Flows | None = None

    @property
    def renew_seconds(self) -> float:
        """How often ``renew`` has to be called."""
        return self._lease / 3

    def add(
        self,
        tx: Transaction,
        flow: str,
        volume_id: str,
        *,
        request_id: str,
        snapshot_id: str | None = None,
        source_id: str | None = None,
        payload: Mapping[str, Any] | None = None,
    ) -> None:
        """Note a task that begins when the transaction is committed."""
        task = VolumeTask(
            id=str(uuid.uuid4()), flow=flow, volume_id=volume_id, snapshot_id=snapshot_id,
            source_id=source_id, payload=dict(payload or {}), request_id=request_id, created_at=now(),
        )
        tx.volumes.tasks.create(task)
        tx.after_commit(lambda: self._submit(task.id))

    def start(self, *, alone: bool) -> None:
        """Take up what was left behind; ``alone`` says that no other process works on this database."""
        if alone:
            with self._db.read() as tx:
                left = tx.volumes.tasks.any()
            if not left:
                return
            self._db.run(lambda tx: tx.volumes.tasks.release_all())
        self.resume()

    def resume(self) -> None:
        """Begin the tasks that nobody has a lease on."""
        with self._db.read() as tx:
            free = tx.volumes.tasks.free()
        for task_id in free:
            self._submit(task_id)

    def renew(self) -> None:
        """Keep the leases of what runs here."""
        with self._lock:
            running = sorted(self._running)
        if running:
            until = now() + datetime.timedelta(seconds=self._lease)
            self._db.run(lambda tx: tx.volumes.tasks.renew(running, self._owner, until))

    def stop(self) -> None:
        """Begin nothing more, and wait for what runs."""
        with self._lock:
            self._ending = True
            pool = self._pool
        if pool is not None:
            pool.shutdown(wait=True, cancel_futures=True)

    def _submit(self, task_id: str) -> None:
        if self._immediate:
            self._work(task_id)
            return
        if not self._works:
            return
        with self._lock:
            if self._ending:
                return
            if self._pool is None:
                self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="volume")
            self._pool.submit(self._work, task_id)

    def _work(self, task_id: str) -> None:
        try:
            while self._do(task_id):
                LOG.debug("the volume task %s need not wait any longer", task_id)
        except Exception:
            # The row is still there, and is taken up again when its lease is over.
            LOG.exception("the work on the volume task %s was broken off", task_id)

    def _do(self, task_id: str) -> bool:
        """Do a task, where nobody else does; whether it was put off for work that is done by now."""
        assert self.flows is not None
        with self._lock:
            if self._ending or task_id in self._running:
                return False
        until = now() + datetime.timedelta(seconds=self._lease)
        task = self._db.run(lambda tx: tx.volumes.tasks.claim(task_id, self._owner, until))
        if task is None:
            return False
        log.belongs_to(task.request_id)
        with self._lock:
            self._running.add(task_id)
        try:
            if task.attempts > ATTEMPTS:
                raise RuntimeError(f"it was broken off {ATTEMPTS} times")
            outcome = self.flows.run(task)
        except Interrupted:
            self._give_back(task)
            return False
        except Postponed:
            return self._put_off(task)
        except NovaError as error:
            LOG.warning("%s of volume %s: %s", task.flow, task.volume_id, error.message)
            outcome = self.flows.failed(task, error)
        except Exception as error:
            LOG.exception("%s of volume %s failed", task.flow, task.volume_id)
            outcome = self.flows.failed(task, error)
        finally:
            with self._lock:
                self._running.discard(task_id)

        def finish(tx: Transaction) -> None:
            if tx.volumes.tasks.finish(task.id, self._owner):
                outcome(tx)

        self._db.run(finish)
        if self._postponed:
            self._postponed = False
            self.resume()
        return False

    def _put_off(self, task: VolumeTask) -> bool:
        """Leave a task to whoever finishes what it waits for; whether that is done by now.

        What finishes after the question sees the mark, which was set before it.
        """
        self._postponed = True
        self._give_back(task)
        with self._db.read() as tx:
            return not tx.volumes.tasks.waits(task)

    def _give_back(self, task: VolumeTask) -> None:
        with self._lock:
            self._running.discard(task.id)
        self._db.run(lambda tx: tx.volumes.tasks.give_back(task.id, self._owner))
