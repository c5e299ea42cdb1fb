# SPDX-License-Identifier: Apache-2.0
"""Which hosts belong to the cloud: their keys, given once and taken back.

A host has no key until it is enrolled, and what it says is refused until then. Giving it another key leaves
the former good until the host has the new one; ``revoke`` ends them.
"""

from __future__ import annotations

import datetime

from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import InvalidInput, NotFound
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
    with db.write() as tx:
        if not tx.host_identity.keys(host):
            raise NotFound(f"The host {host} was never enrolled.")
        return tx.host_identity.revoke(host, but=but)


def key_ring(db: Database, control: Key, keep: float = 5.0) -> ControlKeys:
    """The control side's key ring; a revoked key is good for at most ``keep`` seconds more."""

    def lookup(host: str) -> list[Key]:
        with db.read() as tx:
            found = tx.host_identity.valid_keys(host)
        return [unwrap(control, each.host, each.key_id, each.wrapped) for each in found]

    return ControlKeys(control, lookup, keep)


def forget_messages(db: Database) -> int:
    """Drop the notes of messages that are too old to be taken again."""
    before = now() - datetime.timedelta(seconds=10 * WINDOW)
    return db.run(lambda tx: tx.host_identity.forget_messages(before))
