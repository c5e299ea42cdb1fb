# SPDX-License-Identifier: Apache-2.0
"""Servers: insert, read, the conditional change of state, metadata and tags.

Listing has a module of its own, ``instance_listing``.
"""

from __future__ import annotations

import datetime
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, bindparam, delete, insert, or_, select, update

from nova.db.schema.base import now
from nova.db.schema.compute import instance_metadata, instance_tags, instances
from nova.db.schema.operations import operations
from nova.objects.instance import Instance

_BY_UUID = select(instances).where(
    instances.c.uuid == bindparam("the_uuid"), instances.c.deleted == 0
)
_BY_UUID_LOCKED = _BY_UUID.with_for_update()
_BY_UUID_ANY = select(instances).where(instances.c.uuid == bindparam("the_uuid"))
_PLACE = (
    update(instances)
    .where(instances.c.uuid == bindparam("the_uuid"))
    .values(
        host=bindparam("new_host"), node=bindparam("new_node"),
        availability_zone=bindparam("new_zone"), task_state=bindparam("new_task_state"),
        network_info=bindparam("new_network_info"), updated_at=bindparam("moment"),
        revision=instances.c.revision + 1,
    )
)


class InstanceStore:
    """Rows of ``instances``. Every write raises ``revision`` by one."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Insert servers; each mapping names every column but ``id``, with metadata and tags inside."""
        self._connection.execute(insert(instances), list(rows))
        metadata_rows = [
            {"instance_uuid": row["uuid"], "key": key, "value": value}
            for row in rows
            for key, value in row["metadata"].items()
        ]
        if metadata_rows:
            self._connection.execute(insert(instance_metadata), metadata_rows)
        tag_rows = [
            {"instance_uuid": row["uuid"], "tag": tag} for row in rows for tag in row["tags"]
        ]
        if tag_rows:
            self._connection.execute(insert(instance_tags), tag_rows)

    def get(
        self, uuid: str, *, deleted: bool = False, lock: bool = False
    ) -> Instance | None:
        """The server of that uuid; a deleted one only where ``deleted`` is set.

        ``lock`` keeps others from writing a live one until the transaction ends.
        """
        statement = _BY_UUID_ANY if deleted else _BY_UUID_LOCKED if lock else _BY_UUID
        row = self._connection.execute(statement, {"the_uuid": uuid}).first()
        return None if row is None else Instance(*row)

    def get_many(self, uuids: Collection[str], *, lock: bool = False) -> dict[str, Instance]:
        """Live servers by uuid; those not there are left out. ``lock`` keeps others from writing them."""
        if not uuids:
            return {}
        statement = select(instances).where(
            instances.c.uuid.in_(uuids), instances.c.deleted == 0
        )
        if lock:
            statement = statement.order_by(instances.c.id).with_for_update()
        return {row.uuid: Instance(*row) for row in self._connection.execute(statement)}

    def update_many(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Place servers read with ``lock``: mappings with the_uuid, host, node, zone, network_info."""
        self._connection.execute(_PLACE, [{**row, "moment": now()} for row in rows])

    def stranded(self) -> list[Instance]:
        """Live servers that show a task but have no open operation (nobody would ever end it)."""
        busy = select(operations.c.instance_uuid).where(
            operations.c.state.in_(("queued", "running"))
        )
        rows = self._connection.execute(
            select(instances).where(
                instances.c.deleted == 0,
                or_(instances.c.task_state.is_not(None), instances.c.vm_state == "building"),
                instances.c.uuid.not_in(busy),
            )
        )
        return [Instance(*row) for row in rows]

    def in_state(
        self,
        vm_state: str,
        *,
        since: str,
        before: datetime.datetime,
        limit: int = 1000,
    ) -> list[Instance]:
        """Live, idle servers in a vm state, whose column ``since`` is older than ``before``."""
        moment = instances.c[since]
        rows = self._connection.execute(
            select(instances)
            .where(
                instances.c.deleted == 0,
                instances.c.vm_state == vm_state,
                instances.c.task_state.is_(None),
                moment < before,
            )
            .order_by(moment)
            .limit(limit)
        )
        return [Instance(*row) for row in rows]

    def building_since(self, before: datetime.datetime) -> list[Instance]:
        """Live servers that were asked for before then and are still being built."""
        rows = self._connection.execute(
            select(instances).where(
                instances.c.deleted == 0,
                instances.c.vm_state == "building",
                instances.c.created_at < before,
            )
        )
        return [Instance(*row) for row in rows]

    def on_host(self, host: str) -> list[Instance]:
        """Live servers of a host."""
        rows = self._connection.execute(
            select(instances).where(instances.c.host == host, instances.c.deleted == 0)
        )
        return [Instance(*row) for row in rows]

    def on_hosts(self) -> list[Instance]:
        """All live, placed servers."""
        rows = self._connection.execute(
            select(instances).where(instances.c.host.is_not(None), instances.c.deleted == 0)
        )
        return [Instance(*row) for row in rows]

    def flavors_on_hosts(self) -> list[tuple[str, str]]:
        """(host, flavor id) of what runs, each pair once."""
        rows = self._connection.execute(
            select(instances.c.host, instances.c.flavorid)
            .where(instances.c.host.is_not(None), instances.c.deleted == 0)
            .distinct()
        )
        return [(row.host, row.flavorid) for row in rows]

    def image_properties_on_hosts(self) -> list[tuple[str, dict[str, Any] | None]]:
        """(host, properties of the image) of each live, placed server."""
        rows = self._connection.execute(
            select(instances.c.host, instances.c.image_properties).where(
                instances.c.host.is_not(None), instances.c.deleted == 0
            )
        )
        return [(row.host, row.image_properties) for row in rows]

    def hosts_of(self, uuids: Collection[str]) -> dict[str, str]:
        """The host of each live, placed server named."""
        if not uuids:
            return {}
        rows = self._connection.execute(
            select(instances.c.uuid, instances.c.host).where(
                instances.c.uuid.in_(uuids),
                instances.c.deleted == 0,
                instances.c.host.is_not(None),
            )
        )
        return {row.uuid: row.host for row in rows}

    def transition(
        self,
        uuid: str,
        changes: Mapping[str, Any],
        *,
        vm_states: Collection[str] | None = None,
        task_states: Collection[str | None] | None = None,
        host: str | None = None,
        revision: int | None = None,
    ) -> bool:
        """Write ``changes`` where the server is live and in one of the states named; None is any.

        With ``revision`` only where nobody has written the row since. The compare and the write are one
        statement. Returns whether the row was changed.
        """
        where = [instances.c.uuid == uuid, instances.c.deleted == 0]
        if revision is not None:
            where.append(instances.c.revision == revision)
        return self._update(where, changes, vm_states, task_states, host)

    def transition_many(
        self,
        uuids: Collection[str],
        changes: Mapping[str, Any],
        *,
        task_states: Collection[str | None] | None = None,
    ) -> bool:
        """The same change for several servers at once; True where all were changed."""
        statement = self._statement(
            [instances.c.uuid.in_(uuids), instances.c.deleted == 0], None, task_states, None
        )
        result = self._connection.execute(statement.values(_stamped(changes)))
        return bool(result.rowcount == len(uuids))

    def update(self, uuid: str, changes: Mapping[str, Any]) -> bool:
        """Write columns that are not state (name, description, addresses …) of a live server."""
        return self.transition(uuid, changes)

    def _update(
        self,
        where: list[Any],
        changes: Mapping[str, Any],
        vm_states: Collection[str] | None,
        task_states: Collection[str | None] | None,
        host: str | None,
    ) -> bool:
        statement = self._statement(where, vm_states, task_states, host)
        return self._connection.execute(statement.values(_stamped(changes))).rowcount == 1

    def _statement(
        self,
        where: list[Any],
        vm_states: Collection[str] | None,
        task_states: Collection[str | None] | None,
        host: str | None,
    ) -> Any:
        if vm_states is not None:
            where.append(instances.c.vm_state.in_(vm_states))
        if task_states is not None:
            named = [state for state in task_states if state is not None]
            choices: list[Any] = []
            if None in task_states:
                choices.append(instances.c.task_state.is_(None))
            if named:
                choices.append(instances.c.task_state.in_(named))
            where.append(or_(*choices))
        if host is not None:
            where.append(instances.c.host == host)
        return update(instances).where(*where)

    def mark_deleted(self, uuid: str, moment: datetime.datetime) -> bool:
        """Turn a live row into a deleted one; False where it was deleted before."""
        result = self._connection.execute(
            update(instances)
            .where(instances.c.uuid == uuid, instances.c.deleted == 0)
            .values(
                deleted=instances.c.id, deleted_at=moment, terminated_at=moment,
                updated_at=moment, vm_state="deleted", task_state=None, power_state=0,
                host=None, node=None, network_info=(),
                revision=instances.c.revision + 1,
            )
        )
        return result.rowcount == 1

    def set_metadata(self, uuid: str, metadata: Mapping[str, str]) -> None:
        """Replace a server's metadata."""
        self._connection.execute(
            delete(instance_metadata).where(instance_metadata.c.instance_uuid == uuid)
        )
        if metadata:
            self._connection.execute(
                insert(instance_metadata),
                [
                    {"instance_uuid": uuid, "key": key, "value": value}
                    for key, value in metadata.items()
                ],
            )
        self.update(uuid, {"metadata": dict(metadata)})

    def set_tags(self, uuid: str, tags: Sequence[str]) -> None:
        """Replace a server's tags."""
        self._connection.execute(
            delete(instance_tags).where(instance_tags.c.instance_uuid == uuid)
        )
        if tags:
            self._connection.execute(
                insert(instance_tags), [{"instance_uuid": uuid, "tag": tag} for tag in tags]
            )
        self.update(uuid, {"tags": list(tags)})


def _stamped(changes: Mapping[str, Any]) -> dict[str, Any]:
    """The changes with the time and the next revision."""
    return {"updated_at": now(), "revision": instances.c.revision + 1, **changes}
