# SPDX-License-Identifier: Apache-2.0
"""Which projects there are, for the compute service beside the built-in identity service."""

from __future__ import annotations

from nova.db.engine import Database
from nova.objects.context import RequestContext


class LocalProjects:
    """An ``Ask`` (see ``nova.compute.projects``) without a request to another process."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def __call__(self, _caller: RequestContext, project_id: str) -> bool:
        """Whether there is the project. A domain acts as a project of its own."""
        with self._db.read() as tx:
            return tx.identity.projects.get(project_id) is not None
