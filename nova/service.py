# SPDX-License-Identifier: Apache-2.0
"""What every daemon has: a name in the service list, a heartbeat, periodic work.

``MANAGERS`` is the one binary -> manager table; ``Service.create`` looks a daemon's manager up in it.
"""

from __future__ import annotations

import dataclasses
import importlib
import logging
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

from nova import metrics

LOG = logging.getLogger(__name__)

#: binary -> (topic, dotted path of the manager class)
MANAGERS: dict[str, tuple[str, str]] = {
    "nova-compute": ("compute", "nova.compute.manager.ComputeManager"),
    "nova-conductor": ("conductor", "nova.conductor.manager.Conductor"),
    "nova-scheduler": ("scheduler", "nova.scheduler.service.SchedulerService"),
    "nova-api": ("api", "nova.api.compute.cloud.Cloud"),
    "nova-identity": ("identity", "nova.identity.service.IdentityService"),
    "nova-image": ("image", "nova.image.service.ImageService"),
    "nova-volume": ("volume", "nova.volume.service.VolumeService"),
    "nova-api-metadata": ("metadata", "nova.api.metadata.service.MetadataService"),
    "nova-novncproxy": ("consoles", "nova.console.proxy.ConsoleProxy"),
    "nova-serialproxy": ("consoles", "nova.console.proxy.ConsoleProxy"),
    "nova-spicehtml5proxy": ("consoles", "nova.console.proxy.ConsoleProxy"),
    "nova-network": ("network", "nova.network.host_manager.HostNetworkManager"),
}


@dataclasses.dataclass(frozen=True)
class Service:
    """A daemon's name, topic and manager class."""

    binary: str
    topic: str
    manager: type[Any]

    @classmethod
    def create(cls, *, binary: str, topic: str | None = None) -> Service:
        """The service of a binary; raises ``LookupError`` naming the known ones for another."""
        found = cls.named(binary)
        module, _, name = found[1].rpartition(".")
        manager = getattr(importlib.import_module(module), name)
        return cls(binary=binary, topic=topic or found[0], manager=manager)


    @staticmethod
    def named(binary: str) -> tuple[str, str]:
        """Topic and manager of a binary, of which nothing is imported yet; raises as ``create`` does."""
        found = MANAGERS.get(binary)
        if found is None:
            known = ", ".join(sorted(MANAGERS))
            raise LookupError(f"{binary} is no service of Nova; the known ones are {known}")
        return found


@dataclasses.dataclass(frozen=True)
class PeriodicTask:
    """Work done every ``interval`` seconds."""

    name: str
    interval: float
    work: Callable[[], object]


class Periodic:
    """Runs periodic tasks on one thread; one that fails is logged and comes again."""

    def __init__(self, tasks: Sequence[PeriodicTask]) -> None:
        self._tasks = [task for task in tasks if task.interval > 0]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._loop, name="periodic", daemon=True)

    def start(self) -> None:
        """Begin; every task waits its interval first."""
        self._thread.start()

    @property
    def is_alive(self) -> bool:
        """Whether its thread lives, where it has anything to do."""
        return not self._tasks or self._thread.is_alive()

    def end(self) -> None:
        """Begin no further task."""
        self._stop.set()

    def stop(self, patience: float = 10.0) -> None:
        """End after the task that runs now, or after ``patience`` seconds."""
        self.end()
        self._thread.join(max(0.0, patience))

    def _loop(self) -> None:
        due = {task.name: time.monotonic() + task.interval for task in self._tasks}
        while self._tasks:
            task = min(self._tasks, key=lambda each: due[each.name])
            if self._stop.wait(max(0.0, due[task.name] - time.monotonic())):
                return
            try:
                task.work()
            except Exception:
                metrics.PERIODIC_FAILURES.labels(task.name).inc()
                LOG.exception("periodic task %s failed", task.name)
            due[task.name] = time.monotonic() + task.interval
