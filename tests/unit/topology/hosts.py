# SPDX-License-Identifier: Apache-2.0
"""Hosts and requests for the tests of topologies, and a plain judge of what fits."""

from __future__ import annotations

import itertools
import random

from nova.objects.topology import (
    CellRequest,
    DeviceRequest,
    HostCell,
    HostTopology,
    HostUsage,
    PagePool,
    PciDevice,
    TopologyRequest,
)
from nova.topology.fitting import Room

SPEC = (("product_id", "0443"), ("vendor_id", "8086"))


def make_host(
    cells: int = 2, cpus: int = 8, threads: int = 2, apart: frozenset[int] | None = None,
    memory_mb: int = 4096, huge: int = 512, devices: int = 0,
) -> HostTopology:
    """A host whose cells have ``memory_mb`` of small pages and ``huge`` pages of 2 MiB each."""

    def cell(number: int) -> HostCell:
        own = range(number * cpus, (number + 1) * cpus)
        return HostCell(
            id=number, socket=number,
            shared=tuple(cpu for cpu in own if apart is None or cpu not in apart),
            dedicated=tuple(cpu for cpu in own if apart is None or cpu in apart),
            cores=tuple(
                tuple(range(start, start + threads)) for start in range(own[0], own.stop, threads)
            ),
            pages=(PagePool(4, memory_mb * 256), PagePool(2048, huge)),
        )

    return HostTopology(
        tuple(cell(number) for number in range(cells)),
        tuple(
            PciDevice(
                address=f"0000:80:{slot:02x}.0", vendor_id="8086", product_id="0443",
                cell=slot % cells if cells else None,
            )
            for slot in range(devices)
        ),
    )


def make_request(
    nodes: int = 1, vcpus: int = 2, memory_mb: int = 512, policy: str | None = "dedicated",
    devices: int = 0, near: str = "legacy", **more: object,
) -> TopologyRequest:
    """Equal nodes with so many vCPUs and so much memory each."""
    cells = []
    for node in range(nodes):
        cpus = tuple(range(node * vcpus, (node + 1) * vcpus))
        pinned = {"dedicated": cpus, "mixed": cpus[:1]}.get(policy or "", ())
        cells.append(CellRequest(cpus=cpus, dedicated=pinned, memory_mb=memory_mb))
    wanted = (DeviceRequest(alias="a", count=devices, specs=(SPEC,), policy=near),) if devices else ()
    return TopologyRequest(cells=tuple(cells), policy=policy, devices=wanted, **more)  # type: ignore[arg-type]


def random_room(chance: random.Random) -> Room:
    """A host that is used somehow."""
    cells, threads = chance.choice([1, 2, 3]), chance.choice([1, 2, 2])
    count = cells * 8
    apart = chance.choice([None, None, frozenset(chance.sample(range(count), count // 2))])
    host = make_host(
        cells, 8, threads, apart, chance.choice([512, 4096]), chance.choice([0, 512]),
        chance.choice([0, 0, 1, 3]),
    )
    dedicated = [cpu for cell in host.cells for cpu in cell.dedicated]
    return Room(
        host=host, cpu_ratio=chance.choice([1.0, 2.0]), ram_ratio=chance.choice([1.0, 1.5]),
        usage=HostUsage(
            pinned=tuple(sorted(chance.sample(dedicated, chance.randrange(len(dedicated) + 1)))),
            shared=tuple((cell, chance.randrange(12)) for cell in range(cells)),
            memory=tuple(
                (cell, size, chance.choice([0, 256, 512, 1024]))
                for cell in range(cells) for size in (4, 2048)
            ),
            devices=tuple(
                device.address for device in host.devices if chance.random() < 0.4
            ),
        ),
    )


def random_request(chance: random.Random) -> TopologyRequest:
    """A request that some of the random rooms can take and others cannot."""
    policy = chance.choice([None, "shared", "dedicated", "dedicated", "mixed"])
    pinning = policy in ("dedicated", "mixed")
    return make_request(
        chance.choice([1, 1, 2]), chance.choice([1, 2, 3, 4]), chance.choice([256, 512, 1001]), policy,
        chance.choice([0, 0, 1, 2]), chance.choice(["legacy", "required", "preferred", "socket"]),
        thread_policy=chance.choice([None, "prefer", "require", "isolate"]) if pinning else None,
        emulator="isolate" if pinning and chance.random() < 0.2 else None,
        page=chance.choice([None, None, "small", "large", "any", 2048, 1048576]),
    )


def plainly_fits(room: Room, request: TopologyRequest) -> bool:
    """Whether any way to give the guest's nodes cells of the host works, told by counting."""
    if not request.cells:
        return len(_free_devices(room)) >= request.device_count
    for cells in itertools.permutations(room.host.cells, len(request.cells)):
        if all(
            _cell_fits(room, cell, request, node) for node, cell in enumerate(cells)
        ) and _devices_fit(room, request, [cell.id for cell in cells]):
            return True
    return False


def _cell_fits(room: Room, cell: HostCell, request: TopologyRequest, node: int) -> bool:
    wanted = request.cells[node]
    return _memory_fits(room, cell, request, wanted.memory_mb) and _cpus_fit(
        room, cell, request, node
    )


def _memory_fits(room: Room, cell: HostCell, request: TopologyRequest, memory: int) -> bool:
    used = {size: mb for at, size, mb in room.usage.memory if at == cell.id}
    totals = {pool.size_kb: pool.memory_mb for pool in cell.pages}
    small = min(totals)
    if request.page is None:
        if request.policy in ("dedicated", "mixed"):
            return totals[small] - used.get(small, 0) >= memory
        return (
            totals[small] >= memory
            and used.get(small, 0) + memory <= totals[small] * room.ram_ratio
        )
    sizes = {"small": [small], "large": [s for s in totals if s != small], "any": list(totals)}.get(
        str(request.page), [request.page] if request.page in totals else []
    )
    return any(
        totals[int(size)] - used.get(int(size), 0) >= memory and memory * 1024 % int(size) == 0
        for size in sizes
    )


def _cpus_fit(room: Room, cell: HostCell, request: TopologyRequest, node: int) -> bool:
    wanted = request.cells[node]
    floating = len(wanted.cpus) - len(wanted.dedicated)
    taken = dict(room.usage.shared).get(cell.id, 0)
    if floating and (
        floating > len(cell.shared) or taken + floating > len(cell.shared) * room.cpu_ratio
    ):
        return False
    pinned = len(wanted.dedicated)
    if not pinned:
        return True
    extra = 1 if request.emulator == "isolate" and node == 0 else 0
    free = [
        [cpu for cpu in core if cpu in cell.dedicated and cpu not in room.usage.pinned]
        for core in cell.cores
    ]
    threads = len(cell.cores[0])
    if sum(map(len, free)) < pinned + extra:
        return False
    if request.thread_policy == "isolate":
        apart = cell.shared != cell.dedicated and threads > 1
        return not apart and sum(len(core) == threads for core in free) >= pinned + extra
    if request.thread_policy == "require":
        pairs = [core for core in free if len(core) >= 2]
        return threads > 1 and 2 * len(pairs) >= pinned
    return True


def _free_devices(room: Room) -> list[PciDevice]:
    return [each for each in room.host.devices if each.address not in room.usage.devices]


def _devices_fit(room: Room, request: TopologyRequest, cells: list[int]) -> bool:
    if not request.devices:
        return True
    (wanted,) = request.devices
    near = [
        each for each in _free_devices(room)
        if wanted.policy == "preferred" or each.cell in cells
    ]
    return len(near) >= wanted.count
