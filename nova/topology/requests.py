# SPDX-License-Identifier: Apache-2.0
"""What a flavor's extra specs and an image's properties ask of a host's topology, checked.

The texts of refusals are the original's, as clients and users know them (nova, virt/hardware.py and
exception.py); all of them are 400. What an image may override is told in docs/operators/numa-and-pci.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

import msgspec

from nova.errors import BadRequest
from nova.objects.flavor import Flavor
from nova.objects.topology import (
    DEDICATED,
    MIXED,
    SHARED,
    CellRequest,
    DeviceRequest,
    TopologyRequest,
)
from nova.topology.cpus import count_of, parse_cpus
from nova.topology.devices import POLICIES, Alias

_T = TypeVar("_T")

#: More NUMA nodes than this no guest has.
_MOST_CELLS = 128
_CPU_POLICIES = (DEDICATED, MIXED, SHARED)
_THREAD_POLICIES = ("prefer", "isolate", "require")
_EMULATOR_POLICIES = ("isolate", "share")
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})
_PAGE_SIZE = re.compile(r"([0-9]{1,9})([kKMGT]?)i?(b|bit|B)")
_POWERS = {"": 0, "k": 1, "K": 1, "M": 2, "G": 3, "T": 4}
_RESOURCES = re.compile(r"resources(?:[1-9]\d*)?:(VCPU|PCPU)")
_HYPERTHREADING = re.compile(r"trait(?:[1-9]\d*)?:HW_CPU_HYPERTHREADING")
_SCOPES = ("hw:", "pci_passthrough:", "resources", "trait")


class _Source(msgspec.Struct, frozen=True):
    """The flavor and the image that a server is made of."""

    flavor: Flavor
    properties: Mapping[str, Any]

    def both(self, name: str) -> tuple[str | None, str | None]:
        """(the flavor's ``hw:name``, the image's ``hw_name``); empty ones count as not there."""
        flavor = self.flavor.extra_specs.get(f"hw:{name}")
        image = self.properties.get(f"hw_{name}")
        return flavor or None, str(image) if image not in (None, "") else None

    def row(self, name: str, convert: Callable[[str], _T]) -> list[_T] | None:
        """The values of ``name.0``, ``name.1`` …, from the flavor or the image but not from both."""
        found: list[list[_T] | None] = []
        for source, prefix in ((self.flavor.extra_specs, "hw:"), (self.properties, "hw_")):
            values = []
            for number in range(_MOST_CELLS):
                key = f"{prefix}{name}.{number}"
                if key not in source:
                    break
                values.append(_converted(key, str(source[key]), convert))
            found.append(values or None)
        flavor, image = found
        if flavor is not None and image is not None:
            raise _not_from_image(f"hw_{name}")
        return image if flavor is None else flavor


def topology_request(
    flavor: Flavor, properties: Mapping[str, Any] | None, aliases: Callable[[], Mapping[str, Alias]]
) -> TopologyRequest | None:
    """What a server of this flavor and image wants, or None for nothing of the kind.

    ``aliases`` are looked up only where the flavor names one. Raises ``BadRequest``.
    """
    image = properties or {}
    if not any(name.startswith(_SCOPES) for name in flavor.extra_specs) and not any(
        name.startswith("hw_") for name in image
    ):
        return None
    source = _Source(flavor, image)
    policy, thread_policy, emulator, dedicated = _cpu_wishes(source)
    page = _page(source)
    _check_locked_memory(source)
    nodes = _node_count(source)
    devices = _devices(source, aliases)
    cells: tuple[CellRequest, ...] = ()
    if nodes is not None or page is not None or policy in (DEDICATED, MIXED):
        cells = _cells(source, nodes or 1, dedicated)
    if not cells and not devices:
        return None
    return TopologyRequest(
        cells=cells, policy=policy if cells else None,
        thread_policy=thread_policy if cells else None, page=page,
        emulator=emulator if cells else None, devices=devices, threads=_threads(source),
    )


# --- CPUs --------------------------------------------------------------------------------------------


def _cpu_wishes(source: _Source) -> tuple[str | None, str | None, str | None, frozenset[int]]:
    """(CPU policy, thread policy, emulator policy, the vCPUs to be pinned)."""
    policy = _cpu_policy(source)
    thread_policy = _thread_policy(source)
    emulator = _emulator_policy(source)
    realtime = _realtime_cpus(source, emulator)
    mask = _dedicated_mask(source)
    policy = _policy_of_resources(source, policy, emulator)
    thread_policy = _policy_of_trait(source, thread_policy)
    if policy in (SHARED, None):
        if thread_policy:
            raise BadRequest(
                "Cannot set cpu thread pinning policy in a non dedicated cpu pinning policy"
            )
        if emulator == "isolate":
            raise BadRequest(
                "An isolated CPU emulator threads option requires a dedicated CPU policy option."
            )
        if realtime is not None and mask is None:
            raise BadRequest("Cannot set realtime policy in a non dedicated cpu pinning policy")
    if policy != MIXED:
        if mask is not None:
            raise BadRequest("Cannot specify 'hw:cpu_dedicated_mask' without the 'mixed' policy.")
    elif (mask is None) == (realtime is None):
        raise BadRequest(
            "Dedicated CPU set can be specified from either 'hw:cpu_dedicated_mask' or "
            "'hw:cpu_realtime_mask' when using 'mixed' CPU policy. 'hw:cpu_dedicated_mask' and "
            "'hw:cpu_realtime_mask' can not be specified at the same time, or be specified with "
            "none of them."
        )
    dedicated: frozenset[int] = frozenset()
    if policy == DEDICATED:
        dedicated = frozenset(range(source.flavor.vcpus))
    elif policy == MIXED:
        dedicated = mask or realtime or dedicated
    return policy, thread_policy, emulator, dedicated


def _cpu_policy(source: _Source) -> str | None:
    flavor, image = source.both("cpu_policy")
    for value, where in ((flavor, "flavor extra specs"), (image, "image properties")):
        if value is not None and value not in _CPU_POLICIES:
            raise BadRequest(
                f"CPU policy requested from '{where}' is invalid, given: '{value}', "
                f"available: '{_CPU_POLICIES}'."
            )
    refused = {MIXED: (DEDICATED,), SHARED: (MIXED, DEDICATED)}.get(flavor or "", ())
    if image in refused:
        raise BadRequest(
            "Image property 'hw_cpu_policy' is not permitted to override CPU pinning policy set "
            "against the flavor"
        )
    return flavor or image


def _thread_policy(source: _Source) -> str | None:
    flavor, image = source.both("cpu_thread_policy")
    for value, where in ((flavor, "flavor extra specs"), (image, "image properties")):
        if value is not None and value not in _THREAD_POLICIES:
            raise BadRequest(
                f"CPU thread policy requested from '{where}' is invalid, given: '{value}', "
                f"available: '{_THREAD_POLICIES}'."
            )
    if flavor in (None, "prefer"):
        return flavor or image
    if image is not None and image != flavor:
        raise BadRequest(
            "Image property 'hw_cpu_thread_policy' is not permitted to override CPU thread pinning "
            "policy set against the flavor"
        )
    return flavor


def _emulator_policy(source: _Source) -> str | None:
    value = source.flavor.extra_specs.get("hw:emulator_threads_policy") or None
    if value is not None and value not in _EMULATOR_POLICIES:
        raise BadRequest(
            f"CPU emulator threads option requested is invalid, given: '{value}', "
            f"available: '{_EMULATOR_POLICIES}'."
        )
    return value


def _masked(source: _Source, key: str, mask: str) -> frozenset[int]:
    text = f"0-{source.flavor.vcpus - 1},{mask}" if mask.strip().startswith("^") else mask
    return _converted(key, text, parse_cpus)


def _dedicated_mask(source: _Source) -> frozenset[int] | None:
    mask = source.flavor.extra_specs.get("hw:cpu_dedicated_mask")
    if not mask:
        return None
    every = frozenset(range(source.flavor.vcpus))
    pinned = _masked(source, "hw:cpu_dedicated_mask", mask)
    if not pinned or not every - pinned:
        raise BadRequest(
            "Mixed instance must have at least 1 pinned vCPU and 1 unpinned vCPU. See "
            "'hw:cpu_dedicated_mask'."
        )
    if not pinned <= every:
        raise BadRequest(
            "Mixed instance dedicated vCPU(s) mask is not a subset of vCPUs in the flavor. See "
            '"hw:cpu_dedicated_mask"'
        )
    return pinned


def realtime_cpus(flavor: Flavor, properties: Mapping[str, Any] | None) -> tuple[int, ...]:
    """The vCPUs that are to run in real time, in order; none where the flavor asks for none.

    Raises ``BadRequest`` for a mask that leaves none over for the rest of the guest's work.
    """
    source = _Source(flavor, properties or {})
    return tuple(sorted(_realtime_cpus(source, _emulator_policy(source)) or ()))


def _realtime_cpus(source: _Source, emulator: str | None) -> frozenset[int] | None:
    if source.flavor.extra_specs.get("hw:cpu_realtime", "").lower() not in _TRUE:
        return None
    flavor, image = source.both("cpu_realtime_mask")
    mask = image or flavor
    every = frozenset(range(source.flavor.vcpus))
    chosen = _masked(source, "hw:cpu_realtime_mask", mask) if mask else every
    if not chosen or (chosen == every and not emulator):
        raise BadRequest(
            "Use of realtime CPUs requires either one or more non-realtime CPU(s) or offloaded "
            "emulator threads."
        )
    if not chosen <= every:
        raise BadRequest(
            "Realtime policy vCPU(s) mask is configured with RT vCPUs that are not a subset of the "
            "vCPUs in the flavor. See hw:cpu_realtime_mask or hw_cpu_realtime_mask"
        )
    return chosen


def _policy_of_resources(
    source: _Source, policy: str | None, emulator: str | None
) -> str | None:
    """``resources:PCPU`` is another way to say dedicated, ``resources:VCPU`` to say shared."""
    counts = {"VCPU": 0, "PCPU": 0}
    for key, value in source.flavor.extra_specs.items():
        found = _RESOURCES.fullmatch(key)
        if found is not None:
            counts[found[1]] += count_of(value) or 0
    if not any(counts.values()):
        return policy
    if policy:
        raise BadRequest(
            "It is not possible to use the 'resources:VCPU' or 'resources:PCPU' extra specs in "
            "combination with the 'hw:cpu_policy' extra spec or 'hw_cpu_policy' image metadata "
            "property; use one or the other"
        )
    if all(counts.values()):
        raise BadRequest(
            "It is not possible to specify both 'resources:VCPU' and 'resources:PCPU' extra specs; "
            "use one or the other"
        )
    if counts["VCPU"]:
        return SHARED
    if emulator == "isolate" and counts["PCPU"] != source.flavor.vcpus + 1:
        raise BadRequest(
            "You have requested 'hw:emulator_threads_policy=isolate' but have not requested "
            "sufficient PCPUs to handle this policy; you must allocate exactly flavor.vcpus + 1 "
            "PCPUs."
        )
    if emulator != "isolate" and counts["PCPU"] != source.flavor.vcpus:
        raise BadRequest(
            "There is a mismatch between the number of PCPUs requested via 'resourcesNN:PCPU' and "
            "the flavor); you must allocate exactly flavor.vcpus PCPUs"
        )
    return DEDICATED


def _policy_of_trait(source: _Source, thread_policy: str | None) -> str | None:
    trait = next(
        (
            value for key, value in source.flavor.extra_specs.items()
            if _HYPERTHREADING.fullmatch(key)
        ),
        source.properties.get("trait:HW_CPU_HYPERTHREADING"),
    )
    if trait and thread_policy:
        raise BadRequest(
            "It is not possible to use the 'trait:HW_CPU_HYPERTHREADING' extra spec in combination "
            "with the 'hw:cpu_thread_policy' extra spec or 'hw_cpu_thread_policy' image metadata "
            "property; use one or the other"
        )
    return {"forbidden": "isolate", "required": "require"}.get(str(trait), thread_policy)


def _threads(source: _Source) -> int:
    """Threads of the guest's cores; a number that is none is refused elsewhere."""
    flavor, image = source.both("cpu_threads")
    return max(1, count_of(image or flavor or "1") or 1)


# --- memory ------------------------------------------------------------------------------------------


def _page(source: _Source) -> str | int | None:
    flavor, image = source.both("mem_page_size")
    if flavor is None:
        if image is not None:
            raise _page_forbidden(image, "<empty>")
        return None
    size = _page_size(flavor)
    if image is None:
        return size
    if size not in ("any", "large"):
        raise _page_forbidden(image, flavor)
    return _page_size(image)


def _page_forbidden(size: str, against: str) -> BadRequest:
    return BadRequest(f"Page size {size} forbidden against '{against}'")


def _page_size(text: str) -> str | int:
    """small, large, any, or KiB. A number alone is KiB; one with a unit needs its b or B (2MB)."""
    if text in ("small", "large", "any"):
        return text
    size = count_of(text)
    if size is not None:
        return size
    found = _PAGE_SIZE.fullmatch(text)
    if found is None:
        raise BadRequest(f"Invalid memory page size '{text}'")
    number, power, unit = found.groups()
    bits: int = int(number) * 1024 ** _POWERS[power] * (8 if unit == "B" else 1)
    if bits % (8 * 1024) or not bits:
        raise BadRequest(f"Invalid memory page size '{text}'")
    return bits // (8 * 1024)


def _check_locked_memory(source: _Source) -> None:
    flavor, image = source.both("locked_memory")
    wanted = [value.lower() in _TRUE for value in (flavor, image) if value is not None]
    if len(set(wanted)) > 1:
        raise BadRequest(
            f"locked_memory value in image ({wanted[1]}) and flavor ({wanted[0]}) conflict. A "
            "consistent value is expected if both specified."
        )
    if any(wanted) and source.both("mem_page_size") == (None, None):
        raise BadRequest(
            "locked_memory value in image or flavor is forbidden when mem_page_size is not set."
        )


# --- cells -------------------------------------------------------------------------------------------


def _not_from_image(name: str) -> BadRequest:
    return BadRequest(
        f"Image property '{name}' is not permitted to override NUMA configuration set against the "
        "flavor"
    )


def _node_count(source: _Source) -> int | None:
    flavor, image = source.both("numa_nodes")
    if flavor is not None and image is not None:
        raise _not_from_image("hw_numa_nodes")
    text = flavor if flavor is not None else image
    if text is None:
        return None
    count = count_of(text)
    if not count:
        raise BadRequest(
            f"The property 'numa_nodes' cannot be '{text}'. It must be a number greater than 0"
        )
    return count


def _cells(source: _Source, nodes: int, dedicated: frozenset[int]) -> tuple[CellRequest, ...]:
    cpus = source.row("numa_cpus", parse_cpus)
    memory = source.row("numa_mem", int)
    flavor = source.flavor
    if cpus is None and memory is None:
        if flavor.vcpus % nodes or flavor.memory_mb % nodes:
            raise BadRequest(
                "Instance CPUs and/or memory cannot be evenly distributed across instance NUMA "
                "nodes. Explicit assignment of CPUs and memory to nodes is required"
            )
        each = flavor.vcpus // nodes
        sets = [frozenset(range(node * each, (node + 1) * each)) for node in range(nodes)]
        return _made(sets, [flavor.memory_mb // nodes] * nodes, dedicated)
    if cpus is None or memory is None or len(cpus) != nodes or len(memory) != nodes:
        raise BadRequest("CPU and memory allocation must be provided for all NUMA nodes")
    _check_cpus(cpus, flavor.vcpus)
    if sum(memory) != flavor.memory_mb or any(part < 1 for part in memory):
        raise BadRequest(
            f"{sum(memory)} MB of memory assigned, but expected {flavor.memory_mb} MB"
        )
    return _made(cpus, memory, dedicated)


def _check_cpus(cpus: list[frozenset[int]], vcpus: int) -> None:
    left = set(range(vcpus))
    for node in cpus:
        for cpu in sorted(node):
            if cpu >= vcpus:
                raise BadRequest(f"CPU number {cpu} is larger than max {vcpus - 1}")
            if cpu not in left:
                raise BadRequest(f"CPU number {cpu} is assigned to two nodes")
            left.remove(cpu)
    if left:
        raise BadRequest(f"CPU number {left} is not assigned to any node")


def _made(
    cpus: list[frozenset[int]], memory: list[int], dedicated: frozenset[int]
) -> tuple[CellRequest, ...]:
    return tuple(
        CellRequest(
            cpus=tuple(sorted(node)), dedicated=tuple(sorted(node & dedicated)), memory_mb=part
        )
        for node, part in zip(cpus, memory, strict=True)
    )


# --- PCI devices -------------------------------------------------------------------------------------


def _devices(
    source: _Source, aliases: Callable[[], Mapping[str, Alias]]
) -> tuple[DeviceRequest, ...]:
    flavor, image = source.both("pci_numa_affinity_policy")
    if flavor is not None and image is not None and flavor != image:
        raise BadRequest(
            "Image property 'hw_pci_numa_affinity_policy' is not permitted to override the "
            "'hw:pci_numa_affinity_policy' flavor extra spec."
        )
    policy = flavor or image
    if policy is not None and policy not in POLICIES:
        raise BadRequest(f"Invalid PCI NUMA affinity configured: {policy}")
    text = source.flavor.extra_specs.get("pci_passthrough:alias")
    if not text:
        return ()
    known = aliases()
    found = []
    for part in text.split(","):
        name, _colon, number = part.strip().partition(":")
        name, count = name.strip(), count_of(number)
        if not count:
            raise BadRequest(
                f"Invalid extra spec pci_passthrough:alias: '{part.strip()}' is not name:count"
            )
        if name not in known:
            raise BadRequest(f"PCI alias {name} is not defined")
        alias = known[name]
        found.append(
            DeviceRequest(
                alias=name, count=count, specs=alias.specs, policy=policy or alias.policy
            )
        )
    return tuple(found)


def _converted(key: str, text: str, convert: Callable[[str], _T]) -> _T:
    try:
        return convert(text)
    except ValueError as error:
        raise BadRequest(f"Invalid value of {key}: '{text}': {error}") from None
