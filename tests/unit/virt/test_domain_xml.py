# SPDX-License-Identifier: Apache-2.0
"""The whole description of a guest, and what of the request decides it."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
import timeit
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import msgspec
import pytest

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.virt.libvirt.cpu_topology import cpu_topology
from nova.virt.libvirt.domain_xml import DiskConfig, device_xml, domain_xml, nic_element
from nova.virt.libvirt.guest_config import GuestHost, domain_config
from nova.virt.libvirt.vif import NicHost, nic_config, tap_queue_limit
from tests.unit.virt.guests import UUID, VIF, instance, with_properties

KVM = GuestHost(virt_type="kvm", arch="x86_64", host_uuid="hosts-uuid", vnc_listen="127.0.0.1",
                balloon_period=10)
NICS = NicHost(virt_type="kvm", tap_queues=256, vhost=True, user_network=False)
DISKS = (
    DiskConfig(path="/i/u/disk", format="qcow2", target="vda", bus="virtio", boot_order=1),
    DiskConfig(path="/i/u/disk.config", format="raw", target="hdd", bus="ide", device="cdrom",
               read_only=True),
)


def describe(guest: Instance, host: GuestHost = KVM, nics: NicHost = NICS, **values: Any) -> str:
    facts: dict[str, Any] = {"disks": DISKS, "console_log": "/i/u/console.log", **values}
    return domain_xml(
        domain_config(
            guest, host, nics=tuple(nic_config(guest, vif, nics, has_bridge=True)
                                    for vif in guest.network_info), **facts,
        )
    )


WHOLE = """\
<domain type="kvm">
  <uuid>5a3c2f6e-0d0f-4f3c-8a55-6d1d9c1f7a10</uuid>
  <name>instance-0000002a</name>
  <metadata>
    <nova:instance xmlns:nova="http://openstack.org/xmlns/libvirt/nova/1.0">
      <nova:package version="0.1.0" />
      <nova:name>första &lt;servern&gt;</nova:name>
      <nova:creationTime>2026-01-02 03:04:05</nova:creationTime>
      <nova:flavor name="m1.tiny">
        <nova:memory>512</nova:memory>
        <nova:disk>1</nova:disk>
        <nova:swap>0</nova:swap>
        <nova:ephemeral>0</nova:ephemeral>
        <nova:vcpus>2</nova:vcpus>
      </nova:flavor>
      <nova:owner>
        <nova:user uuid="user" />
        <nova:project uuid="project" />
      </nova:owner>
      <nova:root type="image" uuid="70a599e0-31e7-49b7-b260-868f441e862b" />
    </nova:instance>
  </metadata>
  <memory>524288</memory>
  <vcpu>2</vcpu>
  <sysinfo type="smbios">
    <system>
      <entry name="manufacturer">OpenStack Foundation</entry>
      <entry name="product">OpenStack Nova</entry>
      <entry name="version">0.1.0</entry>
      <entry name="serial">hosts-uuid</entry>
      <entry name="uuid">5a3c2f6e-0d0f-4f3c-8a55-6d1d9c1f7a10</entry>
      <entry name="family">Virtual Machine</entry>
    </system>
  </sysinfo>
  <os>
    <type arch="x86_64">hvm</type>
    <smbios mode="sysinfo" />
  </os>
  <features>
    <acpi />
    <apic />
  </features>
  <cpu mode="host-model">
    <topology sockets="2" cores="1" threads="1" />
  </cpu>
  <clock offset="utc">
    <timer name="pit" tickpolicy="delay" />
    <timer name="rtc" tickpolicy="catchup" />
    <timer name="hpet" present="no" />
  </clock>
  <on_poweroff>destroy</on_poweroff>
  <on_reboot>restart</on_reboot>
  <on_crash>destroy</on_crash>
  <devices>
    <disk type="file" device="disk">
      <driver name="qemu" type="qcow2" cache="none" />
      <source file="/i/u/disk" />
      <target dev="vda" bus="virtio" />
      <boot order="1" />
    </disk>
    <disk type="file" device="cdrom">
      <driver name="qemu" type="raw" cache="none" />
      <source file="/i/u/disk.config" />
      <target dev="hdd" bus="ide" />
      <readonly />
    </disk>
    <interface type="bridge">
      <mac address="fa:16:3e:00:00:01" />
      <source bridge="br100" />
      <target dev="tap9e6cfa7c-1f" />
      <model type="virtio" />
      <driver name="vhost" queues="2" />
    </interface>
    <serial type="pty">
      <log file="/i/u/console.log" append="on" />
    </serial>
    <input type="tablet" bus="usb" />
    <graphics type="vnc" port="-1" autoport="yes" listen="127.0.0.1">
      <listen type="address" address="127.0.0.1" />
    </graphics>
    <video>
      <model type="cirrus" />
    </video>
    <memballoon model="virtio">
      <stats period="10" />
    </memballoon>
  </devices>
</domain>
"""


def test_the_whole_description() -> None:
    assert describe(instance()) == WHOLE


def test_a_description_takes_less_than_a_millisecond() -> None:
    guest = instance()
    best = min(timeit.repeat(lambda: describe(guest), number=20, repeat=5)) / 20
    assert best < 1e-3


def test_the_nic_carries_a_queue_for_each_vcpu_and_never_a_filter() -> None:
    whole = """\
<interface type="bridge">
  <mac address="fa:16:3e:00:00:01" />
  <source bridge="br100" />
  <target dev="tap9e6cfa7c-1f" />
  <model type="virtio" />
  <driver name="{driver}" queues="{queues}" />
</interface>"""
    for vcpus, limit, vhost, driver, queues in (
        (1, 256, True, "vhost", 1), (4, 256, True, "vhost", 4), (4, 256, False, "qemu", 4),
        (12, 8, True, "vhost", 8), (300, 256, False, "qemu", 256),
    ):
        host = dataclasses.replace(NICS, tap_queues=limit, vhost=vhost)
        nic = nic_config(instance(vcpus=vcpus), VIF, host, has_bridge=True)
        text = device_xml(nic_element(nic))
        assert text == whole.format(driver=driver, queues=queues)
        assert "filterref" not in text


def test_multiqueue_is_switched_off_by_the_image() -> None:
    for said in ("false", "False", "no", "0"):
        nic = nic_config(with_properties(hw_vif_multiqueue_enabled=said), VIF, NICS, has_bridge=True)
        assert (nic.driver, nic.queues) == ("vhost", None)
    nic = nic_config(with_properties(hw_vif_multiqueue_enabled="true"), VIF, NICS, has_bridge=True)
    assert nic.queues == 2


def test_other_models_have_no_queues() -> None:
    nic = nic_config(with_properties(hw_vif_model="e1000"), VIF, NICS, has_bridge=True)
    assert (nic.model, nic.driver, nic.queues) == ("e1000", None, None)
    with pytest.raises(VirtError, match="hw_vif_model: nonsense"):
        nic_config(with_properties(hw_vif_model="nonsense"), VIF, NICS, has_bridge=True)


def test_a_missing_bridge_is_an_error_unless_the_network_is_fake() -> None:
    with pytest.raises(VirtError, match="bridge br100 of network private"):
        nic_config(instance(), VIF, NICS, has_bridge=False)
    fake = dataclasses.replace(NICS, user_network=True)
    text = device_xml(nic_element(nic_config(instance(), VIF, fake, has_bridge=False)))
    assert text == (
        '<interface type="user">\n  <mac address="fa:16:3e:00:00:01" />\n'
        '  <model type="virtio" />\n</interface>'
    )


@pytest.mark.parametrize(
    ("kernel", "limit"),
    [("2.6.32-754.el6", 1), ("3.10.0-1160.el7", 8), ("4.18.0", 256), ("6.1.0-56-amd64", 256)],
)
def test_the_kernel_limits_the_queues_of_a_tap(kernel: str, limit: int) -> None:
    assert tap_queue_limit(kernel, None) == limit
    assert tap_queue_limit(kernel, 4) == min(limit, 4)


def test_properties_and_extra_specs_that_are_honoured() -> None:
    guest = instance(
        vcpus=4,
        specs={"hw:cpu_sockets": "1", "hw:cpu_threads": "2", "quota:cpu_shares": "512",
               "hw_rng:allowed": "true", "hw_rng:rate_bytes": "100", "hw:boot_menu": "true",
               "quota:vif_inbound_average": "1000", "quota:vif_outbound_peak": "2000"},
    )
    guest = msgspec.structs.replace(guest, image_properties={
        "hw_machine_type": "q35", "hw_firmware_type": "uefi", "hw_rng_model": "virtio",
        "hw_watchdog_action": "reset", "hw_qemu_guest_agent": "yes", "hw_video_model": "virtio",
    })
    domain = ElementTree.fromstring(describe(guest))

    def one(path: str) -> dict[str, str]:
        found = domain.find(path)
        assert found is not None, path
        return dict(found.attrib)

    assert one("os") == {"firmware": "efi"}
    assert one("os/type") == {"arch": "x86_64", "machine": "q35"}
    assert one("os/bootmenu") == {"enable": "yes"}
    assert one("cpu/topology") == {"sockets": "1", "cores": "2", "threads": "2"}
    assert domain.findtext("cputune/shares") == "512"
    assert one("devices/rng/rate") == {"bytes": "100", "period": "1000"}
    assert one("devices/watchdog")["action"] == "reset"
    assert one("devices/channel/target")["name"] == "org.qemu.guest_agent.0"
    assert one("devices/video/model") == {"type": "virtio"}
    assert one("devices/interface/bandwidth/inbound") == {"average": "1000"}
    assert one("devices/interface/bandwidth/outbound") == {"peak": "2000"}


def test_a_guest_need_not_be_told_of_its_hypervisor_or_its_counters() -> None:
    guest = instance(specs={"hw:hide_hypervisor_id": "true", "hw:pmu": "false"})
    features = ElementTree.fromstring(describe(guest)).find("features")
    assert features is not None
    assert [(each.tag, each.attrib) for each in features.iter()][3:] == [
        ("kvm", {}), ("hidden", {"state": "on"}), ("pmu", {"state": "off"}),
    ]
    assert ElementTree.fromstring(describe(instance())).find("features/pmu") is None


def test_a_flavor_switches_queues_off_as_an_image_does() -> None:
    for guest in (
        instance(specs={"hw:vif_multiqueue_enabled": "false"}),
        with_properties(hw_vif_multiqueue_enabled=False),
    ):
        assert nic_config(guest, VIF, NICS, has_bridge=True).queues is None


def test_firmware_keeps_its_variables_beside_the_disks() -> None:
    domain = ElementTree.fromstring(describe(with_properties(hw_firmware_type="uefi"), nvram="/i/u/nvram"))
    assert domain.findtext("os/nvram") == "/i/u/nvram"
    assert ElementTree.fromstring(describe(instance(), nvram="/i/u/nvram")).find("os/nvram") is None


def test_firmware_demands_signatures_only_where_they_are_required() -> None:
    """libvirt's own choice for a q35 was firmware that refuses what is not signed."""

    def features(**properties: str) -> dict[str, str]:
        domain = ElementTree.fromstring(describe(with_properties(hw_firmware_type="uefi", **properties)))
        return {
            str(each.get("name")): str(each.get("enabled")) for each in domain.findall("os/firmware/feature")
        }

    assert features() == {"secure-boot": "no"}
    assert features(os_secure_boot="optional") == {"secure-boot": "no"}
    assert features(os_secure_boot="required") == {"secure-boot": "yes", "enrolled-keys": "yes"}


def test_the_controller_of_scsi_disks_is_of_the_images_model() -> None:
    disks = (dataclasses.replace(DISKS[0], bus="scsi", target="sda"),)
    for model in ("virtio-scsi", "lsilogic", "vmpvscsi"):
        found = ElementTree.fromstring(describe(with_properties(hw_scsi_model=model), disks=disks))
        controller = found.find("devices/controller")
        assert controller is not None
        assert controller.attrib == {"type": "scsi", "index": "0", "model": model}
    # libvirt adds a controller of another model for disks that do not say where they are.
    far = tuple(dataclasses.replace(DISKS[0], bus="scsi", target=name) for name in ("sda", "sdz", "sdaa"))
    found = ElementTree.fromstring(describe(instance(), disks=far))
    assert [each.get("unit") for each in found.findall("devices/disk/address")] == ["0", "25", "26"]
    assert {each.get("controller") for each in found.findall("devices/disk/address")} == {"0"}
    with pytest.raises(VirtError, match="hw_scsi_model: ibmvscsi"):
        describe(with_properties(hw_scsi_model="ibmvscsi"), disks=disks)


@pytest.mark.parametrize(
    ("guest", "named"),
    [
        (with_properties(hw_numa_nodes="2"), "image property hw_numa_nodes"),
        (instance(specs={"hw:cpu_policy": "dedicated"}), "extra spec hw:cpu_policy=dedicated"),
        (instance(specs={"hw:mem_page_size": "1GB"}), "extra spec hw:mem_page_size=1GB"),
        (instance(specs={"pci_passthrough:alias": "gpu:1"}), "pci_passthrough:alias"),
        (instance(specs={"hw:mem_encryption": "true"}), "hw:mem_encryption"),
        (instance(specs={"hw:numa_cpus.0": "0"}), "hw:numa_cpus.0"),
        (instance(specs={"hw:cpu_realtime": "yes"}), "hw:cpu_realtime"),
        (with_properties(hw_ephemeral_encryption="true"), "image property hw_ephemeral_encryption"),
        (with_properties(hw_emulation_architecture="ppc64"), "architecture ppc64"),
        (with_properties(os_secure_boot="required"), "secure boot"),
        (with_properties(hw_architecture="aarch64"), "architecture aarch64"),
    ],
)
def test_what_is_required_and_not_given_is_refused(guest: Instance, named: str) -> None:
    with pytest.raises(VirtError, match="does not give") as refused:
        describe(guest)
    assert named in refused.value.message


@pytest.mark.parametrize("virt_type", ["lxc", "xen"])
@pytest.mark.parametrize(
    ("guest", "named"),
    [
        (instance(specs={"quota:disk_read_iops_sec": "10"}), "quota:disk_read_iops_sec"),
        (with_properties(hw_firmware_type="uefi"), "hw_firmware_type=uefi"),
        (with_properties(hw_watchdog_action="reset"), "a watchdog"),
    ],
)
def test_what_only_qemu_gives_is_refused_elsewhere(guest: Instance, named: str, virt_type: str) -> None:
    with pytest.raises(VirtError, match=f"Guests of {virt_type} do not get") as refused:
        describe(guest, dataclasses.replace(KVM, virt_type=virt_type), disks=())
    assert named in refused.value.message


def test_what_may_be_left_out_is_not_refused() -> None:
    for guest in (
        instance(specs={"hw:cpu_policy": "shared", "hw:mem_page_size": "small"}),
        with_properties(hw_architecture="amd64", os_secure_boot="optional", os_distro="debian"),
    ):
        describe(guest)


@pytest.mark.parametrize(
    ("vcpus", "specs", "properties", "topology"),
    [
        (8, {}, {}, (8, 1, 1)),
        # What does not add up is a preference that cannot be met.
        (3, {"hw:cpu_cores": "2"}, {}, (3, 1, 1)),
        (8, {"hw:cpu_cores": "2"}, {}, (4, 2, 1)),
        (8, {"hw:cpu_sockets": "2", "hw:cpu_threads": "2"}, {}, (2, 2, 2)),
        # Any count of the image puts aside all of the flavor's.
        (8, {"hw:cpu_sockets": "2", "hw:cpu_threads": "2"}, {"hw_cpu_cores": "8"}, (1, 8, 1)),
        (8, {"hw:cpu_max_sockets": "2"}, {}, (2, 4, 1)),
        (8, {"hw:cpu_max_sockets": "4"}, {"hw_cpu_max_sockets": "1"}, (1, 8, 1)),
        (8, {"hw:cpu_sockets": "8"}, {"hw_cpu_max_sockets": "2", "hw_cpu_max_cores": "2"}, (2, 2, 2)),
    ],
)
def test_the_preferred_topology_within_the_limits_is_taken(
    vcpus: int, specs: dict[str, str], properties: dict[str, str], topology: tuple[int, int, int]
) -> None:
    guest = instance(vcpus=vcpus, specs=specs, image_properties=properties)
    assert cpu_topology(guest) == topology


@pytest.mark.parametrize(
    ("specs", "properties", "reason"),
    [
        ({"hw:cpu_max_sockets": "1", "hw:cpu_max_cores": "2", "hw:cpu_max_threads": "1"}, {}, "not make 8"),
        ({"hw:cpu_max_cores": "2"}, {"hw_cpu_max_cores": "4"}, "hw_cpu_max_cores=4 is more than the"),
        ({"hw:cpu_max_sockets": "2"}, {"hw_cpu_sockets": "4"}, "hw_cpu_sockets=4 is more than the 2"),
        ({}, {"hw_cpu_threads": "two"}, "hw_cpu_threads: two is no whole number"),
    ],
)
def test_a_topology_beyond_the_limits_is_refused(
    specs: dict[str, str], properties: dict[str, str], reason: str
) -> None:
    with pytest.raises(VirtError, match=reason):
        cpu_topology(instance(vcpus=8, specs=specs, image_properties=properties))


def test_a_control_character_in_a_name_does_not_spoil_the_description() -> None:
    text = describe(instance(name="a\x00b\x1bc\ud800d"))
    assert ElementTree.fromstring(text).findtext(
        "metadata/{http://openstack.org/xmlns/libvirt/nova/1.0}instance/"
        "{http://openstack.org/xmlns/libvirt/nova/1.0}name"
    ) == "abcd"


@pytest.mark.parametrize("virt_type", ["kvm", "qemu", "lxc", "xen"])
def test_libvirt_accepts_the_description(virt_type: str, tmp_path: Path) -> None:
    if not shutil.which("virt-xml-validate") or not shutil.which("xmllint"):
        pytest.skip("virt-xml-validate and xmllint are not installed")
    container = virt_type == "lxc"
    guest = msgspec.structs.replace(
        instance(swap=64), image_properties={
            "hw_rng_model": "virtio",
            **({"hw_watchdog_action": "reset"} if virt_type in ("kvm", "qemu") else {}),
        },
    )
    disks = () if container else tuple(
        dataclasses.replace(each, bus="xen", target=f"xvd{'ab'[n]}") if virt_type == "xen" else each
        for n, each in enumerate(DISKS)
    )
    text = describe(
        guest, dataclasses.replace(KVM, virt_type=virt_type),
        dataclasses.replace(NICS, virt_type=virt_type), disks=disks,
        root_directory="/i/u/rootfs" if container else None,
        kernel="/i/u/kernel" if virt_type == "xen" else None,
    )
    file = tmp_path / "domain.xml"
    file.write_text(text)
    done = subprocess.run(["virt-xml-validate", str(file), "domain"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr + text


def test_the_guest_is_named_as_in_kilo() -> None:
    domain = ElementTree.fromstring(describe(instance()))
    assert (domain.findtext("name"), domain.findtext("uuid")) == ("instance-0000002a", UUID)
