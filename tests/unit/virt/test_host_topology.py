# SPDX-License-Identifier: Apache-2.0
"""What libvirt tells of a host, and a guest's place in its description."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path
from xml.etree import ElementTree

import msgspec
import pytest

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.objects.topology import GuestCell, GuestDevice, GuestTopology, PagePool
from nova.topology.devices import offered, parse_device_specs
from nova.virt.libvirt.domain_xml import NOVA_NAMESPACE
from nova.virt.libvirt.host_topology import (
    HostCpus,
    cpus_in_cells,
    host_cells,
    host_cpus,
    pci_device,
    reserved_pages,
)
from nova.virt.libvirt.topology_xml import place_config, repinned
from tests.unit.virt.guests import flavor, instance
from tests.unit.virt.test_domain_xml import KVM, describe

CAPABILITIES = """<capabilities><host><topology><cells num="2">
<cell id="0"><memory unit="KiB">8388608</memory><pages unit="KiB" size="4">1572864</pages>
 <pages unit="KiB" size="2048">1024</pages><cpus num="4">
 <cpu id="0" socket_id="0" core_id="0" siblings="0,4"/><cpu id="4" socket_id="0" core_id="0" siblings="0,4"/>
 <cpu id="1" socket_id="0" core_id="1" siblings="1,5"/><cpu id="5" socket_id="0" core_id="1" siblings="1,5"/>
</cpus></cell>
<cell id="1"><memory unit="KiB">8388608</memory><cpus num="4">
 <cpu id="2" socket_id="1" core_id="0" siblings="2,6"/><cpu id="6" socket_id="1" core_id="0" siblings="2,6"/>
 <cpu id="3" socket_id="1" core_id="1" siblings="3"/><cpu id="7"/>
</cpus></cell></cells></topology></host></capabilities>"""

VF = """<device><name>pci_0000_05_10_1</name><capability type="pci">
<domain>0</domain><bus>5</bus><slot>16</slot><function>1</function>
<product id="0x10ed">82599 Virtual Function</product><vendor id="0x8086">Intel</vendor>
<capability type="phys_function"><address domain="0x0000" bus="0x05" slot="0x00" function="0x1"/></capability>
<numa node="1"/></capability></device>"""
PF = """<device><name>pci_0000_05_00_1</name><capability type="pci">
<domain>0</domain><bus>5</bus><slot>0</slot><function>1</function>
<product id="0x10fb"/><vendor id="0x8086"/>
<capability type="virt_functions" maxCount="63"/></capability></device>"""


def test_cells_siblings_and_pages_are_read() -> None:
    every = cpus_in_cells(CAPABILITIES)
    assert every == {0, 1, 2, 3, 4, 5, 6}
    first, second = host_cells(CAPABILITIES, HostCpus(every, every), {(0, 2048): 24})
    assert first.cores == ((0, 4), (1, 5))
    assert first.pages == (PagePool(4, 1572864), PagePool(2048, 1000))
    assert (first.socket, second.socket) == (0, 1)
    assert second.cores == ((2, 6), (3,))
    assert second.pages == (PagePool(4, 2097152),)


@pytest.mark.parametrize(
    ("pins", "dedicated", "shared", "expected"),
    [
        (None, None, None, ({*range(8)}, {*range(8)}, 0)),
        ("2-5", None, None, ({*range(2, 6)}, {*range(2, 6)}, 0)),
        (None, "4-7", None, (set(), {4, 5, 6, 7}, 4)), (None, "4-7", "0-1", ({0, 1}, {4, 5, 6, 7}, 4)),
        (None, None, "0-3", ({0, 1, 2, 3}, set(), 0)),
    ],
)  # fmt: skip
def test_what_operators_say_of_cpus(
    pins: str | None,
    dedicated: str | None,
    shared: str | None,
    expected: tuple[set[int], set[int], int],
) -> None:
    cpus = host_cpus(range(8), pins, dedicated, shared)
    assert (cpus.shared, cpus.dedicated, cpus.apart) == expected


@pytest.mark.parametrize(
    ("pins", "dedicated", "shared", "text"),
    [
        ("1", "2", None, "cannot be combined"), (None, "1-3", "3", "CPU 3 is in"),
        (None, "8", None, "cpu_dedicated_set: this host has no CPU 8"),
        (None, None, "x", "cpu_shared_set: x"),
    ],
)  # fmt: skip
def test_contradictions_of_cpus_are_refused(
    pins: str | None, dedicated: str | None, shared: str | None, text: str
) -> None:
    with pytest.raises(VirtError, match=text):
        host_cpus(range(8), pins, dedicated, shared)


def test_reserved_pages() -> None:
    assert reserved_pages(["node:0,size:2048,count:64", "size:1GB,count:1"]) == {
        (0, 2048): 64,
        (None, 1048576): 1,
    }
    with pytest.raises(VirtError, match="reserved_huge_pages: 12"):
        reserved_pages(["12"])


def test_pci_devices_are_read_and_chosen() -> None:
    virtual, physical = pci_device(VF), pci_device(PF)
    assert virtual is not None
    assert physical is not None
    assert (virtual.address, virtual.parent, virtual.cell, virtual.device_type) == (
        "0000:05:10.1",
        "0000:05:00.1",
        1,
        "type-VF",
    )
    assert (physical.address, physical.device_type, physical.cell) == (
        "0000:05:00.1",
        "type-PF",
        None,
    )
    assert pci_device("<device><capability type='system'/></device>") is None
    specs = parse_device_specs(['{"product_id": "10ed", "managed": "no"}'])
    (chosen,) = offered((virtual, physical), specs)
    assert not chosen.managed


PLACE = GuestTopology(
    policy="mixed",
    emulator_policy="isolate",
    emulator=(6,),
    pinned=(4, 5, 6),
    cells=(
        GuestCell(
            cpus=(0, 1),
            host_cell=0,
            memory_mb=256,
            pool_kb=2048,
            page_kb=2048,
            pinning=((0, 4),),
            float_over=(0, 1, 2),
        ),
        GuestCell(
            cpus=(2, 3),
            host_cell=1,
            memory_mb=256,
            pool_kb=2048,
            page_kb=2048,
            pinning=((2, 5),),
            float_over=(8, 9),
        ),
    ),
    devices=(
        GuestDevice(address="0000:05:10.1", alias="nic", vendor_id="8086", product_id="10ed"),
    ),
)
SPECS = {
    "hw:cpu_policy": "mixed",
    "hw:numa_nodes": "2",
    "hw:mem_page_size": "2MB",
    "hw:locked_memory": "true",
    "hw:emulator_threads_policy": "isolate",
    "pci_passthrough:alias": "nic:1",
}


def guest() -> Instance:
    return msgspec.structs.replace(instance(vcpus=4, specs=SPECS), topology=PLACE)


def test_a_place_becomes_pins_nodes_pages_and_devices() -> None:
    domain = ElementTree.fromstring(describe(guest()))

    def attributes(path: str) -> list[dict[str, str]]:
        return [dict(each.attrib) for each in domain.findall(path)]

    assert attributes("cputune/vcpupin") == [
        {"vcpu": "0", "cpuset": "4"},
        {"vcpu": "1", "cpuset": "0-2"},
        {"vcpu": "2", "cpuset": "5"},
        {"vcpu": "3", "cpuset": "8-9"},
    ]
    assert attributes("cputune/emulatorpin") == [{"cpuset": "6"}]
    assert attributes("numatune/memory") == [{"mode": "strict", "nodeset": "0-1"}]
    assert attributes("numatune/memnode") == [
        {"cellid": "0", "mode": "strict", "nodeset": "0"},
        {"cellid": "1", "mode": "strict", "nodeset": "1"},
    ]
    assert attributes("memoryBacking/hugepages/page") == [
        {"size": "2048", "unit": "KiB", "nodeset": "0-1"}
    ]
    assert domain.find("memoryBacking/locked") is not None
    assert attributes("cpu/numa/cell") == [
        {"id": "0", "cpus": "0-1", "memory": "262144", "unit": "KiB"},
        {"id": "1", "cpus": "2-3", "memory": "262144", "unit": "KiB"},
    ]
    assert attributes("devices/hostdev/source/address") == [
        {"domain": "0x0000", "bus": "0x05", "slot": "0x10", "function": "0x1"}
    ]
    assert attributes("devices/hostdev")[0]["managed"] == "yes"


def test_an_emulator_that_shares_runs_where_unpinned_guests_do() -> None:
    shares = msgspec.structs.replace(PLACE, emulator_policy="share", emulator=())
    assert place_config(shares, shared="0-1").emulator == "0-1"
    unsaid = msgspec.structs.replace(PLACE, emulator_policy=None, emulator=())
    assert place_config(unsaid, shared="0-1").emulator == "0-2,4-5,8-9"


def test_unpinned_guests_run_on_the_cpus_left_to_them(tmp_path: Path) -> None:
    plain = ElementTree.fromstring(describe(instance(), dataclasses.replace(KVM, cpuset="2-5")))
    vcpu = plain.find("vcpu")
    assert vcpu is not None
    assert vcpu.get("cpuset") == "2-5"
    placed = ElementTree.fromstring(describe(guest(), dataclasses.replace(KVM, cpuset="2-5"))).find(
        "vcpu"
    )
    assert placed is not None
    assert placed.get("cpuset") is None


def test_a_guest_that_moves_is_described_with_its_new_pins() -> None:
    there = msgspec.structs.replace(
        PLACE,
        cells=tuple(
            msgspec.structs.replace(cell, host_cell=1 - cell.host_cell, pinning=())
            for cell in PLACE.cells
        ),
        emulator=(3,),
    )
    text = repinned(describe(guest()), place_config(there), namespaces={"nova": NOVA_NAMESPACE})
    domain = ElementTree.fromstring(text)
    assert [each.get("nodeset") for each in domain.findall("numatune/memnode")] == ["1", "0"]
    assert [each.get("cpuset") for each in domain.findall("cputune/vcpupin")] == ["0-2"] * 2 + [
        "8-9"
    ] * 2
    assert len(domain.findall("cputune/emulatorpin")) == 1
    assert domain.findtext("name") == guest().internal_name
    assert "<nova:instance" in text


def test_real_time_vcpus_have_their_cpus_to_themselves() -> None:
    """The emulator's threads would never run beside a real-time vCPU that does not pause."""
    subject = msgspec.structs.replace(
        guest(), flavor=flavor(vcpus=4, extra_specs={
            "hw:cpu_policy": "mixed", "hw:cpu_realtime": "yes", "hw:cpu_realtime_mask": "2",
        }), topology=msgspec.structs.replace(PLACE, emulator_policy=None, emulator=()),
    )
    domain = ElementTree.fromstring(describe(subject))
    (scheduled,) = domain.findall("cputune/vcpusched")
    assert scheduled.attrib == {"vcpus": "2", "scheduler": "fifo", "priority": "1"}
    (emulator,) = domain.findall("cputune/emulatorpin")
    assert emulator.get("cpuset") == "0-2,4,8-9", "vCPU 2 has CPU 5 to itself"
    assert [each.tag for each in domain.findall("memoryBacking/*") if each.tag != "hugepages"] == [
        "locked", "nosharepages",
    ]
    pmu = domain.find("features/pmu")
    assert pmu is not None
    assert pmu.get("state") == "off"


def test_a_place_is_no_place_without_a_hypervisor_that_can_pin() -> None:
    with pytest.raises(VirtError, match="hw:numa_nodes"):
        describe(
            guest(),
            dataclasses.replace(KVM, virt_type="lxc"),
            disks=(),
            root_directory="/i/u/rootfs",
        )


def test_libvirt_accepts_a_guest_with_a_place(tmp_path: Path) -> None:
    if not shutil.which("virt-xml-validate") or not shutil.which("xmllint"):
        pytest.skip("virt-xml-validate and xmllint are not installed")
    for text in (
        describe(guest()),
        repinned(describe(guest()), place_config(PLACE), namespaces={"nova": NOVA_NAMESPACE}),
    ):
        file = tmp_path / "domain.xml"
        file.write_text(text)
        done = subprocess.run(
            ["virt-xml-validate", str(file), "domain"], capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr + text


def test_libvirts_own_test_driver_takes_the_guest_and_tells_of_its_cells() -> None:
    libvirt = pytest.importorskip("libvirt", reason="libvirt-python is not installed")
    connection = libvirt.open("test:///default")
    try:
        capabilities = connection.getCapabilities()
        every = cpus_in_cells(capabilities)
        cells = host_cells(capabilities, HostCpus(every, every), {})
        assert len(cells) > 1
        assert sorted(cpu for cell in cells for cpu in cell.dedicated) == sorted(every)
        text = describe(guest()).replace('<domain type="kvm">', '<domain type="test">')
        domain = connection.defineXML(text)
        kept = ElementTree.fromstring(domain.XMLDesc())
        assert [each.get("cpuset") for each in kept.findall("cputune/vcpupin")] == [
            "4",
            "0-2",
            "5",
            "8-9",
        ]
        assert len(kept.findall("cpu/numa/cell")) == 2
        domain.undefine()
    finally:
        connection.close()
