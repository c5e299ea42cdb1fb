# SPDX-License-Identifier: Apache-2.0
"""Aliases, the devices that hosts offer, and which of them guests get."""

from __future__ import annotations

import pytest

from nova.errors import BadRequest
from nova.objects.topology import DeviceRequest, HostTopology, HostUsage, PciDevice
from nova.topology.cpus import format_cpus, parse_cpus
from nova.topology.devices import (
    choose_devices,
    free_devices,
    offered,
    parse_aliases,
    parse_device_specs,
)
from tests.unit.topology.hosts import SPEC, make_host

PF = PciDevice(address="0000:05:00.0", vendor_id="8086", product_id="10fb", device_type="type-PF", cell=0)
VFS = tuple(
    PciDevice(address=f"0000:05:10.{number}", vendor_id="8086", product_id="10ed", device_type="type-VF",
              cell=0, parent="0000:05:00.0")
    for number in range(2)
)


@pytest.mark.parametrize(
    "text, reason",
    [
        ("{", "Invalid PCI alias definition"), ("[1]", "1 is not of type 'object'"),
        ('{"vendor_id": "8086"}', "'name' is a required property"),
        ('{"name": "a"}', "The PCI alias.es. a does not have vendor_id and product_id fields set."),
        ('{"name": "a", "vendor_id": "8086", "product_id": "0443", "numa_policy": "x"}', "'x' is not one of"),
        ('{"name": "a", "vendor_id": "8086", "product_id": "0443", "device_type": "x"}', "'x' is not one of"),
        ('{"name": "a", "vendor_id": "8086", "product_id": "0443", "colour": "x"}', "colour"),
        ('[{"name": "a", "vendor_id": "8086", "product_id": "0443"}, {"name": "a", "vendor_id": "8086", '
         '"product_id": "0444", "numa_policy": "required"}]', "NUMA policy mismatch for alias 'a'"),
    ],
)  # fmt: skip
def test_wrong_aliases_say_what_is_wrong(text: str, reason: str) -> None:
    with pytest.raises(BadRequest, match=reason):
        parse_aliases((text,))


def test_one_name_may_stand_for_several_kinds_of_device() -> None:
    aliases = parse_aliases((
        '{"name": "a", "vendor_id": "8086", "product_id": "0443"}',
        '{"name": "a", "vendor_id": "8086", "product_id": "0444"}',
    ))
    assert len(aliases["a"].specs) == 2


@pytest.mark.parametrize(
    "spec, matched",
    [
        ('{"vendor_id": "8086"}', 3), ('{"vendor_id": "8086", "product_id": "10ed"}', 2),
        ('{"address": "*:05:10.*"}', 2), ('{"address": ":05:00."}', 1), ('{"address": "0000:05:10.1"}', 1),
        ('{"address": {"domain": ".*", "bus": "05", "slot": "1.", "function": "[1-7]"}}', 1),
        ('{"vendor_id": "1234"}', 0), ('{"vendor_id": "*"}', 3),
    ],
)  # fmt: skip
def test_device_specs(spec: str, matched: int) -> None:
    assert len(offered((PF, *VFS), parse_device_specs([spec]))) == matched


def test_a_physical_function_and_its_virtual_ones_exclude_each_other() -> None:
    host = HostTopology((), (PF, *VFS))
    physical = DeviceRequest(
        alias="p", count=1,
        specs=((("device_type", "type-PF"), ("product_id", "10fb"), ("vendor_id", "8086")),),
    )
    virtual = DeviceRequest(alias="v", count=1, specs=((("product_id", "10ed"), ("vendor_id", "8086")),))
    assert choose_devices(host, HostUsage(), [physical], None) is not None
    assert choose_devices(host, HostUsage(devices=(VFS[0].address,)), [physical], None) is None
    assert choose_devices(host, HostUsage(devices=(PF.address,)), [virtual], None) is None
    assert choose_devices(host, HostUsage(), [physical, virtual], None) is None
    assert free_devices(host, HostUsage(devices=(VFS[0].address,))) == 1


def test_a_physical_function_is_given_only_where_one_is_asked_for() -> None:
    anything = DeviceRequest(alias="x", count=1, specs=((("product_id", "10fb"), ("vendor_id", "8086")),))
    assert choose_devices(HostTopology((), (PF,)), HostUsage(), [anything], None) is None


@pytest.mark.parametrize(
    "policy, cells, found",
    [
        ("required", [1], 1), ("legacy", [1], 1), ("preferred", [1], 2), ("socket", [1], 1),
        ("required", [0, 1], 2),
    ],
)
def test_near_the_guest_as_the_policy_says(policy: str, cells: list[int], found: int) -> None:
    host = make_host(devices=2)
    for count in (1, 2):
        wanted = DeviceRequest(alias="a", count=count, specs=(SPEC,), policy=policy)
        chosen = choose_devices(host, HostUsage(), [wanted], cells)
        assert (chosen is not None) == (count <= found)
    one = DeviceRequest(alias="a", count=1, specs=(SPEC,), policy=policy)
    chosen = choose_devices(host, HostUsage(), [one], [1])
    assert chosen is not None
    assert chosen[0].address == "0000:80:01.0"


def test_sets_of_cpus() -> None:
    assert parse_cpus("4-12,^8,15") == {*range(4, 8), *range(9, 13), 15}
    assert format_cpus(parse_cpus("4-12,^8,15")) == "4-7,9-12,15"
    assert format_cpus([]) == ""
    for wrong in ("a", "3-1", "1-", "-2"):
        with pytest.raises(ValueError, match=r"CPU|range"):
            parse_cpus(wrong)
