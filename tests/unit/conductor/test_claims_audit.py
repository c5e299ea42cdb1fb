# SPDX-License-Identifier: Apache-2.0
"""The audit of claims with faults put into the database: it mends each, counts it, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import delete, text, update

from nova import metrics
from nova.conductor.upkeep import ClaimsAudit
from nova.db.schema.compute import instances
from nova.db.schema.hosts import claims, compute_nodes
from nova.objects.instance import Instance
from nova.objects.states import RESIZED
from nova.objects.topology import HostUsage
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(
        tmp_path, fake__hosts=2, fake__numa_cells=2, fake__vcpus=16, fake__memory_mb=16384,
        fake__dedicated_cpus="2-7,10-15",
    )
    yield made
    made.stop()


def pinned(cloud: SmallCloud) -> Instance:
    with cloud.db.write() as tx:
        tx.flavors.create(
            "pinned", memory_mb=512, vcpus=4, root_gb=1, flavorid="pinned",
            extra_specs={"hw:cpu_policy": "dedicated"},
        )
    return cloud.boot(flavor="pinned")


def counted(kind: str) -> float:
    return float(metrics.CLAIMS_REPAIRED.labels(kind)._value.get())


def settled(cloud: SmallCloud) -> None:
    """Let everything be an hour old: what is younger may be under way."""
    with cloud.db.engine.begin() as connection:
        connection.execute(text("UPDATE instances SET updated_at = datetime(updated_at, '-1 hour')"))
        connection.execute(text("UPDATE claims SET created_at = datetime(created_at, '-1 hour')"))


def test_a_healthy_cloud_is_left_alone(cloud: SmallCloud) -> None:
    pinned(cloud)
    cloud.boot()
    settled(cloud)
    assert ClaimsAudit(cloud.control.core).run() == 0


def test_claims_that_servers_lack_are_made_again_with_their_cpus(cloud: SmallCloud) -> None:
    servers = [pinned(cloud), cloud.boot()]
    settled(cloud)
    with cloud.db.engine.begin() as connection:
        connection.execute(delete(claims))
        connection.execute(
            update(compute_nodes).values(
                vcpus_used=0, memory_mb_used=0, local_gb_used=0, instances_used=0, pcpus_used=0,
                topology_used=None,
            )
        )
    assert cloud.leaks()
    before = counted("missing")
    audit = ClaimsAudit(cloud.control.core)
    assert audit.run() > len(servers)
    assert counted("missing") - before == len(servers)
    assert cloud.leaks() == []
    assert audit.run() == 0


def test_both_sides_of_a_resize_come_back(cloud: SmallCloud) -> None:
    server = pinned(cloud)
    cloud.operations.resize(USER, server, "2")
    cloud.settle()
    server = cloud.show(server.uuid)
    assert server.vm_state == RESIZED
    settled(cloud)
    with cloud.db.engine.begin() as connection:
        connection.execute(delete(claims))
    ClaimsAudit(cloud.control.core).run()
    assert cloud.leaks() == []
    cloud.operations.revert_resize(USER, server)
    cloud.settle()
    assert cloud.show(server.uuid).topology is not None
    assert cloud.leaks() == []


def test_leaked_claims_give_their_cpus_back(cloud: SmallCloud) -> None:
    server = pinned(cloud)
    settled(cloud)
    with cloud.db.engine.begin() as connection:
        connection.execute(
            update(instances).where(instances.c.uuid == server.uuid).values(uuid="another")
        )
        connection.execute(
            update(instances).values(host=None, node=None, topology=None, vm_state="error")
        )
    before = counted("orphan")
    ClaimsAudit(cloud.control.core).run()
    assert counted("orphan") - before == 1
    with cloud.db.read() as tx:
        assert all(node.pcpus_used == 0 for node in tx.nodes.list())
        assert all(not (node.topology_used or {}).get("pinned") for node in tx.nodes.list())


def test_a_wrong_document_of_used_cpus_is_written_anew_and_its_generation_grows(
    cloud: SmallCloud,
) -> None:
    server = pinned(cloud)
    settled(cloud)
    with cloud.db.engine.begin() as connection:
        connection.execute(
            update(compute_nodes)
            .where(compute_nodes.c.host == server.host)
            .values(topology_used=HostUsage(pinned=(2,)))
        )
    with cloud.db.read() as tx:
        (before,) = tx.nodes.by_host(server.host or "")
    counted_before = counted("topology")
    assert ClaimsAudit(cloud.control.core).run() == 1
    assert counted("topology") - counted_before == 1
    with cloud.db.read() as tx:
        (after,) = tx.nodes.by_host(server.host or "")
    assert after.topology_generation == before.topology_generation + 1
    assert cloud.leaks() == []
    # The scheduler sees the truth too: the second server is not sent onto the first one's CPUs.
    cloud.boot(flavor="pinned")
    assert cloud.leaks() == []
