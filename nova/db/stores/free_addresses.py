# SPDX-License-Identifier: Apache-2.0
"""The next free addresses of a network: found and locked, or taken at once in one statement."""

from __future__ import annotations

import datetime
import ipaddress
from typing import Any

from sqlalchemy import Connection, Integer, Update, and_, bindparam, false, func, select, update

from nova.db.schema.base import Timestamp
from nova.db.schema.network import fixed_ips
from nova.objects.network import CLOCK_SKEW

_fixed = fixed_ips.c

#: What makes an address free; ``moment`` is now and a little more.
IS_FREE = and_(
    _fixed.network_id == bindparam("network"),
    _fixed.allocated == false(),
    _fixed.reserved == false(),
    _fixed.used_elsewhere == false(),
    # One that is held back after its server went has its time still to come.
    _fixed.released_at <= bindparam("moment", type_=Timestamp),
)
# SKIP LOCKED lets parallel allocations on a server database pass each other; SQLite has one writer
# and its dialect leaves the clause out.
NEXT = (
    select(_fixed.id, _fixed.address)
    .where(IS_FREE)
    .order_by(_fixed.released_at, _fixed.position)
    .limit(bindparam("count", type_=Integer))
    .with_for_update(skip_locked=True)
)
_first = NEXT.with_only_columns(_fixed.id).subquery("first_free")
_TAKEN = {
    "instance_uuid": bindparam("instance"), "virtual_interface_uuid": bindparam("interface"),
    "allocated": True,
}
_FRESH = and_(
    _fixed.probed_at >= bindparam("since", type_=Timestamp), _fixed.probed_at >= _fixed.released_at
)


def _returning() -> Update:
    return update(fixed_ips).where(_fixed.id == select(_first.c.id).scalar_subquery()).values(_TAKEN)


def _joined() -> Update:
    """For MariaDB, whose UPDATE returns no rows: the address goes the way of a generated key, as a number
    (``LAST_INSERT_ID(expression)``).
    """
    told = func.last_insert_id(func.inet_aton(_fixed.address), type_=Integer)
    return (
        update(fixed_ips)
        .where(_fixed.id == _first.c.id)
        .values({**_TAKEN, "position": _fixed.position + 0 * told})
    )


_TAKE = _returning().returning(_fixed.address)
_TAKE_FRESH = _returning().where(_FRESH).returning(_fixed.address)
_TAKE_JOINED = _joined()
_TAKE_FRESH_JOINED = _joined().where(_FRESH)


def values_at(moment: datetime.datetime, network_id: int, count: int) -> dict[str, Any]:
    """What the statements here are executed with."""
    return {"network": network_id, "count": count, "moment": moment + CLOCK_SKEW}


def take_next(
    connection: Connection,
    moment: datetime.datetime,
    network_id: int,
    instance_uuid: str,
    interface_uuid: str,
    probed_since: datetime.datetime | None,
) -> str | None:
    """Give the next free address of a network to a card, in one statement; returns the address.

    None where there is none, or where it was not looked for on the wire since ``probed_since``; nothing is
    changed then.
    """
    values = {
        **values_at(moment, network_id, 1), "instance": instance_uuid, "interface": interface_uuid,
    }
    if probed_since is not None:
        values["since"] = probed_since
    if connection.dialect.name in ("mysql", "mariadb"):
        statement = _TAKE_JOINED if probed_since is None else _TAKE_FRESH_JOINED
        done = connection.execute(statement, values)
        return str(ipaddress.IPv4Address(done.lastrowid)) if done.rowcount else None
    row = connection.execute(_TAKE if probed_since is None else _TAKE_FRESH, values).first()
    return row[0] if row is not None else None
