# SPDX-License-Identifier: Apache-2.0
"""How several schedulers that see each other late fill hosts evenly together.

Each levels what it places itself exactly, and turns only its share of what it sees of the others
into action; see docs/operators/scheduling.md for why.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from nova.objects.host import Service


def follow_others(
    followed: NDArray[np.float64],
    others: NDArray[np.float64],
    pool_of: NDArray[np.int64],
    peer_count: int,
    unit: float,
) -> None:
    """Move ``followed``, the damped view of the load others placed, towards ``others``, in place.

    What all hosts have in common is followed at once (it orders nothing). What a pool of hosts
    (those in the same aggregates) differs from the rest, and a host from its pool, is followed by
    one part in ``peer_count``, as each of the other schedulers answers to it too. Within a pool,
    half a server up or down for each other scheduler is the rounding of its own levelling and no
    reason to act. ``unit`` is the load of one server.
    """
    if not len(followed):
        return
    share = 1.0 / peer_count
    rounding = max(1.0, (peer_count - 1) / 2) * unit
    change = others - followed
    common = float(change.mean())
    sizes = np.maximum(np.bincount(pool_of), 1)
    of_pool = (np.bincount(pool_of, weights=change) / sizes)[pool_of]
    alone = change - of_pool
    alone = np.sign(alone) * np.maximum(0.0, np.abs(alone) - rounding)
    followed += common + share * (of_pool - common) + share * alone


def phases(pool_of: NDArray[np.int64], peer: int, peer_count: int) -> NDArray[np.float64]:
    """Where in one of its rounds of levelling scheduler ``peer`` comes to each host: 0 up to 1.

    Schedulers work in pairs: the hosts of a pool stand on a circle, and from the pair's point of it
    one goes up and the other down. Wherever the two stop in a round, the hosts that both reached
    and those that neither reached cannot both exist, so what a pair leaves differs by one at most.
    """
    order = np.argsort(pool_of, kind="stable")
    sizes = np.bincount(pool_of)
    starts = np.cumsum(sizes) - sizes
    rank = np.empty(len(pool_of))
    rank[order] = np.arange(len(pool_of))
    rank -= starts[pool_of]
    size = sizes[pool_of].astype(np.float64)
    pairs = (peer_count + 1) // 2
    start = np.floor(size * (peer // 2) / pairs)
    place = np.mod(rank - start, size)
    if peer % 2:
        place = size - 1 - place
    phase: NDArray[np.float64] = place / np.maximum(size, 1)
    return phase


def place_among(
    services: Iterable[Service],
    binary: str,
    host: str,
    now: datetime.datetime,
    down_after: float,
) -> tuple[int, int]:
    """Which of how many live services of ``binary`` the one on ``host`` is; (0, 1) if none other
    lives.

    All of them come to the same numbering, as it is by id.
    """
    alive = [
        each
        for each in sorted(services, key=lambda each: each.id)
        if each.binary == binary and (each.host == host or each.is_up(now, down_after))
    ]
    for place, each in enumerate(alive):
        if each.host == host:
            return place, len(alive)
    return 0, 1
