# SPDX-License-Identifier: Apache-2.0
"""A network service outside that answers late, not at all, or twice: no port is lost, none is left."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

import msgspec
import pytest

from nova import wiring
from nova.conductor import networking
from nova.db.schema.base import now
from nova.errors import Conflict, NovaError, ServiceUnavailable
from nova.network.external import KEPT, ExternalNetworks
from nova.network.outside import OutsidePlan
from nova.objects.instance import Address, Instance, RequestedNetwork, Vif
from nova.objects.network_task import ATTACH
from nova.objects.states import ACTIVE, BUILDING, ERROR, POWER_PAUSED, RUNNING
from nova.rpc.calls import CONDUCTOR
from tests.unit.compute.small_cloud import USER, SmallCloud
from tests.waiting import until

NETWORK = "b1b3a5d5-9d0c-4a4e-8f5c-0c9d3f0a4c11"


class Service:
    """Ports in memory: id -> (server, host). ``broken`` is raised by every request while it is set."""

    def __init__(self) -> None:
        self.ports: dict[str, tuple[str, str | None]] = {}
        self.broken: NovaError | None = None
        self.breaks = 0
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.plugged = True

    def _ask(self) -> None:
        if self.broken is not None:
            self.breaks += 1
            raise self.broken

    def _vif(self, port: str) -> Vif:
        address = f"192.0.2.{list(self.ports).index(port) + 1}"
        return Vif(id=port, mac="fa:16:3e:00:00:01", network_id=NETWORK, label="net",
                   addresses=(Address(address),), plugged=self.plugged)

    def check(
        self, project_id: str, requested: Sequence[RequestedNetwork] | None,
        groups: Sequence[str] | None, count: int = 1,
    ) -> OutsidePlan:
        self._ask()
        return OutsidePlan(tuple(requested or (RequestedNetwork(network_id=NETWORK),)))

    def allocate(self, instance: Instance, plan: OutsidePlan) -> tuple[Vif, ...]:
        self.entered.set()
        assert self.gate.wait(10)
        self._ask()
        mine = [port for port, held in self.ports.items() if held[0] == instance.uuid]
        made = [each for each in mine if each not in plan.ports]
        vifs = []
        for each in plan.requested:
            port = each.port_id or (made.pop() if made else str(uuid.uuid4()))
            self.ports[port] = (instance.uuid, instance.host)
            vifs.append(self._vif(port))
        return tuple(vifs)

    def attach(self, instance: Instance, wanted: RequestedNetwork) -> Vif:
        self._ask()
        port = wanted.port_id or str(uuid.uuid4())
        self.ports[port] = (instance.uuid, instance.host)
        return self._vif(port)

    def detach(self, instance_uuid: str, port_id: str, *, keep: bool) -> None:
        self._ask()
        if self.ports.get(port_id, ("", None))[0] != instance_uuid:
            return
        if keep:
            self.ports[port_id] = ("", None)
        else:
            del self.ports[port_id]

    def release(self, instance_uuid: str, kept: Collection[str]) -> None:
        for port in sorted(self.port_ids(instance_uuid)):
            self.detach(instance_uuid, port, keep=port in kept)

    def bind(self, instance_uuid: str, host: str | None) -> None:
        for port in self.port_ids(instance_uuid):
            self.ports[port] = (instance_uuid, host)

    def cards(self, instance: Instance) -> tuple[Vif, ...]:
        return tuple(vif for vif in instance.network_info if vif.id in self.port_ids(instance.uuid))

    def port_ids(self, instance_uuid: str) -> set[str]:
        self._ask()
        return {port for port, held in self.ports.items() if held[0] == instance_uuid}

    def add_address(self, instance: Instance, network_id: str) -> None:
        self._ask()

    def remove_address(self, instance: Instance, address: str) -> None:
        self._ask()

    def change_groups(
        self, instance: Instance, *, add: str | None = None, remove: str | None = None
    ) -> str:
        return add or remove or ""

    def lead_floating(self, instance: Instance, address: str, fixed: str | None) -> None:
        self._ask()

    def take_floating(self, instance: Instance, address: str) -> None:
        self._ask()


@pytest.fixture
def service() -> Service:
    return Service()


@pytest.fixture
def options() -> dict[str, Any]:
    """Configuration of the cloud, for tests that have some."""
    return {}


@pytest.fixture
def cloud(
    tmp_path: Path, service: Service, monkeypatch: pytest.MonkeyPatch, options: dict[str, Any]
) -> Iterator[SmallCloud]:
    def build(config: Any, transport: Any) -> ExternalNetworks:
        return ExternalNetworks(
            config.network, service, lambda ids: transport.cast(CONDUCTOR, None, "network_tasks", ids)
        )

    monkeypatch.setattr(wiring, "build_networks", build)
    monkeypatch.setattr(networking, "_PAUSE", 0.02)
    monkeypatch.setattr(networking, "_LOOK", 0.05)
    monkeypatch.setattr(networking, "_LONGEST", 0)
    made = SmallCloud(tmp_path, **options)
    yield made
    service.gate.set()
    made.stop()


def tasks(cloud: SmallCloud) -> int:
    with cloud.db.read() as tx:
        return len(tx.network_tasks.due(now().replace(year=now().year + 1)))


def test_a_boot_waits_for_a_service_that_comes_back(cloud: SmallCloud, service: Service) -> None:
    service.gate.clear()
    server = cloud.ask()
    assert service.entered.wait(10)
    service.broken = ServiceUnavailable("away")
    service.gate.set()
    until(lambda: service.breaks >= 2)
    service.broken = None
    cloud.settle()
    instance = cloud.show(server)
    assert instance.vm_state == ACTIVE
    assert {vif.id for vif in instance.network_info} == set(service.ports)
    assert service.ports[instance.network_info[0].id] == (server, instance.host)


@pytest.mark.parametrize("error", [ServiceUnavailable("away"), Conflict("no port for you")])
def test_a_boot_without_ports_is_an_error_that_says_why(
    cloud: SmallCloud, service: Service, error: NovaError
) -> None:
    service.gate.clear()
    server = cloud.ask()
    assert service.entered.wait(10)
    service.broken = error
    service.gate.set()
    cloud.settle()
    instance = cloud.show(server)
    assert (instance.vm_state, instance.host) == (ERROR, None)
    assert instance.fault is not None
    assert error.message in instance.fault.message
    assert instance.fault.code == error.status
    service.broken = None
    until(lambda: tasks(cloud) == 0)
    assert service.ports == {}
    assert cloud.leaks() == []


def test_a_boot_that_goes_to_another_host_takes_its_ports_along(
    cloud: SmallCloud, service: Service
) -> None:
    service.ports["mine"] = ("", None)
    cloud.faults.set("spawn", times=1)
    instance = cloud.boot(
        networks=(RequestedNetwork(port_id="mine"), RequestedNetwork(network_id=NETWORK))
    )
    assert instance.vm_state == ACTIVE
    assert {vif.id for vif in instance.network_info} == set(service.ports)
    assert len(service.ports) == 2
    assert set(service.ports.values()) == {(instance.uuid, instance.host)}
    cloud.operations.delete(USER, instance)
    cloud.settle()
    until(lambda: tasks(cloud) == 0)
    assert service.ports == {"mine": ("", None)}


def test_a_delete_overtakes_the_ports_of_a_boot(cloud: SmallCloud, service: Service) -> None:
    service.gate.clear()
    server = cloud.ask()
    assert service.entered.wait(10)
    cloud.operations.delete(USER, cloud.show(server))
    service.gate.set()
    cloud.settle()
    until(lambda: tasks(cloud) == 0 and service.ports == {})
    assert cloud.show(server).deleted
    assert cloud.leaks() == []


def test_an_interrupted_allocation_is_taken_up_again(cloud: SmallCloud, service: Service) -> None:
    service.gate.clear()
    server = cloud.ask()
    assert service.entered.wait(10)
    # The same operation once more, as another process that recovers it would have it.
    with cloud.db.read() as tx:
        (operation,) = tx.operations.open_for(server)
    other = networking.Networking(cloud.control.core, cloud.control.conductor._strikes)
    other.start()
    other.allocate([operation.id])
    service.gate.set()
    cloud.settle()
    other.stop()
    instance = cloud.show(server)
    assert instance.vm_state == ACTIVE
    until(lambda: {vif.id for vif in instance.network_info} == set(service.ports))


def test_ports_of_an_attach_that_nobody_ended_are_given_up(
    cloud: SmallCloud, service: Service
) -> None:
    instance = cloud.boot()
    service.ports |= {"mine": (instance.uuid, "host"), "made": (instance.uuid, "host")}
    with cloud.db.write() as tx:
        tx.instances.update(instance.uuid, {"system_metadata": {KEPT: ["mine"]}})
        tx.network_tasks.add(instance.uuid, ATTACH, {"port": "mine"}, now())
    until(lambda: tasks(cloud) == 0)
    assert service.ports.pop("mine") == ("", None)
    assert set(service.ports) == {vif.id for vif in instance.network_info}


def test_a_refused_attach_leaves_nothing(cloud: SmallCloud, service: Service) -> None:
    instance = cloud.boot()
    before = dict(service.ports)
    service.broken = ServiceUnavailable("away")
    with pytest.raises(ServiceUnavailable):
        cloud.operations.attach_interface(USER, instance, RequestedNetwork(network_id=NETWORK))
    service.broken = None
    until(lambda: tasks(cloud) == 0)
    assert service.ports == before
    assert cloud.show(instance.uuid).network_info == instance.network_info


def test_a_detach_is_told_later(cloud: SmallCloud, service: Service) -> None:
    instance = cloud.boot()
    (vif,) = instance.network_info
    service.broken = ServiceUnavailable("away")
    cloud.operations.detach_interface(USER, instance, vif.id)
    assert cloud.show(instance.uuid).network_info == ()
    assert vif.id in service.ports
    service.broken = None
    until(lambda: tasks(cloud) == 0)
    assert service.ports == {}


def test_ports_are_where_their_server_is(cloud: SmallCloud, service: Service) -> None:
    instance = cloud.boot()
    (vif,) = instance.network_info
    cloud.operations.resize(USER, instance, "2")
    cloud.settle()
    moved = cloud.show(instance.uuid)
    assert moved.host != instance.host
    until(lambda: service.ports[vif.id] == (instance.uuid, moved.host))
    cloud.operations.revert_resize(USER, moved)
    cloud.settle()
    until(lambda: service.ports[vif.id] == (instance.uuid, instance.host))


# -- guests that stand still until their ports are plugged --------------------------------------------


def held(cloud: SmallCloud, service: Service) -> str:
    """A server whose guest stands still, as its port is not plugged."""
    service.plugged = False
    server = cloud.ask()
    until(lambda: step(cloud, server) == "plugging")
    return server


def step(cloud: SmallCloud, server: str) -> str | None:
    with cloud.db.read() as tx:
        found = tx.operations.open_for(server)
    return found[0].step if found else None


def guest_state(cloud: SmallCloud, server: str) -> int:
    """What the host's driver says of the guest."""
    instance = cloud.show(server)
    assert instance.host is not None
    return cloud.managers[instance.host]._host.driver.guests()[server]


def say(cloud: SmallCloud, server: str, port: str, *, plugged: bool = True) -> None:
    cloud.operations.port_plugged(server, port, plugged=plugged)


def test_a_guest_stands_still_until_its_port_is_plugged(cloud: SmallCloud, service: Service) -> None:
    server = held(cloud, service)
    (vif,) = cloud.show(server).network_info
    say(cloud, server, "another port")
    assert (cloud.show(server).vm_state, vif.plugged) == (BUILDING, False)
    assert guest_state(cloud, server) == POWER_PAUSED
    say(cloud, server, vif.id)
    cloud.settle()
    instance = cloud.show(server)
    assert (instance.vm_state, instance.power_state, instance.network_info[0].plugged) == (
        ACTIVE, RUNNING, True
    )
    assert guest_state(cloud, server) == RUNNING


def test_what_is_said_while_a_look_at_the_ports_is_ending_is_not_missed(
    cloud: SmallCloud, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = held(cloud, service)
    (vif,) = cloud.show(server).network_info
    room = cloud.control.conductor.networking
    look, looked, go_on = room._plug, threading.Event(), threading.Event()

    def slow_look(operation_id: int) -> None:
        look(operation_id)
        looked.set()
        assert go_on.wait(20)

    monkeypatch.setattr(room, "_plug", slow_look)
    say(cloud, server, "another port")
    assert looked.wait(20)
    say(cloud, server, vif.id)
    go_on.set()
    cloud.settle()
    assert cloud.show(server).vm_state == ACTIVE


def test_ports_that_are_plugged_before_they_are_known_are_not_waited_for(
    cloud: SmallCloud, service: Service
) -> None:
    service.plugged = False
    service.ports["early"] = ("", None)
    service.gate.clear()
    server = cloud.ask(networks=(RequestedNetwork(port_id="early"),))
    assert service.entered.wait(10)
    say(cloud, server, "early")
    service.gate.set()
    cloud.settle()
    assert cloud.show(server).vm_state == ACTIVE
    assert guest_state(cloud, server) == RUNNING


def test_what_was_said_of_a_port_on_another_host_counts_for_nothing(
    cloud: SmallCloud, service: Service
) -> None:
    service.plugged = False
    service.ports["moves"] = ("", None)
    service.gate.clear()
    cloud.faults.set("spawn", times=1)
    server = cloud.ask(networks=(RequestedNetwork(port_id="moves"),))
    assert service.entered.wait(10)
    say(cloud, server, "moves")
    service.gate.set()
    until(lambda: step(cloud, server) == "plugging")
    say(cloud, server, "moves")
    cloud.settle()
    assert cloud.show(server).vm_state == ACTIVE


def test_a_port_that_cannot_be_plugged_fails_the_boot_and_leaves_nothing(
    cloud: SmallCloud, service: Service
) -> None:
    server = held(cloud, service)
    (vif,) = cloud.show(server).network_info
    say(cloud, server, vif.id, plugged=False)
    cloud.settle()
    instance = cloud.show(server)
    assert (instance.vm_state, instance.host) == (ERROR, None)
    assert instance.fault is not None
    assert instance.fault.message == "Virtual Interface creation failed"
    until(lambda: tasks(cloud) == 0)
    assert service.ports == {}
    assert cloud.leaks() == []


@pytest.mark.parametrize("options", [{"vif_plugging_timeout": 1}])
def test_a_wait_that_is_too_long_fails_the_boot(cloud: SmallCloud, service: Service) -> None:
    server = held(cloud, service)
    cloud.settle(30)
    instance = cloud.show(server)
    assert (instance.vm_state, instance.fault is not None) == (ERROR, True)
    assert cloud.leaks() == []


@pytest.mark.parametrize("options", [{"vif_plugging_timeout": 1, "vif_plugging_is_fatal": False}])
def test_a_wait_that_is_not_fatal_ends_with_a_running_guest(cloud: SmallCloud, service: Service) -> None:
    server = held(cloud, service)
    cloud.settle(30)
    assert cloud.show(server).vm_state == ACTIVE
    assert guest_state(cloud, server) == RUNNING


@pytest.mark.parametrize("options", [{"vif_plugging_timeout": 0}])
def test_without_a_timeout_nothing_is_waited_for(cloud: SmallCloud, service: Service) -> None:
    service.plugged = False
    assert cloud.boot().vm_state == ACTIVE


def test_a_server_is_deleted_while_its_port_is_not_plugged(cloud: SmallCloud, service: Service) -> None:
    server = held(cloud, service)
    cloud.operations.delete(USER, cloud.show(server))
    cloud.settle()
    until(lambda: tasks(cloud) == 0)
    assert service.ports == {}
    assert cloud.leaks() == []


def test_a_wait_is_taken_up_by_the_next_conductor(cloud: SmallCloud, service: Service) -> None:
    server = held(cloud, service)
    (vif,) = cloud.show(server).network_info
    with cloud.db.write() as tx:
        # The event was taken, and whoever took it died before it woke anybody.
        tx.instances.update(server, {"network_info": (msgspec.structs.replace(vif, plugged=True),)})
    cloud.control.conductor.recovery.run(everything=True)
    cloud.settle()
    assert cloud.show(server).vm_state == ACTIVE
