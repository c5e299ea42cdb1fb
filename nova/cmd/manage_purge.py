# SPDX-License-Identifier: Apache-2.0
"""``nova-manage db purge``: rows of servers that were deleted long ago."""

from __future__ import annotations

import argparse
import datetime
import os
from typing import TYPE_CHECKING, Any, TextIO

import msgspec

from nova.cmd.manage_session import Command, CommandError, Session, argument
from nova.db.schema.base import now

if TYPE_CHECKING:
    from nova.db.engine import Transaction

#: Servers a transaction: short enough that no request waits for it.
_BATCH = 200


def purge(arguments: argparse.Namespace, session: Session) -> None:
    """Remove what is kept of servers deleted before a time, a batch a transaction."""
    before = _moment(arguments.before)
    with session.db.read() as tx:
        total = tx.deleted_servers.count(before)
    servers = total if arguments.max_servers is None else min(total, arguments.max_servers)
    if arguments.dry_run:
        session.say(f"{servers} of {total} servers deleted before {arguments.before} would be purged")
        return
    done = rows = 0
    archive = _opened(arguments.archive)
    try:
        while done < servers:
            names, removed = _batch(session, before, min(_BATCH, servers - done), archive)
            if not names:
                break
            done, rows = done + names, rows + removed
            session.say(f"{done} of {servers} servers, {rows} rows")
    finally:
        if archive is not None:
            archive.close()
    session.say(f"purged {done} servers deleted before {arguments.before}: {rows} rows")


def _batch(
    session: Session, before: datetime.datetime, limit: int, archive: TextIO | None
) -> tuple[int, int]:
    """Purge so many servers; how many there were, and how many rows went.

    Rows are on the disk of the archive before they leave the database: a crash between the two leaves
    them in both, and the next run writes them again.
    """

    def work(tx: Transaction) -> tuple[int, int]:
        uuids = tx.deleted_servers.oldest(before, limit)
        if not uuids:
            return 0, 0
        if archive is not None:
            _write(archive, tx.deleted_servers.rows(uuids))
        return len(uuids), tx.deleted_servers.purge(uuids)

    return session.db.run(work)


def _write(archive: TextIO, rows: list[tuple[str, dict[str, Any]]]) -> None:
    for table, row in rows:
        archive.write(msgspec.json.encode({"table": table, "row": row}).decode() + "\n")
    archive.flush()
    os.fsync(archive.fileno())


def _opened(path: str | None) -> TextIO | None:
    if path is None:
        return None
    try:
        # Key data and user data of servers are in it.
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "a")
    except OSError as error:
        raise CommandError(f"--archive {path}: {error.strerror}") from None


def _moment(text: str) -> datetime.datetime:
    try:
        moment = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise CommandError(f"--before {text}: it must be a date such as 2026-01-31") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(datetime.UTC).replace(tzinfo=None)
    if moment > now():
        raise CommandError(f"--before {text}: it lies in the future")
    return moment


def _count(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


PURGE = Command(
    "purge", "Remove what is kept of servers that were deleted before a time.", purge,
    (
        argument("--before", required=True, metavar="DATE", help="deleted before then, UTC"),
        argument("--max-servers", type=_count, metavar="N", help="not more than these, the oldest first"),
        argument("--archive", metavar="FILE", help="append the rows to FILE first, a JSON document a line"),
        argument("--dry-run", action="store_true", help="only tell how many there are"),
    ),
    "Usage reports, actions and migrations of these servers go with them.\n\n"
    "examples:\n"
    "  nova-manage db purge --before 2026-01-31 --dry-run\n"
    "  nova-manage db purge --before 2026-01-31 --archive /var/backups/nova-servers.jsonl\n",
)
