# SPDX-License-Identifier: Apache-2.0
"""Fields that the two views of a move share: in the list of all, and under its server."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova.api.compute.fields import Field, attribute
from nova.api.compute.times import precise

_HOSTS = ("source_compute", "source_node", "dest_compute", "dest_node", "dest_host")


def host_fields(visible: Callable[[Any], bool]) -> tuple[Field, ...]:
    """Where a move is from and to; null for callers who may not see hosts, as ``visible(scene)`` says."""

    def shown(name: str) -> Field:
        return Field(
            name, lambda move, scene: getattr(move, name) if visible(scene) else None
        )

    return tuple(shown(name) for name in _HOSTS)


#: Who asked for it (2.80), and when.
TAIL: tuple[Field, ...] = (
    Field("user_id", attribute("user_id"), since=80),
    Field("project_id", attribute("project_id"), since=80),
    Field("created_at", lambda move, _scene: precise(move.created_at)),
    # Never null: the schema of a server's moves has no place for a move that nothing happened to.
    Field("updated_at", lambda move, _scene: precise(move.updated_at or move.created_at)),
)
