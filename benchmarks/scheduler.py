# SPDX-License-Identifier: Apache-2.0
"""Measures the scheduler alone, with a real database: ``figure NAME VALUE UNIT`` a line.

The times of ``schedule.*`` are those of choosing a host and claiming it in the database (SQLite),
the claims in the transactions of a conductor that places one request at a time. Evenness is the
worst of several runs, with hosts whose measurements are noisy. ``--plot FILE`` draws the evenness of
docs/operators/scheduling.md.
"""

from __future__ import annotations

import argparse
import contextlib
import datetime
import os
import random
import resource
import statistics
import tempfile
import time
import uuid
from collections.abc import Iterator

import msgspec
from sqlalchemy import bindparam, update

from nova.conductor.topology_claims import TopologyClaims, Wanted
from nova.conf.scheduler import SchedulerSection
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.db.schema.base import now
from nova.db.schema.hosts import compute_nodes
from nova.objects.flavor import Flavor
from nova.objects.host import ClaimRequest, HostReport
from nova.objects.request_spec import RequestSpec, Selection
from nova.objects.topology import HostCell, HostTopology, HostUsage, PagePool
from nova.scheduler.scheduler import Scheduler
from nova.scheduler.simulation import Outcome, SimulatedHosts, Simulation, random_trace
from nova.scheduler.table import HostTable
from nova.topology.requests import topology_request

FLAVOR = Flavor(1, "1", "small", None, 2048, 1, 10, 0, 0, 1.0, True, False, {})
EQUAL = [(1, 2048, 10)]
MIXED = [(1, 1024, 10), (1, 2048, 20), (2, 4096, 40), (4, 8192, 80)]
ZONES = ("zone-1", "zone-2")
#: So many hosts of each zone are hot where some are: something that is no server takes half their CPUs.
HOT = 2
RUNS = 5


def figure(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(f"figure {name} {value:.6g} {unit}", flush=True)


@contextlib.contextmanager
def database() -> Iterator[Database]:
    """A SQLite database with all tables."""
    with tempfile.TemporaryDirectory() as directory:
        db = Database(f"sqlite:///{directory}/bench.sqlite")
        metadata.create_all(db.engine)
        yield db
        db.dispose()


def fill(db: Database, count: int, topology: HostTopology | None = None) -> None:
    """Report ``count`` hosts, of four kinds."""
    reports = [
        HostReport(
            host=f"host-{number}", hypervisor_hostname=f"host-{number}.example",
            host_ip="10.0.0.1", hypervisor_type="QEMU", hypervisor_version=8002001,
            vcpus=64 << number % 2, memory_mb=262144 << number % 2, local_gb=4000,
            cpu_info={"arch": "x86_64", "model": f"kind-{number % 4}", "features": ["vmx"] * 40},
            supported_instances=[["x86_64", "kvm", "hvm"], ["i686", "kvm", "hvm"]],
            topology=topology,
        )
        for number in range(count)
    ]  # fmt: skip
    with db.write() as tx:
        tx.nodes.report_many(reports)
        tx.services.report_many(
            [("nova-compute", report.host, "compute") for report in reports], now()
        )


def load(db: Database, table: HostTable) -> None:
    """What a scheduler does when it starts."""
    with db.read() as tx:
        nodes, services = tx.nodes.list(), tx.services.list("nova-compute")
        aggregates = tx.aggregates.list()
    table.rebuild(nodes, services, aggregates, now(), 60.0)


def request() -> RequestSpec:
    """A request for one server."""
    return RequestSpec(
        instance_uuid=str(uuid.uuid4()), project_id="p", flavor=FLAVOR, availability_zone="nova"
    )


def place(db: Database, scheduler: Scheduler, specs: list[RequestSpec]) -> None:
    """Choose and claim as a conductor does."""
    claims = []
    for spec, answer in zip(specs, scheduler.select(specs), strict=True):
        assert isinstance(answer, Selection), answer
        claims.append(
            ClaimRequest(
                instance_uuid=spec.instance_uuid, node_id=answer.node_id, vcpus=FLAVOR.vcpus,
                memory_mb=FLAVOR.memory_mb, disk_gb=spec.disk_gb,
                limits=scheduler.limits(answer.node_id, spec),
            )
        )  # fmt: skip
    with db.write() as tx:
        assert all(tx.claims.claim_many(claims))


def measure_choices(hosts: int, choices: int) -> float:
    """Print the figures for a cloud of so many hosts; answers the median in milliseconds."""
    with database() as db:
        fill(db, hosts)
        before = resident_mb()
        table = HostTable()
        began = time.perf_counter()
        load(db, table)
        rebuilt = time.perf_counter() - began
        grown = resident_mb() - before
        scheduler = Scheduler(SchedulerSection(), table)
        place(db, scheduler, [request() for _ in range(3)])
        times = []
        for _ in range(choices):
            specs = [request()]
            began = time.perf_counter()
            place(db, scheduler, specs)
            times.append(1000 * (time.perf_counter() - began))
        batches = []
        for _ in range(5):
            specs = [request() for _ in range(100)]
            began = time.perf_counter()
            place(db, scheduler, specs)
            batches.append(1000 * (time.perf_counter() - began))
        chosen = []
        for _ in range(choices):
            specs = [request()]
            began = time.perf_counter()
            scheduler.select(specs)
            chosen.append(1000 * (time.perf_counter() - began))
    cuts = statistics.quantiles(times, n=20)
    figure(f"schedule.{hosts}.p50_ms", cuts[9], "ms")
    figure(f"schedule.{hosts}.p95_ms", cuts[18], "ms")
    figure(f"schedule.{hosts}.batch100_ms", statistics.median(batches), "ms")
    figure(f"schedule.{hosts}.choose_p50_ms", statistics.median(chosen), "ms")
    if hosts == 10_000:
        figure("schedule.table.rebuild_s", rebuilt, "s")
        figure("schedule.table.memory_mb", grown, "MB")
    return cuts[9]


def pinned_request(cells: int) -> RequestSpec:
    """A request for a server of four pinned CPUs on so many NUMA nodes."""
    flavor = msgspec.structs.replace(
        FLAVOR, vcpus=4, extra_specs={"hw:cpu_policy": "dedicated", "hw:numa_nodes": str(cells)}
    )
    return RequestSpec(
        instance_uuid=str(uuid.uuid4()), project_id="p", flavor=flavor, availability_zone="nova",
        topology=topology_request(flavor, {}, dict),
    )


def numa_host() -> HostTopology:
    """Two cells of 32 CPUs in 16 cores each."""
    return HostTopology(
        tuple(
            HostCell(
                id=cell, socket=cell, shared=tuple(range(32 * cell, 32 * cell + 32)),
                dedicated=tuple(range(32 * cell, 32 * cell + 32)),
                cores=tuple((cpu, cpu + 1) for cpu in range(32 * cell, 32 * cell + 32, 2)),
                pages=(PagePool(4, 131072 * 256), PagePool(2048, 4096)),
            )
            for cell in range(2)
        )
    )


def scatter(db: Database) -> None:
    """Let every host have some CPUs taken, each others."""
    chance = random.Random(1)
    with db.engine.begin() as connection:
        connection.execute(
            update(compute_nodes)
            .where(compute_nodes.c.id == bindparam("node"))
            .values(topology_used=bindparam("used")),
            [
                {"node": number + 1, "used": HostUsage(pinned=tuple(sorted(chance.sample(range(64), 40))))}
                for number in range(10_000)
            ],
        )


def measure_pinned(hosts: int, choices: int, suffix: str = "") -> None:
    """Print what choosing and claiming pinned CPUs costs in a cloud of NUMA hosts."""
    with database() as db:
        fill(db, hosts, numa_host())
        if suffix:
            scatter(db)
        table = HostTable()
        began = time.perf_counter()
        load(db, table)
        rebuilt = time.perf_counter() - began
        scheduler = Scheduler(SchedulerSection(), table)
        claims = TopologyClaims(table, pack_cells=False)
        times, chosen, first = [], [], 0.0
        for number in range(choices + 3):
            spec = pinned_request(1 + number % 2)
            began = time.perf_counter()
            (answer,) = scheduler.select([spec])
            decided = time.perf_counter()
            if not number:
                first = 1000 * (decided - began)
            assert isinstance(answer, Selection), answer
            wanted = ClaimRequest(
                instance_uuid=spec.instance_uuid, node_id=answer.node_id, vcpus=4,
                memory_mb=FLAVOR.memory_mb, disk_gb=spec.disk_gb,
                limits=scheduler.limits(answer.node_id, spec),
            )  # fmt: skip
            with db.write() as tx:
                (granted,) = claims.take(tx, [Wanted(wanted, spec.topology)])
            assert granted.ok
            if number >= 3:
                chosen.append(1000 * (decided - began))
                times.append(1000 * (time.perf_counter() - began))
    cuts = statistics.quantiles(times, n=20)
    figure(f"schedule.{hosts}.pinned{suffix}_p50_ms", cuts[9], "ms")
    figure(f"schedule.{hosts}.pinned{suffix}_p95_ms", cuts[18], "ms")
    figure(f"schedule.{hosts}.pinned{suffix}_choose_p50_ms", statistics.median(chosen), "ms")
    figure(f"schedule.{hosts}.pinned{suffix}_first_ms", first, "ms")
    if hosts == 10_000:
        figure(f"schedule.table.numa{suffix}_rebuild_s", rebuilt, "s")


def resident_mb() -> float:
    """Memory of this process that is resident, MB; its peak where the system does not tell."""
    try:
        with open("/proc/self/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6
    except OSError:
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


def simulate(
    weigher: str, sizes: list[tuple[int, int, int]], rate: float, seed: int, hot: int = 0
) -> Outcome:
    """2,000 servers on 40 equal hosts in two zones by three schedulers up to 2 s out of date.

    What the hosts measure goes up and down by ten percent; servers build for some seconds. Hosts have
    room for thousands of servers; where some are hot, for hundreds.
    """
    shape = {"vcpus": 64, "memory_mb": 262144, "hot": hot * len(ZONES)} if hot else {}
    hosts = SimulatedHosts(count=40, zones=ZONES, **shape)
    section = SchedulerSection(weight_classes=(weigher,))
    simulation = Simulation(hosts, section, schedulers=3, stale_seconds=2.0, seed=seed)
    return simulation.run(random_trace(2000, sizes, rate=rate, zones=ZONES, seed=seed))


def measure_evenness() -> None:
    """Print how evenly the default weigher and plain memory weighing fill hosts."""
    for weigher, suffix in (("LoadAndHashWeigher", ""), ("RAMWeigher", ".ram_weigher")):
        equal = [
            simulate(weigher, EQUAL, rate, seed) for rate in (50.0, 300.0) for seed in range(RUNS)
        ]
        mixed = [
            simulate(weigher, MIXED, rate, seed) for rate in (50.0, 300.0) for seed in range(RUNS)
        ]
        worst = max(each.max_minus_min() for each in equal)
        figure(f"schedule.spread.max_minus_min{suffix}", worst, "servers")
        deviation = 100 * max(each.memory_deviation() for each in mixed)
        figure(f"schedule.spread.memory_deviation{suffix}", deviation, "%")
    for rate in (50.0, 300.0):
        warm = [simulate("LoadAndHashWeigher", EQUAL, rate, seed, HOT) for seed in range(RUNS)]
        hot = statistics.mean(count for each in warm for count in each.servers[: HOT * len(ZONES)])
        other = statistics.mean(count for each in warm for count in each.servers[HOT * len(ZONES) :])
        figure(f"schedule.spread.hot_host_{rate:.0f}", 100 * hot / other, "%_of_the_others")
        difference = max(each_zone_difference(each.servers[HOT * len(ZONES) :]) for each in warm)
        figure(f"schedule.spread.besides_hot_hosts_{rate:.0f}", difference, "servers")


def each_zone_difference(servers: list[int]) -> int:
    """The largest difference between two hosts of a zone; zones take turns."""
    return max(max(servers[place_ :: len(ZONES)]) - min(servers[place_ :: len(ZONES)])
               for place_ in range(len(ZONES)))


def plot(path: str) -> None:
    """Draw how many servers each host has, by weigher, as SVG."""
    panels = [
        ("LoadAndHashWeigher", simulate("LoadAndHashWeigher", EQUAL, 300.0, 3).servers),
        ("LoadAndHashWeigher, the first two hosts of each zone hot",
         simulate("LoadAndHashWeigher", EQUAL, 50.0, 3, HOT).servers),
        ("RAMWeigher alone", simulate("RAMWeigher", EQUAL, 300.0, 3).servers),
    ]
    width, height, high = 420, 150, 60
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width + 60} {3 * height + 80}"'
        ' font-family="sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="white"/>',
    ]
    for number, (title, servers) in enumerate(panels):
        top = 30 + number * (height + 20)
        low = 40 if min(servers) >= 40 else 0
        parts.append(f'<text x="45" y="{top - 8}" font-weight="bold">{title}</text>')
        for mark in range(low, high + 1, (high - low) // 4):
            y = top + height - 20 - (mark - low) / (high - low) * (height - 30)
            parts.append(
                f'<line x1="45" x2="{45 + width}" y1="{y:.1f}" y2="{y:.1f}" stroke="#ccc"/>'
                f'<text x="40" y="{y + 4:.1f}" text-anchor="end">{mark}</text>'
            )
        for place_, count in enumerate(servers):
            tall = max(0.0, (min(count, high) - low) / (high - low) * (height - 30))
            x = 50 + place_ * (width - 10) / len(servers)
            color = "#4477aa" if place_ % len(ZONES) == 0 else "#ee9944"
            parts.append(
                f'<rect x="{x:.1f}" y="{top + height - 20 - tall:.1f}" width="7"'
                f' height="{tall:.1f}" fill="{color}"/>'
            )
    parts.append(
        f'<text x="45" y="{3 * height + 70}">servers on each of 40 hosts; colours are zones</text>'
        "</svg>"
    )
    with open(path, "w") as file:
        file.write("\n".join(parts) + "\n")


def main() -> None:
    """Measure everything, or draw the plot alone."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--plot", metavar="FILE", help="draw the evenness as SVG and measure nothing"
    )
    arguments = parser.parse_args()
    if arguments.plot:
        plot(arguments.plot)
        return
    began = datetime.datetime.now()
    medians = {hosts: measure_choices(hosts, 300) for hosts in (4, 100, 10_000)}
    figure("schedule.growth_100_to_10000", medians[10_000] / medians[100], "times")
    for hosts in (100, 10_000):
        measure_pinned(hosts, 300)
    measure_pinned(10_000, 300, "_scattered")
    measure_evenness()
    figure("schedule.bench_s", (datetime.datetime.now() - began).total_seconds(), "s")


if __name__ == "__main__":
    main()
