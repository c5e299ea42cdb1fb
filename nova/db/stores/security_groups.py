# SPDX-License-Identifier: Apache-2.0
"""Security groups, their rules and their members."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    delete,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.exc import IntegrityError

from nova.db.insert_new import insert_new
from nova.db.schema.base import now
from nova.db.schema.network import (
    security_group_default_rules,
    security_group_members,
    security_group_rules,
    security_groups,
)
from nova.errors import BadRequest, NotFound
from nova.objects.network import DefaultRule, SecurityGroup, SecurityGroupRule

_group = security_groups.c
_rule = security_group_rules.c
_member = security_group_members.c

_source = security_groups.alias("source_groups")
_RULES = (
    select(security_group_rules, _source.c.name, _source.c.project_id, _source.c.uuid)
    .select_from(
        security_group_rules.outerjoin(_source, _source.c.id == _rule.source_group_id)
    )
    .order_by(_rule.id)
)
_GROUPS = select(security_groups).order_by(_group.project_id, _group.name)
_IDS = select(_group.name, _group.id).where(
    _group.project_id == bindparam("project"),
    _group.name.in_(bindparam("names", expanding=True)),
)
# The rules that every group begins with. Nobody named their ranges, so nobody is shown them.
_EVERYTHING_LEAVES = tuple(
    {"direction": "egress", "ethertype": ethertype, "cidr": cidr, "facts": {"anywhere": True}}
    for ethertype, cidr in (("IPv4", "0.0.0.0/0"), ("IPv6", "::/0"))
)
_NAMES = (
    select(_member.instance_uuid, _group.name)
    .select_from(security_group_members.join(security_groups))
    .where(_member.instance_uuid.in_(bindparam("uuids", expanding=True)))
    .order_by(_group.name)
)


class SecurityGroupStore:
    """Security groups in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- groups ------------------------------------------------------------------------------------

    def create(
        self, project_id: str, user_id: str, name: str, description: str
    ) -> SecurityGroup:
        """Make a group that lets everything out and nothing in.

        Raises ``BadRequest`` where the project has one of that name.
        """
        savepoint = self._connection.begin_nested()
        try:
            result = self._connection.execute(
                insert(security_groups).values(
                    project_id=project_id, user_id=user_id, name=name, description=description,
                    created_at=now(),
                )
            )
        except IntegrityError:
            savepoint.rollback()
            raise BadRequest(f"Security group {name} already exists") from None
        savepoint.commit()
        key = result.inserted_primary_key
        assert key is not None
        group_id = int(key[0])
        self._connection.execute(
            insert(security_group_rules),
            [{**each, "group_id": group_id, "created_at": now()} for each in _EVERYTHING_LEAVES],
        )
        return self.get(group_id)

    def find(self, project_id: str, name: str) -> SecurityGroup | None:
        """The project's group of that name with its rules, if there is one."""
        found = self._read(_group.project_id == project_id, _group.name == name)
        return found[0] if found else None

    def get(self, group_id: int) -> SecurityGroup:
        """The group of that id with its rules; ``NotFound`` without it."""
        found = self._read(_group.id == group_id)
        if not found:
            raise NotFound(f"Security group {group_id} not found.")
        return found[0]

    def find_by_uuid(self, uuid: str) -> SecurityGroup | None:
        """The group of that uuid with its rules, if there is one."""
        found = self._read(_group.uuid == uuid)
        return found[0] if found else None

    def by_uuids(self, uuids: Sequence[str]) -> list[SecurityGroup]:
        """The groups of those uuids, with their rules; unknown ones are left out."""
        return self._read(_group.uuid.in_(uuids))

    def describe(self, group_id: int, facts: Mapping[str, Any] | None) -> None:
        """Write a group's facts and count the change."""
        self._connection.execute(
            update(security_groups)
            .where(_group.id == group_id)
            .values(
                facts=None if facts is None else dict(facts), updated_at=now(),
                revision=_group.revision + 1,
            )
        )

    def of_project(self, project_id: str) -> list[SecurityGroup]:
        """The groups of a project with their rules, by name."""
        return self._read(_group.project_id == project_id)

    def every(self) -> list[SecurityGroup]:
        """All groups with their rules, by project and name."""
        return self._read()

    def update(self, group_id: int, name: str, description: str) -> SecurityGroup:
        """Rename a group; ``NotFound``, or ``BadRequest`` where the new name is taken."""
        savepoint = self._connection.begin_nested()
        try:
            self._connection.execute(
                update(security_groups)
                .where(_group.id == group_id)
                .values(name=name, description=description, updated_at=now())
            )
        except IntegrityError:
            savepoint.rollback()
            raise BadRequest(f"Security group {name} already exists") from None
        savepoint.commit()
        return self.get(group_id)

    def delete(self, group_id: int) -> None:
        """Remove a group, its rules and the rules of others that name it."""
        self._connection.execute(delete(security_groups).where(_group.id == group_id))

    def count_of(self, project_id: str) -> int:
        """How many groups a project has."""
        statement = select(func.count()).where(_group.project_id == project_id)
        return int(self._connection.execute(statement).scalar_one())

    # -- rules -------------------------------------------------------------------------------------

    def add_rule(
        self,
        group_id: int,
        *,
        protocol: str | None,
        from_port: int | None,
        to_port: int | None,
        cidr: str | None,
        source_group_id: int | None,
        direction: str = "ingress",
        ethertype: str | None = None,
        facts: Mapping[str, Any] | None = None,
    ) -> SecurityGroupRule:
        """Add a rule to a group; the caller has checked it."""
        result = self._connection.execute(
            insert(security_group_rules).values(
                group_id=group_id, protocol=protocol, from_port=from_port, to_port=to_port,
                cidr=cidr, source_group_id=source_group_id, created_at=now(),
                direction=direction, ethertype=ethertype,
                facts=None if facts is None else dict(facts),
            )
        )
        key = result.inserted_primary_key
        assert key is not None
        return self.get_rule(int(key[0]))

    def get_rule(self, rule_id: int) -> SecurityGroupRule:
        """The rule of that id; ``NotFound`` without it."""
        row = self._connection.execute(_RULES.where(_rule.id == rule_id)).one_or_none()
        if row is None:
            raise NotFound(f"Security group rule {rule_id} not found.")
        return SecurityGroupRule(*row)

    def find_rule(self, uuid: str) -> SecurityGroupRule | None:
        """The rule of that uuid, if there is one."""
        row = self._connection.execute(_RULES.where(_rule.uuid == uuid)).one_or_none()
        return None if row is None else SecurityGroupRule(*row)

    def delete_rule(self, rule_id: int) -> None:
        """Remove a rule; ``NotFound`` without it."""
        result = self._connection.execute(
            delete(security_group_rules).where(_rule.id == rule_id)
        )
        if result.rowcount == 0:
            raise NotFound(f"Security group rule {rule_id} not found.")

    # -- rules that a new default group starts with ------------------------------------------------

    def default_rules(self) -> list[DefaultRule]:
        """The rules that new ``default`` groups start with."""
        rows = self._connection.execute(
            select(security_group_default_rules).order_by(security_group_default_rules.c.id)
        )
        return [DefaultRule(*row) for row in rows]

    def get_default_rule(self, rule_id: int) -> DefaultRule:
        """The default rule of that id; ``NotFound`` without it."""
        row = self._connection.execute(
            select(security_group_default_rules).where(
                security_group_default_rules.c.id == rule_id
            )
        ).one_or_none()
        if row is None:
            raise NotFound(f"Security group default rule ({rule_id}) not found.")
        return DefaultRule(*row)

    def add_default_rule(
        self, *, protocol: str | None, from_port: int | None, to_port: int | None, cidr: str | None
    ) -> DefaultRule:
        """Add a rule for ``default`` groups made from now on."""
        result = self._connection.execute(
            insert(security_group_default_rules).values(
                protocol=protocol, from_port=from_port, to_port=to_port, cidr=cidr,
                created_at=now(),
            )
        )
        key = result.inserted_primary_key
        assert key is not None
        return self.get_default_rule(int(key[0]))

    def delete_default_rule(self, rule_id: int) -> None:
        """Remove a default rule; ``NotFound`` without it."""
        result = self._connection.execute(
            delete(security_group_default_rules).where(
                security_group_default_rules.c.id == rule_id
            )
        )
        if result.rowcount == 0:
            raise NotFound(f"Security group default rule ({rule_id}) not found.")

    # -- members -----------------------------------------------------------------------------------

    def ids_of(self, project_id: str, names: Sequence[str]) -> dict[str, int]:
        """The ids of a project's groups by name; names without a group are left out."""
        rows = self._connection.execute(_IDS, {"project": project_id, "names": names})
        return {row[0]: row[1] for row in rows}

    def add_members(self, memberships: Sequence[tuple[int, str]]) -> None:
        """Put instances into groups: (group id, instance uuid); those in it already stay."""
        if memberships:
            self._connection.execute(
                insert_new(security_group_members, self._connection.dialect.name),
                [{"group_id": group, "instance_uuid": uuid} for group, uuid in memberships],
            )

    def remove_member(self, group_id: int, instance_uuid: str) -> bool:
        """Take an instance out of a group; false if it was not in it."""
        result = self._connection.execute(
            delete(security_group_members).where(
                _member.group_id == group_id, _member.instance_uuid == instance_uuid
            )
        )
        return result.rowcount > 0

    def remove_instances(self, instance_uuids: Sequence[str]) -> None:
        """Take instances out of all their groups; repeating it is no error."""
        self._connection.execute(
            delete(security_group_members).where(_member.instance_uuid.in_(instance_uuids))
        )

    def names_of(self, instance_uuids: Sequence[str]) -> dict[str, list[str]]:
        """The sorted names of each instance's groups; [] for one in none."""
        names: dict[str, list[str]] = {uuid: [] for uuid in instance_uuids}
        for uuid, name in self._connection.execute(_NAMES, {"uuids": instance_uuids}):
            names[uuid].append(name)
        return names

    def of_instance(self, instance_uuid: str) -> list[SecurityGroup]:
        """The groups that an instance is in, with their rules."""
        return self._read(
            _group.id.in_(select(_member.group_id).where(_member.instance_uuid == instance_uuid))
        )

    def members_of(self, group_ids: Sequence[int]) -> dict[int, list[str]]:
        """The uuids of the instances in each group."""
        members: dict[int, list[str]] = {group_id: [] for group_id in group_ids}
        rows = self._connection.execute(
            select(_member.group_id, _member.instance_uuid).where(_member.group_id.in_(group_ids))
        )
        for group_id, uuid in rows:
            members[group_id].append(uuid)
        return members

    def of_member(self, member: str) -> list[SecurityGroup]:
        """The groups of a server, or of a port that has none, without their rules."""
        rows = self._connection.execute(
            select(security_groups)
            .select_from(security_groups.join(security_group_members))
            .where(_member.instance_uuid == member)
            .order_by(_group.name)
        )
        return [SecurityGroup(*row) for row in rows]

    def in_use(self, group_id: int) -> bool:
        """Whether any instance is in the group."""
        statement = select(_member.instance_uuid).where(_member.group_id == group_id).limit(1)
        return self._connection.execute(statement).one_or_none() is not None

    def _read(self, *conditions: Any) -> list[SecurityGroup]:
        groups = self._connection.execute(_GROUPS.where(*conditions)).all()
        if not groups:
            return []
        rules: dict[int, list[SecurityGroupRule]] = {}
        chosen = select(_group.id).where(*conditions)
        for row in self._connection.execute(_RULES.where(_rule.group_id.in_(chosen))):
            rules.setdefault(row.group_id, []).append(SecurityGroupRule(*row))
        return [SecurityGroup(*(*row, tuple(rules.get(row.id, ())))) for row in groups]
