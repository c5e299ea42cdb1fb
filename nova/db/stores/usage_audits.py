# SPDX-License-Identifier: Apache-2.0
"""Usage audits: which host's servers were counted for which period."""

from __future__ import annotations

import datetime
from collections.abc import Sequence

import msgspec
from sqlalchemy import Connection, func, insert, or_, select
from sqlalchemy.exc import IntegrityError

from nova.db.schema.audits import usage_audits
from nova.db.schema.base import now
from nova.db.schema.compute import instances
from nova.objects.usage import UsageAudit

_columns = usage_audits.c
_FIELDS = tuple(_columns[name] for name in UsageAudit.__struct_fields__)


class UsageAuditStore:
    """Usage audits in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def of_period(
        self, begin: datetime.datetime, end: datetime.datetime
    ) -> list[UsageAudit]:
        """The audits of exactly that period, by host."""
        rows = self._connection.execute(
            select(*_FIELDS)
            .where(_columns.period_beginning == begin, _columns.period_ending == end)
            .order_by(_columns.host)
        )
        return [UsageAudit(*row) for row in rows]

    def servers_by_host(
        self, begin: datetime.datetime, end: datetime.datetime
    ) -> dict[str, int]:
        """How many servers of each host were up at some time of a period; one that was deleted since is
        on no host any more.
        """
        rows = self._connection.execute(
            select(instances.c.host, func.count())
            .where(
                instances.c.host.is_not(None), instances.c.launched_at < end,
                or_(instances.c.terminated_at.is_(None), instances.c.terminated_at > begin),
            )
            .group_by(instances.c.host)
        )
        return {host: int(number) for host, number in rows}

    def add(
        self, begin: datetime.datetime, end: datetime.datetime, audits: Sequence[UsageAudit]
    ) -> bool:
        """Keep the audits of a period; False, and none kept, where another process was faster."""
        rows = [
            {**msgspec.structs.asdict(audit), "period_beginning": begin, "period_ending": end,
             "created_at": now()}
            for audit in audits
        ]
        try:
            with self._connection.begin_nested():
                self._connection.execute(insert(usage_audits), rows)
        except IntegrityError:
            return False
        return True
