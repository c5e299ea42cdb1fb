# SPDX-License-Identifier: Apache-2.0
"""Until when answers are waited for while a process ends."""

from __future__ import annotations

import pytest

from nova.rpc import ending
from nova.rpc.ending import Ending
from tests.standing_clock import Clock


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(ending, "time", made)
    return made


def test_before_the_end_a_call_has_its_own_time(clock: Clock) -> None:
    end = Ending()
    end.broker_went()
    assert end.latest(1060.0, 1000.0, connected=False) == 1060.0
    assert not end.is_near


@pytest.mark.parametrize("connected", [True, False])
def test_without_patience_each_call_has_a_moment(clock: Clock, connected: bool) -> None:
    end = Ending()
    clock.now = 1010.0
    end.begin(0.0)
    assert end.is_near
    assert end.latest(1060.0, 1000.0, connected=connected) == 1014.0
    # One that is made later, as the report of a step that ran to its end, has its own if there is a broker.
    assert end.latest(1090.0, 1030.0, connected=connected) == (1034.0 if connected else 1014.0)
    assert end.latest(1012.0, 1000.0, connected=connected) == 1012.0


def test_with_patience_it_is_the_broker_that_counts(clock: Clock) -> None:
    end = Ending()
    end.begin(60.0)
    assert end.latest(1030.0, 1000.0, connected=True) == 1030.0
    assert end.latest(1090.0, 1050.0, connected=True) == 1060.0
    # There never was one.
    assert end.latest(1030.0, 1000.0, connected=False) == 1004.0
    assert end.latest(1060.0, 1030.0, connected=False) == 1004.0
    # It went under way, and nobody waits beyond the patience for it.
    clock.now = 1020.0
    end.broker_went()
    assert end.latest(1030.0, 1000.0, connected=False) == 1024.0
    assert end.latest(1030.0, 1000.0, connected=True) == 1030.0
    # What a request asks next, such as to undo what came of no answer, does not wait for it again.
    assert end.latest(1060.0, 1023.0, connected=False) == 1024.0
    clock.now = 1058.0
    end.broker_went()
    assert end.latest(1090.0, 1050.0, connected=False) == 1060.0
