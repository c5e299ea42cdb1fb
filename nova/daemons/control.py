# SPDX-License-Identifier: Apache-2.0
"""The units of the control side: conductor and scheduler."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from nova.compute.operations import Operations
from nova.conductor.upkeep import upkeep_tasks
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.rpc.calls import METADATA
from nova.service import PeriodicTask
from nova.wiring import ControlSide

LOG = logging.getLogger(__name__)


def beat(db: Database, binary: str, host: str, topic: str) -> None:
    """Say that a service lives."""
    db.run(lambda tx: tx.services.report_many([(binary, host, topic)], now()))


class ConductorUnit:
    """Takes what hosts report, brings lost operations on, and does what comes with time.

    ``alone`` says that no other process works on this database: then all that is open was interrupted.
    """

    def __init__(
        self, control: ControlSide, operations: Operations, name: str, *, alone: bool = False
    ) -> None:
        self._control = control
        self._operations = operations
        self._name = name
        self._alone = alone

    def start(self) -> None:
        """Begin, with a look for what was interrupted."""
        self._beat()
        if not self._alone:
            self._control.conductor.step_listeners.append(self._tell_metadata)
        self._control.hosts.refresh(force=True)
        self._control.conductor.start()
        if not self._alone:
            self._control.conductor.reports.start()
        resumed = self._control.conductor.recovery.run(everything=self._alone)
        if resumed:
            LOG.info("resumed %d interrupted operations", resumed)

    def tasks(self) -> Sequence[PeriodicTask]:
        """Heartbeat, recovery, upkeep."""
        config, control = self._control.config, self._control
        return [
            PeriodicTask("conductor-heartbeat", config.default.report_interval, self._beat),
            PeriodicTask(
                "recovery", config.conductor.recovery_interval, control.conductor.recovery.run
            ),
            *upkeep_tasks(control.core, self._operations),
        ]

    def stop(self) -> None:
        """Finish what is under way."""
        self._control.conductor.stop()

    def _tell_metadata(self, host: str, instance_uuid: str) -> None:
        """Let the metadata service of a host read a guest again."""
        self._control.transport.cast(METADATA, host, "forget_guest", instance_uuid)

    def _beat(self) -> None:
        beat(self._control.db, "nova-conductor", self._name, "conductor")


class SchedulerUnit:
    """Places what waits. Any number of them share the work; the database referees their claims."""

    def __init__(self, control: ControlSide, name: str) -> None:
        self._control = control
        self._name = name

    def start(self) -> None:
        """Read the hosts and begin to place."""
        self._look()
        self._control.conductor.placer.start()

    def tasks(self) -> Sequence[PeriodicTask]:
        """Heartbeat and a fresh look at the hosts, their load and the other schedulers."""
        return [
            PeriodicTask("scheduler", self._control.config.default.report_interval, self._look)
        ]

    def stop(self) -> None:
        """Finish the present batch."""
        self._control.conductor.placer.stop()

    def _look(self) -> None:
        # NumPy comes with it; the conductor's process has no other use for that.
        from nova.scheduler.peers import place_among

        control = self._control
        beat(control.db, "nova-scheduler", self._name, "scheduler")
        with control.db.read() as tx:
            services = tx.services.list("nova-scheduler")
        peer, peers = place_among(
            services, "nova-scheduler", self._name, now(), control.config.default.service_down_time
        )
        table = control.table.table
        if (peer, peers) != (table.peer, table.peer_count):
            LOG.info("scheduler %d of %d", peer + 1, peers)
            table.set_peers(peer, peers)
        control.hosts.refresh(force=True)
