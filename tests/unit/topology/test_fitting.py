# SPDX-License-Identifier: Apache-2.0
"""Where a guest goes on a host: never onto what is taken, by its policies, the same every time."""

from __future__ import annotations

import random
from collections import Counter

import pytest

from nova.objects.topology import GuestTopology, HostTopology, HostUsage, PciDevice
from nova.topology.charges import charged
from nova.topology.fitting import Room, fit
from nova.topology.usage import usage_of, with_guest, without_guest
from tests.unit.topology.hosts import (
    make_host,
    make_request,
    plainly_fits,
    random_request,
    random_room,
)


def test_what_fits_agrees_with_a_plain_judge_and_takes_only_what_is_free() -> None:
    chance = random.Random(4)
    seen: Counter[bool] = Counter()
    for _ in range(3000):
        room, request = random_room(chance), random_request(chance)
        guest = fit(room, request)
        assert (guest is not None) == plainly_fits(room, request), (room, request)
        assert fit(room, request, pack=True) is None if guest is None else True
        seen[guest is not None] += 1
        if guest is None:
            continue
        _check(room, guest)
    assert min(seen.values()) > 400


def _check(room: Room, guest: GuestTopology) -> None:
    cpus = [cpu for cell in guest.cells for _vcpu, cpu in cell.pinning]
    assert len(cpus) == len(set(cpus))
    assert {*cpus, *guest.emulator} <= set(guest.pinned)
    assert not set(guest.pinned) & set(room.usage.pinned)
    for cell in guest.cells:
        there = next(each for each in room.host.cells if each.id == cell.host_cell)
        assert {cpu for _vcpu, cpu in cell.pinning} <= set(there.dedicated)
    assert len({cell.host_cell for cell in guest.cells}) == len(guest.cells)
    assert not {each.address for each in guest.devices} & set(room.usage.devices)
    after = with_guest(room.usage, guest)
    assert without_guest(after, guest) == usage_of([]) if room.usage == HostUsage() else True
    assert set(after.pinned) == set(room.usage.pinned) | set(guest.pinned)


def pins(guest: GuestTopology | None) -> list[int]:
    assert guest is not None
    return [cpu for cell in guest.cells for _vcpu, cpu in cell.pinning]


def test_siblings_go_to_one_guest_where_they_can() -> None:
    host = make_host()
    assert pins(fit(Room(host=host), make_request(vcpus=4))) == [0, 1, 2, 3]
    used = HostUsage(pinned=(0, 2, 4))
    # Only the last core is whole: a guest of two gets it, one of four what is left.
    room = Room(host=make_host(1), usage=used)
    assert pins(fit(room, make_request(vcpus=2))) == [6, 7]
    assert pins(fit(room, make_request(vcpus=4))) == [1, 3, 5, 6]
    assert fit(room, make_request(vcpus=4, thread_policy="require")) is None
    assert pins(fit(room, make_request(vcpus=2, thread_policy="require"))) == [6, 7]


def test_an_isolated_guest_keeps_the_siblings_idle() -> None:
    guest = fit(Room(host=make_host()), make_request(vcpus=2, thread_policy="isolate"))
    assert pins(guest) == [0, 2]
    assert guest is not None
    assert guest.pinned == (0, 1, 2, 3)
    apart = make_host(apart=frozenset(range(4, 8)))
    assert fit(Room(host=apart), make_request(vcpus=2, thread_policy="isolate")) is None


def test_the_emulator_gets_a_cpu_of_its_own_and_counts() -> None:
    guest = fit(Room(host=make_host()), make_request(vcpus=2, emulator="isolate"))
    assert guest is not None
    assert guest.emulator == (2,)
    assert guest.pinned == (0, 1, 2)
    assert charged(2, guest, kept_apart=True) == (0, 3)
    assert charged(2, guest, kept_apart=False) == (3, 0)


def test_mixed_guests_pin_a_part_and_float_the_rest() -> None:
    room = Room(host=make_host(apart=frozenset({2, 3, 10, 11})))
    guest = fit(room, make_request(vcpus=4, policy="mixed"))
    assert pins(guest) == [2]
    assert charged(4, guest, kept_apart=True) == (3, 1)


def test_the_emptiest_cell_comes_first_unless_cells_are_packed() -> None:
    room = Room(host=make_host(), usage=HostUsage(pinned=(0, 1)))
    spread, packed = fit(room, make_request()), fit(room, make_request(), pack=True)
    assert spread is not None
    assert packed is not None
    assert spread.cells[0].host_cell == 1
    assert packed.cells[0].host_cell == 0


@pytest.mark.parametrize(
    "page, pool",
    [("small", 4), ("large", 2048), ("any", 2048), (2048, 2048), (4, 4), (1048576, None)],
)
def test_pages_of_the_size_asked_for(page: str | int, pool: int | None) -> None:
    guest = fit(Room(host=make_host()), make_request(policy=None, page=page))
    assert (guest.cells[0].pool_kb if guest else None) == pool


def test_a_guest_without_huge_pages_leaves_them_alone() -> None:
    room = Room(host=make_host(memory_mb=600, huge=4096))
    assert fit(room, make_request(memory_mb=512)) is not None
    assert fit(room, make_request(memory_mb=700)) is None


def test_guests_that_pin_nothing_may_overcommit_but_not_against_themselves() -> None:
    room = Room(
        host=make_host(1, memory_mb=1024), usage=HostUsage(memory=((0, 4, 1024),)), ram_ratio=1.5
    )
    assert fit(room, make_request(policy=None, memory_mb=512)) is not None
    assert fit(room, make_request(policy=None, memory_mb=513)) is None
    assert fit(room, make_request(memory_mb=512)) is None
    assert fit(Room(host=make_host(1, memory_mb=1024), ram_ratio=9.0),
               make_request(policy=None, memory_mb=1025)) is None


def test_guests_that_want_no_device_avoid_cells_that_have_some() -> None:
    room = Room(host=HostTopology(
        make_host().cells,
        (PciDevice(address="0000:80:00.0", vendor_id="8086", product_id="0443", cell=0),),
    ))
    without, with_one = fit(room, make_request()), fit(room, make_request(devices=1, near="required"))
    assert without is not None
    assert with_one is not None
    assert without.cells[0].host_cell == 1
    assert with_one.cells[0].host_cell == 0
