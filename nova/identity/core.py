# SPDX-License-Identifier: Apache-2.0
"""What every part of the identity service stands on: transactions, keys, and the revision."""

from __future__ import annotations

import contextlib
import threading
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from nova.conf.identity import IdentitySection
from nova.db.engine import Database, Transaction
from nova.db.stores.identity import IdentityStore
from nova.identity.keys import load_keys

T = TypeVar("T")


class IdentityCore:
    """The database, the options, the keys.

    ``revision`` grows with every write through this process; what is cached under an older one is
    not used again.
    """

    def __init__(self, db: Database, section: IdentitySection, key_directory: Path) -> None:
        self.db = db
        self.section = section
        self.token_keys = load_keys(key_directory / "tokens")
        self.credential_keys = load_keys(key_directory / "credentials")
        self.revision = 0
        self._lock = threading.Lock()

    @property
    def default_domain_id(self) -> str:
        """The domain of requests that name none."""
        return self.section.default_domain_id

    @contextlib.contextmanager
    def read(self) -> Iterator[IdentityStore]:
        """The identity stores in one reading transaction."""
        with self.db.read() as tx:
            yield tx.identity

    def run(self, function: Callable[[IdentityStore], T]) -> T:
        """What ``function`` answers in one writing transaction; a commit makes all caches stale.

        After a deadlock it is tried again, see ``Database.run``.
        """

        def write(tx: Transaction) -> T:
            tx.after_commit(self.changed)
            return function(tx.identity)

        return self.db.run(write)

    def changed(self) -> None:
        """Make everything cached stale."""
        with self._lock:
            self.revision += 1


def new_id() -> str:
    """A fresh id as the identity API has them: 32 hexadecimal digits."""
    return uuid.uuid4().hex
