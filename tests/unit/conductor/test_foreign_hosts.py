# SPDX-License-Identifier: Apache-2.0
"""A host says of another host's open operations, servers and networks what it likes: it has no effect.

Each call that hosts may make has its attack here, and the owner's own call with the same words, which does
have its effect: so each attack was one.
"""

from __future__ import annotations

import dataclasses
import datetime
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import ANY

import pytest
from sqlalchemy import select, update

from nova.conductor.image_access import ImageAccess, OwnImageService
from nova.db.schema import compute, metadata
from nova.db.schema.base import now
from nova.errors import HostRefused
from nova.image.tickets import ImageTickets
from nova.objects.host_filters import HostFilters
from nova.objects.host_network import HostNetworkState, LeaseEvent
from nova.objects.instance import Instance
from nova.objects.migration import MigrationProgress
from nova.objects.operation import Operation, StepFailure, StepResult, StepTask
from nova.objects.states import ACTIVE, ERROR, NETWORKING, SHUTDOWN, STOPPED
from nova.rpc.calls import CALLS, CONDUCTOR, CONSOLES
from tests.unit.compute.server_volumes import volume
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until


class World:
    """A cloud whose servers are all on ``owner``; ``foreign`` has never had one."""

    def __init__(self, cloud: SmallCloud) -> None:
        self.cloud = cloud
        self.owner, self.destination, self.foreign = cloud.managers
        self.conductor = cloud.control.conductor
        self.conductor.image_access = ImageAccess(
            cloud.db, cloud.images, OwnImageService(ImageTickets(b"k" * 32), "http://images")
        )

    def ask(self, host: str, method: str, arguments: tuple[Any, ...]) -> Any:
        return getattr(self.conductor, method)(host, *arguments)

    def rows(self, without: frozenset[str]) -> dict[str, list[tuple[Any, ...]]]:
        """All that is in the database."""
        with self.cloud.db.read() as tx:
            return {
                table.name: sorted(map(tuple, tx.connection.execute(select(table))), key=repr)
                for table in metadata.sorted_tables if table.name not in without
            }


@dataclasses.dataclass
class Aim:
    """What is attacked: a server, and an operation that its host is at now."""

    world: World
    uuid: str
    operation_id: int = 0

    def server(self) -> Instance:
        return self.world.cloud.show(self.uuid)

    def operation(self) -> Operation:
        with self.world.cloud.db.read() as tx:
            found = tx.operations.get(self.operation_id)
        assert found is not None
        return found


def _held(world: World, step: str, begin: Callable[[], str]) -> Aim:
    """An operation that the owner was given the step of, and does not get to."""
    held: list[StepTask] = []
    run_step = world.cloud.managers[world.owner].run_step
    with world.cloud.steps_go_to(
        lambda task: held.append(task) if task.step == step else run_step(task), world.owner
    ):
        uuid = begin()
        until(lambda: bool(held))
    aim = Aim(world, uuid, held[0].operation_id)
    operation = aim.operation()
    assert (operation.state, operation.host, operation.step) == ("running", world.owner, step)
    return aim


def building(world: World) -> Aim:
    return _held(world, "spawn", lambda: world.cloud.ask(force_host=world.owner))


def idle(world: World) -> Aim:
    aim = Aim(world, world.cloud.ask(force_host=world.owner))
    until(lambda: aim.server().vm_state == ACTIVE)
    with world.cloud.db.write() as tx:
        # Long enough ago for the host's view of its guest to count.
        earlier = now() - datetime.timedelta(hours=1)
        table = compute.instances
        tx.connection.execute(
            update(table).where(table.c.uuid == aim.uuid).values(updated_at=earlier)
        )
    return aim


def migrating(world: World) -> Aim:
    server = idle(world).server()

    def begin() -> str:
        world.cloud.operations.live_migrate(USER, server, host=world.destination)
        return server.uuid

    return _held(world, "live_migrate", begin)


def attaching(world: World) -> Aim:
    server = idle(world).server()

    def begin() -> str:
        world.cloud.operations.attach_volume(USER, server, volume(world.cloud))
        return server.uuid

    return _held(world, "attach", begin)


def connected(world: World) -> Aim:
    aim = attaching(world)
    assert world.ask(world.owner, "connect_volumes", (aim.operation_id, {}))
    world.cloud.volumes.calls.clear()
    return aim


@dataclasses.dataclass(frozen=True)
class Attack:
    """``answer`` is what the foreign host gets, or how it is refused; ``works`` tells of the owner's call.

    ``works`` is given the answer. ``touches`` names tables in which the asking host's own rows change.
    """

    aim: Callable[[World], Aim]
    arguments: Callable[[Aim], tuple[Any, ...]]
    answer: Callable[[Aim], Any]
    works: Callable[[Aim, Any], bool]
    touches: frozenset[str] = frozenset()


REFUSED = object()


def _operation(*more: Any) -> Callable[[Aim], tuple[Any, ...]]:
    return lambda aim: (aim.operation_id, *more)


def _address(aim: Aim) -> str:
    return aim.server().network_info[0].addresses[0].address


def _network(aim: Aim) -> list[str]:
    return [aim.server().network_info[0].network_id]


def _lease(aim: Aim) -> LeaseEvent:
    return LeaseEvent("add", aim.server().network_info[0].mac, _address(aim))


def _lease_lengthened(aim: Aim, _answer: Any) -> bool:
    until_then = aim.operation().lease_until
    assert until_then is not None
    return until_then > now()


def running_out(world: World) -> Aim:
    aim = building(world)
    with world.cloud.db.write() as tx:
        tx.operations.renew(world.owner, [aim.operation_id], now() - datetime.timedelta(seconds=1))
    return aim


ATTACKS: dict[str, Attack] = {
    "step_wanted": Attack(
        building, _operation("spawn"), lambda aim: False, lambda aim, answer: answer is True
    ),
    "step_progress": Attack(
        building, _operation(NETWORKING), lambda aim: None,
        lambda aim, answer: aim.server().task_state == NETWORKING,
    ),
    "migration_progress": Attack(
        migrating, _operation(MigrationProgress(memory_total=100, memory_remaining=25)),
        lambda aim: None, lambda aim, answer: aim.server().progress == 75,
    ),
    "step_done": Attack(
        building, _operation("spawn", StepResult(power_state=1)), lambda aim: False,
        lambda aim, answer: aim.server().vm_state == ACTIVE,
    ),
    "step_failed": Attack(
        building, _operation("spawn", StepFailure("no")), lambda aim: False,
        lambda aim, answer: aim.server().vm_state == ERROR,
    ),
    "host_report": Attack(
        running_out, lambda aim: ([], [aim.operation_id]), lambda aim: ANY,
        _lease_lengthened, frozenset({"services"}),
    ),
    "guests_seen": Attack(
        # A host that has another's guest is told to remove it, and that is all.
        idle, lambda aim: ({aim.uuid: SHUTDOWN},), lambda aim: [aim.uuid],
        lambda aim, answer: aim.server().vm_state == STOPPED,
    ),
    "guest_changed": Attack(
        idle, lambda aim: (aim.uuid, SHUTDOWN), lambda aim: None,
        lambda aim, answer: aim.server().vm_state == STOPPED,
    ),
    "guests_wanted": Attack(
        idle, lambda aim: (), lambda aim: [],
        lambda aim, answer: aim.uuid in {each.uuid for each in answer},
    ),
    "network_state": Attack(
        idle, lambda aim: (_network(aim),),
        lambda aim: HostNetworkState(
            host=aim.world.foreign, whole=False, networks=(), filters=HostFilters()
        ),
        lambda aim, answer: [each.network_uuid for each in answer.networks] == _network(aim),
    ),
    "host_filters": Attack(
        idle, lambda aim: (), lambda aim: HostFilters(), lambda aim, answer: bool(answer.ports)
    ),
    "lease_changed": Attack(
        idle, lambda aim: (_lease(aim),), lambda aim: False, lambda aim, answer: answer is True
    ),
    "guest_by_address": Attack(
        idle, lambda aim: (None, _address(aim)), lambda aim: None,
        lambda aim, answer: answer.uuid == aim.uuid,
    ),
    "guest_by_uuid": Attack(
        idle, lambda aim: (aim.uuid,), lambda aim: None, lambda aim, answer: answer.uuid == aim.uuid
    ),
    "set_guest_password": Attack(
        idle, lambda aim: (aim.uuid, "mine"), lambda aim: REFUSED,
        lambda aim, answer: aim.server().system_metadata["password"] == "mine",
    ),
    "image_ticket": Attack(
        building, lambda aim: (aim.operation_id, aim.world.cloud.image, False), lambda aim: REFUSED,
        lambda aim, answer: aim.world.cloud.image in answer.url,
    ),
    "connect_volumes": Attack(
        attaching, _operation({}), lambda aim: REFUSED, lambda aim, answer: len(answer) == 1
    ),
    "complete_volumes": Attack(
        connected, _operation(), lambda aim: REFUSED,
        lambda aim, answer: aim.world.cloud.volumes.calls == ["complete"],
    ),
}

#: What names nothing that could be another host's, and why.
NAME_NOTHING = {
    (CONDUCTOR, "network_report"): "the host's own service alone",
    (CONDUCTOR, "host_names"): "the same names for every host of a zone",
    (CONSOLES, "redeem"): "a token, which is the proof, whichever proxy a browser brings it to",
}


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    cloud = SmallCloud(
        tmp_path_factory.mktemp("cloud"), fake_network=False, multi_host=True, network_hosts=["net-node"],
        quota_instances=-1, quota_cores=-1, quota_ram=-1,
    )
    yield World(cloud)
    cloud.stop()


@pytest.mark.parametrize(
    "row", [row for row in CALLS.values() if row.from_host], ids=lambda row: f"{row.topic}.{row.method}"
)
def test_what_is_another_hosts_is_left_as_it_is(world: World, row: Any) -> None:
    if (row.topic, row.method) in NAME_NOTHING:
        return
    attack = ATTACKS.get(row.method) if row.topic == CONDUCTOR else None
    assert attack is not None, (
        f"Hosts may call {row.topic}.{row.method}: say in ATTACKS how one would reach for what is "
        "another's with it, or in NAME_NOTHING why there is nothing to reach for."
    )
    aim = attack.aim(world)
    arguments, before = attack.arguments(aim), world.rows(attack.touches)
    expected = attack.answer(aim)
    if expected is REFUSED:
        with pytest.raises(HostRefused):
            world.ask(world.foreign, row.method, arguments)
    else:
        assert world.ask(world.foreign, row.method, arguments) == expected
    assert world.rows(attack.touches) == before
    assert "complete" not in world.cloud.volumes.calls
    answer = world.ask(world.owner, row.method, arguments)
    assert attack.works(aim, answer), "the attack was none: the owner's own call has no effect either"


def test_a_host_tells_the_sizes_of_no_other(world: World) -> None:
    reports = world.cloud.managers[world.owner].reports()
    before = world.rows(frozenset())
    with pytest.raises(HostRefused):
        world.ask(world.foreign, "host_report", (reports, []))
    assert world.rows(frozenset()) == before
