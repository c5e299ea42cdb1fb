# SPDX-License-Identifier: Apache-2.0
"""Limits of projects and users, and what projects use, counted without a race.

A project's usage is one row. A request is counted by one conditional UPDATE of it, so that parallel
requests can never exceed a limit; the row stays locked until the caller's transaction ends.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy import (
    BigInteger,
    Connection,
    Update,
    and_,
    bindparam,
    case,
    delete,
    exists,
    func,
    insert,
    null,
    or_,
    select,
    true,
    union_all,
    update,
)

from nova.db.insert_new import insert_new
from nova.db.schema.compute import (
    instances,
    project_usages,
    quota_classes,
    quotas,
    server_groups,
)
from nova.db.schema.network import (
    fixed_ips,
    floating_ips,
    security_groups,
    virtual_interfaces,
)
from nova.db.schema.operations import operations
from nova.errors import QuotaExceeded
from nova.objects.quota import COUNTED, CardUsage, LimitRecord, ProjectUsage
from nova.objects.states import BUILDING, RESIZED, RESTORING, SOFT_DELETED

DEFAULT_CLASS = "default"

_USAGE = select(project_usages).where(project_usages.c.project_id == bindparam("the_project"))
_USAGE_LOCKED = _USAGE.with_for_update()
# Class rows have no user, project rows the user '', rows of one user its id.
_LIMITS = union_all(
    select(null().label("user_id"), quota_classes.c.resource, quota_classes.c.hard_limit).where(
        quota_classes.c.class_name == DEFAULT_CLASS
    ),
    select(quotas.c.user_id, quotas.c.resource, quotas.c.hard_limit).where(
        quotas.c.project_id == bindparam("the_project"),
        or_(quotas.c.user_id == "", quotas.c.user_id == bindparam("the_user")),
    ),
)
# One that waits for its deletion is not counted, but again from the moment it is restored.
_COUNTED_INSTANCES = and_(
    instances.c.deleted == 0,
    or_(instances.c.vm_state != SOFT_DELETED, instances.c.task_state == RESTORING),
)
_RESIZED = select(
    instances.c.vcpus, instances.c.memory_mb, instances.c.system_metadata, instances.c.user_id
).where(
    instances.c.project_id == bindparam("the_project"),
    instances.c.deleted == 0,
    instances.c.vm_state == RESIZED,
)
_ADDRESSES = (
    select(func.count())
    .select_from(
        fixed_ips.join(
            virtual_interfaces, virtual_interfaces.c.uuid == fixed_ips.c.virtual_interface_uuid
        )
    )
    .where(virtual_interfaces.c.project_id == bindparam("the_project"), fixed_ips.c.allocated == true())
)
# What the boots of a project ask for whose servers have no cards yet.
_WAITING = (
    select(operations.c.payload)
    .select_from(operations.join(instances, instances.c.uuid == operations.c.instance_uuid))
    .where(
        instances.c.project_id == bindparam("the_project"),
        instances.c.deleted == 0,
        instances.c.vm_state == BUILDING,
        operations.c.flow == "create",
        operations.c.finished_at.is_(None),
        ~exists().where(virtual_interfaces.c.instance_uuid == instances.c.uuid),
    )
)


class QuotaStore:
    """Limits and usage in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def limit_record(self, project_id: str, user_id: str = "") -> LimitRecord:
        """The limits set for the default class, a project and one user in it; one statement."""
        record = LimitRecord({}, {}, {})
        rows = self._connection.execute(
            _LIMITS, {"the_project": project_id, "the_user": user_id}
        )
        for user, resource, limit in rows:
            if user is None:
                record.of_class[resource] = limit
            elif user == "":
                record.of_project[resource] = limit
            else:
                record.of_user[resource] = limit
        return record

    def limits(
        self, project_id: str, user_id: str, defaults: Mapping[str, int]
    ) -> dict[str, int]:
        """The limit of every resource in ``defaults``; -1 is no limit. One statement.

        The nearest counts: the user's, the project's, the default class's, the one in ``defaults``.
        """
        record = self.limit_record(project_id, user_id)
        found = {**defaults, **record.of_class, **record.of_project, **record.of_user}
        return {resource: found[resource] for resource in defaults}

    def set(self, project_id: str, limits: Mapping[str, int], *, user_id: str = "") -> None:
        """Set limits of a project, or of one user in it; those not named stay."""
        if not limits:
            return
        self._connection.execute(
            delete(quotas).where(
                quotas.c.project_id == project_id,
                quotas.c.user_id == user_id,
                quotas.c.resource.in_(limits),
            )
        )
        self._connection.execute(
            insert(quotas),
            [
                {
                    "project_id": project_id, "user_id": user_id, "resource": resource,
                    "hard_limit": limit,
                }
                for resource, limit in limits.items()
            ],
        )

    def delete(self, project_id: str, *, user_id: str | None = None) -> None:
        """Forget the limits of one user in a project; None: of the project and all its users."""
        statement = delete(quotas).where(quotas.c.project_id == project_id)
        if user_id is not None:
            statement = statement.where(quotas.c.user_id == user_id)
        self._connection.execute(statement)

    def set_class(self, class_name: str, limits: Mapping[str, int]) -> None:
        """Set limits of a quota class; only the class ``default`` counts for projects."""
        if not limits:
            return
        self._connection.execute(
            delete(quota_classes).where(
                quota_classes.c.class_name == class_name, quota_classes.c.resource.in_(limits)
            )
        )
        self._connection.execute(
            insert(quota_classes),
            [
                {"class_name": class_name, "resource": resource, "hard_limit": limit}
                for resource, limit in limits.items()
            ],
        )

    def class_limits(self, class_name: str = DEFAULT_CLASS) -> dict[str, int]:
        """What was set for a quota class."""
        rows = self._connection.execute(
            select(quota_classes.c.resource, quota_classes.c.hard_limit).where(
                quota_classes.c.class_name == class_name
            )
        )
        return {row.resource: row.hard_limit for row in rows}

    def given_to_users(self, project_id: str) -> dict[str, int]:
        """How much of each resource the limits of the project's users give away in sum."""
        rows = self._connection.execute(
            select(quotas.c.resource, func.sum(quotas.c.hard_limit).label("given"))
            .where(
                quotas.c.project_id == project_id,
                quotas.c.user_id != "",
                quotas.c.hard_limit > 0,
            )
            .group_by(quotas.c.resource)
        )
        return {row.resource: int(row.given) for row in rows}

    def usage(self, project_id: str) -> ProjectUsage:
        """What a project uses now."""
        row = self._connection.execute(_USAGE, {"the_project": project_id}).first()
        return ProjectUsage(project_id) if row is None else ProjectUsage(*row)

    def usage_of_user(self, project_id: str, user_id: str) -> ProjectUsage:
        """What one user uses in a project, counted from the rows; addresses have no user."""
        return ProjectUsage(
            project_id,
            *self._count_servers(project_id, user_id),
            security_groups=self._count(security_groups, project_id, user_id),
            server_groups=self._count(server_groups, project_id, user_id),
        )

    def reserve(
        self, project_id: str, deltas: Mapping[str, int], limits: Mapping[str, int]
    ) -> None:
        """Count ``deltas`` (of ``COUNTED`` resources) to a project, by one conditional UPDATE.

        A limit of -1, or none named, is no limit; a delta that is not positive is never refused.
        Raises ``QuotaExceeded`` with nothing counted where any resource would be over its limit.
        """
        wanted = {resource: delta for resource, delta in deltas.items() if delta}
        if not wanted:
            return
        limited = tuple(
            resource
            for resource, delta in wanted.items()
            if delta > 0 and limits.get(resource, -1) >= 0
        )
        statement = _conditional_update(tuple(wanted), limited)
        values: dict[str, Any] = {"the_project": project_id}
        for resource, delta in wanted.items():
            values[f"d_{resource}"] = delta
        for resource in limited:
            values[f"l_{resource}"] = limits[resource]
        if self._connection.execute(statement, values).rowcount:
            return
        self._ensure_row(project_id)
        if self._connection.execute(statement, values).rowcount:
            return
        raise _refusal(self.usage(project_id), wanted, limits)

    def reserve_for_user(
        self,
        project_id: str,
        user_id: str,
        deltas: Mapping[str, int],
        limits: Mapping[str, int],
        user_limits: Mapping[str, int],
    ) -> None:
        """As ``reserve``, with limits of one user as well, for servers (instances, cores, ram).

        A user's usage is counted from the rows while the project's row is locked, so the servers
        have to be inserted in the same transaction. Without ``user_limits`` it costs no more than
        ``reserve``.
        """
        self.reserve(project_id, deltas, limits)
        if not user_limits.keys() & deltas.keys():
            return
        used = self.usage_of_user(project_id, user_id)
        over = any(
            delta > 0 and 0 <= user_limits.get(resource, -1) < getattr(used, resource) + delta
            for resource, delta in deltas.items()
        )
        if over:
            self.release(project_id, deltas)
            raise _refusal(used, deltas, user_limits)

    def release(self, project_id: str, deltas: Mapping[str, int]) -> None:
        """Give back what a project no longer uses; never below 0."""
        columns = {
            resource: case(
                (project_usages.c[resource] > delta, project_usages.c[resource] - delta), else_=0
            )
            for resource, delta in deltas.items()
            if delta
        }
        if columns:
            self._connection.execute(
                update(project_usages)
                .where(project_usages.c.project_id == project_id)
                .values(**columns)
            )

    def force_usage(self, project_id: str) -> ProjectUsage:
        """Count a project's usage again from the rows and store it, for audits.

        The usage row is held meanwhile, so that no request is counted twice or lost.
        """
        self.hold(project_id)
        usage = ProjectUsage(
            project_id,
            *self._count_servers(project_id),
            floating_ips=self._count(floating_ips, project_id),
            security_groups=self._count(security_groups, project_id),
            server_groups=self._count(server_groups, project_id),
        )
        self._connection.execute(
            update(project_usages)
            .where(project_usages.c.project_id == project_id)
            .values({resource: getattr(usage, resource) for resource in COUNTED})
        )
        return usage

    def hold(self, project_id: str) -> None:
        """Let other requests of the project that are counted wait until this transaction ends."""
        self._ensure_row(project_id)
        self._connection.execute(_USAGE_LOCKED, {"the_project": project_id}).first()

    def addresses(self, project_id: str) -> int:
        """How many fixed addresses the cards of a project have."""
        return int(
            self._connection.execute(_ADDRESSES, {"the_project": project_id}).scalar_one()
        )

    def cards(self, project_id: str, automatic: Callable[[], int]) -> CardUsage:
        """The cards and addresses of a project; ``automatic`` as ``check_cards`` has it."""
        waiting = self._connection.execute(_WAITING, {"the_project": project_id}).scalars().all()
        asked = [payload.get("networks") for payload in waiting]
        unnamed = sum(networks is None for networks in asked)
        to_come = sum(
            network.get("port_id") is None for networks in asked for network in networks or ()
        )
        return CardUsage(
            cards=self._count(virtual_interfaces, project_id),
            addresses=self.addresses(project_id),
            to_come=to_come + (unnamed * automatic() if unnamed else 0),
        )

    def _count_servers(self, project_id: str, user_id: str | None = None) -> tuple[int, int, int]:
        """Servers, virtual CPUs and memory; soft-deleted servers are not counted."""
        statement = select(
            func.count(), func.sum(instances.c.vcpus), func.sum(instances.c.memory_mb)
        ).where(instances.c.project_id == project_id, _COUNTED_INSTANCES)
        if user_id is not None:
            statement = statement.where(instances.c.user_id == user_id)
        number, cores, ram = self._connection.execute(statement).one()
        more_cores, more_ram = self._old_sides(project_id, user_id)
        return number, int(cores or 0) + more_cores, int(ram or 0) + more_ram

    def _old_sides(self, project_id: str, user_id: str | None) -> tuple[int, int]:
        """What unconfirmed resizes count beyond their new size: a revert must not lack room."""
        cores = ram = 0
        rows = self._connection.execute(_RESIZED, {"the_project": project_id})
        for vcpus, memory_mb, facts, owner in rows:
            old = (facts or {}).get("old_flavor")
            if old and user_id in (None, owner):
                cores += max(0, old["vcpus"] - vcpus)
                ram += max(0, old["memory_mb"] - memory_mb)
        return cores, ram

    def _count(self, table: Any, project_id: str, user_id: str | None = None) -> int:
        statement = select(func.count()).where(table.c.project_id == project_id)
        if user_id is not None:
            statement = statement.where(table.c.user_id == user_id)
        return int(self._connection.execute(statement).scalar_one())

    def _ensure_row(self, project_id: str) -> None:
        if self._connection.execute(_USAGE, {"the_project": project_id}).first() is not None:
            return
        self._connection.execute(
            # Where another transaction has not made it in between.
            insert_new(project_usages, self._connection.dialect.name, "project_id"),
            {"project_id": project_id, **dict.fromkeys(COUNTED, 0)},
        )


#: The UPDATE for each combination of resources and of limited ones among them.
_statements: dict[tuple[tuple[str, ...], tuple[str, ...]], Update] = {}


def _conditional_update(wanted: tuple[str, ...], limited: tuple[str, ...]) -> Update:
    """The UPDATE that adds ``wanted`` where every one of ``limited`` stays within its limit."""
    key = (wanted, limited)
    statement = _statements.get(key)
    if statement is None:
        columns = project_usages.c
        amount = {
            resource: bindparam(f"d_{resource}", type_=BigInteger) for resource in wanted
        }
        statement = _statements[key] = (
            update(project_usages)
            .where(
                columns.project_id == bindparam("the_project"),
                *(
                    columns[resource] + amount[resource]
                    <= bindparam(f"l_{resource}", type_=BigInteger)
                    for resource in limited
                ),
            )
            .values({resource: columns[resource] + amount[resource] for resource in wanted})
        )
    return statement


def _refusal(
    usage: ProjectUsage, deltas: Mapping[str, int], limits: Mapping[str, int]
) -> QuotaExceeded:
    over = [
        resource
        for resource, delta in deltas.items()
        if delta > 0 and 0 <= limits.get(resource, -1) < getattr(usage, resource) + delta
    ]
    names = ", ".join(over)
    requested = ", ".join(str(deltas[resource]) for resource in over)
    used = ", ".join(str(getattr(usage, resource)) for resource in over)
    allowed = ", ".join(str(limits[resource]) for resource in over)
    return QuotaExceeded(
        f"Quota exceeded for {names}: Requested {requested}, "
        f"but already used {used} of {allowed} {names}"
    )
