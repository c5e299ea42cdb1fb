# SPDX-License-Identifier: Apache-2.0
"""Network cards that are attached while something else happens to their server, or to its host."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nova.conductor.dispatch import Dispatcher
from nova.errors import Conflict, NotFound, NovaError, ServiceUnavailable
from nova.objects.instance import Instance, RequestedNetwork
from nova.objects.states import SHELVED_OFFLOADED
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


@pytest.mark.parametrize("carried_out", [False, True])
def test_a_card_whose_plugging_is_not_answered_is_not_left_in_the_guest(
    cloud: SmallCloud, carried_out: bool
) -> None:
    seen = cloud.boot()
    with (
        # One that is not answered once would not be answered again: who asked waits no second time.
        cloud.calls_fail("unplug_interface", AssertionError),
        cloud.calls_fail("plug_interface", ServiceUnavailable, carried_out=carried_out),
        pytest.raises(ServiceUnavailable),
    ):
        cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    cloud.settle()
    assert cloud.show(seen.uuid).network_info == seen.network_info
    assert cloud.leaks() == []


def test_a_card_that_a_dead_host_may_have_plugged_keeps_its_address_until_the_host_answers(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = cloud.boot()
    monkeypatch.setattr(Dispatcher, "_send", lambda *_arguments: None)
    with (
        cloud.calls_fail("plug_interface", ServiceUnavailable, carried_out=True),
        pytest.raises(ServiceUnavailable),
    ):
        cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    assert len(cloud.show(seen.uuid).network_info) == 2
    monkeypatch.undo()
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert cloud.show(seen.uuid).network_info == seen.network_info
    assert cloud.leaks() == []


class _Dead(BaseException):
    """Ends what runs as the death of its process does: nobody catches it."""


def _change(cloud: SmallCloud, server: Instance, *, attach: bool, card: str) -> Callable[[], object]:
    if attach:
        return lambda: cloud.operations.attach_interface(USER, server, RequestedNetwork())
    return lambda: cloud.operations.detach_interface(USER, server, card)


@pytest.mark.parametrize("carried_out", [False, True])
@pytest.mark.parametrize("method", ["plug_interface", "unplug_interface"])
def test_a_process_that_dies_while_a_card_comes_or_goes_leaves_guest_and_server_alike(
    cloud: SmallCloud, method: str, carried_out: bool
) -> None:
    seen = cloud.boot()
    spare = cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    ask = _change(cloud, cloud.show(seen.uuid), attach=method == "plug_interface", card=spare.id)
    with cloud.calls_fail(method, _Dead, carried_out=carried_out), pytest.raises(_Dead):
        ask()
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert len(cloud.show(seen.uuid).network_info) == (3 if method == "plug_interface" else 1)
    assert cloud.leaks() == []


def test_a_lost_card_beside_another_lost_operation_is_found_as_soon_as_that_is_over(
    cloud: SmallCloud,
) -> None:
    seen = cloud.boot()
    with cloud.calls_fail("plug_interface", _Dead), pytest.raises(_Dead):
        cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    with cloud.db.write() as tx:
        tx.instances.update(seen.uuid, {"task_state": "rebooting"})
    cloud.control.conductor.recovery.run(everything=True)
    with cloud.db.write() as tx:
        tx.instances.update(seen.uuid, {"task_state": None})
    cloud.control.conductor.recovery.run()
    cloud.settle()
    assert len(cloud.show(seen.uuid).network_info) == 2
    assert cloud.leaks() == []


def test_a_host_that_does_not_answer_takes_the_card_away_later(cloud: SmallCloud) -> None:
    seen = cloud.boot()
    with cloud.calls_fail("unplug_interface", ServiceUnavailable), pytest.raises(ServiceUnavailable):
        cloud.operations.detach_interface(USER, seen, seen.network_info[0].id)
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert cloud.show(seen.uuid).network_info == ()
    assert cloud.leaks() == []


@pytest.mark.parametrize("name", ["plug", "unplug"])
def test_a_card_that_the_host_refuses_is_as_before_and_the_refusal_is_shown(
    cloud: SmallCloud, name: str
) -> None:
    seen = cloud.boot()
    before = cloud.show(seen.uuid).network_info
    cloud.faults.set(name)
    ask = _change(cloud, seen, attach=name == "plug", card=before[0].id)
    with pytest.raises(NovaError):
        ask()
    cloud.faults.clear()
    assert cloud.show(seen.uuid).network_info == before
    with cloud.db.read() as tx:
        operations = tx.operations.of_instance(seen.uuid)
    assert operations is not None
    public = "attach_interface" if name == "plug" else "detach_interface"
    assert [(each.action, each.state) for each in operations][:1] == [(public, "failed")]
    assert cloud.leaks() == []


def test_a_lost_card_of_a_server_that_has_left_its_host_is_no_trouble(cloud: SmallCloud) -> None:
    seen = cloud.boot()
    with cloud.calls_fail("plug_interface", _Dead), pytest.raises(_Dead):
        cloud.operations.attach_interface(USER, seen, RequestedNetwork())
    cloud.operations.shelve(USER, cloud.show(seen.uuid))
    deadline = time.monotonic() + 20
    while cloud.show(seen.uuid).vm_state != SHELVED_OFFLOADED:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    cloud.operations.unshelve(USER, cloud.show(seen.uuid))
    cloud.settle()
    assert len(cloud.show(seen.uuid).network_info) == 2
    assert cloud.leaks() == []
