# SPDX-License-Identifier: Apache-2.0
"""Which hosts belong to the cloud: their keys, given once and taken back.

A host has no key until it is enrolled, and what it says is refused until then. Giving it another key leaves
the former good until the host has the new one; ``revoke`` ends them.
"""

from __future__ import annotations

import datetime
import threading
import time

from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import InvalidInput, NotFound
from nova.objects.host_key import HostKey
from nova.rpc.envelope import WINDOW, Key
from nova.rpc.keys import ControlKeys, new_key, unwrap, wrap

_LONGEST_NAME = 255


def enrol(db: Database, control: Key, host: str) -> Key:
    """Make a key for a host and remember it, wrapped; raises ``InvalidInput`` for a name that is none."""
    if not host or len(host) > _LONGEST_NAME or host != host.strip() or "/" in host or "\n" in host:
        raise InvalidInput("host", "It must be the host's name as its nova.conf has it.", host)
    key = new_key(host)
    db.run(lambda tx: tx.host_identity.add_key(host, key.key_id, wrap(control, key)))
    return key


def revoke(db: Database, host: str, but: str | None = None) -> int:
    """Make a host's keys worthless, except one; returns how many. Raises ``NotFound`` for none at all."""

    def write(tx: Transaction) -> int:
        if not tx.host_identity.keys(host):
            raise NotFound(f"The host {host} was never enrolled.")
        return tx.host_identity.revoke(host, but=but)

    return db.run(write)


def key_ring(db: Database, control: Key, keep: float = 5.0) -> ControlKeys:
    """The control side's key ring; a revoked key is good for at most ``keep`` seconds more."""
    return ControlKeys(control, _EnrolledKeys(db, control, keep).of, keep=0)


class _EnrolledKeys:
    """The keys of all hosts, read together: a thousand hosts that speak in turn cost one read, not each."""

    def __init__(self, db: Database, control: Key, keep: float) -> None:
        self._db = db
        self._control = control
        self._keep = keep
        self._lock = threading.Lock()
        self._until = 0.0
        self._wrapped: dict[str, list[HostKey]] = {}
        self._unwrapped: dict[str, Key] = {}

    def of(self, host: str) -> list[Key]:
        """The valid keys of a host, newest first; one that is not known is looked for."""
        if time.monotonic() >= self._until:
            self._read()
        found = self._wrapped.get(host)
        if found is None:
            with self._db.read() as tx:
                found = tx.host_identity.valid_keys(host)
        return [self._open(each) for each in found]

    def _read(self) -> None:
        with self._lock:
            if time.monotonic() < self._until:
                return
            with self._db.read() as tx:
                keys = tx.host_identity.keys()
            fresh: dict[str, list[HostKey]] = {}
            for key in sorted(keys, key=lambda each: each.created_at, reverse=True):
                if key.revoked_at is None:
                    fresh.setdefault(key.host, []).append(key)
            valid = {key.key_id for each in fresh.values() for key in each}
            self._unwrapped = {
                # A copy: others unwrap keys meanwhile.
                name: key for name, key in self._unwrapped.copy().items() if name in valid
            }
            self._wrapped = fresh
            self._until = time.monotonic() + self._keep

    def _open(self, key: HostKey) -> Key:
        known = self._unwrapped.get(key.key_id)
        if known is None or known.owner != key.host:
            known = self._unwrapped[key.key_id] = unwrap(
                self._control, key.host, key.key_id, key.wrapped
            )
        return known


def forget_messages(db: Database) -> int:
    """Drop the notes of messages that are too old to be taken again."""
    before = now() - datetime.timedelta(seconds=10 * WINDOW)
    return db.run(lambda tx: tx.host_identity.forget_messages(before))
