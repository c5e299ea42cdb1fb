# SPDX-License-Identifier: Apache-2.0
"""Floating addresses: public ones that lead to fixed ones."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    Connection,
    Select,
    bindparam,
    case,
    delete,
    exists,
    false,
    func,
    insert,
    null,
    select,
    true,
    update,
)
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.network import fixed_ips, floating_ips
from nova.errors import Conflict, NotFound
from nova.objects.network import FloatingIP

_floating = floating_ips.c
_BATCH = 500

_EVERY = (
    select(
        floating_ips, fixed_ips.c.address, fixed_ips.c.instance_uuid,
        fixed_ips.c.virtual_interface_uuid, fixed_ips.c.network_id,
    )
    .select_from(floating_ips.outerjoin(fixed_ips, fixed_ips.c.id == _floating.fixed_ip_id))
    .order_by(_floating.id)
)
_HELD_BY = select(fixed_ips.c.id).where(
    fixed_ips.c.instance_uuid.in_(bindparam("uuids", expanding=True))
)


class FloatingIPStore:
    """Floating addresses in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    # -- the administrator's side ------------------------------------------------------------------

    def create_many(self, addresses: Sequence[str], pool: str, interface: str | None) -> None:
        """Add addresses to a pool; ``Conflict``, naming one, where any is there already."""
        if not addresses:
            return
        for start in range(0, len(addresses), _BATCH):
            there = self._connection.execute(
                select(_floating.address)
                .where(_floating.address.in_(addresses[start : start + _BATCH]))
                .limit(1)
            ).scalar_one_or_none()
            if there is not None:
                raise Conflict(f"Floating ip {there} already exists.")
        moment = now()
        try:
            self._connection.execute(
                insert(floating_ips),
                [
                    {
                        "address": each, "pool": pool, "interface": interface,
                        "auto_assigned": False, "created_at": moment,
                    }
                    for each in addresses
                ],
            )
        except IntegrityError as error:
            raise Conflict("A floating ip of the range already exists.") from error

    def delete_many(self, addresses: Sequence[str]) -> Mapping[str, int]:
        """Remove addresses; returns how many of them each project held (for its quota).

        Those that are not there are passed over. ``Conflict``, with nothing removed, while one of
        them leads to a fixed address.
        """
        held: Counter[str] = Counter()
        for start in range(0, len(addresses), _BATCH):
            part = addresses[start : start + _BATCH]
            for address, fixed, project_id, automatic in self._connection.execute(
                select(
                    _floating.address, _floating.fixed_ip_id, _floating.project_id,
                    _floating.auto_assigned,
                ).where(_floating.address.in_(part))
            ):
                if fixed is not None:
                    raise Conflict(f"Floating ip {address} is associated.")
                if project_id is not None and not automatic:
                    held[project_id] += 1
        for start in range(0, len(addresses), _BATCH):
            self._connection.execute(
                delete(floating_ips).where(
                    _floating.address.in_(addresses[start : start + _BATCH])
                )
            )
        return held

    def every(self, host: str | None = None) -> list[FloatingIP]:
        """All floating addresses, or those served by one host."""
        statement = _EVERY if host is None else _EVERY.where(_floating.host == host)
        return self._read(statement)

    def pools(self) -> list[str]:
        """The names of the pools, sorted."""
        statement = select(_floating.pool).distinct().order_by(_floating.pool)
        return list(self._connection.execute(statement).scalars())

    def addresses_of(self, pools: Sequence[str]) -> dict[str, tuple[str, ...]]:
        """The addresses of pools, in the order in which they were added."""
        found: dict[str, list[str]] = {}
        rows = self._connection.execute(
            select(_floating.pool, _floating.address)
            .where(_floating.pool.in_(pools))
            .order_by(_floating.id)
        )
        for pool, address in rows.all():
            found.setdefault(pool, []).append(address)
        return {pool: tuple(addresses) for pool, addresses in found.items()}

    # -- the project's side ------------------------------------------------------------------------

    def of_project(self, project_id: str) -> list[FloatingIP]:
        """The addresses that a project holds, with the instances that they lead to."""
        return self._read(_EVERY.where(_floating.project_id == project_id))

    def count_of(self, project_id: str) -> int:
        """How many addresses count against a project's quota: not those assigned automatically."""
        statement = select(func.count()).where(
            _floating.project_id == project_id, _floating.auto_assigned == false()
        )
        return int(self._connection.execute(statement).scalar_one())

    def get(self, floating_ip_id: int) -> FloatingIP:
        """The address of that id; ``NotFound`` without it."""
        found = self._read(_EVERY.where(_floating.id == floating_ip_id))
        if not found:
            raise NotFound(f"Floating ip not found for id {floating_ip_id}.")
        return found[0]

    def get_by_address(self, address: str) -> FloatingIP:
        """The row of that address; ``NotFound`` without it."""
        found = self._read(_EVERY.where(_floating.address == address))
        if not found:
            raise NotFound(f"Floating ip not found for address {address}.")
        return found[0]

    def find_by_uuid(self, uuid: str) -> FloatingIP | None:
        """The address of that uuid, if there is one."""
        found = self._read(_EVERY.where(_floating.uuid == uuid))
        return found[0] if found else None

    def allocate_address(self, project_id: str, pool: str, address: str) -> FloatingIP | None:
        """Give one named free address of a pool to a project; None where that cannot be."""
        taken = self._connection.execute(
            update(floating_ips)
            .where(
                _floating.pool == pool, _floating.address == address,
                _floating.project_id.is_(None),
            )
            .values(project_id=project_id, auto_assigned=False, updated_at=now())
        ).rowcount
        return self.get_by_address(address) if taken else None

    def describe(self, floating_ip_id: int, facts: Mapping[str, Any] | None) -> None:
        """Write an address's facts and count the change."""
        self._set(
            _floating.id == floating_ip_id, facts=None if facts is None else dict(facts),
            revision=_floating.revision + 1,
        )

    def allocate(self, project_id: str, pool: str) -> FloatingIP:
        """Give a free address of a pool to a project.

        Raises ``NotFound`` for a pool that does not exist and for one that has no free address
        left.
        """
        return self.get(self._take(pool, project_id, auto_assigned=False))

    def assign_automatically(
        self, pool: str, project_id: str, fixed_ip_id: int, host: str | None
    ) -> None:
        """Take a free address and lead it to a fixed one; it returns to the pool with the instance.

        Raises ``NotFound`` like ``allocate``.
        """
        taken = self._take(pool, project_id, auto_assigned=True)
        self._set(_floating.id == taken, fixed_ip_id=fixed_ip_id, host=host)

    def give_back(self, floating_ip_id: int) -> None:
        """Return an address to its pool; it leads nowhere afterwards."""
        self._set(
            _floating.id == floating_ip_id,
            project_id=None, fixed_ip_id=None, host=None, auto_assigned=False, facts=None,
        )

    def associate(self, floating_ip_id: int, fixed_ip_id: int, host: str | None) -> None:
        """Lead an address to a fixed one, away from where it led before."""
        self._set(_floating.id == floating_ip_id, fixed_ip_id=fixed_ip_id, host=host)

    def disassociate(self, floating_ip_id: int) -> None:
        """Let an address lead nowhere; an automatically assigned one returns to its pool."""
        self._disassociate(_floating.id == floating_ip_id)

    def disassociate_fixed(self, instance_uuid: str, fixed_address: str) -> None:
        """Let nothing lead to one fixed address of an instance."""
        held = select(fixed_ips.c.id).where(
            fixed_ips.c.instance_uuid == instance_uuid, fixed_ips.c.address == fixed_address
        )
        self._disassociate(_floating.fixed_ip_id.in_(held))

    def disassociate_instances(self, instance_uuids: Sequence[str]) -> None:
        """Let nothing lead to any address of instances; repeating it is no error."""
        self._connection.execute(
            _DISASSOCIATE_INSTANCES, {"uuids": instance_uuids, "moment": now()}
        )

    def disassociate_row(self, fixed_ip_id: int) -> None:
        """Let nothing lead to one fixed address."""
        self._disassociate(_floating.fixed_ip_id == fixed_ip_id)

    def hosts(self) -> set[str]:
        """The hosts that serve floating addresses."""
        statement = select(_floating.host).where(_floating.host.is_not(None)).distinct()
        return set(self._connection.execute(statement).scalars())

    def _take(self, pool: str, project_id: str, *, auto_assigned: bool) -> int:
        row = self._connection.execute(
            select(_floating.id)
            .where(_floating.pool == pool, _floating.project_id.is_(None))
            .order_by(_floating.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        ).scalar_one_or_none()
        if row is None:
            known = self._connection.execute(select(exists().where(_floating.pool == pool)))
            if not known.scalar_one():
                raise NotFound("Floating ip pool not found.")
            raise NotFound("Zero floating ips available.")
        self._set(_floating.id == row, project_id=project_id, auto_assigned=auto_assigned)
        return int(row)

    def _set(self, condition: Any, **values: Any) -> None:
        self._connection.execute(
            update(floating_ips).where(condition).values(updated_at=now(), **values)
        )

    def _disassociate(self, condition: Any) -> None:
        self._connection.execute(_clearing(condition), {"moment": now()})

    def _read(self, statement: Select[Any]) -> list[FloatingIP]:
        return [FloatingIP(*row) for row in self._connection.execute(statement)]


def _clearing(condition: Any) -> Any:
    # MariaDB evaluates assignments from left to right and would see the new auto_assigned.
    return (
        update(floating_ips)
        .where(condition)
        .ordered_values(
            (_floating.project_id,
             case((_floating.auto_assigned == true(), null()), else_=_floating.project_id)),
            (_floating.auto_assigned, False),
            (_floating.fixed_ip_id, None),
            (_floating.host, None),
            (_floating.updated_at, bindparam("moment")),
        )
    )


_DISASSOCIATE_INSTANCES = _clearing(_floating.fixed_ip_id.in_(_HELD_BY))
