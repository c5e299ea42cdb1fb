# SPDX-License-Identifier: Apache-2.0
"""Carries out the step ``volumes``, in threads of its own: the block storage service may take its time.

    create   [volumes: made and reserved] -> place -> spawn
    attach   volumes: reserved -> attach (host)          detach   detach (host) -> volumes: released
    swap     volumes: the other one reserved -> swap (host) -> [discard: the first one released]
    delete   destroy -> [volumes: released, and deleted where they are to go too]
    shelve   snapshot -> offload -> [volumes: closed, but kept reserved]
    unshelve place -> spawn -> [volumes, where that failed: closed again]
    soft_delete run, or clean where it leaves its host -> [volumes: closed, but kept reserved]
    rebuild  [halt -> volumes: the image written over the root volume] -> run

What it does is in ``volume_steps``. Interrupted work is found by recovery and done again from its start.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

from nova.conductor.completion import complete
from nova.conductor.core import ConductorCore
from nova.conductor.ended import about_operation_id, note_end
from nova.conductor.ending import Overtaken, abandon, stands
from nova.conductor.failing import fail
from nova.conductor.strikes import Strikes
from nova.conductor.volume_steps import (
    prepare_boot,
    reimage,
    release_all,
    release_one,
    renew_all,
    reserve_one,
    still_open,
)
from nova.db.engine import Transaction
from nova.errors import NovaError, ServiceUnavailable
from nova.objects.instance import Instance
from nova.objects.operation import Operation, StepFailure, StepResult

LOG = logging.getLogger(__name__)

_THREADS = 8
#: Seconds until a service that is busy is asked again: the first pause and the longest.
_PAUSE = 0.2
_LONGEST = 5.0
#: How often a request that can still be refused is made to a service that does not answer.
_TRIES = 8
#: What has to be given up is asked for until it is.
_GIVE_UP = frozenset(
    {"delete", "force_delete", "soft_delete", "detach_volume", "shelve", "shelve_offload", "unshelve"}
)


class VolumeWork:
    """The threads of a conductor that talk to the block storage service."""

    def __init__(self, core: ConductorCore, strikes: Strikes) -> None:
        self._core = core
        self._strikes = strikes
        self._lock = threading.Lock()
        self._busy: set[int] = set()
        #: Those of them that were put again while they were looked at: what changed may not have been seen.
        self._again: set[int] = set()
        #: How often each operation that waits has been looked at, and failed to reach the service.
        self._looks: dict[int, int] = {}
        self._timers: set[threading.Timer] = set()
        self._pool: ThreadPoolExecutor | None = None
        self._ended = False

    def start(self) -> None:
        """Begin; threads are made with the first work."""

    def stop(self) -> None:
        """Finish what is under way; what waits is a row."""
        with self._lock:
            self._ended = True
            pool, self._pool = self._pool, None
            for timer in self._timers:
                timer.cancel()
        if pool is not None:
            pool.shutdown(cancel_futures=True)

    def put(self, operation_ids: Sequence[int]) -> None:
        """These operations are at their step ``volumes``."""
        for operation_id in operation_ids:
            with self._lock:
                if operation_id in self._busy:
                    self._again.add(operation_id)
                    continue
                if self._ended:
                    continue
                self._busy.add(operation_id)
                if self._pool is None:
                    self._pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="volumes")
                self._pool.submit(self._run, operation_id)

    def _run(self, operation_id: int) -> None:
        pause: float | None = None
        try:
            with about_operation_id(self._core.db, operation_id):
                pause = self._look(operation_id)
        except Overtaken:
            LOG.debug("operation %d went on by itself", operation_id)
        except Exception as error:
            LOG.exception("the volumes of operation %d failed", operation_id)
            self._strikes.strike(operation_id, error)
        finally:
            with self._lock:
                self._busy.discard(operation_id)
                again = operation_id in self._again
                self._again.discard(operation_id)
                if pause is None:
                    self._looks.pop(operation_id, None)
        if again:
            self.put([operation_id])
        elif pause is not None:
            self._later(operation_id, pause)

    def _later(self, operation_id: int, seconds: float) -> None:
        def run() -> None:
            with self._lock:
                self._timers.discard(timer)
            self.put([operation_id])

        timer = threading.Timer(seconds, run)
        timer.daemon = True
        with self._lock:
            if self._ended:
                return
            self._timers.add(timer)
        timer.start()

    def _look(self, operation_id: int) -> float | None:
        """Do what can be done now; the pause until the next look where something is left to do."""
        begun = self._core.db.run(lambda tx: self._begin(tx, operation_id))
        if begun is None:
            return None
        operation, instance = begun
        looks = self._looks.get(operation_id, 0)
        try:
            if self._work(operation, instance):
                return None
        except ServiceUnavailable as error:
            LOG.warning("volumes of %s have to wait: %s", instance.uuid, error.message)
            if operation.flow not in _GIVE_UP and looks >= _TRIES:
                self._fail(operation, error)
                return None
        except NovaError as error:
            self._fail(operation, error)
            return None
        with self._lock:
            self._looks[operation_id] = looks + 1
        return min(_LONGEST, float(_PAUSE * 1.5 ** min(looks, 20)))

    def _begin(self, tx: Transaction, operation_id: int) -> tuple[Operation, Instance] | None:
        operation = tx.operations.get(operation_id, lock=True)
        if operation is None or operation.finished_at is not None or operation.step != "volumes":
            return None
        instance = tx.instances.get(operation.instance_uuid, lock=True)
        if instance is None:
            if tx.operations.finish(operation_id, failed=True, message="Error"):
                note_end(tx, operation, failed=True)
            return None
        if not stands(operation, instance):
            abandon(self._core, tx, operation, instance)
            return None
        dispatcher = self._core.dispatcher
        tx.operations.advance(
            operation_id, step="volumes", host=None, lease_owner=dispatcher.owner,
            lease_until=dispatcher.lease_end(), from_step="volumes",
        )
        return operation, instance

    def _work(self, operation: Operation, instance: Instance) -> bool:
        """Whether the operation has gone on."""
        core, flow = self._core, operation.flow
        if flow == "create":
            return prepare_boot(core, operation, instance)
        if flow in ("attach_volume", "swap_volume"):
            return reserve_one(core, operation, instance)
        if flow == "detach_volume":
            return release_one(core, operation, instance)
        if flow == "rebuild":
            if not reimage(core, operation, instance):
                return False
        elif flow in ("delete", "force_delete"):
            release_all(core, operation, instance)
        else:
            renew_all(core, operation, instance)
        core.db.run(lambda tx: self._complete(tx, operation))
        return True

    def _complete(self, tx: Transaction, operation: Operation) -> None:
        found, instance = still_open(tx, operation)
        complete(self._core, tx, found, instance, StepResult())

    def _fail(self, operation: Operation, error: NovaError) -> None:
        LOG.warning("%s of %s: %s", operation.flow, operation.instance_uuid, error.message)
        failure = StepFailure(message=error.message, code=error.status)

        def write(tx: Transaction) -> None:
            found, instance = still_open(tx, operation)
            fail(self._core, tx, found, instance, failure)

        self._core.db.run(write)
