# SPDX-License-Identifier: Apache-2.0
"""Operations on volume types."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import AlreadyExists, BadRequest, Conflict, NotFound
from nova.objects.context import RequestContext
from nova.objects.volume_record import VolumeRecord, VolumeType
from nova.volume.core import VolumeCore, new_id


class VolumeTypes:
    """Types: public ones, and those that the caller's project was granted. Administrators see all."""

    def __init__(self, core: VolumeCore) -> None:
        self._core = core

    def ensure_default(self) -> None:
        """Make the default type where it is missing."""
        name = self._core.section.default_volume_type
        with self._core.db.read() as tx:
            if tx.volumes.types.by_name(name) is not None:
                return
        try:
            self._core.db.run(
                lambda tx: tx.volumes.types.create(
                    VolumeType(
                        id=new_id(), name=name, description="Default Volume Type", created_at=now()
                    )
                )
            )
        except AlreadyExists:
            return

    def get(self, context: RequestContext, name_or_id: str, *, by_id: bool = True) -> VolumeType:
        """One type; ``NotFound``. With ``by_id`` a name is no answer."""
        with self._core.db.read() as tx:
            return self._find(tx, context, name_or_id) if by_id else self._core.type(
                tx, context, name_or_id
            )

    def of_volume(self, volume: VolumeRecord) -> VolumeType:
        """The type that a volume has, which its project may have lost for others."""
        with self._core.db.read() as tx:
            found = tx.volumes.types.get(volume.type_id)
        if found is None:
            raise NotFound(f"Volume type {volume.type_id} could not be found.")
        return found

    def _find(self, tx: Transaction, context: RequestContext, type_id: str) -> VolumeType:
        found = self._core.type(tx, context, type_id)
        if found.id != type_id:
            raise NotFound(f"Volume type {type_id} could not be found.")
        return found

    def default(self, context: RequestContext) -> VolumeType:
        """The type of the caller's volumes without one."""
        with self._core.db.read() as tx:
            return self._core.default_type(tx, context)

    def page(self, context: RequestContext, is_public: bool | None = True) -> list[VolumeType]:
        """Types that the caller may see; an administrator chooses public, private, or None for all."""
        with self._core.db.read() as tx:
            if not context.is_admin:
                return tx.volumes.types.usable(context.project_id)
            found = tx.volumes.types.usable()
        return [each for each in found if is_public is None or each.is_public == is_public]

    def create(
        self,
        name: str,
        description: str | None,
        *,
        is_public: bool = True,
        extra_specs: Mapping[str, str] | None = None,
    ) -> VolumeType:
        """Make a type; ``AlreadyExists`` where the name is taken."""
        record = VolumeType(
            id=new_id(), name=name, description=description, is_public=is_public,
            extra_specs=dict(extra_specs or {}), created_at=now(),
        )
        self._core.db.run(lambda tx: tx.volumes.types.create(record))
        return record

    def update(self, context: RequestContext, type_id: str, changes: dict[str, Any]) -> VolumeType:
        """Change name, description, or whether it is public."""

        def write(tx: Transaction) -> VolumeType:
            record = self._find(tx, context, type_id)
            default = self._core.section.default_volume_type
            if record.name == default and changes.get("name", default) != default:
                raise BadRequest("Invalid input received: The default volume type cannot be renamed.")
            tx.volumes.types.update(type_id, changes)
            return record

        record = self._core.db.run(write)
        return msgspec.structs.replace(record, updated_at=now(), **changes)

    def set_specs(
        self, context: RequestContext, type_id: str, specs: Mapping[str, str]
    ) -> VolumeType:
        """Write extra specs over those that are there."""

        def write(tx: Transaction) -> tuple[VolumeType, dict[str, str]]:
            record = self._find(tx, context, type_id)
            merged = {**record.extra_specs, **specs}
            tx.volumes.types.update(type_id, {"extra_specs": merged})
            return record, merged

        record, merged = self._core.db.run(write)
        return msgspec.structs.replace(record, extra_specs=merged)

    def remove_spec(self, context: RequestContext, type_id: str, key: str) -> None:
        """Remove an extra spec; ``NotFound``."""

        def write(tx: Transaction) -> None:
            record = self._find(tx, context, type_id)
            if key not in record.extra_specs:
                raise NotFound(f"Volume Type {type_id} has no extra specs with key {key}.")
            left = {name: value for name, value in record.extra_specs.items() if name != key}
            tx.volumes.types.update(type_id, {"extra_specs": left})

        self._core.db.run(write)

    def delete(self, context: RequestContext, type_id: str) -> None:
        """Remove a type that no volume has."""

        def write(tx: Transaction) -> None:
            record = self._find(tx, context, type_id)
            default = self._core.section.default_volume_type
            if record.name == default or tx.volumes.types.is_project_default(type_id):
                raise BadRequest(
                    f"The volume type {type_id} is a default volume type and cannot be deleted."
                )
            if not tx.volumes.types.delete(type_id):
                raise BadRequest(
                    f"Target volume type is still in use: volume type {type_id} has volumes."
                )

        self._core.db.run(write)

    # --- access ----------------------------------------------------------------------------------

    def projects_of(self, context: RequestContext, type_id: str) -> list[str]:
        """The projects that a private type was granted to; ``NotFound`` for a public one."""
        with self._core.db.read() as tx:
            record = self._find(tx, context, type_id)
            if record.is_public:
                raise NotFound("Access list not available for public volume types.")
            return tx.volumes.types.projects_of(type_id)

    def grant(self, context: RequestContext, type_id: str, project_id: str) -> None:
        """Let a project use a private type."""

        def write(tx: Transaction) -> None:
            if self._find(tx, context, type_id).is_public:
                raise Conflict(
                    f"Invalid volume type: Type access modification is not applicable to public volume "
                    f"type {type_id}."
                )
            tx.volumes.types.grant(type_id, project_id)

        self._core.db.run(write)

    def revoke(self, context: RequestContext, type_id: str, project_id: str) -> None:
        """Take a private type from a project; ``NotFound`` where it did not have it."""

        def write(tx: Transaction) -> None:
            if self._find(tx, context, type_id).is_public:
                raise Conflict(
                    f"Invalid volume type: Type access modification is not applicable to public volume "
                    f"type {type_id}."
                )
            if not tx.volumes.types.revoke(type_id, project_id):
                raise NotFound(
                    f"Volume type access not found for {type_id} / {project_id} combination."
                )

        self._core.db.run(write)
