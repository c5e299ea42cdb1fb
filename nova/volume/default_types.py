# SPDX-License-Identifier: Apache-2.0
"""The types that projects' volumes have where none is named."""

from __future__ import annotations

from nova.compute.projects import Projects
from nova.db.engine import Transaction
from nova.errors import BadRequest, NotFound
from nova.objects.context import RequestContext
from nova.volume.core import VolumeCore

_LONGEST_ID = 64


class DefaultTypes:
    """Defaults of single projects; all others have ``[volume] default_volume_type``."""

    def __init__(self, core: VolumeCore, projects: Projects) -> None:
        self._core = core
        self._projects = projects

    def page(self) -> list[tuple[str, str]]:
        """Every project that has its own, with the type's id."""
        with self._core.db.read() as tx:
            return tx.volumes.types.project_defaults()

    def get(self, context: RequestContext, project_id: str) -> str:
        """The id of a project's own default; ``NotFound`` where it has none, or there is no such project."""
        self._require(context, project_id)
        with self._core.db.read() as tx:
            found = tx.volumes.types.project_defaults(project_id)
        if not found:
            raise NotFound(f"Default type for project {project_id[:80]} not found.")
        return found[0][1]

    def set(self, context: RequestContext, project_id: str, name_or_id: str) -> str:
        """Give a project its own default, and return the type's id.

        Raises ``NotFound`` for a project that there is not, ``BadRequest`` for a type.
        """
        self._require(context, project_id)

        def write(tx: Transaction) -> str:
            type_ = self._core.type(tx, context, name_or_id)
            tx.volumes.types.set_project_default(project_id, type_.id)
            return type_.id

        try:
            return self._core.db.run(write)
        except NotFound as error:
            raise BadRequest(error.message) from None

    def unset(self, project_id: str) -> None:
        """Let a project, which may be gone, have the default of all others."""
        self._core.db.run(lambda tx: tx.volumes.types.unset_project_default(project_id))

    def _require(self, context: RequestContext, project_id: str) -> None:
        missing = NotFound(f"Project with id {project_id[:80]} not found.")
        if len(project_id) > _LONGEST_ID:
            raise missing
        try:
            self._projects.require(context, project_id)
        except BadRequest:
            raise missing from None
