# SPDX-License-Identifier: Apache-2.0
"""Compute nodes: reports change sizes, never what is claimed."""

from __future__ import annotations

import datetime
from pathlib import Path

import msgspec
import pytest

from nova.db.engine import Database
from nova.errors import Conflict, NotFound
from nova.objects.host import HostReport
from tests.databases import new_database
from tests.unit.db.service_rows import reported

NOW = datetime.datetime(2026, 1, 1)
REPORT = HostReport(
    host="hôte-1", hypervisor_hostname="node-1.example", host_ip="10.0.0.1",
    hypervisor_type="fake", hypervisor_version=1, vcpus=8, memory_mb=16000, local_gb=100,
    reserved_memory_mb=512, cpu_info={"model": "é"}, supported_instances=[["x86_64", "kvm", "hvm"]],
)  # fmt: skip


@pytest.fixture
def db(tmp_path: Path) -> Database:
    return new_database(tmp_path)


def named(number: int, **facts: object) -> HostReport:
    return msgspec.structs.replace(
        REPORT, host=f"h{number}", hypervisor_hostname=f"n{number}", **facts
    )


def test_a_report_adds_a_node_and_the_next_changes_it(db: Database) -> None:
    with db.write() as tx:
        node = tx.nodes.report(REPORT)
        assert (node.host, node.cpu_info, node.vcpus_used) == ("hôte-1", {"model": "é"}, 0)
        assert tx.claims.claim("a", "instance", node.id, 2, 100, 5)
        again = tx.nodes.report(msgspec.structs.replace(REPORT, vcpus=16))
    assert (again.id, again.uuid, again.vcpus, again.vcpus_used) == (node.id, node.uuid, 16, 2)
    assert again.updated_at is not None


def test_many_reports_at_once_add_and_change(db: Database) -> None:
    with db.write() as tx:
        tx.nodes.report_many([named(number) for number in range(700)])
        tx.nodes.report_many([named(number, vcpus=4) for number in range(690, 710)])
        nodes = tx.nodes.list()
    assert len(nodes) == 710
    assert [node.vcpus for node in nodes[688:692]] == [8, 8, 4, 4]
    # Equal documents are one object, or ten thousand hosts would hold ten thousand of them.
    assert nodes[0].cpu_info is nodes[1].cpu_info


def test_nodes_are_found_by_id_uuid_host_and_part_of_the_name(db: Database) -> None:
    with db.write() as tx:
        node = tx.nodes.report(named(1))
        tx.nodes.report(named(22))
        assert tx.nodes.get(node.id) == node
        assert tx.nodes.get_by_uuid(node.uuid) == node
        assert tx.nodes.by_host("h1") == [node]
        assert tx.nodes.by_host("h2") == []
        assert [each.host for each in tx.nodes.search("2")] == ["h22"]
        assert tx.nodes.search("%") == []
        with pytest.raises(NotFound, match="99"):
            tx.nodes.get(99)
        with pytest.raises(NotFound, match="nothing"):
            tx.nodes.get_by_uuid("nothing")


def test_a_node_with_claims_is_not_deleted(db: Database) -> None:
    with db.write() as tx:
        node = tx.nodes.report(REPORT)
        tx.claims.claim("a", "instance", node.id, 1, 1, 1)
        with pytest.raises(Conflict):
            tx.nodes.delete(node.id)
        tx.claims.release("a")
        tx.nodes.delete(node.id)
        with pytest.raises(NotFound):
            tx.nodes.delete(node.id)


def test_statistics_count_enabled_hosts_with_what_they_reserve(db: Database) -> None:
    with db.write() as tx:
        assert tx.nodes.statistics().count == 0
        for number in (1, 2):
            tx.nodes.report(named(number, running_vms=3))
            reported(tx, "nova-compute", f"h{number}", "compute", NOW)
        tx.nodes.report(named(3))
        disabled = tx.services.get_by_host("nova-compute", "h2")
        assert disabled is not None
        tx.claims.claim("a", "instance", tx.nodes.by_host("h1")[0].id, 2, 1000, 7)
        both = tx.nodes.statistics()
        tx.services.set_disabled(disabled.id, True, "broken")
        one = tx.nodes.statistics()
    assert (both.count, both.vcpus, both.running_vms) == (2, 16, 6)
    assert (one.count, one.vcpus_used, one.memory_mb_used, one.local_gb_used) == (1, 2, 1512, 7)
    assert (one.free_ram_mb, one.free_disk_gb) == (16000 - 1512, 93)


def test_usage_is_what_is_claimed(db: Database) -> None:
    with db.write() as tx:
        node = tx.nodes.report(REPORT)
        tx.claims.claim("a", "instance", node.id, 2, 100, 5)
        [usage] = tx.nodes.usage()
    assert (usage.id, usage.vcpus_used, usage.memory_mb_used) == (node.id, 2, 100)
    assert (usage.local_gb_used, usage.instances_used) == (5, 1)
