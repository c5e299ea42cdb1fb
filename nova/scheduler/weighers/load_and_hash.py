# SPDX-License-Identifier: Apache-2.0
"""The load-and-hash weigher: the least loaded hosts, and a hash among equals.

Load is what is claimed of a host (virtual CPUs, memory, number of servers) as parts of what it has, and
in coarse steps what it measures and builds beyond what is usual (``nova.scheduler.heat``). Hosts whose
load with the new server lies in the same bucket above the least loaded are equals; a rendezvous hash of
instance and host orders them, so that the same request always prefers the same host and different ones
spread. See docs/operators/scheduling.md.
"""

from __future__ import annotations

import hashlib

import numpy as np
from numpy.typing import NDArray

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Surroundings
from nova.scheduler.table import Floats, HostTable, Integers
from nova.scheduler.weighers.base import Weigher

# Up to this many candidates are ordered whole.
_FEW = 32

_MIX_1 = np.uint64(0xBF58476D1CE4E5B9)
_MIX_2 = np.uint64(0x94D049BB133111EB)
_SHIFT_30 = np.uint64(30)
_SHIFT_27 = np.uint64(27)
_SHIFT_31 = np.uint64(31)


def instance_hash(instance_uuid: str) -> np.uint64:
    """64 bits that stand for an instance, the same in every process."""
    digest = hashlib.blake2b(instance_uuid.encode(), digest_size=8).digest()
    return np.uint64(int.from_bytes(digest, "little"))


def rendezvous(instance: np.uint64, hosts: NDArray[np.uint64]) -> NDArray[np.uint64]:
    """The rank of each host for the instance; the lowest wins (splitmix64's finaliser)."""
    mixed = hosts ^ instance
    mixed ^= mixed >> _SHIFT_30
    mixed *= _MIX_1
    mixed ^= mixed >> _SHIFT_27
    mixed *= _MIX_2
    mixed ^= mixed >> _SHIFT_31
    return mixed


class LoadAndHashWeigher(Weigher):
    """Least loaded first, in buckets; equals by rendezvous hash."""

    scaled = False
    option = "load_hash_weight_multiplier"

    def __init__(self, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._finest = np.inf
        self._sizes_generation = -1

    def best(
        self, table: HostTable, rows: Integers | None, spec: RequestSpec, step: Floats, count: int
    ) -> list[int]:
        """The ``count`` best of the candidate rows (all if ``None``), best first.

        ``step`` is ``table.load_step`` of the request, for all rows.
        """
        hashes = table.hashes if rows is None else table.hashes[rows]
        instance = instance_hash(spec.instance_uuid)
        bucket = self._buckets(table, rows, step)
        if len(bucket) <= _FEW:
            order = np.lexsort((rendezvous(instance, hashes), bucket))[:count]
        else:
            order = _first_of_many(bucket, hashes, instance, count)
        picked: list[int] = (order if rows is None else rows[order]).tolist()
        return picked

    def weigh(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """Just below 1 for the best bucket to above 0 for the worst; the hash orders within."""
        step = table.load_step(spec.flavor.vcpus, spec.flavor.memory_mb)
        bucket = self._buckets(table, rows, step)
        ranks = rendezvous(instance_hash(spec.instance_uuid), table.hashes[rows])
        within = (ranks >> np.uint64(11)).astype(np.float64) / float(1 << 53)
        weights: Floats = 1.0 - (bucket + within) / (float(bucket.max()) + 1.0)
        return weights

    def _buckets(self, table: HostTable, rows: Integers | None, step: Floats) -> Floats:
        after = self._seen_load(table, step)
        after += step
        if rows is not None:
            after, step = after[rows], step[rows]
        best = after.argmin()
        low = after.item(best)
        width = self.section.load_hash_bucket * (step.item(best) or 1.0)
        # Loads that should be equal may differ in their last bits: they belong to one bucket.
        buckets: Floats = np.floor((after - low) / width + 1e-6)
        return buckets

    def _seen_load(self, table: HostTable, step: Floats) -> Floats:
        """The load by which this scheduler levels, as a new array.

        Alone it is the load. Among several, it is what this one placed, the damped view of the
        rest, its heat, and the host's phase in this scheduler's rounds (``nova.scheduler.peers``). A round is
        as high as the smallest server asked for: larger ones need no turn, they go by load.
        """
        if table.peer_count == 1:
            return table.load.copy()
        if self._sizes_generation != table.sizes_generation:
            self._sizes_generation = table.sizes_generation
            self._finest = np.inf
        height = step.item(0)
        self._finest = min(self._finest, height)
        turn = self._finest / height if height else 0.0
        seen: Floats = table.phase * step
        seen *= turn
        seen += table.own_load
        seen += table.others_load
        seen += table.extra
        return seen


def _first_of_many(
    bucket: Floats, hashes: NDArray[np.uint64], instance: np.uint64, count: int
) -> Integers:
    """The ``count`` first by (bucket, rank), without ordering the rest."""
    equals = (bucket == 0.0).nonzero()[0]
    before = equals[:0]
    while len(before) + len(equals) < count:
        before = np.concatenate((before, _by_rank(equals, hashes, instance, len(equals))))
        later = bucket[bucket > bucket[equals[0]]]
        if not len(later):
            return before
        equals = (bucket == later.min()).nonzero()[0]
    return np.concatenate((before, _by_rank(equals, hashes, instance, count - len(before))))


def _by_rank(
    rows: Integers, hashes: NDArray[np.uint64], instance: np.uint64, count: int
) -> Integers:
    ranks = rendezvous(instance, hashes[rows])
    if len(rows) > _FEW and count < len(rows):
        few = ranks.argpartition(count)[:count]
        rows, ranks = rows[few], ranks[few]
    return rows[ranks.argsort()[:count]]
