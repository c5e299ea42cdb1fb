# SPDX-License-Identifier: Apache-2.0
"""Limits of projects and of the default class, and what projects use."""

from __future__ import annotations

from collections.abc import Mapping

from nova.db.engine import Transaction
from nova.db.stores.volume_quotas import DEFAULT_CLASS
from nova.errors import BadRequest
from nova.objects.volume_record import TypeUsage
from nova.volume.core import VolumeCore, used

#: Limits of what this service does not have, as clients expect to see them.
_ABSENT = {"backups": 10, "backup_gigabytes": 1000, "groups": 10}


class Limits:
    """Quota sets."""

    def __init__(self, core: VolumeCore) -> None:
        self._core = core

    def of_project(self, project_id: str) -> dict[str, int]:
        """All limits of a project, those of each type among them."""
        with self._core.db.read() as tx:
            return {**self._basic(tx), **tx.volumes.quotas.limits(project_id)}

    def defaults(self) -> dict[str, int]:
        """The limits of projects without their own."""
        with self._core.db.read() as tx:
            return {**self._basic(tx), **tx.volumes.quotas.limits(DEFAULT_CLASS)}

    def _basic(self, tx: Transaction) -> dict[str, int]:
        limits = {**self._core.configured_limits(), **_ABSENT}
        for type_ in tx.volumes.types.usable():
            for resource in ("volumes", "snapshots", "gigabytes"):
                limits[f"{resource}_{type_.name}"] = -1
        return limits

    def usage(self, project_id: str) -> dict[str, int]:
        """What a project uses, in sum and of each type."""
        with self._core.db.read() as tx:
            by_type = tx.volumes.quotas.usage(project_id)
            types = tx.volumes.types.usable()
        found = used(by_type.values())
        for type_ in types:
            for resource, value in used([by_type.get(type_.id, TypeUsage(type_.id))]).items():
                found[f"{resource}_{type_.name}"] = value
        return found

    def set(self, project_id: str, limits: Mapping[str, int], *, of_class: bool = False) -> None:
        """Set limits; ``BadRequest`` for a resource that is not known."""

        def write(tx: Transaction) -> None:
            known = self._basic(tx)
            wrong = [name for name in limits if name not in known]
            if wrong:
                raise BadRequest(f"Bad key(s) in quota set: {', '.join(sorted(wrong))[:200]}")
            tx.volumes.quotas.set(DEFAULT_CLASS if of_class else project_id, limits)

        self._core.db.run(write)

    def delete(self, project_id: str) -> None:
        """Forget a project's own limits."""
        self._core.db.run(lambda tx: tx.volumes.quotas.delete(project_id))
