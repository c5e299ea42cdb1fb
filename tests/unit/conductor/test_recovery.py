# SPDX-License-Identifier: Apache-2.0
"""Recovery beside others who work on the same operations: what has gone on is left alone."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nova.db.schema.base import now
from nova.errors import ServiceUnavailable
from nova.objects.operation import Operation
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path, shelved_offload_time=-1)
    yield made
    made.stop()


def _open(cloud: SmallCloud) -> list[Operation]:
    with cloud.db.read() as tx:
        return tx.operations.unfinished()


def _names(cloud: SmallCloud) -> list[str]:
    images = cloud.images.list(USER, filters={}, limit=None, marker=None)
    return [image.name for image in images if image.name != "nova-test"]


def test_a_delete_that_went_on_to_its_last_step_meanwhile_is_not_ended_before_that(
    cloud: SmallCloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = cloud.boot()
    cloud.operations.shelve(USER, instance)
    cloud.settle()
    assert _names(cloud) == ["test-shelved"]

    def away(*_: Any) -> None:
        raise ServiceUnavailable("away")

    with monkeypatch.context() as patch:
        patch.setattr(cloud.control.core.images, "delete", away)
        cloud.operations.delete(USER, cloud.show(instance.uuid))
        until(lambda: [each.step for each in _open(cloud)] == ["discard"])
        # What another conductor read before: the guest was still to be removed, the lease was over.
        seen = msgspec.structs.replace(_open(cloud)[0], step="destroy", host=instance.host)
        cloud.control.conductor.recovery._resume(seen, now())
        assert [each.step for each in _open(cloud)] == ["discard"]
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert _names(cloud) == []
    assert cloud.leaks() == []


def test_a_step_whose_lease_was_renewed_meanwhile_does_not_fail_with_its_host(
    cloud: SmallCloud
) -> None:
    instance = cloud.boot()
    assert instance.host is not None
    with cloud.db.write() as tx:
        # As a host does that is busy with it: open, under a lease that is good.
        operation_id = tx.operations.create(
            USER, instance.uuid, "stop", flow="stop", step="run", payload={}, host=instance.host,
            lease=("another", cloud.control.core.dispatcher.lease_end()),
        )
        tx.instances.transition(instance.uuid, {"task_state": "powering-off"})
        fresh = tx.operations.get(operation_id)
    assert fresh is not None
    seen = msgspec.structs.replace(fresh, lease_until=None)
    cloud.kill_host(instance.host)
    cloud.control.conductor.recovery._resume(seen, now())
    assert [each.id for each in _open(cloud)] == [operation_id]
    assert cloud.show(instance.uuid).fault is None


