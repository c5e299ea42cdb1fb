# SPDX-License-Identifier: Apache-2.0
"""What runs on hosts, for the few filters, weighers and plug-ins that ask.

Each answer is kept for some seconds: such filters look at every host for every request.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import TypeVar

from nova.db.engine import Database
from nova.objects.instance import Instance

#: Seconds that an answer is good for.
FRESH = 5.0

_T = TypeVar("_T")


class HostContents:
    """Servers by host, from the database."""

    def __init__(self, db: Database, clock: Callable[[], float] = time.monotonic) -> None:
        self._db = db
        self._clock = clock
        self._lock = threading.Lock()
        self._kept: dict[str, tuple[float, object]] = {}

    def flavors(self) -> dict[str, set[str]]:
        """The flavor ids of the servers on each host."""

        def read() -> dict[str, set[str]]:
            found: dict[str, set[str]] = {}
            with self._db.read() as tx:
                for host, flavorid in tx.instances.flavors_on_hosts():
                    found.setdefault(host, set()).add(flavorid)
            return found

        return self._fresh("flavors", read)

    def servers(self, host: str) -> list[Instance]:
        """The servers on one host."""

        def read() -> dict[str, list[Instance]]:
            found: dict[str, list[Instance]] = {}
            with self._db.read() as tx:
                for instance in tx.instances.on_hosts():
                    found.setdefault(instance.host or "", []).append(instance)
            return found

        return self._fresh("servers", read).get(host, [])

    def image_properties(self) -> dict[str, Counter[tuple[str, str]]]:
        """How many servers on each host come from images with a (property, value)."""

        def read() -> dict[str, Counter[tuple[str, str]]]:
            found: dict[str, Counter[tuple[str, str]]] = {}
            with self._db.read() as tx:
                for host, properties in tx.instances.image_properties_on_hosts():
                    counts = found.setdefault(host, Counter())
                    counts.update((key, str(value)) for key, value in (properties or {}).items())
            return found

        return self._fresh("image_properties", read)

    def _fresh(self, name: str, read: Callable[[], _T]) -> _T:
        with self._lock:
            until, kept = self._kept.get(name, (0.0, None))
            if self._clock() < until:
                return kept  # type: ignore[return-value]
            answer = read()
            self._kept[name] = (self._clock() + FRESH, answer)
            return answer
