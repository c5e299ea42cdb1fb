# SPDX-License-Identifier: Apache-2.0
"""Enrolled hosts: keys given and taken back, and messages that take effect once."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from nova.conductor.enrolment import _EnrolledKeys, enrol, forget_messages, key_ring, revoke
from nova.db.engine import Database, acting_on
from nova.db.schema import metadata
from nova.db.schema.base import now
from nova.db.schema.host_identity import host_messages
from nova.errors import HostRefused, InvalidInput, NotFound
from nova.rpc.envelope import CONTROL, Key, MessageRefused
from nova.rpc.keys import KeyFileInvalid, new_key, read_key, write_key


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(database.engine)
    yield database
    database.dispose()


def test_an_enrolled_host_is_known_and_a_revoked_one_is_not(db: Database) -> None:
    control = new_key(CONTROL)
    ring = key_ring(db, control, keep=0)
    with pytest.raises(MessageRefused):
        ring.to_seal(CONTROL, "node1")
    key = enrol(db, control, "node1")
    assert ring.to_seal(CONTROL, "node1") == key
    assert ring.to_open("node1", CONTROL, key.key_id) == key
    assert revoke(db, "node1") == 1
    with pytest.raises(MessageRefused):
        ring.to_open("node1", CONTROL, key.key_id)


def test_a_new_key_leaves_the_former_good_until_it_is_revoked(db: Database) -> None:
    control = new_key(CONTROL)
    ring = key_ring(db, control, keep=0)
    former, newer = enrol(db, control, "node1"), enrol(db, control, "node1")
    assert {ring.to_open("node1", CONTROL, each.key_id).key_id for each in (former, newer)} == {
        former.key_id, newer.key_id
    }
    assert revoke(db, "node1", but=newer.key_id) == 1
    assert ring.to_seal(CONTROL, "node1") == newer
    with pytest.raises(MessageRefused):
        ring.to_open("node1", CONTROL, former.key_id)


def test_a_copy_of_the_database_holds_no_key(db: Database) -> None:
    control = new_key(CONTROL)
    key = enrol(db, control, "node1")
    with db.engine.connect() as connection:
        wrapped = connection.execute(text("SELECT wrapped FROM host_keys")).scalar_one()
    assert key.secret not in wrapped
    with pytest.raises(KeyFileInvalid, match="control_key_file"):
        key_ring(db, new_key(CONTROL)).to_seal(CONTROL, "node1")


@pytest.mark.parametrize("name", ["", " node1", "a/b", "x" * 256, "a\nb"])
def test_a_name_that_is_none_is_refused(db: Database, name: str) -> None:
    with pytest.raises(InvalidInput, match="host"):
        enrol(db, new_key(CONTROL), name)


def test_revoking_a_host_that_was_never_enrolled_says_so(db: Database) -> None:
    with pytest.raises(NotFound, match="node9"):
        revoke(db, "node9")


def test_a_key_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "node1.key"
    key = new_key("node1")
    write_key(path, key)
    assert path.stat().st_mode & 0o777 == 0o600
    assert read_key(path) == key
    with pytest.raises(FileExistsError):
        write_key(path, key)
    path.chmod(0o644)
    with pytest.raises(KeyFileInvalid, match="chmod 600"):
        read_key(path)
    with pytest.raises(KeyFileInvalid, match="nova-manage host enrol"):
        read_key(tmp_path / "other.key")
    broken = tmp_path / "broken.key"
    broken.touch(mode=0o600)
    broken.write_text("{}")
    with pytest.raises(KeyFileInvalid, match="no key file"):
        read_key(broken)


def _count(db: Database) -> int:
    with db.engine.connect() as connection:
        return int(connection.execute(text("SELECT count(*) FROM host_messages")).scalar_one())


def test_a_message_takes_effect_once_whoever_gets_it(db: Database) -> None:
    with acting_on("a" * 32):
        with db.write() as tx:
            tx.flavors.seed_defaults()
        with db.write():
            pass
    assert _count(db) == 1
    with pytest.raises(HostRefused, match="acted on before"), acting_on("a" * 32), db.write():
        pytest.fail("it came as far as this")
    with db.write():
        pass
    assert _count(db) == 1


def test_a_message_whose_transaction_failed_may_come_again(db: Database) -> None:
    with pytest.raises(ZeroDivisionError), acting_on("b" * 32), db.write():
        raise ZeroDivisionError
    assert _count(db) == 0
    with acting_on("b" * 32), db.write():
        pass
    assert _count(db) == 1


def test_old_messages_are_forgotten(db: Database) -> None:
    with acting_on("c" * 32), db.write():
        pass
    assert forget_messages(db) == 0
    with db.write() as tx:
        tx.connection.execute(
            host_messages.update().values(acted_at=now() - datetime.timedelta(hours=1))
        )
    assert forget_messages(db) == 1


class _Growing(dict[str, Key]):
    """A dictionary that another thread adds to while it is read."""

    def items(self) -> Any:
        for each in super().items():
            yield each
            self[f"{len(self)}"] = each[1]


def test_keys_that_are_unwrapped_while_all_are_read_again_break_nothing(db: Database) -> None:
    control = new_key(CONTROL)
    key = enrol(db, control, "node1")
    keys = _EnrolledKeys(db, control, 0)
    keys._unwrapped = _Growing({key.key_id: key})
    assert keys.of("node1") == [key]
