# SPDX-License-Identifier: Apache-2.0
"""Key pairs in the database."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nova.db.engine import Database
from nova.db.schema.compute import keypairs
from nova.errors import BadRequest, KeypairExists, KeypairNotFound, QuotaExceeded
from nova.objects.keypair import Keypair
from tests.databases import new_database


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def make(tx: Any, user: str, name: str, limit: int = -1) -> Keypair:
    return tx.keypairs.create(
        user, name, type="ssh", fingerprint="aa:bb", public_key=f"ssh-rsa {name}", limit=limit
    )


def test_the_value_has_the_columns_of_the_table_in_their_order() -> None:
    assert Keypair.__struct_fields__ == tuple(column.name for column in keypairs.columns)


def test_a_keypair_round_trips(db: Database) -> None:
    with db.write() as tx:
        made = make(tx, "u", "schlüssel 鍵")
    with db.read() as tx:
        assert tx.keypairs.get("u", "schlüssel 鍵") == made
        assert tx.keypairs.find("other", "schlüssel 鍵") is None


def test_names_are_unique_for_each_user(db: Database) -> None:
    with db.write() as tx:
        make(tx, "u", "a")
        make(tx, "v", "a")
        with pytest.raises(KeypairExists):
            make(tx, "u", "a")


def test_pages_follow_the_name(db: Database) -> None:
    with db.write() as tx:
        for name in "dbac":
            make(tx, "u", name)
        make(tx, "v", "b2")
    with db.read() as tx:
        assert [key.name for key in tx.keypairs.list("u")] == ["a", "b", "c", "d"]
        page = tx.keypairs.list("u", marker="b", limit=1)
        assert [key.name for key in page] == ["c"]
        with pytest.raises(BadRequest, match="marker"):
            tx.keypairs.list("u", marker="b2")


def test_the_limit_holds(db: Database) -> None:
    with db.write() as tx:
        make(tx, "u", "a", limit=2)
        make(tx, "u", "b", limit=2)
        with pytest.raises(QuotaExceeded, match="too many key pairs"):
            make(tx, "u", "c", limit=2)
        make(tx, "u", "c", limit=-1)
        assert tx.keypairs.count("u") == 3


def test_delete(db: Database) -> None:
    with db.write() as tx:
        make(tx, "u", "a")
        tx.keypairs.delete("u", "a")
        with pytest.raises(KeypairNotFound):
            tx.keypairs.delete("u", "a")
        with pytest.raises(KeypairNotFound):
            tx.keypairs.get("u", "a")
