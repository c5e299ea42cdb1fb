# SPDX-License-Identifier: Apache-2.0
"""Domains and projects: what may be done with them, and the rules between them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nova.db.schema.base import now
from nova.db.stores.identity import IdentityStore
from nova.errors import BadRequest, Forbidden, InvalidInput, NotFound
from nova.identity.core import IdentityCore, new_id
from nova.identity.fields import Field, check, extras
from nova.objects.identity import NO_DOMAIN, Filter, Page, Project

#: At most so many projects in a line from a domain down (the original's `max_project_tree_depth`).
DEEPEST = 5

TAG = Field(name="tags", kind="strings", minimum=1, maximum=255, pattern="^[^,/]*$")
MOST_TAGS = 80

_COMMON = (
    Field(name="name", required=True, minimum=1, maximum=64, pattern=r"\S"),
    Field(name="description", nullable=True),
    Field(name="enabled", kind="boolean"),
    Field(name="options", kind="object"),
    TAG,
)
DOMAIN_FIELDS = (*_COMMON, Field(name="explicit_domain_id", pattern="^[0-9a-f]{32}$"))
PROJECT_FIELDS = (
    *_COMMON,
    Field(name="domain_id", nullable=True, minimum=1, maximum=64),
    Field(name="parent_id", nullable=True, minimum=1, maximum=64),
    Field(name="is_domain", kind="boolean"),
)


class ProjectOperations:
    """Makes, changes and deletes domains and projects."""

    def __init__(self, core: IdentityCore) -> None:
        self._core = core

    def get_project(self, project_id: str) -> Project:
        """The project; ``NotFound``."""
        with self._core.read() as stores:
            return require_project(stores, project_id)

    def get_domain(self, domain_id: str) -> Project:
        """The domain; ``NotFound``."""
        with self._core.read() as stores:
            return require_domain(stores, domain_id)

    def search(
        self,
        filters: Sequence[Filter],
        page: Page,
        tag_filters: Mapping[str, Sequence[str]] | None = None,
    ) -> list[Project]:
        """Projects or domains; ``tag_filters`` are tags, tags-any, not-tags and not-tags-any."""
        with self._core.read() as stores:
            if not tag_filters:
                return stores.projects.list(filters, page)
            found = stores.projects.list(filters)
            tags = stores.projects.tags(one.id for one in found)
        chosen = [one for one in found if _tags_fit(tags[one.id], tag_filters)]
        if page.marker is not None:
            chosen = [one for one in chosen if one.id > page.marker]
        return chosen if page.limit is None else chosen[: page.limit + 1]

    def tags(self, project_ids: Sequence[str]) -> dict[str, list[str]]:
        """The tags of each project."""
        with self._core.read() as stores:
            return stores.projects.tags(project_ids)

    def set_tags(self, project_id: str, tags: Sequence[str]) -> None:
        """Replace a project's tags."""
        _check_tags({"tags": list(tags)}, "body")

        def write(stores: IdentityStore) -> None:
            require_project(stores, project_id)
            stores.projects.set_tags(project_id, tags)

        self._core.run(write)

    def create_domain(self, values: Mapping[str, Any]) -> Project:
        """A new domain from the ``domain`` object of a request."""
        check(values, DOMAIN_FIELDS, "domain")
        _check_tags(values, "domain")

        def write(stores: IdentityStore) -> Project:
            project = stores.projects.create(
                {
                    **_columns(values, DOMAIN_FIELDS, "domain"),
                    "id": values.get("explicit_domain_id") or new_id(),
                    "domain_id": NO_DOMAIN,
                    "parent_id": None,
                    "is_domain": True,
                }
            )
            stores.projects.set_tags(project.id, values.get("tags") or [])
            return project

        return self._core.run(write)

    def create_project(self, values: Mapping[str, Any], default_domain_id: str) -> Project:
        """A new project from the ``project`` object of a request.

        Its domain is the one named, that of the parent, or ``default_domain_id``.
        """
        check(values, PROJECT_FIELDS, "project")
        _check_tags(values, "project")
        if values.get("is_domain"):
            placed = ("is_domain", "domain_id", "parent_id")
            return self.create_domain({k: v for k, v in values.items() if k not in placed})

        def write(stores: IdentityStore) -> Project:
            domain_id, parent_id = _place(stores, values, default_domain_id)
            project = stores.projects.create(
                {
                    **_columns(values, PROJECT_FIELDS, "project"),
                    "id": new_id(),
                    "domain_id": domain_id,
                    "parent_id": parent_id,
                    "is_domain": False,
                }
            )
            stores.projects.set_tags(project.id, values.get("tags") or [])
            return project

        return self._core.run(write)

    def update(self, project_id: str, values: Mapping[str, Any], *, domain: bool) -> Project:
        """Change a project, or a domain; disabling it voids the tokens for it."""
        label = "domain" if domain else "project"
        table = DOMAIN_FIELDS if domain else PROJECT_FIELDS
        check(values, table, label, partial=True)
        _check_tags(values, label)

        def write(stores: IdentityStore) -> Project:
            require = require_domain if domain else require_project
            present = require(stores, project_id)
            _refuse_moves(present, values, label)
            _refuse_immutable(present, values, label)
            changes: dict[str, Any] = {
                name: values[name] for name in ("name", "enabled", "options") if name in values
            }
            if "name" in changes:
                changes["domain_id"] = present.domain_id
            if "description" in values:
                changes["description"] = values["description"] or ""
            if changes.get("enabled") is False and present.enabled:
                changes["tokens_valid_since"] = now()
            extra = extras(values, table, label, ("explicit_domain_id",))
            if extra:
                changes["extra"] = {**present.extra, **extra}
            if changes:
                stores.projects.update(project_id, changes)
            if "tags" in values:
                stores.projects.set_tags(project_id, values["tags"])
            return require(stores, project_id)

        return self._core.run(write)

    def delete_project(self, project_id: str) -> None:
        """Delete a project that has none below it; for a domain, see ``delete_domain``."""
        if self.get_project(project_id).is_domain:
            self.delete_domain(project_id)
            return

        def write(stores: IdentityStore) -> None:
            project = require_project(stores, project_id)
            _refuse_immutable(project, {}, "project")
            if stores.projects.has_children(project_id):
                raise Forbidden(
                    f"Cannot delete the project {project_id} since it is not a leaf in the "
                    "hierarchy."
                )
            stores.projects.remove([project_id])

        self._core.run(write)

    def delete_domain(self, domain_id: str) -> None:
        """Delete a disabled domain with everything in it."""

        def write(stores: IdentityStore) -> None:
            domain = require_domain(stores, domain_id)
            if domain_id == self._core.default_domain_id:
                raise Forbidden("Cannot delete the default domain.")
            _require_disabled(domain)
            for user in stores.users.list([Filter("domain_id", domain_id)]):
                stores.users.remove(user.id)
            for group in stores.groups.list([Filter("domain_id", domain_id)]):
                stores.groups.remove(group.id)
            stores.roles.delete_where(domain_id=domain_id)
            inside = [project.id for project in stores.projects.of_domain(domain_id)]
            stores.projects.remove([*inside, domain_id])

        self._core.run(write)


def require_project(stores: IdentityStore, project_id: str) -> Project:
    """The project; ``NotFound``."""
    found = stores.projects.get(project_id)
    if found is None:
        raise NotFound(f"Could not find project: {project_id}.")
    return found


def require_domain(stores: IdentityStore, domain_id: str) -> Project:
    """The domain; ``NotFound``, also for a project that is no domain."""
    found = stores.projects.get(domain_id)
    if found is None or not found.is_domain:
        raise NotFound(f"Could not find domain: {domain_id}.")
    return found


def _place(
    stores: IdentityStore, values: Mapping[str, Any], default_domain_id: str
) -> tuple[str, str]:
    """Domain and parent of a new project."""
    parent_id = values.get("parent_id")
    domain_id = values.get("domain_id")
    if parent_id is None:
        domain = require_domain(stores, domain_id or default_domain_id)
        return domain.id, domain.id
    parent = require_project(stores, parent_id)
    if domain_id is not None and domain_id != parent.owning_domain_id:
        raise BadRequest(
            f"Cannot create project, since it specifies its domain_id {domain_id}, but specifies "
            f"a parent in a different domain ({parent.owning_domain_id})."
        )
    if not parent.enabled:
        raise Forbidden(f"The parent project {parent_id} is disabled.")
    if len(stores.projects.ancestors(parent)) + 1 > DEEPEST:
        raise Forbidden(f"Max hierarchy depth reached for {parent_id} branch.")
    return parent.owning_domain_id, parent.id


def _columns(values: Mapping[str, Any], table: Sequence[Field], label: str) -> dict[str, Any]:
    return {
        "name": values["name"],
        "description": values.get("description") or "",
        "enabled": values.get("enabled", True),
        "options": values.get("options") or {},
        "extra": extras(values, table, label),
    }


def _check_tags(values: Mapping[str, Any], label: str) -> None:
    tags = values.get("tags")
    if tags is None:
        return
    check({"tags": tags}, (TAG,), label)
    if len(tags) > MOST_TAGS:
        raise InvalidInput(f"{label}.tags", f"At most {MOST_TAGS} tags are taken.")
    if len(set(tags)) != len(tags):
        raise InvalidInput(f"{label}.tags", "Tags must differ from each other.")


def _tags_fit(tags: Sequence[str], filters: Mapping[str, Sequence[str]]) -> bool:
    have = set(tags)
    return (
        have.issuperset(filters.get("tags", ()))
        and ("tags-any" not in filters or bool(have & set(filters["tags-any"])))
        and ("not-tags" not in filters or not have.issuperset(filters["not-tags"]))
        and not have & set(filters.get("not-tags-any", ()))
    )


def _require_disabled(domain: Project) -> None:
    if domain.enabled:
        raise Forbidden(
            "You are not authorized to perform the requested action: cannot delete a domain that "
            "is enabled, please disable it first.."
        )


def _refuse_moves(present: Project, values: Mapping[str, Any], label: str) -> None:
    """A project stays where it was made."""
    shown = {
        "domain_id": present.domain_id or None,
        "parent_id": present.parent_id,
        "is_domain": present.is_domain,
        "id": present.id,
    }
    for name, value in shown.items():
        if name in values and values[name] != value:
            if name == "parent_id":
                raise Forbidden("Update of `parent_id` is not allowed.")
            raise InvalidInput(f"{label}.{name}", "It cannot be changed.")


def _refuse_immutable(present: Project, values: Mapping[str, Any], label: str) -> None:
    """An immutable one is changed only by a request that ends its immutability alone."""
    if present.options.get("immutable") and not (
        set(values) == {"options"} and not (values["options"] or {}).get("immutable")
    ):
        raise Forbidden(f"Cannot modify immutable resource '{label} {present.id}'.")
