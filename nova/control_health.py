# SPDX-License-Identifier: Apache-2.0
"""The parts that a process of the control side needs, and numbers about the cloud, for its health."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

from nova import metrics
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.health import Facts, Health, Part, Unwell


def make_health(
    *,
    db: Database | None = None,
    service_down_time: int = 60,
    transport: Callable[[], Facts] | None = None,
    recovery: metrics.Age | None = None,
    recovery_interval: int = 10,
    others: Mapping[str, Callable[[], Facts]] | None = None,
    disabled_by_file: str | None = None,
) -> Health:
    """The health of a process that has these parts.

    ``transport`` answers facts or raises ``Unwell``; ``recovery`` is when the conductor's recovery last
    ran, for a process with a conductor. ``others`` are told about and stop nothing.
    """
    parts: dict[str, Part] = {}
    if db is not None:
        parts["database"] = Part(lambda: _database(db))
        parts["hosts"] = Part(lambda: _hosts(db, service_down_time), needed=False)
        parts["operations"] = Part(lambda: _operations(db), needed=False)
    if transport is not None:
        parts["transport"] = Part(transport)
    if recovery is not None:
        parts["recovery"] = Part(lambda: _recovery(recovery, recovery_interval), needed=False)
    for name, ask in (others or {}).items():
        parts[name] = Part(ask, needed=False)
    return Health(parts, disabled_by_file=disabled_by_file)


def _database(db: Database) -> Facts:
    began = time.perf_counter()
    db.ping()
    return {"kind": db.dialect, "latency_ms": round((time.perf_counter() - began) * 1000, 2)}


def _hosts(db: Database, down_after: int) -> Facts:
    with db.read() as tx:
        services = tx.services.list("nova-compute")
    moment = now()
    up = sum(1 for each in services if each.is_up(moment, down_after))
    down = sorted(each.host for each in services if not each.is_up(moment, down_after))
    disabled = sum(1 for each in services if each.disabled)
    return {"up": up, "down": len(down), "disabled": disabled, "first_down": down[:10]}


def _operations(db: Database) -> Facts:
    with db.read() as tx:
        count, oldest = tx.operations.backlog()
    age = None if oldest is None else round((now() - oldest).total_seconds(), 3)
    return {"open": count, "oldest_open_seconds": age}


def _recovery(last: metrics.Age, interval: int) -> Facts:
    age = last.seconds()
    # A round takes time of its own; three missed ones are no chance.
    if age > 3 * interval + 30:
        since = "never ran" if math.isinf(age) else f"last ran {age:.0f} s ago"
        raise Unwell(f"the look for interrupted operations {since}")
    return {"age_seconds": round(age, 1)}


def watch_pool(db: Database) -> None:
    """Let the metrics of the connection pool tell about ``db``."""
    pool: Any = db.engine.pool
    metrics.watch(metrics.POOL_USED, pool.checkedout)
    metrics.watch(metrics.POOL_SIZE, pool.size)
