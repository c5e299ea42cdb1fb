# SPDX-License-Identifier: Apache-2.0
"""Server groups in the database."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import event, insert

from nova.db.engine import Database, Transaction
from nova.db.schema.compute import instances, server_groups
from nova.errors import NotFound, QuotaExceeded
from nova.objects.server_group import ServerGroup
from tests.databases import new_database
from tests.unit.db.instance_rows import instance_row


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def make(tx: Transaction, name: str = "g", project: str = "p") -> ServerGroup:
    return tx.server_groups.create(
        project_id=project, user_id="u", name=name, policy="anti-affinity",
        rules={"max_server_per_host": 2},
    )


def boot(tx: Transaction, *uuids: str, **changed: object) -> None:
    tx.connection.execute(insert(instances), [instance_row(uuid, **changed) for uuid in uuids])


def test_the_value_begins_with_the_columns_of_the_table() -> None:
    columns = tuple(column.name for column in server_groups.columns)
    assert ServerGroup.__struct_fields__ == (*columns, "members")


def test_members_are_live_servers_in_their_order(db: Database) -> None:
    with db.write() as tx:
        group = make(tx, "gruppe-ß")
        boot(tx, "b", "a", "c")
        tx.server_groups.add_members(group.uuid, ["a", "b", "c"])
        tx.instances.transition("c", {"deleted": 7})
    with db.read() as tx:
        found = tx.server_groups.get(group.uuid)
        assert found.members == ("b", "a")
        assert found.rules == {"max_server_per_host": 2}
        assert tx.server_groups.of_instance("a") == found
        assert tx.server_groups.of_instance("zzz") is None


def test_a_list_is_one_statement_and_pages(db: Database) -> None:
    with db.write() as tx:
        groups = [make(tx, f"g{number}") for number in range(4)]
        make(tx, "other", project="q")
        boot(tx, "a", "b")
        tx.server_groups.add_members(groups[1].uuid, ["a", "b"])
    seen: list[str] = []
    event.listen(
        db.engine, "before_cursor_execute",
        lambda _c, _cu, statement, *_rest: seen.append(statement),
    )
    with db.read() as tx:
        listed = tx.server_groups.list("p")
    assert len([statement for statement in seen if statement.startswith("SELECT")]) == 1
    assert [(group.name, group.members) for group in listed] == [
        ("g0", ()), ("g1", ("a", "b")), ("g2", ()), ("g3", ()),
    ]
    with db.read() as tx:
        names = [group.name for group in tx.server_groups.list("p", limit=2, offset=1)]
        assert names == ["g1", "g2"]
        assert [group.name for group in tx.server_groups.list("p", offset=3)] == ["g3"]
        assert len(tx.server_groups.list()) == 5


def test_groups_and_hosts_of_servers(db: Database) -> None:
    with db.write() as tx:
        one, two = make(tx, "one"), make(tx, "two")
        boot(tx, "a", host="h1")
        boot(tx, "b", host="h2")
        boot(tx, "c")
        boot(tx, "d", host="h9")
        tx.server_groups.add_members(one.uuid, ["a", "b", "c"])
        tx.server_groups.add_members(two.uuid, ["d"])
        assert tx.server_groups.of_instances(["a", "d", "x"]) == {"a": one.uuid, "d": two.uuid}
        assert tx.server_groups.of_instances([]) == {}
        assert tx.server_groups.hosts_of_members(one.uuid) == {"a": "h1", "b": "h2"}
        tx.server_groups.remove_members(["a"])
        assert tx.server_groups.get(one.uuid).members == ("b", "c")


def test_the_limit_of_members_holds(db: Database) -> None:
    with db.write() as tx:
        group = make(tx)
        boot(tx, "a", "b", "c")
        tx.server_groups.add_members(group.uuid, ["a", "b"], limit=2)
        with pytest.raises(QuotaExceeded, match="too many servers in group"):
            tx.server_groups.add_members(group.uuid, ["c"], limit=2)
        assert tx.server_groups.get(group.uuid).members == ("a", "b")


def test_delete_lets_the_servers_go(db: Database) -> None:
    with db.write() as tx:
        group = make(tx)
        boot(tx, "a", server_group=group.uuid)
        tx.server_groups.add_members(group.uuid, ["a"])
        tx.server_groups.delete(group.uuid)
        assert tx.server_groups.find(group.uuid) is None
        assert tx.server_groups.of_instances(["a"]) == {}
        server = tx.instances.get("a")
        assert server is not None
        assert server.server_group is None
        assert server.revision == 2


def test_a_missing_group_is_refused(db: Database) -> None:
    with db.write() as tx:
        for use in (
            lambda: tx.server_groups.get("no"),
            lambda: tx.server_groups.delete("no"),
            lambda: tx.server_groups.add_members("no", ["a"]),
        ):
            with pytest.raises(NotFound, match="no could not be found"):
                use()
