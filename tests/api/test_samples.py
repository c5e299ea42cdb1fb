# SPDX-License-Identifier: Apache-2.0
"""Every public API sample: the state it supposes, its request, and the structure of its answer."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.api.samples import kilo_cases, kilo_left_out, left_out
from tests.api.samples.files import SAMPLES, Sample, all_samples
from tests.api.samples.runner import Clouds, Player, reason_of, refusal_of
from tests.api.samples.stage import Case
from tests.api.samples.tables import CASES

pytestmark = pytest.mark.skipif(
    not SAMPLES.exists(), reason=f"the public API samples are not at {SAMPLES}"
)

_MODERN = all_samples("v2.1") if SAMPLES.exists() else ()
_LEGACY = all_samples("kilo-v2") if SAMPLES.exists() else ()


def _played(
    samples: tuple[Sample, ...], reasons: dict[str, str], refused: dict[str, Case]
) -> list[Sample]:
    return [
        sample
        for sample in samples
        if reason_of(sample, reasons) is None and refusal_of(sample, refused) is None
    ]


@pytest.fixture(scope="module")
def clouds(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clouds]:
    made = Clouds(tmp_path_factory)
    yield made
    made.stop()


def _counted(
    request: pytest.FixtureRequest, player: Player, name: str, samples: tuple[Sample, ...],
    reasons: dict[str, str],
) -> None:
    """Say at the end of the module how many samples match."""
    left = sum(1 for sample in samples if reason_of(sample, reasons) is not None)
    reporter = request.config.pluginmanager.get_plugin("terminalreporter")
    capture = request.config.pluginmanager.get_plugin("capturemanager")
    if reporter is None or capture is None:
        return
    with capture.global_and_fixture_disabled():
        reporter.write_line(
            f"\n{name}: {player.matching} of {len(samples)} samples match, {player.refused} are "
            f"refused as the original refuses them, {left} are left out"
        )


@pytest.fixture(scope="module")
def modern(request: pytest.FixtureRequest, clouds: Clouds) -> Iterator[Player]:
    player = Player("v2.1", CASES, {**left_out.LEFT_OUT, **left_out.REFUSED}, clouds)
    yield player
    _counted(request, player, "v2.1", _MODERN, left_out.LEFT_OUT)


@pytest.fixture(scope="module")
def legacy(request: pytest.FixtureRequest, clouds: Clouds) -> Iterator[Player]:
    player = Player(
        "kilo-v2", kilo_cases.CASES, {**kilo_left_out.LEFT_OUT, **kilo_left_out.REFUSED}, clouds
    )
    yield player
    _counted(request, player, "v2", _LEGACY, kilo_left_out.LEFT_OUT)


@pytest.mark.parametrize(
    "sample", _played(_MODERN, left_out.LEFT_OUT, left_out.REFUSED), ids=repr
)
def test_a_sample_is_answered_in_its_structure(sample: Sample, modern: Player) -> None:
    modern.play(sample)


@pytest.mark.parametrize(
    "sample", [each for each in _MODERN if refusal_of(each, left_out.REFUSED)], ids=repr
)
def test_a_removed_api_is_refused_as_by_the_original(sample: Sample, modern: Player) -> None:
    case = refusal_of(sample, left_out.REFUSED)
    assert case is not None
    modern.refuse(sample, case)


@pytest.mark.parametrize(
    "sample", _played(_LEGACY, kilo_left_out.LEFT_OUT, kilo_left_out.REFUSED), ids=repr
)
def test_a_sample_of_v2_is_answered_in_its_structure(sample: Sample, legacy: Player) -> None:
    legacy.play(sample)


@pytest.mark.parametrize(
    "sample", [each for each in _LEGACY if refusal_of(each, kilo_left_out.REFUSED)], ids=repr
)
def test_what_v2_no_longer_serves_is_refused(sample: Sample, legacy: Player) -> None:
    case = refusal_of(sample, kilo_left_out.REFUSED)
    assert case is not None
    legacy.refuse(sample, case)


@pytest.mark.parametrize(
    ("samples", "named"),
    [
        (_MODERN, {**left_out.LEFT_OUT, **left_out.REFUSED}),
        (_LEGACY, {**kilo_left_out.LEFT_OUT, **kilo_left_out.REFUSED}),
    ],
    ids=["v2.1", "v2"],
)
def test_every_reason_to_leave_a_sample_out_names_one(
    samples: tuple[Sample, ...], named: dict[str, object]
) -> None:
    names = {sample.name for sample in samples} | {repr(sample) for sample in samples}
    assert set(named) <= names
