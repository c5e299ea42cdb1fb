# SPDX-License-Identifier: Apache-2.0
"""What a resource of the network API is, and one request as its functions see it."""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import falcon

from nova.api.compute.cloud import Cloud
from nova.api.network.error_body import typed
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import Forbidden, NotFound, NovaError
from nova.objects.context import RequestContext

#: A resource as clients see it.
Shown = dict[str, Any]


@dataclasses.dataclass(slots=True)
class Call:
    """Everything that a resource's functions may look at. ``base`` is ``http://host:port``."""

    cloud: Cloud
    caller: RequestContext
    query: Mapping[str, Sequence[str]]
    base: str
    http: falcon.Request

    @property
    def is_admin(self) -> bool:
        """Whether the caller sees and may change everybody's things."""
        return self.caller.is_admin

    def project_of(self, values: Mapping[str, Any]) -> str:
        """Whose a new thing is: the caller's, unless an administrator says otherwise."""
        wanted = values.get("tenant_id") or self.caller.project_id
        if wanted != self.caller.project_id and not self.is_admin:
            raise Forbidden("Only administrators may make things for other projects.")
        return str(wanted)

    def owns(self, project_id: str | None) -> bool:
        """Whether a thing of that project is the caller's to see and change."""
        return self.is_admin or (project_id is not None and project_id == self.caller.project_id)

    def values_of(self, *names: str) -> list[str] | None:
        """The values of a filter, under any of its names; None where it is not given."""
        found = [value for name in names for value in self.query.get(name, ())]
        return found or None


ListThings = Callable[[Call, Transaction], list[Shown]]
FindThing = Callable[[Call, Transaction, str], Shown | None]
CreateThing = Callable[[Call, Transaction, dict[str, Any]], Shown]
UpdateThing = Callable[[Call, Transaction, Shown, dict[str, Any]], Shown]
DeleteThing = Callable[[Call, Transaction, Shown], None]
RemoveOutside = Callable[[Call, Shown], bool]
Matcher = Callable[[Shown, Sequence[str]], bool]


@dataclasses.dataclass(frozen=True)
class Resource:
    """One kind of thing.

    ``keys`` are what it shows, and so what it is filtered and sorted by; ``matchers`` are filters of
    other names, or with another meaning than equality. ``remove_outside`` may do a deletion that
    cannot be one transaction; it returns whether it did.
    """

    singular: str
    plural: str
    error: str
    attributes: Mapping[str, Attribute]
    keys: frozenset[str]
    list: ListThings
    find: FindThing
    create: CreateThing | None = None
    update: UpdateThing | None = None
    delete: DeleteThing | None = None
    remove_outside: RemoveOutside | None = None
    matchers: Mapping[str, Matcher] = dataclasses.field(default_factory=dict)
    taggable: bool = True
    path: str | None = None

    def missing(self, identifier: str) -> NovaError:
        """The refusal of an id that the caller sees nothing under."""
        shown = self.singular.replace("_", " ").capitalize()
        return typed(NotFound(f"{shown} {identifier[:64]} could not be found."), self.error)


def keys(text: str, *, described: bool = True) -> frozenset[str]:
    """Names of shown keys, with those that all things have."""
    common = (
        "id tenant_id project_id description tags created_at updated_at revision_number"
        if described else "id tenant_id project_id"
    )
    return frozenset(text.split()) | frozenset(common.split())


def standard(
    facts: Mapping[str, Any] | None,
    project_id: str | None,
    revision: int,
    created: datetime.datetime | None,
    updated: datetime.datetime | None,
) -> Shown:
    """What all things show: owner, description, tags, times, revision."""
    facts = facts or {}
    owner = project_id or ""
    return {
        "tenant_id": owner, "project_id": owner, "description": facts.get("description", ""),
        "tags": facts.get("tags", []), "created_at": moment(created),
        "updated_at": moment(updated or created), "revision_number": revision,
    }


def moment(time: datetime.datetime | None) -> str | None:
    """A time as this API writes it."""
    return None if time is None else f"{time.isoformat('T', 'seconds')}Z"


def merged(
    facts: Mapping[str, Any] | None, values: Mapping[str, Any], names: Iterable[str]
) -> dict[str, Any]:
    """Facts with those of ``names`` that were given."""
    result = dict(facts or {})
    for name in names:
        if name in values:
            result[name] = values[name]
    return result
