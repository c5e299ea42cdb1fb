# SPDX-License-Identifier: Apache-2.0
"""Network cards that are attached while something else happens to their server, or to its host."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.errors import Conflict, NotFound, ServiceUnavailable
from nova.objects.instance import RequestedNetwork
from nova.rpc.calls import COMPUTE
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


def test_a_card_for_a_server_that_was_deleted_meanwhile_takes_no_address(cloud: SmallCloud) -> None:
    seen = cloud.boot()
    cloud.operations.delete(USER, seen)
    cloud.settle()
    with pytest.raises(NotFound):
        cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    assert cloud.leaks() == []


def test_a_card_for_a_server_that_moves_meanwhile_is_refused(cloud: SmallCloud) -> None:
    seen = cloud.boot()
    cloud.operations.live_migrate(USER, seen, host=None)
    cloud.settle()
    with pytest.raises(Conflict):
        cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    assert cloud.leaks() == []


def test_two_cards_that_are_asked_for_at_once_are_two(cloud: SmallCloud) -> None:
    seen = cloud.boot()
    # Both requests have read the server before the other wrote.
    first = cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    second = cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    assert first.id != second.id
    assert {first.id, second.id} < {vif.id for vif in cloud.show(seen.uuid).network_info}
    assert cloud.leaks() == []


def test_a_card_whose_plugging_is_not_answered_is_not_left_in_the_guest(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = cloud.boot()
    call = cloud.transport.call

    def lose_the_answer(topic: str, host: str | None, method: str, *args: Any) -> Any:
        answer = call(topic, host, method, *args)
        if (topic, method) == (COMPUTE, "plug_interface"):
            raise ServiceUnavailable("It did not answer.")
        return answer

    monkeypatch.setattr(cloud.transport, "call", lose_the_answer)
    with pytest.raises(ServiceUnavailable):
        cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    assert cloud.leaks() == []
