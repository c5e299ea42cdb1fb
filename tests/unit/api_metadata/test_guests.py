# SPDX-License-Identifier: Apache-2.0
"""How often guests are read: once while remembered, however many ask at a time; and again when told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import event

from nova import wiring_host
from nova.api.metadata.guests import Guests, HostGuests
from nova.conductor.guest_metadata import CloudGuests, GuestMetadata
from nova.errors import Conflict, HostRefused
from nova.metadata.tree import GuestTree
from nova.metadata.vendor_data import VendorData
from nova.network.creation import NetworkRequest, create_networks
from nova.objects.instance import Instance
from tests.unit.api_metadata.known_guests import ADDRESS, UUID, KnownGuests, guest
from tests.unit.compute.small_cloud import SmallCloud


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def _guests(source: KnownGuests, clock: Clock, seconds: float = 15) -> Guests:
    def tree(instance: Instance) -> GuestTree:
        from nova.conf.metadata import ApiMetadataSection

        return GuestTree(instance, VendorData(ApiMetadataSection()))

    return Guests(source, tree, seconds, clock)


def _known() -> KnownGuests:
    source = KnownGuests()
    source.guests[None, ADDRESS] = guest()
    return source


def test_a_guest_is_read_again_when_its_time_is_over() -> None:
    source, clock = _known(), Clock()
    guests = _guests(source, clock)
    for _ in range(5):
        assert guests.at(None, ADDRESS) is not None
    clock.now += 14.9
    guests.at(None, ADDRESS)
    assert source.reads == 1
    clock.now += 0.2
    guests.at(None, ADDRESS)
    assert source.reads == 2


def test_nothing_is_remembered_where_that_is_switched_off() -> None:
    source = _known()
    guests = _guests(source, Clock(), 0)
    guests.at(None, ADDRESS)
    guests.at(None, ADDRESS)
    assert source.reads == 2


def test_a_guest_is_read_again_when_something_about_it_changed() -> None:
    source, clock = _known(), Clock()
    guests = _guests(source, clock)
    guests.at(None, ADDRESS)
    guests.of(UUID)
    guests.forget(UUID)
    clock.now += 0.001
    guests.at(None, ADDRESS)
    guests.of(UUID)
    assert source.reads == 4


def test_the_next_holder_of_an_address_is_not_told_of_the_last() -> None:
    source, clock = _known(), Clock()
    guests = _guests(source, clock)
    assert guests.at(None, ADDRESS) is not None
    source.guests[None, ADDRESS] = guest(uuid="next")
    guests.forget(UUID)
    found = guests.at(None, ADDRESS)
    assert found is not None
    assert found.instance.uuid == "next"


def test_a_read_that_was_overtaken_by_a_change_is_not_kept() -> None:
    source, clock = _known(), Clock()
    guests = _guests(source, clock)
    read = source.by_address

    def slow(bridge: str | None, address: str) -> Instance | None:
        found = read(bridge, address)
        guests.forget(UUID)
        return found

    source.by_address = slow  # type: ignore[method-assign]
    guests.at(None, ADDRESS)
    source.by_address = read  # type: ignore[method-assign]
    guests.at(None, ADDRESS)
    assert source.reads == 2


def test_many_requests_of_a_guest_at_once_are_one_read() -> None:
    source, clock = _known(), Clock()
    guests = _guests(source, clock)
    barrier = threading.Barrier(16)

    def ask() -> bool:
        barrier.wait()
        return guests.at(None, ADDRESS) is not None

    with ThreadPoolExecutor(16) as pool:
        assert all(future.result() for future in [pool.submit(ask) for _ in range(16)])
    assert source.reads == 1


def test_what_is_remembered_stays_bounded() -> None:
    source, clock = KnownGuests(), Clock()
    for number in range(3000):
        source.guests[None, f"a{number}"] = guest(uuid=f"u{number}")
    guests = _guests(source, clock)
    for number in range(3000):
        clock.now += 0.001
        guests.at(None, f"a{number}")
    assert len(guests._trees) <= 1024
    assert len(guests._keys) <= 1024


# --- through the conductor -------------------------------------------------------------------------


def test_a_hundred_guests_that_boot_at_once_cost_one_statement_each(tmp_path: Path) -> None:
    cloud = SmallCloud(
        tmp_path, quota__instances=-1, quota__cores=-1, quota__ram=-1
    )
    try:
        for _ in range(10):
            cloud.ask(count=10)
        cloud.settle(60)
        with cloud.db.read() as tx:
            servers = [each for host in cloud.managers for each in tx.instances.on_host(host)]
        assert len(servers) == 100
        _service, guests = wiring_host.build_metadata(cloud.config, CloudGuests(GuestMetadata(cloud.db)))
        statements: list[str] = []
        event.listen(
            cloud.db.engine, "before_cursor_execute",
            lambda _c, _cursor, statement, *_: statements.append(statement),
        )
        barrier = threading.Barrier(20)
        wrong: list[str] = []

        def boot(some: list[Instance]) -> None:
            barrier.wait()
            for _ in range(12):
                for server in some:
                    address = server.network_info[0].addresses[0].address
                    tree = guests.at(None, address)
                    if tree is None or tree.instance.uuid != server.uuid:
                        wrong.append(address)

        with ThreadPoolExecutor(20) as pool:
            for number in range(20):
                # Each guest asks on four threads at a time.
                start = number // 4 * 20
                pool.submit(boot, servers[start : start + 20])
        assert wrong == []
        assert len([text for text in statements if text.startswith("SELECT")]) == 100
    finally:
        cloud.stop()


def test_a_host_is_told_of_its_own_guests_alone(tmp_path: Path) -> None:
    cloud = SmallCloud(tmp_path)
    try:
        server = cloud.boot()
        assert server.host is not None
        address = server.network_info[0].addresses[0].address
        bridge = server.network_info[0].bridge
        other = next(name for name in cloud.managers if name != server.host)
        own, foreign = HostGuests(cloud.transport, server.host), HostGuests(cloud.transport, other)
        for found in (own.by_address(None, address), own.by_address(bridge, address),
                      own.by_uuid(server.uuid)):
            assert found is not None
            assert found.uuid == server.uuid
        assert own.by_address("br999", address) is None
        assert own.by_address(None, "10.0.3.77") is None
        assert foreign.by_address(None, address) is None
        assert foreign.by_uuid(server.uuid) is None
        with pytest.raises(HostRefused):
            foreign.set_password(server.uuid, "x")
        with pytest.raises(HostRefused):
            HostGuests(cloud.transport, "").by_uuid(server.uuid)
        own.set_password(server.uuid, "kryptiskt")
        with pytest.raises(Conflict):
            own.set_password(server.uuid, "annat")
        assert cloud.show(server.uuid).system_metadata["password"] == "kryptiskt"
    finally:
        cloud.stop()


def test_the_network_host_answers_for_all_guests_of_its_network(tmp_path: Path) -> None:
    cloud = SmallCloud(tmp_path)
    try:
        server = cloud.boot()
        address = server.network_info[0].addresses[0].address
        gateway = HostGuests(cloud.transport, "gateway")
        assert gateway.by_address(None, address) is None
        with cloud.db.write() as tx:
            tx.connection.exec_driver_sql("UPDATE networks SET host = 'gateway'")
        assert gateway.by_address(None, address) is not None
        gateway.set_password(server.uuid, "x")
        with cloud.db.write() as tx:
            tx.connection.exec_driver_sql("UPDATE networks SET multi_host = 1")
        assert gateway.by_address(None, address) is None
    finally:
        cloud.stop()


def test_an_address_of_two_networks_is_told_apart_by_the_bridge(tmp_path: Path) -> None:
    cloud = SmallCloud(tmp_path)
    try:
        first = cloud.boot()
        address = first.network_info[0].addresses[0].address
        with cloud.db.write() as tx:
            second_network = create_networks(
                tx, NetworkRequest(label="other", cidr="10.99.0.0/24", bridge="br200"),
                cloud.config.network,
            )[0]
        from nova.objects.instance import RequestedNetwork

        second = cloud.boot(networks=(RequestedNetwork(network_id=second_network.uuid),))
        with cloud.db.write() as tx:
            tx.connection.exec_driver_sql(
                f"UPDATE fixed_ips SET address = '{address}' WHERE instance_uuid = '{second.uuid}'"
            )
        source = CloudGuests(GuestMetadata(cloud.db))
        assert source.by_address(None, address) is None
        for bridge, uuid in (("br100", first.uuid), ("br200", second.uuid)):
            found = source.by_address(bridge, address)
            assert found is not None
            assert found.uuid == uuid
    finally:
        cloud.stop()


def test_a_step_that_ended_is_told(tmp_path: Path) -> None:
    cloud = SmallCloud(tmp_path)
    told: list[tuple[str, str]] = []
    cloud.control.conductor.step_listeners.append(lambda host, uuid: told.append((host, uuid)))
    try:
        server = cloud.boot()
        assert told == [(server.host, server.uuid)]
    finally:
        cloud.stop()
