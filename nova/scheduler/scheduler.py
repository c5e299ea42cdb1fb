# SPDX-License-Identifier: Apache-2.0
"""The scheduler: one pass over the host table for a batch of requests.

For each request, in order: masks of the filters, then the best of what is left, which is consumed
in the table at once, so that the next request of the batch sees it. The claim in the database comes
after, by the caller; a refused one is given back by ``unplace``.
"""

from __future__ import annotations

import itertools
import secrets
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import msgspec
import numpy as np

from nova.conf.scheduler import SchedulerSection
from nova.errors import NoValidHost
from nova.objects.host import ClaimLimits
from nova.objects.request_spec import RequestSpec, Selection
from nova.objects.topology import TopologyRequest
from nova.scheduler.explain import explain
from nova.scheduler.filters.aggregate_values import number_of
from nova.scheduler.filters.base import Attempt, Filter, LateFilter, Surroundings
from nova.scheduler.filters.capacity import (
    AggregateCoreFilter,
    AggregateDiskFilter,
    AggregateRamFilter,
    CoreFilter,
    DiskFilter,
    RamFilter,
)
from nova.scheduler.filters.json import JsonFilter
from nova.scheduler.filters.registry import make_filters
from nova.scheduler.filters.service import MetricsFilter
from nova.scheduler.plugins import HostFilterAdapter
from nova.scheduler.table import Floats, HostTable, Integers, LoadParts, Mask
from nova.scheduler.weighers.base import Weigher
from nova.scheduler.weighers.load_and_hash import (
    LoadAndHashWeigher,
    instance_hash,
    rendezvous,
)
from nova.scheduler.weighers.metrics import MetricsWeigher
from nova.scheduler.weighers.registry import HostWeigherAdapter, make_weighers
from nova.topology.fitting import fit
from nova.topology.usage import with_guest

_encode = msgspec.msgpack.Encoder(enc_hook=str).encode
_random = secrets.SystemRandom()

#: Filters and weighers that look at what hosts measure; plug-ins may.
_MEASURING = (
    MetricsFilter, MetricsWeigher, JsonFilter, HostFilterAdapter, HostWeigherAdapter,
)

#: Choices that may fail a late filter before others are asked about as well.
_QUICK_ROUNDS = 6

# A plan is small but its masks are as long as the table.
_MOST_PLANS = 64


class _Plan:
    """What requests of one kind have in common while the table's facts stay the same."""

    __slots__ = (
        "dynamic", "fixed_mask", "generation", "late", "sizes_generation", "step", "weighers",
    )  # fmt: skip

    def __init__(self) -> None:
        self.generation = -1
        self.sizes_generation = -1
        #: Rows that pass the hosts asked for or ignored and all fixed filters; None for all rows.
        self.fixed_mask: Mask | None = None
        self.dynamic: list[Filter] = []
        self.late: list[LateFilter] = []
        self.weighers: list[Weigher] = []
        self.step: Floats = np.zeros(0)


class Scheduler:
    """Chooses hosts by the filters and weighers of ``section`` from ``table``.

    ``default_zone`` is the zone of hosts that are in none. The callbacks serve filters and plug-ins
    that need to know what runs on hosts. ``pack_cells`` fills NUMA cells one after another. Raises
    ``ValueError`` for an unknown filter or weigher.
    """

    def __init__(
        self,
        section: SchedulerSection,
        table: HostTable,
        *,
        default_zone: str = "nova",
        flavors_by_host: Callable[[], Mapping[str, Collection[str]]] | None = None,
        instances_of_host: Callable[[str], Collection[Any]] | None = None,
        image_properties_by_host: (
            Callable[[], Mapping[str, Mapping[tuple[str, str], int]]] | None
        ) = None,
        pack_cells: bool = False,
    ) -> None:
        self.table = table
        self._pack = pack_cells
        self._section = section
        surroundings = Surroundings(
            section, default_zone, flavors_by_host, instances_of_host, image_properties_by_host
        )
        self.filters = make_filters(surroundings)
        self.weighers = make_weighers(surroundings)
        self._plans: dict[bytes, _Plan] = {}
        self._limits = _ClaimLimitsSource(self.filters)
        table.set_load_parts(
            LoadParts(
                section.load_hash_vcpu,
                section.load_hash_ram,
                section.load_hash_instances,
                section.load_hash_building,
                section.load_hash_measured,
                float(max(1, section.max_io_ops_per_host)),
            )
        )

    @property
    def measures(self) -> bool:
        """Whether what hosts measure has any say, so that the table has to follow it."""
        return self._section.load_hash_measured != 0 or any(
            isinstance(each, _MEASURING) for each in (*self.filters, *self.weighers)
        )

    def select(self, specs: Sequence[RequestSpec]) -> list[Selection | NoValidHost]:
        """A host for each request, or why there is none, in the order of ``specs``.

        Each choice is consumed in the table at once. Members of one server group in the batch see
        each other's choices.
        """
        answers: list[Selection | NoValidHost] = []
        groups: dict[str, Counter[str]] = {}
        with self.table.lock:
            for spec in specs:
                answers.append(self._select_one(spec, groups))
        return answers

    def unplace(self, node_id: int, spec: RequestSpec) -> None:
        """Give back what ``select`` consumed on a node for a request."""
        vcpus, pcpus = self._charge(node_id, spec)
        self.table.apply_release(node_id, vcpus, spec.flavor.memory_mb, spec.disk_gb, pcpus)
        if spec.topology is not None:
            self.table.forget_choice(node_id)

    def place(self, node_id: int, spec: RequestSpec) -> None:
        """Consume for a request on a node that was not ``select``'s choice: an alternate."""
        vcpus, pcpus = self._charge(node_id, spec)
        self.table.apply_claim(node_id, vcpus, spec.flavor.memory_mb, spec.disk_gb, pcpus)

    def _charge(self, node_id: int, spec: RequestSpec) -> tuple[int, int]:
        if spec.topology is None:
            return spec.flavor.vcpus, 0
        with self.table.lock:
            row = self.table.row_of(node_id)
            return charge(spec, row is not None and self.table.pcpus.item(row) > 0)

    def limits(self, node_id: int, spec: RequestSpec) -> ClaimLimits:
        """How far the claim may fill the node: by the capacity filters that are enabled."""
        return self._limits.of(self.table, node_id, spec)

    def _select_one(
        self, spec: RequestSpec, groups: dict[str, Counter[str]]
    ) -> Selection | NoValidHost:
        table = self.table
        attempt = Attempt()
        if spec.group_policy is not None:
            key = spec.group_uuid or ""
            attempt.group_hosts = groups.setdefault(key, Counter(spec.group_hosts))
        plan = self._plan(spec, attempt)
        mask = plan.fixed_mask
        for each in plan.dynamic:
            other = each.mask(table, spec, attempt)
            mask = other if mask is None else mask & other
        if plan.late:
            return self._select_late(plan, mask, spec, attempt)
        rows: Integers | None = None
        if mask is not None:
            rows = mask.nonzero()[0]
            candidates = len(rows)
            if candidates == len(table):
                rows = None
        else:
            candidates = len(table)
        if not candidates:
            return NoValidHost(explain(table, self.filters, spec, attempt))
        picked = self._best(plan, rows, spec, attempt)
        return self._take(picked, spec, attempt)

    def _select_late(
        self, plan: _Plan, mask: Mask | None, spec: RequestSpec, attempt: Attempt
    ) -> Selection | NoValidHost:
        """Choose among hosts that may pass the late filters, ask about the choice, and choose again.

        Where that fails again and again more and more of the others are asked about, so that the rounds
        are few where hardly a host passes.
        """
        table = self.table
        for round_ in itertools.count():
            possible = mask
            for each in plan.late:
                other = each.possible(table, spec)
                possible = other if possible is None else possible & other
            assert possible is not None
            rows = possible.nonzero()[0]
            if not len(rows):
                return NoValidHost(explain(table, self.filters, spec, attempt))
            picked = self._best(plan, rows, spec, attempt)
            if self._pass_late(plan, picked, spec):
                return self._take(picked, spec, attempt)
            if round_ >= _QUICK_ROUNDS:
                more = 16 << 2 * (round_ - _QUICK_ROUNDS)
                self._pass_late(plan, rows[:: max(1, len(rows) // more)].tolist(), spec)
        raise AssertionError("unreachable")

    def _pass_late(self, plan: _Plan, rows: Sequence[int], spec: RequestSpec) -> bool:
        """Whether all rows pass all late filters; every one of them is asked about."""
        answers = [each.passes(self.table, spec, row) for each in plan.late for row in rows]
        return all(answers)

    def _take(self, picked: list[int], spec: RequestSpec, attempt: Attempt) -> Selection:
        table = self.table
        flavor = spec.flavor
        if spec.topology is None:
            table.consume(picked[0], flavor.vcpus, flavor.memory_mb, spec.disk_gb, 1)
        else:
            vcpus, pcpus = charge(spec, table.pcpus.item(picked[0]) > 0)
            table.consume(picked[0], vcpus, flavor.memory_mb, spec.disk_gb, 1, pcpus)
            self._take_room(picked[0], spec.topology)
        nodes = [table.nodes[row] for row in picked]
        first = nodes[0]
        if spec.group_policy is not None:
            attempt.group_hosts[first.host] += 1
        return Selection(
            first.id,
            first.host,
            first.hypervisor_hostname,
            tuple([(node.id, node.host, node.hypervisor_hostname) for node in nodes[1:]]),
        )

    def _take_room(self, row: int, request: TopologyRequest) -> None:
        """Let the next requests of the batch see the CPUs and devices taken, as the claim will find them."""
        table = self.table
        number = table.room_of.item(row)
        room = table.rooms.get(number)
        guest = None if room is None else fit(room, request, pack=self._pack)
        if room is not None and guest is not None:
            table.room_of[row] = table.rooms.changed(number, with_guest(room.usage, guest))

    def _best(
        self, plan: _Plan, rows: Integers | None, spec: RequestSpec, attempt: Attempt
    ) -> list[int]:
        table = self.table
        subset = self._section.host_subset_size
        count = subset + self._section.max_alternates
        weighers = plan.weighers
        if len(weighers) == 1 and isinstance(weighers[0], LoadAndHashWeigher):
            picked = weighers[0].best(table, rows, spec, plan.step, count)
        else:
            if rows is None:
                rows = np.arange(len(table))
            total = np.zeros(len(rows))
            for weigher in weighers:
                total += weigher.score(table, rows, spec, attempt)
            ranks = rendezvous(instance_hash(spec.instance_uuid), table.hashes[rows])
            picked = rows[np.lexsort((ranks, -total))[:count]].tolist()
        if subset > 1:
            chosen = _random.randrange(min(subset, len(picked)))
            picked.insert(0, picked.pop(chosen))
        return picked[: 1 + self._section.max_alternates]

    def _plan(self, spec: RequestSpec, attempt: Attempt) -> _Plan:
        table = self.table
        key = _encode(
            (
                spec.flavor, spec.image, spec.project_id, spec.availability_zone, spec.hints,
                spec.group_policy, spec.ignore_hosts, spec.same_host, spec.different_host,
                spec.force_host, spec.force_node, spec.wanted_host, spec.wanted_node,
                spec.root_on_volume,
            )
        )  # fmt: skip
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _MOST_PLANS:
                self._plans.clear()
            plan = self._plans[key] = _Plan()
        if plan.generation != table.generation:
            self._fill(plan, spec, attempt)
        if plan.sizes_generation != table.sizes_generation:
            plan.step = table.load_step(spec.flavor.vcpus, spec.flavor.memory_mb)
            plan.sizes_generation = table.sizes_generation
        return plan

    def _fill(self, plan: _Plan, spec: RequestSpec, attempt: Attempt) -> None:
        table = self.table
        mask = hosts_mask(table, spec)
        forced = is_forced(spec)
        plan.dynamic = []
        plan.late = []
        if not forced:
            for each in self.filters:
                if not each.applies(spec):
                    continue
                if each.fixed:
                    other = each.mask(table, spec, attempt)
                    mask = other if mask is None else mask & other
                elif isinstance(each, LateFilter):
                    plan.late.append(each)
                else:
                    plan.dynamic.append(each)
        plan.fixed_mask = None if mask is None or mask.all() else mask
        plan.weighers = [each for each in self.weighers if each.applies(spec)]
        plan.generation = table.generation


def charge(spec: RequestSpec, kept_apart: bool) -> tuple[int, int]:
    """(shared CPUs, pinned CPUs) that a request counts on a node that keeps pinned ones apart or not."""
    request = spec.topology
    if request is None or not request.dedicated:
        return spec.flavor.vcpus, 0
    if kept_apart:
        return request.shared, request.dedicated
    return request.shared + request.dedicated, 0


def is_forced(spec: RequestSpec) -> bool:
    """Whether an administrator forced the server onto a host or node, past all filters."""
    return spec.force_host is not None or spec.force_node is not None


def hosts_mask(table: HostTable, spec: RequestSpec) -> Mask | None:
    """Rows of the hosts and nodes that the request names, less those to ignore; None for all."""
    mask: Mask | None = None
    if spec.ignore_hosts:
        mask = ~table.mask_of_hosts(spec.ignore_hosts)
    for host in (spec.force_host, spec.wanted_host):
        if host is not None:
            named = table.mask_of_hosts((host,))
            mask = named if mask is None else mask & named
    for name in (spec.force_node, spec.wanted_node):
        if name is not None:
            named = np.array([node.hypervisor_hostname == name for node in table.nodes], dtype=bool)
            mask = named if mask is None else mask & named
    return mask


class _ClaimLimitsSource:
    """Which resources the enabled filters limit, and by whose ratios."""

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._usual = ClaimLimits(
            limit_vcpus=any(isinstance(each, CoreFilter) for each in filters),
            limit_memory=any(isinstance(each, RamFilter) for each in filters),
            limit_disk=any(isinstance(each, DiskFilter) for each in filters),
        )
        self._by_aggregate = {
            option
            for kind, option in (
                (AggregateCoreFilter, "cpu_allocation_ratio"),
                (AggregateRamFilter, "ram_allocation_ratio"),
                (AggregateDiskFilter, "disk_allocation_ratio"),
            )
            if any(isinstance(each, kind) for each in filters)
        }
        self._unlimited = ClaimLimits(unlimited=True)

    def of(self, table: HostTable, node_id: int, spec: RequestSpec) -> ClaimLimits:
        """The limits of a claim on a node for a request."""
        if is_forced(spec):
            return self._unlimited
        if not self._by_aggregate:
            return self._usual
        with table.lock:
            row = table.row_of(node_id)
            if row is None:
                return self._usual
            aggregates = table.aggregates_in_row(row)
        ratios: dict[str, Any] = {
            option: number_of(aggregates, option) for option in self._by_aggregate
        }
        return msgspec.structs.replace(self._usual, **ratios)
