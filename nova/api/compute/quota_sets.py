# SPDX-License-Identifier: Apache-2.0
"""``os-quota-sets``: what a project, or one user in it, may use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova.api.compute.bodies import Body
from nova.api.compute.policies import ADMIN, ANYONE, READER_OR_ADMIN
from nova.api.compute.quota_bodies import QuotaSetUpdate, quota_view, sent_limits
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import ANY_QUERY, Query, Route
from nova.api.compute.texts import truth
from nova.compute.limit_cache import Limits
from nova.db.engine import Transaction
from nova.errors import BadRequest, InvalidInput
from nova.objects.quota import COUNTED, ProjectUsage
from nova.policy import Rule

_ROOT = "os_compute_api:os-quota-sets"

RULES: tuple[Rule, ...] = (
    Rule(f"{_ROOT}:update", ADMIN, "Set the quotas of a project."),
    Rule(f"{_ROOT}:defaults", ANYONE, "Show the quotas of projects that have none of their own."),
    Rule(f"{_ROOT}:show", READER_OR_ADMIN, "Show the quotas of a project."),
    Rule(f"{_ROOT}:delete", ADMIN, "Forget the quotas of a project."),
    Rule(f"{_ROOT}:detail", READER_OR_ADMIN, "Show the quotas and the usage of a project."),
)

VIEW = quota_view(networks_until=35, groups_since=1)

_UNLIMITED = -1


def _project(request: ApiRequest) -> str:
    project = request.path["project_id"]
    if len(project) > 64:
        raise InvalidInput("tenant_id", "It may have 64 characters at most.", project)
    return project


def _user(request: ApiRequest) -> str:
    """The user that the query names, or an empty text."""
    user = request.query.get("user_id", [""])[0]
    if len(user) > 64:
        raise InvalidInput("user_id", "It may have 64 characters at most.", user)
    return user


def _render(
    request: ApiRequest, project: str | None, values: Mapping[str, Any]
) -> dict[str, Any]:
    shown = VIEW.at(request.minor)(values, None)
    if project is not None:
        shown["id"] = project
    return {"quota_set": shown}


def _limits(request: ApiRequest, tx: Transaction, project: str, user: str) -> Limits:
    """The limits as they are in the database now, not as the cache has them."""
    return request.cloud.limits.read(tx, project, user)


def _usage(tx: Transaction, project: str, user: str) -> ProjectUsage:
    return tx.quotas.usage_of_user(project, user) if user else tx.quotas.usage(project)


def show(request: ApiRequest) -> Any:
    """Show the limits of a project, or of one user in it."""
    project, user = _project(request), _user(request)
    request.check(f"{_ROOT}:show", project_id=project)
    request.cloud.projects.require(request.caller, project)
    with request.cloud.db.read() as tx:
        limits = _limits(request, tx, project, user)
    return _render(request, project, limits.effective)


def detail(request: ApiRequest) -> Any:
    """Show the limits with what is in use."""
    project, user = _project(request), _user(request)
    request.check(f"{_ROOT}:detail", project_id=project)
    request.cloud.projects.require(request.caller, project)
    with request.cloud.db.read() as tx:
        limits = _limits(request, tx, project, user)
        usage = _usage(tx, project, user)
        further = {
            "key_pairs": tx.keypairs.count(user) if user else 0,
            # Addresses belong to projects, not to users in them.
            "fixed_ips": 0 if user else tx.quotas.addresses(project),
        }
    used = {name: getattr(usage, name) for name in COUNTED} | further
    values = {
        name: {"limit": limit, "in_use": used.get(name, 0), "reserved": 0}
        for name, limit in limits.effective.items()
    }
    return _render(request, project, values)


def defaults(request: ApiRequest) -> Any:
    """Show the limits of projects that have none of their own."""
    project = _project(request)
    request.check(f"{_ROOT}:defaults", project_id=project)
    request.cloud.projects.require(request.caller, project)
    with request.cloud.db.read() as tx:
        limits = _limits(request, tx, "", "")
    return _render(request, project, limits.effective)


def update(request: ApiRequest) -> Any:
    """Set limits of a project, or of one user in it.

    Without ``force`` a limit below what is in use is refused, and so is a user's limit above what
    the project's limit leaves for that user. Nothing is set where one limit is refused.
    """
    project, user = _project(request), _user(request)
    request.check(f"{_ROOT}:update", project_id=project)
    request.cloud.projects.require(request.caller, project)
    body: QuotaSetUpdate = request.body
    wanted = sent_limits(body)

    def write(tx: Transaction) -> Limits:
        tx.after_commit(request.cloud.limits.forget)
        if not truth(body.force):
            _check_settable(request, tx, project, user, wanted)
        tx.quotas.set(project, wanted, user_id=user)
        return _limits(request, tx, project, user)

    limits = request.cloud.db.run(write)
    return _render(request, None, limits.effective)


def _check_settable(
    request: ApiRequest, tx: Transaction, project: str, user: str, wanted: Mapping[str, int]
) -> None:
    limits = _limits(request, tx, project, user)
    usage = _usage(tx, project, user)
    given = tx.quotas.given_to_users(project)
    addresses = tx.quotas.addresses(project) if "fixed_ips" in wanted and not user else 0
    for name, limit in wanted.items():
        used = addresses if name == "fixed_ips" else getattr(usage, name, 0)
        if user:
            _refuse_below(name, limit, used)
            _refuse_above(
                name, limit, limits.of_project[name],
                given.get(name, 0) - max(limits.of_user.get(name, 0), 0),
            )
        else:
            _refuse_below(name, limit, max(used, given.get(name, 0)))


def _refuse_below(name: str, limit: int, least: int) -> None:
    if limit != _UNLIMITED and limit < least:
        raise BadRequest(
            f"Quota limit {limit} for {name} must be greater than or equal to already used "
            f"and reserved {least}."
        )


def _refuse_above(name: str, limit: int, of_project: int, given_to_others: int) -> None:
    if of_project == _UNLIMITED:
        return
    most = max(of_project - given_to_others, 0)
    if limit == _UNLIMITED or limit > most:
        raise BadRequest(f"Quota limit {limit} for {name} must be less than or equal to {most}.")


def delete(request: ApiRequest) -> None:
    """Forget the limits of a project and its users, or of the user that the query names."""
    project, user = _project(request), _user(request)
    request.check(f"{_ROOT}:delete", project_id=project)

    def write(tx: Transaction) -> None:
        tx.after_commit(request.cloud.limits.forget)
        tx.quotas.delete(project, user_id=user or None)

    request.cloud.db.run(write)


_QUERY = Query({"user_id": 1}, strict=75)
_ONE = "/os-quota-sets/{project_id}"

ROUTES: tuple[Route, ...] = (
    Route("GET", _ONE, show, query=_QUERY),
    Route("GET", f"{_ONE}/detail", detail, query=_QUERY),
    Route("GET", f"{_ONE}/defaults", defaults, query=ANY_QUERY),
    Route("PUT", _ONE, update, query=_QUERY, body=Body("quota_set", QuotaSetUpdate)),
    Route("DELETE", _ONE, delete, 202, query=_QUERY),
)
