# SPDX-License-Identifier: Apache-2.0
"""What flavors and images may ask for, and the texts of what they may not."""

from __future__ import annotations

from typing import Any

import pytest

from nova.errors import BadRequest
from nova.objects.flavor import Flavor
from nova.objects.topology import TopologyRequest
from nova.topology.devices import parse_aliases
from nova.topology.guest_shape import check_guest_shape
from nova.topology.requests import topology_request

ALIASES = parse_aliases(
    ('{"name": "qat", "vendor_id": "8086", "product_id": "0443", "numa_policy": "required"}',)
)


def asked(
    specs: dict[str, str], image: dict[str, Any] | None = None, vcpus: int = 4, memory_mb: int = 2048
) -> TopologyRequest | None:
    flavor = Flavor(1, "1", "f", None, memory_mb, vcpus, 1, 0, 0, 1.0, True, False, specs)
    return topology_request(flavor, image, lambda: ALIASES)


DEDICATED = {"hw:cpu_policy": "dedicated"}
NODES = {"hw:numa_nodes": "2"}


@pytest.mark.parametrize(
    "specs, image, text",
    [
        ({"hw:cpu_policy": "x"}, {}, "CPU policy requested from 'flavor extra specs' is invalid, given: 'x'"),
        ({}, {"hw_cpu_policy": "x"}, "CPU policy requested from 'image properties' is invalid"),
        ({"hw:cpu_policy": "shared"}, {"hw_cpu_policy": "dedicated"},
         "Image property 'hw_cpu_policy' is not permitted to override CPU pinning policy"),
        ({"hw:cpu_thread_policy": "prefer"}, {}, "Cannot set cpu thread pinning policy in a non dedicated"),
        ({**DEDICATED, "hw:cpu_thread_policy": "y"}, {}, "CPU thread policy requested from 'flavor"),
        ({**DEDICATED, "hw:cpu_thread_policy": "require"}, {"hw_cpu_thread_policy": "isolate"},
         "Image property 'hw_cpu_thread_policy' is not permitted to override CPU thread"),
        ({"hw:emulator_threads_policy": "isolate"}, {},
         "An isolated CPU emulator threads option requires a dedicated CPU policy option."),
        ({**DEDICATED, "hw:emulator_threads_policy": "z"}, {},
         "CPU emulator threads option requested is invalid, given: 'z'"),
        ({"hw:numa_nodes": "0"}, {}, "The property 'numa_nodes' cannot be '0'. It must be a number greater"),
        ({"hw:numa_nodes": "3"}, {}, "Instance CPUs and/or memory cannot be evenly distributed"),
        (NODES, {"hw_numa_nodes": "2"}, "Image property 'hw_numa_nodes' is not permitted to override NUMA"),
        ({**NODES, "hw:numa_cpus.0": "0"}, {}, "CPU and memory allocation must be provided for all NUMA"),
        ({**NODES, "hw:numa_cpus.0": "0,1", "hw:numa_cpus.1": "2,9", "hw:numa_mem.0": "1",
          "hw:numa_mem.1": "1"}, {}, "CPU number 9 is larger than max 3"),
        ({**NODES, "hw:numa_cpus.0": "0,1", "hw:numa_cpus.1": "1-3", "hw:numa_mem.0": "1",
          "hw:numa_mem.1": "1"}, {}, "CPU number 1 is assigned to two nodes"),
        ({**NODES, "hw:numa_cpus.0": "0", "hw:numa_cpus.1": "1-2", "hw:numa_mem.0": "1",
          "hw:numa_mem.1": "1"}, {}, r"CPU number \{3\} is not assigned to any node"),
        ({**NODES, "hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "2-3", "hw:numa_mem.0": "1024",
          "hw:numa_mem.1": "1"}, {}, "1025 MB of memory assigned, but expected 2048 MB"),
        ({**NODES, "hw:numa_cpus.0": "0-1", "hw:numa_cpus.1": "2-3", "hw:numa_mem.0": "1024",
          "hw:numa_mem.1": "1024"}, {"hw_numa_cpus.0": "0"},
         "Image property 'hw_numa_cpus' is not permitted to override NUMA"),
        ({"hw:mem_page_size": "2M"}, {}, "Invalid memory page size '2M'"),
        ({}, {"hw_mem_page_size": "large"}, "Page size large forbidden against '<empty>'"),
        ({"hw:mem_page_size": "small"}, {"hw_mem_page_size": "large"},
         "Page size large forbidden against 'small'"),
        ({"hw:locked_memory": "true"}, {}, "locked_memory value in image or flavor is forbidden when"),
        ({"hw:cpu_policy": "mixed"}, {}, "Dedicated CPU set can be specified from either"),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-3"}, {},
         "Mixed instance must have at least 1 pinned vCPU and 1 unpinned vCPU"),
        ({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "0-1,7"}, {},
         "Mixed instance dedicated vCPU.s. mask is not a subset"),
        ({**DEDICATED, "hw:cpu_dedicated_mask": "0"}, {},
         "Cannot specify 'hw:cpu_dedicated_mask' without the 'mixed' policy."),
        ({"hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "^0"}, {},
         "Cannot set realtime policy in a non dedicated cpu pinning policy"),
        ({**DEDICATED, "hw:cpu_realtime": "yes"}, {},
         "Use of realtime CPUs requires either one or more non-realtime CPU"),
        ({**DEDICATED, "resources:PCPU": "4"}, {}, "It is not possible to use the 'resources:VCPU' or"),
        ({"resources:PCPU": "4", "resources:VCPU": "1"}, {}, "It is not possible to specify both"),
        ({"resources:PCPU": "3"}, {}, "There is a mismatch between the number of PCPUs requested"),
        ({"resources:PCPU": "4", "hw:emulator_threads_policy": "isolate"}, {},
         "have not requested sufficient PCPUs to handle this policy"),
        ({**DEDICATED, "hw:cpu_thread_policy": "isolate", "trait:HW_CPU_HYPERTHREADING": "required"}, {},
         "It is not possible to use the 'trait:HW_CPU_HYPERTHREADING' extra spec"),
        ({"pci_passthrough:alias": "gpu:1"}, {}, "PCI alias gpu is not defined"),
        ({"pci_passthrough:alias": "qat"}, {}, "'qat' is not name:count"),
        ({"hw:pci_numa_affinity_policy": "near"}, {}, "Invalid PCI NUMA affinity configured: near"),
        ({"hw:pci_numa_affinity_policy": "legacy"}, {"hw_pci_numa_affinity_policy": "required"},
         "Image property 'hw_pci_numa_affinity_policy' is not permitted to override"),
        ({**NODES, "hw:numa_cpus.0": "a"}, {}, "Invalid value of hw:numa_cpus.0: 'a'"),
        ({}, {"hw_numa_nodes": "2", "hw_numa_cpus.0": "0-9999999999"}, "names CPUs beyond 65535"),
        # Digits by Unicode, though no number; and numbers that nothing can keep.
        ({"hw:numa_nodes": "²"}, {}, "The property 'numa_nodes' cannot be '²'"),
        ({}, {"hw_numa_nodes": "9" * 5000}, "The property 'numa_nodes' cannot be '9999"),
        ({"hw:mem_page_size": "any"}, {"hw_mem_page_size": "²"}, "Invalid memory page size '²'"),
        ({"hw:mem_page_size": "9" * 20 + "TB"}, {}, "Invalid memory page size '9999"),
        ({"pci_passthrough:alias": "qat:²"}, {}, "'qat:²' is not name:count"),
        ({"pci_passthrough:alias": "qat:" + "9" * 20}, {}, "is not name:count"),
    ],
)  # fmt: skip
def test_refused(specs: dict[str, str], image: dict[str, Any], text: str) -> None:
    with pytest.raises(BadRequest, match=text) as refused:
        asked(specs, image)
    assert refused.value.status == 400


@pytest.mark.parametrize(
    "specs, image",
    [
        ({}, {}), ({"quota:cpu_shares": "5"}, {"os_distro": "debian", "hw_disk_bus": "scsi"}),
        ({"hw:cpu_sockets": "2"}, {}), ({"hw:cpu_policy": "shared"}, {}), ({"resources:VCPU": "4"}, {}),
        ({"resources:PCPU": "²"}, {}),
    ],
)  # fmt: skip
def test_asks_for_nothing_of_the_kind(specs: dict[str, str], image: dict[str, Any]) -> None:
    assert asked(specs, image) is None


@pytest.mark.parametrize(
    "specs, image, text",
    [
        ({"hw:cpu_max_cores": "2"}, {"hw_cpu_max_cores": "4"},
         r"Image vCPU topology limits \(sockets=0, cores=4, threads=0\) exceeds the limits of the flavor "
         r"\(sockets=0, cores=2, threads=0\)"),
        ({"hw:cpu_max_threads": "1"}, {"hw_cpu_threads": "2"},
         r"Image vCPU topology \(sockets=0, cores=0, threads=2\) exceeds the limits of the flavor or image "
         r"\(sockets=65536, cores=65536, threads=1\)"),
        ({"hw:cpu_sockets": "two"}, {}, "Invalid flavor extra spec. Error: "),
        ({"hw:serial_port_count": "x"}, {}, "Number of serial ports specified in flavor is invalid"),
        ({"hw:serial_port_count": "²"}, {}, "Number of serial ports specified in flavor is invalid"),
        ({"hw:serial_port_count": "1"}, {"hw_serial_port_count": "2"}, "Forbidden to exceed flavor value"),
        ({"hw:serial_port_count": "1"}, {"hw_serial_port_count": "²"}, None),
        ({"hw:cpu_sockets": "2"}, {"hw_cpu_cores": 2}, None), ({}, {"hw_disk_bus": "ide"}, None),
    ],
)  # fmt: skip
def test_the_shape_of_guests(specs: dict[str, str], image: dict[str, Any], text: str | None) -> None:
    flavor = Flavor(1, "1", "f", None, 512, 4, 1, 0, 0, 1.0, True, False, specs)
    if text is None:
        check_guest_shape(flavor, image)
        return
    with pytest.raises(BadRequest, match=text):
        check_guest_shape(flavor, image)


def test_nodes_are_dealt_evenly_or_as_written() -> None:
    even = asked(NODES)
    assert even is not None
    assert [(cell.cpus, cell.memory_mb) for cell in even.cells] == [((0, 1), 1024), ((2, 3), 1024)]
    written = asked({
        **NODES, "hw:numa_cpus.0": "0-2", "hw:numa_cpus.1": "3", "hw:numa_mem.0": "1536",
        "hw:numa_mem.1": "512", "hw:cpu_policy": "dedicated",
    })
    assert written is not None
    assert [(cell.cpus, cell.dedicated, cell.memory_mb) for cell in written.cells] == [
        ((0, 1, 2), (0, 1, 2), 1536), ((3,), (3,), 512)
    ]
    image = asked({}, {"hw_numa_nodes": "2", "hw_numa_cpus.0": "0", "hw_numa_cpus.1": "1-3",
                       "hw_numa_mem.0": "512", "hw_numa_mem.1": "1536"})
    assert image is not None
    assert [cell.cpus for cell in image.cells] == [(0,), (1, 2, 3)]


@pytest.mark.parametrize(
    "text, size",
    [("large", "large"), ("2048", 2048), ("2MB", 2048), ("1GB", 1048576), ("16384Kb", 2048)],
)
def test_page_sizes(text: str, size: str | int) -> None:
    request = asked({"hw:mem_page_size": text})
    assert request is not None
    assert request.page == size
    assert len(request.cells) == 1


def test_an_image_may_name_the_size_where_the_flavor_leaves_it_open() -> None:
    request = asked({"hw:mem_page_size": "any"}, {"hw_mem_page_size": "2MB"})
    assert request is not None
    assert request.page == 2048


def test_ways_to_ask_for_cpus_of_ones_own() -> None:
    for specs, image in (
        (DEDICATED, {}), ({}, {"hw_cpu_policy": "dedicated"}), ({"resources:PCPU": "4"}, {}),
    ):
        request = asked(specs, image)
        assert request is not None
        assert (request.dedicated, request.shared) == (4, 0)
    mixed = asked({"hw:cpu_policy": "mixed", "hw:cpu_dedicated_mask": "^0"})
    assert mixed is not None
    assert (mixed.dedicated, mixed.shared) == (3, 1)
    isolated = asked({**DEDICATED, "hw:emulator_threads_policy": "isolate"})
    assert isolated is not None
    assert isolated.dedicated == 5
    required = asked({"resources:PCPU": "4", "trait:HW_CPU_HYPERTHREADING": "required"})
    assert required is not None
    assert required.thread_policy == "require"


def test_devices_by_alias() -> None:
    request = asked({"pci_passthrough:alias": "qat:2"})
    assert request is not None
    assert request.cells == ()
    (devices,) = request.devices
    assert (devices.alias, devices.count, devices.policy) == ("qat", 2, "required")
    relaxed = asked({"pci_passthrough:alias": "qat:1", "hw:pci_numa_affinity_policy": "preferred"})
    assert relaxed is not None
    assert relaxed.devices[0].policy == "preferred"
