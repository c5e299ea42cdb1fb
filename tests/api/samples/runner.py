# SPDX-License-Identifier: Apache-2.0
"""How a sample is played: its cloud, its stage, its request, and the comparison of the answer."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
from falcon.testing import Result

from nova.conf.scheduler import DEFAULT_FILTERS
from tests.api.samples.cloud import ZONE, SampleCloud
from tests.api.samples.comparison import MAPS, differences
from tests.api.samples.files import Sample, nearest
from tests.api.samples.stage import Case, Stage

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
    "moving": {("fake", "migrate_latency"): 4.0},
    "vlan": {
    ("DEFAULT", "network_manager"): "nova.network.manager.VlanManager",
    ("DEFAULT", "vlan_interface"): "eth1",
    },
}



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


class Player:
    """Plays the samples of one API by its table, and counts those that match."""

    def __init__(
        self, api: str, cases: tuple[Case, ...], unsent: Mapping[str, object], clouds: Clouds
    ) -> None:
        """``unsent`` names requests that are left out or refused: an answer follows a mended one."""
        self._api = api
        self._cases = cases
        self._unsent = unsent
        self._clouds = clouds
        self.matching = 0
        self.refused = 0

    def play(self, sample: Sample) -> None:
        """Bring the cloud to the sample's state, send its request, compare the answer."""
        case, is_answer = self._way_to(sample)
        stage = Stage(self._clouds[case.cloud], self._api, case.at or sample.minor)
        try:
            case.setup(stage)
            result = self._asked(sample, case, is_answer, stage)
            assert result.status_code == case.status_at(sample.minor), _said(result)
            if is_answer:
                found = list(
                    differences(
                        result.json, sample.json(), case.free, maps=MAPS | case.maps,
                        more=case.more,
                    )
                )
                assert not found, found
        finally:
            stage.undo_all()
        self.matching += 1

    def refuse(self, sample: Sample, case: Case) -> None:
        """Ask for what was removed, and see it refused."""
        stage = Stage(self._clouds[case.cloud], self._api, sample.minor)
        case.setup(stage)
        path = case.path.format(**stage.names)
        body = case.body
        if case.request is not None:
            body = stage.told(nearest(self._api, case.request, sample.minor))
        result = stage.call(case.method, path, body, by=case.by)
        assert result.status_code == case.status, _said(result)
        self.refused += 1

    def _way_to(self, sample: Sample) -> tuple[Case, bool]:
        """The case of a sample, and whether it is the answer there (else it is the request)."""
        cases = [case for case in self._cases if not case.only or sample.minor in case.only]
        ways = [(case, True) for case in cases if case.response == sample.name]
        ways += [(case, False) for case in cases if case.request == sample.name]
        assert ways, f"no table says how {sample} comes about, and it is not left out"
        return ways[0]

    def _asked(self, sample: Sample, case: Case, is_answer: bool, stage: Stage) -> Any:
        body = case.body
        if case.request is not None:
            sent = nearest(self._api, case.request, stage.minor) if is_answer else sample
            mended = is_answer and (repr(sent) in self._unsent or sent.name in self._unsent)
            body = case.body(stage) if mended else stage.told(sent)
        by = "member" if sample.minor in case.members else case.by
        path = case.path_for(sample.minor).format(**stage.names)
        return stage.call(case.method, path, body, by=by)


def refusal_of(sample: Sample, refused: dict[str, Case]) -> Case | None:
    """How a sample, or all of its name, is refused."""
    return refused.get(repr(sample)) or refused.get(sample.name)


def reason_of(sample: Sample, left_out: dict[str, str]) -> str | None:
    """Why a sample, or all of its name, is left out."""
    return left_out.get(repr(sample)) or left_out.get(sample.name)


def _said(result: Result) -> str:
    return f"{result.status_code} {result.text}"
