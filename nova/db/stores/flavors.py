# SPDX-License-Identifier: Apache-2.0
"""Flavors, their extra specs, and which projects may use those that are not public."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    and_,
    bindparam,
    delete,
    exists,
    func,
    insert,
    or_,
    select,
    true,
    update,
)
from sqlalchemy.exc import DBAPIError, IntegrityError

from nova.db.schema.base import now
from nova.db.schema.compute import flavor_access, flavors, seeds
from nova.errors import AlreadyExists, BadRequest, FlavorNotFound, InvalidInput, NotFound
from nova.objects.flavor import Flavor, FlavorQuery

_BY_FLAVORID = select(flavors).where(flavors.c.flavorid == bindparam("the_flavorid"))
_EVERY = select(flavors).order_by(flavors.c.id)
_LOCKED = _BY_FLAVORID.with_for_update()
_MARKER = flavors.alias("marker")
_SEED = "flavors"

#: name, memory MiB, virtual CPUs, root GiB: the flavors that a Kilo database started with.
_DEFAULTS = (
    ("m1.tiny", 512, 1, 1),
    ("m1.small", 2048, 1, 20),
    ("m1.medium", 4096, 2, 40),
    ("m1.large", 8192, 4, 80),
    ("m1.xlarge", 16384, 8, 160),
)

# The least value of a column that may be NULL.
_LEAST = {"description": ""}

#: What a flavor may be sorted by.
SORT_KEYS = frozenset(
    {
        "created_at", "description", "disabled", "ephemeral_gb", "flavorid", "id", "is_public",
        "memory_mb", "name", "root_gb", "rxtx_factor", "swap", "updated_at", "vcpus",
    }
)


def _usable_by(project: Any) -> ColumnElement[bool]:
    """A public flavor, or one that the project was given access to."""
    return or_(
        flavors.c.is_public == true(),
        exists().where(
            flavor_access.c.flavor_id == flavors.c.id, flavor_access.c.project_id == project
        ),
    )


_USABLE = _BY_FLAVORID.where(_usable_by(bindparam("the_project")))


class FlavorStore:
    """Flavors in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def list(self, query: FlavorQuery = FlavorQuery()) -> list[Flavor]:  # noqa: B008
        """The flavors that match, in one statement.

        Raises ``BadRequest`` for an unknown marker, and for a name that the database does not take
        as a regular expression.
        """
        try:
            rows = self._connection.execute(_listing(query)).all()
        except DBAPIError:
            if query.name is None:
                raise
            raise InvalidInput("name", "It is not a regular expression.", query.name) from None
        if not rows and query.marker is not None and self.find(query.marker) is None:
            raise BadRequest(f"marker [{query.marker}] not found")
        return [Flavor(*row) for row in rows]

    def every(self) -> Sequence[Flavor]:
        """All flavors by age."""
        return [Flavor(*row) for row in self._connection.execute(_EVERY)]

    def find(self, flavorid: str, *, project_id: str | None = None) -> Flavor | None:
        """The flavor, if there is one; with ``project_id`` only one that this project may use."""
        if project_id is None:
            row = self._connection.execute(_BY_FLAVORID, {"the_flavorid": flavorid}).first()
        else:
            row = self._connection.execute(
                _USABLE, {"the_flavorid": flavorid, "the_project": project_id}
            ).first()
        return None if row is None else Flavor(*row)

    def get(self, flavorid: str, *, project_id: str | None = None) -> Flavor:
        """As ``find``; ``FlavorNotFound`` without it."""
        found = self.find(flavorid, project_id=project_id)
        if found is None:
            raise FlavorNotFound(flavorid)
        return found

    def find_by_name(self, name: str) -> Flavor | None:
        """The flavor of that name, if there is one (EC2 knows flavors by name)."""
        row = self._connection.execute(select(flavors).where(flavors.c.name == name)).first()
        return None if row is None else Flavor(*row)

    def create(
        self,
        name: str,
        *,
        memory_mb: int,
        vcpus: int,
        root_gb: int,
        flavorid: str | None = None,
        ephemeral_gb: int = 0,
        swap: int = 0,
        rxtx_factor: float = 1.0,
        is_public: bool = True,
        disabled: bool = False,
        description: str | None = None,
        extra_specs: Mapping[str, str] | None = None,
    ) -> Flavor:
        """Make a flavor; without ``flavorid`` its id is a new uuid.

        Raises ``AlreadyExists`` where the name or the id is taken.
        """
        flavorid = flavorid or str(uuid.uuid4())
        values: dict[str, Any] = {
            "flavorid": flavorid, "name": name, "description": description,
            "memory_mb": memory_mb, "vcpus": vcpus, "root_gb": root_gb,
            "ephemeral_gb": ephemeral_gb, "swap": swap, "rxtx_factor": rxtx_factor,
            "is_public": is_public, "disabled": disabled,
            "extra_specs": dict(extra_specs or {}), "created_at": now(),
        }
        taken = self._connection.execute(
            select(flavors.c.name).where(
                or_(flavors.c.name == name, flavors.c.flavorid == flavorid)
            )
        ).scalars().all()
        if any(other.casefold() == name.casefold() for other in taken):
            raise AlreadyExists(f"Flavor with name {name} already exists.")
        if taken:
            raise AlreadyExists(f"Flavor with ID {flavorid} already exists.")
        try:
            result = self._connection.execute(insert(flavors).values(**values))
        except IntegrityError:
            raise AlreadyExists(
                f"Flavor with name {name} or ID {flavorid} already exists."
            ) from None
        key = result.inserted_primary_key
        assert key is not None
        return Flavor(id=int(key[0]), **values)

    def update_description(self, flavorid: str, description: str | None) -> Flavor:
        """Set or clear the description; ``FlavorNotFound`` without the flavor."""
        return self._set(flavorid, description=description)

    def set_disabled(self, flavorid: str, disabled: bool) -> Flavor:
        """Hide a flavor from the lists of users, or show it; ``FlavorNotFound`` without it."""
        return self._set(flavorid, disabled=disabled)

    def delete(self, flavorid: str) -> None:
        """Remove a flavor with its access list; ``FlavorNotFound`` without it.

        Servers keep their own copy of the flavor.
        """
        result = self._connection.execute(delete(flavors).where(flavors.c.flavorid == flavorid))
        if result.rowcount != 1:
            raise FlavorNotFound(flavorid)

    def set_extra_specs(self, flavorid: str, specs: Mapping[str, str]) -> Flavor:
        """Add or change extra specs and keep the others; ``FlavorNotFound`` without the flavor."""
        present = self._lock(flavorid)
        return self._set(flavorid, extra_specs={**present.extra_specs, **specs})

    def delete_extra_spec(self, flavorid: str, key: str) -> Flavor:
        """Remove one extra spec; ``FlavorNotFound``, or ``NotFound`` where the key is not there."""
        specs = dict(self._lock(flavorid).extra_specs)
        if key not in specs:
            raise NotFound(f"Flavor {flavorid} has no extra specs with key {key}.")
        del specs[key]
        return self._set(flavorid, extra_specs=specs)

    def projects_with_access(self, flavorid: str) -> Sequence[str]:
        """The access list of a flavor; ``FlavorNotFound`` without the flavor."""
        flavor = self.get(flavorid)
        return [
            row.project_id
            for row in self._connection.execute(
                select(flavor_access.c.project_id)
                .where(flavor_access.c.flavor_id == flavor.id)
                .order_by(flavor_access.c.project_id)
            )
        ]

    def access_lists(self) -> dict[int, set[str]]:
        """Every access list, by the flavor's internal id, in one statement."""
        lists: dict[int, set[str]] = {}
        for row in self._connection.execute(select(flavor_access)):
            lists.setdefault(row.flavor_id, set()).add(row.project_id)
        return lists

    def add_access(self, flavorid: str, project_id: str) -> None:
        """Let a project use a flavor; ``FlavorNotFound``, or ``AlreadyExists`` if it may now."""
        flavor = self._lock(flavorid)
        taken = self._connection.execute(
            select(flavor_access.c.flavor_id).where(
                flavor_access.c.flavor_id == flavor.id, flavor_access.c.project_id == project_id
            )
        ).first()
        if taken is not None:
            raise AlreadyExists(
                f"Flavor access already exists for flavor {flavorid} "
                f"and project {project_id} combination."
            )
        self._connection.execute(
            insert(flavor_access).values(flavor_id=flavor.id, project_id=project_id)
        )

    def remove_access(self, flavorid: str, project_id: str) -> None:
        """Take a project off the list; ``NotFound`` where it is not on it, ``FlavorNotFound``."""
        flavor = self.get(flavorid)
        result = self._connection.execute(
            delete(flavor_access).where(
                flavor_access.c.flavor_id == flavor.id, flavor_access.c.project_id == project_id
            )
        )
        if result.rowcount != 1:
            raise NotFound(f"Flavor access not found for {flavorid} / {project_id} combination.")

    def seed_defaults(self) -> bool:
        """Insert Kilo's five default flavors, once in the life of the database.

        Returns whether they were inserted. A database that has flavors is left as it is, and so is
        one from which an operator removed them.
        """
        if self._connection.execute(select(seeds).where(seeds.c.name == _SEED)).first():
            return False
        moment = now()
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(seeds).values(name=_SEED, created_at=moment))
        except IntegrityError:
            return False  # another process does it at this moment
        if self._connection.execute(select(flavors.c.id).limit(1)).first():
            return False
        self._connection.execute(
            insert(flavors),
            [
                {
                    "flavorid": str(number), "name": name, "description": None,
                    "memory_mb": memory_mb, "vcpus": vcpus, "root_gb": root_gb,
                    "ephemeral_gb": 0, "swap": 0, "rxtx_factor": 1.0, "is_public": True,
                    "disabled": False, "extra_specs": {}, "created_at": moment,
                }
                for number, (name, memory_mb, vcpus, root_gb) in enumerate(_DEFAULTS, 1)
            ],
        )
        return True

    def _lock(self, flavorid: str) -> Flavor:
        """The flavor, held against other writers until the transaction ends."""
        row = self._connection.execute(_LOCKED, {"the_flavorid": flavorid}).first()
        if row is None:
            raise FlavorNotFound(flavorid)
        return Flavor(*row)

    def _set(self, flavorid: str, **values: Any) -> Flavor:
        result = self._connection.execute(
            update(flavors).where(flavors.c.flavorid == flavorid).values(updated_at=now(), **values)
        )
        if result.rowcount != 1:
            raise FlavorNotFound(flavorid)
        return self.get(flavorid)


def _listing(query: FlavorQuery) -> Any:
    conditions: list[ColumnElement[bool]] = []
    if query.is_public and query.project_id is not None:
        conditions.append(_usable_by(query.project_id))
    elif query.is_public is not None:
        conditions.append(flavors.c.is_public == query.is_public)
    if query.disabled is not None:
        conditions.append(flavors.c.disabled == query.disabled)
    if query.min_ram is not None:
        conditions.append(flavors.c.memory_mb >= query.min_ram)
    if query.min_disk is not None:
        conditions.append(flavors.c.root_gb >= query.min_disk)
    if query.name is not None:
        conditions.append(flavors.c.name.regexp_match(query.name))
    name = query.sort_key if query.sort_key in SORT_KEYS else "id"
    key = _sort_value(flavors, name)
    statement = select(flavors)
    if query.marker is not None:
        statement = statement.join(_MARKER, _MARKER.c.flavorid == query.marker)
        conditions.append(_after(key, _sort_value(_MARKER, name), query.descending))
    order = [key, flavors.c.id]
    statement = statement.where(*conditions).order_by(
        *(column.desc() if query.descending else column.asc() for column in order)
    )
    return statement if query.limit is None else statement.limit(query.limit)


def _sort_value(table: Any, name: str) -> ColumnElement[Any]:
    """The column to sort by; NULL sorts as the least value, on every database alike."""
    column = table.c[name]
    if name == "updated_at":
        return func.coalesce(column, table.c.created_at)
    return func.coalesce(column, _LEAST[name]) if name in _LEAST else column


def _after(
    key: ColumnElement[Any], marker: ColumnElement[Any], descending: bool
) -> ColumnElement[bool]:
    """Rows behind the marker's, in the order of (key, id)."""
    same = key == marker
    if descending:
        return or_(key < marker, and_(same, flavors.c.id < _MARKER.c.id))
    return or_(key > marker, and_(same, flavors.c.id > _MARKER.c.id))
