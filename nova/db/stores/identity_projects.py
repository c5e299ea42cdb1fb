# SPDX-License-Identifier: Apache-2.0
"""Projects and domains, with their tags and their tree."""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence

from sqlalchemy import Connection, Table, delete, exists, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema import identity as schema
from nova.db.stores.identity_records import RecordStore
from nova.errors import AlreadyExists
from nova.objects.identity import Project


class ProjectStore(RecordStore[Project]):
    """Projects; a domain is a project with ``is_domain``."""

    def __init__(self, connection: Connection) -> None:
        super().__init__(connection, schema.projects, Project, "project")

    def ancestors(self, project: Project) -> list[Project]:
        """The projects above it, the nearest first, its domain last."""
        above: list[Project] = []
        seen = {project.id}
        parent_id = project.parent_id
        while parent_id is not None and parent_id not in seen:
            seen.add(parent_id)
            parent = self.get(parent_id)
            if parent is None:
                break
            above.append(parent)
            parent_id = parent.parent_id
        return above

    def descendants(self, project_ids: Iterable[str]) -> list[Project]:
        """Every project below these, one query a level of the tree."""
        below: list[Project] = []
        level = list(project_ids)
        seen = set(level)
        while level:
            children: list[Project] = []
            for start in range(0, len(level), 500):
                children.extend(
                    self._all(self._table.c.parent_id.in_(level[start : start + 500]))
                )
            fresh = [child for child in children if child.id not in seen]
            seen.update(child.id for child in fresh)
            below.extend(fresh)
            level = [child.id for child in fresh]
        return below

    def of_domain(self, domain_id: str) -> list[Project]:
        """The projects of a domain, without the domain itself."""
        return list(self._all(self._table.c.domain_id == domain_id))

    def void_tokens(self, project_id: str, since: datetime.datetime) -> None:
        """Make all tokens for it that were issued before ``since`` invalid."""
        self.update(project_id, {"tokens_valid_since": since})

    def tags(self, project_ids: Iterable[str]) -> dict[str, list[str]]:
        """The tags of each of these projects, sorted."""
        wanted = list(project_ids)
        tags: dict[str, list[str]] = {one: [] for one in wanted}
        table = schema.project_tags
        for start in range(0, len(wanted), 500):
            statement = (
                select(table.c.project_id, table.c.tag)
                .where(table.c.project_id.in_(wanted[start : start + 500]))
                .order_by(table.c.tag)
            )
            for project_id, tag in self._connection.execute(statement):
                tags[project_id].append(tag)
        return tags

    def set_tags(self, project_id: str, tags: Sequence[str]) -> None:
        """Replace a project's tags.

        ``AlreadyExists`` for tags that the database takes for equal, as MariaDB does with "a", "A".
        """
        table = schema.project_tags
        self._connection.execute(delete(table).where(table.c.project_id == project_id))
        if tags:
            rows = [{"project_id": project_id, "tag": tag} for tag in dict.fromkeys(tags)]
            try:
                self._connection.execute(insert(table), rows)
            except IntegrityError:
                raise AlreadyExists("Two of the tags count as the same.") from None

    def remove(self, project_ids: Sequence[str]) -> None:
        """Delete projects and everything that only has meaning with them.

        Assignments on them, application credentials and EC2 keys for them go; users whose default
        project one of them was have none then.
        """
        targets = schema.role_assignments
        for start in range(0, len(project_ids), 500):
            part = list(project_ids[start : start + 500])
            self._connection.execute(delete(targets).where(targets.c.target_id.in_(part)))
            for table in (schema.application_credentials, schema.credentials):
                self._delete_for_projects(table, part)
            self._connection.execute(
                update(schema.users)
                .where(schema.users.c.default_project_id.in_(part))
                .values(default_project_id=None)
            )
            self._connection.execute(delete(self._table).where(self._table.c.id.in_(part)))

    def has_children(self, project_id: str) -> bool:
        """Whether any project has it as its parent."""
        statement = select(exists().where(self._table.c.parent_id == project_id))
        return bool(self._connection.execute(statement).scalar())

    def _delete_for_projects(self, table: Table, project_ids: list[str]) -> None:
        self._connection.execute(delete(table).where(table.c.project_id.in_(project_ids)))
