# SPDX-License-Identifier: Apache-2.0
"""Server groups and their members. A member counts while its server is live."""

from __future__ import annotations

import uuid as uuids
from collections.abc import Collection, Mapping, Sequence
from typing import Any

import msgspec
from sqlalchemy import Connection, and_, bindparam, delete, func, insert, select, update

from nova.db.schema.base import now
from nova.db.schema.compute import instances, server_group_members, server_groups
from nova.errors import NotFound, QuotaExceeded
from nova.objects.server_group import ServerGroup

_members = server_group_members
_live_members = _members.join(
    instances, and_(instances.c.uuid == _members.c.instance_uuid, instances.c.deleted == 0)
)
# A group with its members, a row for each member (one with NULL where there is none).
_WITH_MEMBERS = select(server_groups, instances.c.uuid.label("member")).select_from(
    server_groups.outerjoin(_live_members, _members.c.group_id == server_groups.c.id)
)
_BY_UUID = _WITH_MEMBERS.where(server_groups.c.uuid == bindparam("the_uuid")).order_by(
    instances.c.id
)
_HOSTS = (
    select(instances.c.uuid, instances.c.host)
    .select_from(
        _live_members.join(server_groups, server_groups.c.id == _members.c.group_id)
    )
    .where(server_groups.c.uuid == bindparam("the_uuid"), instances.c.host.is_not(None))
)


class ServerGroupStore:
    """Server groups in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def create(
        self,
        *,
        project_id: str,
        user_id: str,
        name: str,
        policy: str,
        rules: Mapping[str, Any] | None = None,
        uuid: str | None = None,
    ) -> ServerGroup:
        """Make an empty group; without ``uuid`` it gets a new one."""
        values: dict[str, Any] = {
            "uuid": uuid or str(uuids.uuid4()), "project_id": project_id, "user_id": user_id,
            "name": name, "policy": policy, "rules": dict(rules or {}), "created_at": now(),
        }
        result = self._connection.execute(insert(server_groups).values(**values))
        key = result.inserted_primary_key
        assert key is not None
        return ServerGroup(int(key[0]), **values)

    def find(self, uuid: str) -> ServerGroup | None:
        """The group with its members, if there is one; one statement."""
        rows = self._connection.execute(_BY_UUID, {"the_uuid": uuid}).all()
        return next(iter(_collect(rows)), None)

    def get(self, uuid: str) -> ServerGroup:
        """As ``find``; ``NotFound`` without it."""
        found = self.find(uuid)
        if found is None:
            raise NotFound(f"Instance group {uuid} could not be found.")
        return found

    def list(
        self, project_id: str | None = None, *, limit: int | None = None, offset: int = 0
    ) -> list[ServerGroup]:
        """The groups of a project (None: of all) with their members, by age; one statement."""
        page = select(server_groups.c.id).order_by(server_groups.c.id)
        if project_id is not None:
            page = page.where(server_groups.c.project_id == project_id)
        if limit is not None:
            page = page.limit(limit)
        if offset:
            # SQLite and MariaDB know OFFSET only behind LIMIT.
            page = page.limit(2**31 - 1 if limit is None else limit).offset(offset)
        chosen = page.subquery()
        rows = self._connection.execute(
            _WITH_MEMBERS.join(chosen, chosen.c.id == server_groups.c.id).order_by(
                server_groups.c.id, instances.c.id
            )
        ).all()
        return _collect(rows)

    def delete(self, uuid: str) -> None:
        """Remove a group; its servers stay. ``NotFound`` without it."""
        result = self._connection.execute(
            delete(server_groups).where(server_groups.c.uuid == uuid)
        )
        if result.rowcount != 1:
            raise NotFound(f"Instance group {uuid} could not be found.")
        self._connection.execute(
            update(instances)
            .where(instances.c.server_group == uuid)
            .values(server_group=None, revision=instances.c.revision + 1)
        )

    def add_members(self, uuid: str, instance_uuids: Collection[str], *, limit: int = -1) -> None:
        """Put servers into a group; ``limit`` is how many it may have, -1 any number.

        The group's row is held until the transaction ends, so that parallel requests cannot exceed
        the limit. Raises ``NotFound``, or ``QuotaExceeded`` with nothing added.
        """
        group_id = self._connection.execute(
            select(server_groups.c.id).where(server_groups.c.uuid == uuid).with_for_update()
        ).scalar_one_or_none()
        if group_id is None:
            raise NotFound(f"Instance group {uuid} could not be found.")
        if limit >= 0:
            present = self._connection.execute(
                select(func.count())
                .select_from(_live_members)
                .where(
                    _members.c.group_id == group_id,
                    _members.c.instance_uuid.not_in(instance_uuids),
                )
            ).scalar_one()
            if present + len(instance_uuids) > limit:
                raise QuotaExceeded("Quota exceeded, too many servers in group")
        if instance_uuids:
            self._connection.execute(
                insert(_members),
                [{"group_id": group_id, "instance_uuid": member} for member in instance_uuids],
            )

    def remove_members(self, instance_uuids: Collection[str]) -> None:
        """Take servers out of whatever group they are in."""
        if instance_uuids:
            self._connection.execute(
                delete(_members).where(_members.c.instance_uuid.in_(instance_uuids))
            )

    def of_instance(self, instance_uuid: str) -> ServerGroup | None:
        """The group that a server is in, with all its members; one statement."""
        mine = select(_members.c.group_id).where(_members.c.instance_uuid == instance_uuid)
        rows = self._connection.execute(
            _WITH_MEMBERS.where(server_groups.c.id.in_(mine)).order_by(
                server_groups.c.id, instances.c.id
            )
        ).all()
        return next(iter(_collect(rows)), None)

    def of_instances(self, instance_uuids: Collection[str]) -> dict[str, str]:
        """{server: group} of those that are in a group; one statement."""
        if not instance_uuids:
            return {}
        rows = self._connection.execute(
            select(_members.c.instance_uuid, server_groups.c.uuid)
            .join(server_groups, server_groups.c.id == _members.c.group_id)
            .where(_members.c.instance_uuid.in_(instance_uuids))
        )
        return {row.instance_uuid: row.uuid for row in rows}

    def hosts_of_members(self, uuid: str) -> dict[str, str]:
        """{server: host} of the group's live, placed members; one statement."""
        rows = self._connection.execute(_HOSTS, {"the_uuid": uuid})
        return {row.uuid: row.host for row in rows}


def _collect(rows: Sequence[Any]) -> list[ServerGroup]:
    """Rows of (group columns, member), groups together, as groups."""
    groups: list[ServerGroup] = []
    members: dict[int, list[str]] = {}
    for row in rows:
        if row.id not in members:
            members[row.id] = []
            groups.append(ServerGroup(*row[:-1]))
        if row.member is not None:
            members[row.id].append(row.member)
    return [
        msgspec.structs.replace(group, members=tuple(members[group.id])) for group in groups
    ]
