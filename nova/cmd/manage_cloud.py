# SPDX-License-Identifier: Apache-2.0
"""``nova-manage service``, ``project`` and ``db``."""

from __future__ import annotations

import argparse
import dataclasses
from typing import TYPE_CHECKING

from nova.cmd.grid import grid
from nova.cmd.manage_purge import PURGE
from nova.cmd.manage_session import Command, CommandError, Session, argument
from nova.db import migrate
from nova.db.schema.base import now
from nova.objects.host import Service
from nova.objects.quota import COUNTED

if TYPE_CHECKING:
    from nova.db.engine import Transaction

_UP, _DOWN = ":-)", "XXX"
_UNLIMITED = "unlimited"
_LARGEST_LIMIT = (1 << 31) - 1


def list_services(arguments: argparse.Namespace, session: Session) -> None:
    """List services and whether they report."""
    with session.db.read() as tx:
        services = tx.services.list(arguments.service, arguments.host)
        zones = tx.aggregates.zones_of_hosts()
    moment = now()
    default = session.config.default
    session.table(
        ("Binary", "Host", "Zone", "Status", "State", "Updated_At"),
        [
            (
                each.binary, each.host, zone_of(each, zones, session),
                "disabled" if each.disabled else "enabled",
                _UP if each.is_up(moment, default.service_down_time) else _DOWN,
                each.last_seen_up,
            )
            for each in services
        ],
    )


def zone_of(service: Service, zones: dict[str, str], session: Session) -> str:
    """The availability zone that a service is in, as the API shows it."""
    default = session.config.default
    if service.topic != "compute":
        return default.internal_service_availability_zone
    return zones.get(service.host, default.default_availability_zone)


def enable_service(arguments: argparse.Namespace, session: Session) -> None:
    """Let a service have new work."""
    _set_disabled(arguments, session, disabled=False)


def disable_service(arguments: argparse.Namespace, session: Session) -> None:
    """Keep new work from a service."""
    _set_disabled(arguments, session, disabled=True)


def _set_disabled(arguments: argparse.Namespace, session: Session, *, disabled: bool) -> None:

    def write(tx: Transaction) -> None:
        service = tx.services.get_by_host(arguments.service, arguments.host)
        if service is None:
            raise CommandError(f"no service {arguments.service} on host {arguments.host}")
        tx.services.set_disabled(service.id, disabled, getattr(arguments, "reason", None))

    session.db.run(write)
    state = "disabled" if disabled else "enabled"
    session.say(f"{arguments.service} on {arguments.host} is {state}")


def quota(arguments: argparse.Namespace, session: Session) -> None:
    """Show the limits of a project or of one user in it, or set one and then show them."""
    defaults = dataclasses.asdict(session.config.quota)
    if (arguments.key is None) != (arguments.value is None):
        raise CommandError("--key and --value go together")

    def write(tx: Transaction) -> list[tuple[str, object, object]]:
        if arguments.key is not None:
            if arguments.key not in defaults:
                raise CommandError(
                    f"{arguments.key} is not a valid quota key; valid are: {', '.join(defaults)}"
                )
            tx.quotas.set(
                arguments.project, {arguments.key: _limit(arguments.value)},
                user_id=arguments.user,
            )
        return _quota_rows(tx, arguments.project, arguments.user, defaults)

    rows = session.db.run(write)
    session.table(("Quota", "Limit", "In Use"), rows)


def _limit(text: str) -> int:
    try:
        value = -1 if text.lower() == _UNLIMITED else int(text)
    except ValueError:
        value = -2
    if not -1 <= value <= _LARGEST_LIMIT:
        raise CommandError(
            f"--value {text}: it must be -1 (unlimited) or a number up to {_LARGEST_LIMIT}"
        )
    return value


def _quota_rows(
    tx: Transaction, project_id: str, user_id: str, defaults: dict[str, int]
) -> list[tuple[str, object, object]]:
    limits = tx.quotas.limits(project_id, user_id, defaults)
    if user_id:
        usage = tx.quotas.usage_of_user(project_id, user_id)
    else:
        usage = tx.quotas.usage(project_id)
    return [
        (
            name,
            _UNLIMITED if limit == -1 else limit,
            getattr(usage, name) if name in COUNTED else None,
        )
        for name, limit in limits.items()
    ]


def sync(_arguments: argparse.Namespace, session: Session) -> None:
    """Bring the database to this release."""
    migrate.prepare(session.db)
    session.say(f"the database is at revision {migrate.HEAD}")


_FOR_SCRIPTS = "taken for the sake of scripts; not used"


def online_data_migrations(_arguments: argparse.Namespace, session: Session) -> None:
    """Rows are rewritten by ``db sync``; installers ask all the same."""
    for line in grid(("Migration", "Total Needed", "Completed"), ()):
        session.say(line)


def version(_arguments: argparse.Namespace, session: Session) -> None:
    """Print the database's revision."""
    session.say(migrate.revision(session.db) or "the database is empty")


_SERVICE = (
    argument("--host", required=True, help="the host that it runs on"),
    argument("--service", required=True, metavar="BINARY", help="such as nova-compute"),
)

GROUPS = {
    "service": (
        "Services: which run where, and which get new work.",
        (
            Command(
                "list", "List services: ':-)' reports, 'XXX' does not.", list_services,
                (
                    argument("--host", help="only on this host"),
                    argument("--service", metavar="BINARY", help="only these"),
                ),
            ),
            Command("enable", "Let a service have new work.", enable_service, _SERVICE),
            Command(
                "disable", "Keep new work from a service.", disable_service,
                (*_SERVICE, argument("--reason", help="why, for other operators")),
                "examples:\n"
                "  nova-manage service disable --host node7 --service nova-compute "
                "--reason 'bad memory'\n",
            ),
        ),
    ),
    "project": (
        "Projects' limits.",
        (
            Command(
                "quota", "Show a project's limits, or set one.", quota,
                (
                    argument("--project", required=True, metavar="ID", help="which project"),
                    argument("--user", default="", metavar="ID", help="one user's share in it"),
                    argument("--key", help="the limit to set"),
                    argument("--value", help="a number, or 'unlimited'"),
                ),
                "examples:\n"
                "  nova-manage project quota --project 5f0d2a\n"
                "  nova-manage project quota --project 5f0d2a --key cores --value 200\n",
            ),
        ),
    ),
    "db": (
        "The database's tables.",
        (
            Command(
                "sync", "Make the tables, or bring them to this release; safe to repeat.", sync,
                (
                    argument("--version", metavar="REVISION", help=_FOR_SCRIPTS),
                    argument("--local_cell", action="store_true", help=_FOR_SCRIPTS),
                ),
                needs_schema=False,
            ),
            Command(
                "online_data_migrations", "Answer that no rows are left to be rewritten.",
                online_data_migrations,
                (argument("--max-count", type=int, help=_FOR_SCRIPTS),),
            ),
            Command(
                "version", "Print the revision that the tables are at.", version,
                needs_schema=False,
            ),
            PURGE,
        ),
    ),
}
