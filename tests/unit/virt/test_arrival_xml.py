# SPDX-License-Identifier: Apache-2.0
"""What the source of a live migration changes in a guest's description for the destination."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

pytest.importorskip("libvirt", reason="libvirt-python is not installed")

from nova.errors import VirtError
from nova.objects.migration import Arrival
from nova.virt.libvirt.arrival_xml import expects_other_consoles, relistened
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
