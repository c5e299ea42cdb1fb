# SPDX-License-Identifier: Apache-2.0
"""Quota limits in memory: booting a server must not cost a query for them."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from nova.conf.quota import QuotaSection
from nova.db.engine import Database, Transaction

#: Seconds after which what another process wrote is seen.
KEEP = 2.0

_MOST = 10000


@dataclasses.dataclass(frozen=True, slots=True)
class Limits:
    """Limits by resource; -1 is none.

    ``effective`` are those to show, the nearest of all; ``of_project`` count what the project uses,
    and ``of_user`` what one user in it uses (only what was set for that user).
    """

    effective: Mapping[str, int]
    of_project: Mapping[str, int]
    of_user: Mapping[str, int]


def configured_limits(section: QuotaSection) -> dict[str, int]:
    """The limits in the configuration, under the resources' names in the API."""
    values = dataclasses.asdict(section)
    values["injected_file_path_bytes"] = values.pop("injected_file_path_length")
    return values


class LimitCache:
    """Limits of projects and users, for any number of threads.

    Own writes are seen at once (``forget`` after the commit), those of other processes after at
    most ``KEEP`` seconds.
    """

    def __init__(self, db: Database, section: QuotaSection) -> None:
        self._db = db
        self.configured = configured_limits(section)
        self._generation = 0
        #: Tells the other processes; set by the composition root.
        self.announce: Callable[[], object] = _nobody
        self._known: dict[tuple[str, str], tuple[int, float, Limits]] = {}

    def get(self, project_id: str, user_id: str) -> Mapping[str, int]:
        """The limit of every resource: of the user, the project, the default class, the options."""
        return self.all(project_id, user_id).effective

    def defaults(self) -> Mapping[str, int]:
        """The limits of a project that has none of its own."""
        return self.all("", "").effective

    def all(self, project_id: str, user_id: str = "") -> Limits:
        """The limits of a project and of one user in it, kept apart."""
        key = (project_id, user_id)
        known = self._known.get(key)
        generation = self._generation
        if known is not None and known[0] == generation and time.monotonic() < known[1]:
            return known[2]
        with self._db.read() as tx:
            limits = self.read(tx, project_id, user_id)
        if len(self._known) > _MOST:
            self._known.clear()
        self._known[key] = (generation, time.monotonic() + KEEP, limits)
        return limits

    def read(self, tx: Transaction, project_id: str, user_id: str = "") -> Limits:
        """The same straight from the database, for those who show or change limits."""
        record = tx.quotas.limit_record(project_id, user_id)
        of_project = self.configured | record.of_class | record.of_project
        return Limits(
            MappingProxyType(of_project | record.of_user),
            MappingProxyType(of_project),
            MappingProxyType(record.of_user),
        )

    def forget(self) -> None:
        """Limits changed here: read again at the next question, and tell other processes."""
        self.drop()
        self.announce()

    def drop(self) -> None:
        """Limits changed somewhere: read again at the next question."""
        self._generation += 1


def _nobody() -> None:
    """There are no other processes."""
