# SPDX-License-Identifier: Apache-2.0
"""Random walks over the lifecycle table: refusals agree with it, states follow it, nothing leaks."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nova.compute.lifecycle import ACTIONS, allowed
from nova.errors import BadRequest, InstanceInvalidState
from nova.objects.boot import RebuildRequest
from nova.objects.instance import Instance
from nova.objects.states import (
    ACTIVE,
    DELETED,
    ERROR,
    SHELVED,
    SHELVED_OFFLOADED,
    SOFT_DELETED,
    STOPPED,
)
from tests.unit.compute.small_cloud import USER, SmallCloud

Step = Callable[[SmallCloud, Instance], object]


def _resize(cloud: SmallCloud, instance: Instance) -> None:
    flavor = {"1": "2", "2": "3", "3": "1"}[instance.flavorid]
    cloud.operations.resize(USER, instance, flavor)


STEPS: dict[str, Step] = {
    "start": lambda c, i: c.operations.start(USER, i),
    "stop": lambda c, i: c.operations.stop(USER, i),
    "reboot_soft": lambda c, i: c.operations.reboot(USER, i, False),
    "reboot_hard": lambda c, i: c.operations.reboot(USER, i, True),
    "pause": lambda c, i: c.operations.pause(USER, i),
    "unpause": lambda c, i: c.operations.unpause(USER, i),
    "suspend": lambda c, i: c.operations.suspend(USER, i),
    "resume": lambda c, i: c.operations.resume(USER, i),
    "rescue": lambda c, i: c.operations.rescue(USER, i, password=None, image_ref=None),
    "unrescue": lambda c, i: c.operations.unrescue(USER, i),
    "rebuild": lambda c, i: c.operations.rebuild(USER, i, RebuildRequest(image_ref=c.image)),
    "change_password": lambda c, i: c.operations.change_password(USER, i, "x"),
    "snapshot": lambda c, i: c.operations.snapshot(USER, i, "s", {}),
    "backup": lambda c, i: c.operations.backup(USER, i, "b", "daily", 1, {}),
    "shelve": lambda c, i: c.operations.shelve(USER, i),
    "shelve_offload": lambda c, i: c.operations.shelve_offload(USER, i),
    "unshelve": lambda c, i: c.operations.unshelve(USER, i),
    "resize": _resize,
    "migrate": lambda c, i: c.operations.migrate(USER, i, host=None),
    "confirm_resize": lambda c, i: c.operations.confirm_resize(USER, i),
    "revert_resize": lambda c, i: c.operations.revert_resize(USER, i),
    "live_migrate": lambda c, i: c.operations.live_migrate(USER, i, host=None),
    "soft_delete": lambda c, i: c.operations.delete(USER, i),
    "restore": lambda c, i: c.operations.restore(USER, i),
    "force_delete": lambda c, i: c.operations.delete(USER, i, force=True),
}
#: Where an action leads beside its ``success``: to what it was before a resize or a rebuild, or further.
_ALSO = {
    "confirm_resize": {STOPPED}, "revert_resize": {STOPPED}, "rebuild": {STOPPED},
    "shelve": {SHELVED, SHELVED_OFFLOADED}, "soft_delete": {SOFT_DELETED, DELETED},
}
#: What may fail, and whether after it had its effect. A guest that is gone though its host says that it
#: could not be removed has a test of its own (``test_failing``): what needs the guest cannot go on then.
_FAULTS = st.one_of(
    st.none(), st.none(),
    st.tuples(
        st.sampled_from(
            (
                "spawn", "destroy", "migrate_out", "migrate_in", "live_migrate",
                "live_migrated_in", "forget_outgoing", "revert_outgoing", "snapshot",
            )
        ),
        st.booleans(),
    ),
)
_LIKELY = st.sampled_from(
    ("resize", "migrate", "confirm_resize", "revert_resize", "live_migrate", "shelve", "unshelve")
)
_WALK = st.lists(
    st.tuples(st.one_of(_LIKELY, st.sampled_from(sorted(STEPS))), _FAULTS), max_size=8
)


@pytest.fixture(scope="module", params=[0, 3600], ids=["deletes at once", "deletes restorable"])
def cloud(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[
    SmallCloud
]:
    directory: Path = tmp_path_factory.mktemp("cloud")
    offload = 0 if request.param == 0 else -1
    made = SmallCloud(
        directory, reclaim_instance_interval=request.param, shelved_offload_time=offload
    )
    yield made
    made.stop()


@settings(
    max_examples=60, deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(walk=_WALK)
def test_every_walk_keeps_to_the_table_and_leaks_nothing(
    cloud: SmallCloud, walk: list[tuple[str, tuple[str, bool] | None]]
) -> None:
    instance = cloud.boot()
    assert instance.vm_state == ACTIVE
    try:
        for name, fault in walk:
            if fault is not None:
                cloud.faults.set(fault[0], times=1, after=fault[1] and fault[0] != "destroy")
            instance = _step(cloud, instance, name, faulty=fault is not None)
            cloud.faults.clear()
            assert cloud.leaks() == [], (name, fault)
            if instance.deleted:
                return
    finally:
        cloud.faults.clear()
        cloud.settle()
        cloud.operations.delete(USER, instance, force=True)
        cloud.settle()
    assert cloud.show(instance.uuid).deleted
    assert cloud.leaks() == []


def _step(cloud: SmallCloud, before: Instance, name: str, *, faulty: bool) -> Instance:
    """One action: refused as the table says, or leading where the table says."""
    if name == "soft_delete" and cloud.config.default.reclaim_instance_interval == 0:
        name = "force_delete"
    action = ACTIONS[name]
    refusal = allowed(before, action)
    if action.needs_host and before.host is None:
        return before
    if refusal is not None:
        with pytest.raises(InstanceInvalidState) as refused:
            STEPS[name](cloud, before)
        assert refused.value.attribute in ("vm_state", "task_state")
        return before
    try:
        STEPS[name](cloud, before)
    except BadRequest:
        return before
    cloud.settle()
    after = cloud.show(before.uuid)
    good = {action.success or before.vm_state} | _ALSO.get(name, set())
    bad = {before.vm_state, action.failure, ERROR, SHELVED}
    if name == "shelve":
        bad.add(STOPPED)  # its guest was stopped first; what was in memory cannot come back
    assert after.vm_state in (good | bad if faulty else good), (name, before.vm_state)
    assert after.task_state is None
    return after
