# SPDX-License-Identifier: Apache-2.0
"""Every public API sample: the state it supposes, its request, and the structure of its answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from nova.conf.scheduler import DEFAULT_FILTERS
from tests.api.samples.cloud import ZONE, SampleCloud
from tests.api.samples.comparison import MAPS, differences
from tests.api.samples.files import SAMPLES, Sample, all_samples, nearest
from tests.api.samples.left_out import LEFT_OUT, REFUSED, reason_of
from tests.api.samples.stage import Case, Stage
from tests.api.samples.tables import CASES

pytestmark = pytest.mark.skipif(
    not SAMPLES.exists(), reason=f"the public API samples are not at {SAMPLES}"
)

_FOUND = all_samples("v2.1") if SAMPLES.exists() else ()


class Tally:
    """How many samples match, are refused as the original refuses them, or are left out."""

    def __init__(self) -> None:
        self.matching = 0
        self.refused = 0


class Clouds:
    """The clouds by name, each made when a sample first asks for it."""

    def __init__(self, directories: pytest.TempPathFactory) -> None:
        self._directories = directories
        self._made: dict[str, SampleCloud] = {}

    def __getitem__(self, name: str) -> SampleCloud:
        if name not in self._made:
            directory = self._directories.mktemp(f"samples-{name}")
            self._made[name] = SampleCloud(directory, _OPTIONS | _DIFFERENT[name])
        return self._made[name]

    def stop(self) -> None:
        for cloud in self._made.values():
            cloud.stop()


_OPTIONS: dict[tuple[str, str], Any] = {
        ("DEFAULT", "reclaim_instance_interval"): 3600,
        ("DEFAULT", "shelved_offload_time"): -1,
        ("DEFAULT", "service_down_time"): 86400,
        ("DEFAULT", "default_schedule_zone"): ZONE,
        ("DEFAULT", "network_manager"): "nova.network.manager.FlatDHCPManager",
        ("DEFAULT", "flat_network_bridge"): "br100",
        # The original's default has no SameHostFilter; the samples' hint names a server of nobody.
        ("filter_scheduler", "enabled_filters"): tuple(
            name for name in DEFAULT_FILTERS if name != "SameHostFilter"
        ),
}
_DIFFERENT: dict[str, dict[tuple[str, str], Any]] = {
    "plain": {},
    "evacuated": {},
    "moving": {("fake", "migrate_latency"): 60.0},
    "vlan": {
        ("DEFAULT", "network_manager"): "nova.network.manager.VlanManager",
        ("DEFAULT", "vlan_interface"): "eth1",
    },
}


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    made = Clouds(tmp_path_factory)
    yield made
    made.stop()


@pytest.fixture(scope="module")
def tally(request: pytest.FixtureRequest) -> Iterator[Tally]:
    """Counts, and says so at the end."""
    counted = Tally()
    yield counted
    left = sum(1 for sample in _FOUND if reason_of(sample) is not None)
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    if reporter is not None:
        reporter.write_line(
            f"\n{counted.matching} of {len(_FOUND)} samples match, {counted.refused} are of APIs "
            f"that the original refuses too, {left} are left out"
        )


def _cases(sample: Sample) -> list[tuple[Case, str]]:
    """The ways to a sample: its answer where it is one, else it is the request."""
    cases = [case for case in CASES if not case.only or sample.minor in case.only]
    answers = [(case, "response") for case in cases if case.response == sample.name]
    requests = [(case, "request") for case in cases if case.request == sample.name]
    return answers[:1] or requests[:1]


_SENT = [
    sample
    for sample in _FOUND
    if reason_of(sample) is None and sample.name not in REFUSED
]


@pytest.mark.parametrize("sample", _SENT, ids=repr)
def test_a_sample_is_answered_in_its_structure(
    sample: Sample, clouds: Clouds, tally: Tally
) -> None:
    ways = _cases(sample)
    assert ways, f"no table says how {sample} comes about, and it is not in LEFT_OUT"
    ((case, role),) = ways
    stage = Stage(clouds[case.cloud], "v2.1", case.at or sample.minor)
    try:
        _perform(sample, case, role, stage)
    finally:
        stage.undo_all()
    tally.matching += 1


def _perform(sample: Sample, case: Case, role: str, stage: Stage) -> None:
    case.setup(stage)
    body = case.body
    if case.request is not None:
        sent = sample if role == "request" else nearest("v2.1", case.request, stage.minor)
        body = stage.told(sent) if reason_of(sent) is None else case.body(stage)
    by = "member" if sample.minor in case.members else case.by
    result = stage.call(case.method, case.path_for(sample.minor).format(**stage.names), body, by=by)
    assert result.status_code == case.status_at(sample.minor), result.text
    if role == "response":
        found = differences(result.json, sample.json(), case.free, maps=MAPS | case.maps)
        assert not list(found)


@pytest.mark.parametrize(
    "sample", [each for each in _FOUND if each.name in REFUSED], ids=repr
)
def test_a_removed_api_is_refused_as_by_the_original(
    sample: Sample, clouds: Clouds, tally: Tally
) -> None:
    case = REFUSED[sample.name]
    stage = Stage(clouds["plain"], "v2.1", sample.minor)
    case.setup(stage)
    result = stage.call(case.method, case.path.format(**stage.names), case.body, by=case.by)
    assert result.status_code == case.status, result.text
    tally.refused += 1


def test_every_reason_to_leave_a_sample_out_names_one() -> None:
    names = {sample.name for sample in _FOUND} | {repr(sample) for sample in _FOUND}
    assert set(LEFT_OUT) <= names
    assert set(REFUSED) <= names
