# SPDX-License-Identifier: Apache-2.0
"""When a host reports, what it says, and when nobody needs to hear of it."""

from __future__ import annotations

import contextlib
import time
import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nova.compute import manager as manager_module
from nova.compute.manager import ComputeManager
from nova.compute.report_news import is_news
from nova.conf.fake import FakeSection
from nova.errors import ServiceUnavailable
from nova.objects.host import HostReport, ReportAnswer
from nova.virt.fake import FakeDriver

REPORT = HostReport(
    host="h1", hypervisor_hostname="h1", host_ip="10.0.0.1", hypervisor_type="QEMU",
    hypervisor_version=1, vcpus=4, memory_mb=4096, local_gb=10,
)  # fmt: skip


class Reporting:
    """A manager with a driver and a conductor that only know reports, and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, silence: float = 20.0) -> None:
        self.clock = 1000.0
        self.sizes = REPORT
        self.answer = ReportAnswer(silence=silence)
        self.away = False
        self.heard: list[str] = []
        clock = types.SimpleNamespace(monotonic=lambda: self.clock)
        monkeypatch.setattr(manager_module, "time", clock)
        host: Any = types.SimpleNamespace(
            name="h1", driver=types.SimpleNamespace(reports=lambda: [self.sizes]),
            conductor=types.SimpleNamespace(report=self.hear),
        )
        self.manager = ComputeManager(host, max_concurrent_builds=0)

    def hear(self, reports: Sequence[HostReport], running: Sequence[int]) -> ReportAnswer:
        if self.away:
            self.heard.append("lost")
            raise ServiceUnavailable("away")
        self.heard.append("sizes" if reports else "alive")
        return self.answer

    def ticks(self, count: int, seconds: float = 10.0) -> list[str]:
        """What is heard at each of so many ticks; "" for nothing."""
        heard = []
        for _ in range(count):
            self.heard = []
            with contextlib.suppress(ServiceUnavailable):
                self.manager.report()
            heard.append(" ".join(self.heard))
            self.clock += seconds
        return heard


def test_a_host_with_nothing_new_leaves_out_every_second_report(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Reporting(monkeypatch).ticks(6) == ["sizes", "", "alive", "", "alive", "sizes"]


def test_a_tick_that_is_a_little_late_is_no_other(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Reporting(monkeypatch).ticks(4, 10.3) == ["sizes", "", "alive", ""]


@pytest.mark.parametrize("silence, seconds", [(0.0, 10.0), (6.7, 10.0), (15.0, 10.0), (4.0, 3.0)])
def test_where_hosts_are_missed_soon_every_report_goes_out(
    monkeypatch: pytest.MonkeyPatch, silence: float, seconds: float
) -> None:
    assert Reporting(monkeypatch, silence).ticks(3, seconds) == ["sizes", "alive", "alive"]


def test_what_is_new_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    reporting = Reporting(monkeypatch)
    assert reporting.ticks(1) == ["sizes"]
    reporting.sizes = msgspec.structs.replace(REPORT, vcpus=8)
    assert reporting.ticks(3) == ["sizes", "", "alive"]


def test_a_busy_host_is_never_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    reporting = Reporting(monkeypatch)
    reporting.manager._busy[1, "spawn", 1] = "uuid"
    assert reporting.ticks(3) == ["sizes", "alive", "alive"]


def test_a_report_that_was_lost_goes_out_again_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    reporting = Reporting(monkeypatch)
    assert reporting.ticks(2) == ["sizes", ""]
    reporting.away = True
    assert reporting.ticks(2) == ["lost", "lost"]
    reporting.away = False
    assert reporting.ticks(2) == ["alive", "sizes"]


def test_a_conductor_that_does_not_know_the_host_is_told_its_sizes(monkeypatch: pytest.MonkeyPatch) -> None:
    reporting = Reporting(monkeypatch)
    assert reporting.ticks(2) == ["sizes", ""]
    reporting.answer = ReportAnswer(sizes_wanted=True)
    assert reporting.ticks(1) == ["alive sizes"]


@pytest.mark.parametrize(
    "news, facts",
    [
        (False, {"uptime": " 10:00:10 up 1 day"}),
        (False, {"metrics": {"cpu_percent": 24.0, "memory_mb_used": 2080.0}}),
        (True, {"metrics": {"cpu_percent": 26.0, "memory_mb_used": 2000.0}}),
        (True, {"metrics": {"cpu_percent": 20.0, "memory_mb_used": 1800.0}}),
        (True, {"metrics": {"cpu_percent": 20.0}}),
        (True, {"memory_mb": 8192}),
        (True, {"running_vms": 1}),
        (True, {"disk_available_least": 3}),
    ],
)
def test_the_clock_and_small_changes_of_what_is_measured_are_no_news(
    news: bool, facts: dict[str, Any]
) -> None:
    told = msgspec.structs.replace(
        REPORT, uptime=" 10:00:00 up 1 day", metrics={"cpu_percent": 20.0, "memory_mb_used": 2000.0}
    )
    assert is_news([msgspec.structs.replace(told, **facts)], [told]) is news


def test_a_simulated_host_has_no_news_after_a_second(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    driver = FakeDriver("h1", None, FakeSection(), tmp_path)
    first = driver.reports()
    later = time.time() + 61
    monkeypatch.setattr(time, "time", lambda: later)
    second = driver.reports()
    assert first[0].uptime != second[0].uptime
    assert not is_news(second, first)
