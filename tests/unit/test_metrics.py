# SPDX-License-Identifier: Apache-2.0
"""What is counted."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

from nova import metrics

ROOT = Path(__file__).parents[2]


def value(name: str, **labels: str) -> float:
    return metrics.REGISTRY.get_sample_value(name, labels) or 0.0


def test_requests_are_counted_by_face_method_and_status() -> None:
    face = uuid.uuid4().hex
    for status in (200, 200, 404):
        metrics.request_answered(face, "GET", status, 0.003)
    assert value("nova_http_requests_total", face=face, method="GET", status="200") == 2
    assert value("nova_http_requests_total", face=face, method="GET", status="404") == 1
    name = "nova_http_request_duration_seconds"
    assert value(f"{name}_count", face=face, method="GET") == 3
    assert value(f"{name}_bucket", face=face, method="GET", le="0.0025") == 0
    assert value(f"{name}_bucket", face=face, method="GET", le="0.005") == 3


def test_methods_that_clients_make_up_do_not_fill_the_memory() -> None:
    face = uuid.uuid4().hex
    for number in range(100):
        metrics.request_answered(face, f"M{number}", 405, 0.001)
    assert value("nova_http_requests_total", face=face, method="OTHER", status="405") == 100
    assert f'face="{face}",method="M1"' not in metrics.exposition()[0].decode()


def test_operations_are_counted_by_kind_and_result() -> None:
    kind = uuid.uuid4().hex
    metrics.operation_ended(kind, False, 0.2)
    metrics.operation_ended(kind, True, 7.0)
    assert value("nova_operations_total", kind=kind, result="success") == 1
    assert value("nova_operations_total", kind=kind, result="error") == 1
    name = "nova_operation_duration_seconds_bucket"
    assert value(name, kind=kind, result="error", le="5.0") == 0
    assert value(name, kind=kind, result="error", le="10.0") == 1


def test_clocks_that_disagree_give_no_negative_duration() -> None:
    kind = uuid.uuid4().hex
    metrics.operation_ended(kind, False, -3.0)
    assert value("nova_operation_duration_seconds_sum", kind=kind, result="success") == 0


def test_every_metric_is_explained_to_operators() -> None:
    text = (ROOT / "docs" / "operators" / "monitoring.md").read_text(encoding="utf-8")
    ours = _exposed()
    assert len(ours) > 15
    assert sorted(name for name in ours if f"`{name}`" not in text) == []


def _exposed() -> set[str]:
    """Our metrics, as operators see them."""
    return {
        f"{family.name}_total" if family.type == "counter" else family.name
        for family in metrics.REGISTRY.collect()
        if family.name.startswith("nova_")
    }


def test_every_metric_that_operators_are_told_of_exists() -> None:
    """Other names of that form are those of variables in the playbook and of tables in the kernel."""
    name = re.compile(r"\bnova_[a-z0-9_]+")
    others = set(name.findall((ROOT / "deploy" / "ansible" / "compute.yml").read_text(encoding="utf-8")))
    others |= {"nova_aside", "nova_dhcp"}
    told = {
        (page.name, found)
        for page in (ROOT / "docs" / "operators").glob("*.md")
        for found in name.findall(page.read_text(encoding="utf-8"))
    }
    assert len(told) > 30
    assert sorted(each for each in told if each[1] not in _exposed() | others) == []


def test_an_age_is_infinite_until_it_begins() -> None:
    age = metrics.Age()
    assert age.seconds() == float("inf")
    age.now()
    time.sleep(0.01)
    assert 0.0 < age.seconds() < 60


def test_repairs_of_claims_are_there_from_the_beginning() -> None:
    text = metrics.exposition()[0].decode()
    assert 'nova_claims_repaired_total{what="orphan"}' in text
    assert 'nova_claims_repaired_total{what="sum"}' in text
