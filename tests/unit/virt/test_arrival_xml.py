# SPDX-License-Identifier: Apache-2.0
"""What the source of a live migration changes in a guest's description for the destination."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

pytest.importorskip("libvirt", reason="libvirt-python is not installed")

from nova.errors import VirtError
from nova.objects.migration import Arrival, VolumePlace
from nova.virt.libvirt.arrival_xml import expects_other_consoles, relistened, resourced, serials_of
from nova.virt.libvirt.domain_xml import NOVA_NAMESPACE
from nova.virt.libvirt.moves import migration_address

_RUNNING = f"""<domain type='qemu'><name>one</name>
<metadata><nova:instance xmlns:nova='{NOVA_NAMESPACE}'><nova:name>größe</nova:name></nova:instance></metadata>
<devices>
<serial type='tcp'><source mode='bind' host='10.0.0.1' service='10007' tls='no'/></serial>
<console type='tcp'><source mode='bind' host='10.0.0.1' service='10007' tls='no'/></console>
<graphics type='vnc' port='5903' autoport='yes' listen='10.0.0.1'>
<listen type='address' address='10.0.0.1'/></graphics>
<graphics type='spice' port='5904' autoport='yes'><listen type='network' network='x'/></graphics>
</devices></domain>"""


def _there(arrival: Arrival) -> ElementTree.Element:
    return ElementTree.fromstring(relistened(_RUNNING, arrival, namespaces={"nova": NOVA_NAMESPACE}))


def test_lines_and_screens_are_where_the_destination_has_them() -> None:
    there = _there(Arrival(vnc_listen="10.0.0.2", serial_listen="10.0.0.2", serial_port=10011))
    for device in ("serial", "console"):
        source = there.find(f"devices/{device}/source")
        assert source is not None
        assert (source.get("host"), source.get("service"), source.get("tls")) == ("10.0.0.2", "10011", "no")
    graphics = there.find("devices/graphics[@type='vnc']")
    assert graphics is not None
    assert (graphics.get("listen"), graphics.get("autoport")) == ("10.0.0.2", "yes")
    assert graphics.find("listen[@address='10.0.0.2']") is not None
    assert there.find(f"metadata/{{{NOVA_NAMESPACE}}}instance") is not None


def test_what_the_destination_does_not_name_stays() -> None:
    arrival = Arrival(address="10.0.0.2")
    assert not expects_other_consoles(arrival)
    before = ElementTree.canonicalize(_RUNNING)
    assert ElementTree.canonicalize(ElementTree.tostring(_there(arrival), encoding="unicode")) == before
    spice = _there(Arrival(spice_listen="10.0.0.2")).find("devices/graphics[@type='spice']")
    assert spice is not None
    assert spice.get("listen") is None, "a device must be the same on both sides"


@pytest.mark.parametrize(
    ("told", "written"),
    [("node7", "node7"), ("10.0.0.2", "10.0.0.2"), ("fd00::2", "[fd00::2]"), ("a-b.example", "a-b.example")],
)
def test_an_address_for_the_data(told: str, written: str) -> None:
    assert migration_address(told) == written


@pytest.mark.parametrize("told", ["", "a/b", "a b", "-x", "host:49152?x", "größe", "a\nb"])
def test_an_address_that_is_none_is_refused(told: str) -> None:
    with pytest.raises(VirtError, match="no address"):
        migration_address(told)


_DISKS = f"""<domain type='qemu'><name>one</name>
<metadata><nova:instance xmlns:nova='{NOVA_NAMESPACE}'/></metadata><devices>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/g/disk'/><target dev='vda'/>
</disk>
<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/here/one' index='2'/>
<backingStore type='file'><format type='raw'/><source file='/here/base'/><backingStore/></backingStore>
<target dev='vdb' bus='virtio'/><serial>first</serial><address type='pci' bus='0x00' slot='0x07'/></disk>
<disk type='network' device='disk'><driver name='qemu' type='raw'/>
<source protocol='iscsi' name='iqn:x/1' index='1'><host name='10.0.0.1' port='3260'/>
<auth username='u'><secret type='iscsi' uuid='5f'/></auth></source><target dev='vdc'/>
<serial>second</serial></disk>
</devices></domain>"""


def _disk(domain_xml: str, target: str) -> ElementTree.Element:
    domain = ElementTree.fromstring(domain_xml)
    return next(
        disk for disk in domain.findall("devices/disk") if disk.find(f"target[@dev='{target}']") is not None
    )


def test_volumes_are_opened_where_the_destination_has_them() -> None:
    places = {
        "first": VolumePlace(volume_id="v1", kind="block", path="/dev/there"),
        "second": VolumePlace(
            volume_id="v2", kind="network", path="iqn:x/1", protocol="iscsi", hosts=(("10.0.0.9", "3260"),),
            secret=("u", "iscsi", "5f"),
        ),
    }
    text = resourced(_DISKS, places, namespaces={"nova": NOVA_NAMESPACE})
    first = _disk(text, "vdb")
    assert first.get("type") == "block"
    assert [each.attrib for each in first.findall("source")] == [{"dev": "/dev/there"}]
    assert first.find("backingStore") is None, "what lies below it is the destination's to find"
    assert first.find("address") is not None, "the guest sees it in its place"
    second = _disk(text, "vdc")
    assert [each.get("name") for each in second.findall("source/host")] == ["10.0.0.9"]
    assert len(second.findall(".//secret[@uuid='5f']")) == 1
    assert ElementTree.tostring(_disk(text, "vda")) == ElementTree.tostring(_disk(_DISKS, "vda"))


def test_volumes_that_are_opened_alike_are_left_as_they_are() -> None:
    places = {
        "first": VolumePlace(volume_id="v1", kind="file", path="/here/one"),
        "second": VolumePlace(
            volume_id="v2", kind="network", path="iqn:x/1", protocol="iscsi", hosts=(("10.0.0.1", "3260"),),
        ),
        "third": VolumePlace(volume_id="v3", kind="file", path="/here/two"),
    }
    text = resourced(_DISKS, places, namespaces={"nova": NOVA_NAMESPACE})
    for target in ("vda", "vdb", "vdc"):
        assert ElementTree.tostring(_disk(text, target)) == ElementTree.tostring(_disk(_DISKS, target))


def test_a_disk_whose_volume_was_exchanged_is_known_by_its_number() -> None:
    """It has that of the volume before until it starts anew, and has to be found to be taken away."""
    places = {
        "v1": VolumePlace(volume_id="v1", kind="file", path="/here/one"),
        "v2": VolumePlace(volume_id="v2", kind="file", path="/here/none"),
    }
    assert serials_of(_DISKS, places) == {"v1": "first"}
