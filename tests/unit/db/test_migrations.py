# SPDX-License-Identifier: Apache-2.0
"""The records of moves between hosts."""

from __future__ import annotations

from pathlib import Path

from nova.db.engine import Database
from nova.db.schema import metadata
from nova.objects.migration import EVACUATION, RESIZE, Migration


def test_the_evacuations_that_are_done_end_when_their_host_is_back(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(db.engine)
    with db.write() as tx:
        made = [
            tx.migrations.create(
                Migration(
                    id=0, uuid="", instance_uuid=f"i{n}", operation_id=None, migration_type=kind,
                    status=status, source_compute=source,
                )
            )
            for n, (kind, status, source) in enumerate(
                [
                    (EVACUATION, "done", "dead"), (EVACUATION, "running", "dead"),
                    (EVACUATION, "done", "other"), (RESIZE, "done", "dead"),
                ]
            )
        ]
        assert tx.migrations.complete_evacuations_from("dead") == 1
        assert tx.migrations.complete_evacuations_from("dead") == 0
    with db.read() as tx:
        after = [tx.migrations.get_by_uuid(each.uuid) for each in made]
    assert [each.status for each in after if each is not None] == [
        "completed", "running", "done", "done",
    ]
