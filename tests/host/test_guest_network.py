# SPDX-License-Identifier: Apache-2.0
"""Two real guests on one bridge: addresses, queues, and virtual IPs that answer."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud_process import wait_for
from tests.host.cloud import GuestCloud
from tests.host.hypervisor import PrivateLibvirt, program_missing

VIP = "10.0.15.250"


class Bridge:
    """The bridge of the cloud's first network with a DHCP server, in the hypervisor's namespace."""

    def __init__(self, hypervisor: PrivateLibvirt) -> None:
        self._hypervisor = hypervisor
        self._hosts = Path(tempfile.mkdtemp(prefix="nova-host-dhcp-")) / "hosts"
        self._dnsmasq: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        for command in (
            "ip link add br100 type bridge", "ip addr add 10.0.0.1/20 dev br100", "ip link set br100 up",
        ):
            self._hypervisor.run(*command.split())
        self._hosts.touch()
        self._dnsmasq = subprocess.Popen(
            self._hypervisor.enter(
                "dnsmasq", "--keep-in-foreground", "--user=root", "--conf-file=", "--bind-interfaces",
                "--interface=br100", "--except-interface=lo", "--no-hosts", "--no-resolv", "--leasefile-ro",
                "--dhcp-range=10.0.0.2,static,255.255.240.0,86400s", f"--dhcp-hostsfile={self._hosts}",
                "--pid-file=",
            ), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )

    def lease(self, server: dict[str, object]) -> str:
        """Give a server its address; returns it."""
        addresses = server["addresses"]
        assert isinstance(addresses, dict)
        found = next(iter(addresses.values()))[0]
        with self._hosts.open("a") as file:
            file.write(f"{found['OS-EXT-IPS-MAC:mac_addr']},{found['addr']}\n")
        assert self._dnsmasq is not None
        self._dnsmasq.send_signal(1)
        return str(found["addr"])

    def stop(self) -> None:
        if self._dnsmasq is not None:
            self._dnsmasq.terminate()
            self._dnsmasq.wait(10)
        self._hypervisor.run("ip", "link", "del", "br100", check=False)
        shutil.rmtree(self._hosts.parent, ignore_errors=True)


@pytest.fixture
def bridged(hypervisor: PrivateLibvirt, image: Path) -> Iterator[tuple[GuestCloud, Bridge]]:
    """A cloud that lives beside the bridge. It and this test are in the hypervisor's network namespace."""
    if missing := program_missing(["dnsmasq", "ebtables"]):
        pytest.skip(f"{', '.join(missing)} not installed (make system-parts)")
    bridge = Bridge(hypervisor)
    with hypervisor.network():
        cloud = GuestCloud(hypervisor, image)
        try:
            bridge.start()
            cloud.begin()
            yield cloud, bridge
        finally:
            cloud.end()
            bridge.stop()


def inside(address: str, command: str) -> str:
    """Run a shell command in a guest, through the shell that it opens on port 2222."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with socket.create_connection((address, 2222), timeout=60) as connection:
                connection.sendall(f"{command}\nexit\n".encode())
                answer = b""
                while piece := connection.recv(4096):
                    answer += piece
                return answer.decode()
        except OSError:
            assert time.monotonic() < deadline, f"no shell at {address}"
            time.sleep(0.5)


def answers(address: str, target: str) -> bool:
    """Whether a guest gets an answer to any of three pings."""
    return " bytes from " in inside(address, f"ping -c 3 -W 5 {target}")


def test_guests_have_a_queue_for_each_vcpu_and_answer_for_virtual_addresses(
    bridged: tuple[GuestCloud, Bridge], hypervisor: PrivateLibvirt
) -> None:
    cloud, bridge = bridged
    first, second = cloud.boot("holder", flavor="large"), cloud.boot("asker", flavor="small")
    addresses = {uuid: bridge.lease(cloud.reach(uuid, "ACTIVE")) for uuid in (first, second)}
    for uuid, queues in ((first, 2), (second, 1)):
        cloud.says(uuid, "MARK ready")
        text = cloud.console(uuid)
        assert f"rx={queues} tx={queues}" in text
        assert f"MARK lease {addresses[uuid]}" in text
        if queues > 1:  # libvirt does not repeat the one queue that every NIC has
            assert f"queues='{queues}'" in hypervisor.virsh("dumpxml", uuid).stdout
        assert "filterref" not in hypervisor.virsh("dumpxml", uuid).stdout

    inside(addresses[first], f"ip addr add {VIP}/20 dev eth0")
    assert answers(addresses[second], VIP), "a virtual IP has to answer"

    # The same guest with the filter that this cloud leaves out, put on by hand.
    xml = hypervisor.virsh("dumpxml", first).stdout
    nic = re.search(r"<interface type='bridge'>.*?</interface>", xml, re.DOTALL)
    assert nic is not None
    filtered = nic.group().replace(
        "</interface>",
        f"<filterref filter='clean-traffic'><parameter name='IP' value='{addresses[first]}'/></filterref>"
        "</interface>",
    )
    file = Path(tempfile.mkstemp(suffix=".xml")[1])
    file.write_text(filtered)
    try:
        hypervisor.virsh("update-device", first, str(file), "--live")
        inside(addresses[second], f"ip neigh flush dev eth0; arp -d {VIP}")
        assert not answers(addresses[second], VIP), "the filter stops it, so the test above means something"
        assert answers(addresses[second], addresses[first])
    finally:
        file.unlink()

    # A second NIC comes and goes while the guest runs.
    added = cloud.compute("POST", f"/servers/{second}/os-interface", {"interfaceAttachment": {}})
    assert added.status == 200, added.body
    mac = added.json["interfaceAttachment"]["mac_addr"]
    shown = "cat /sys/class/net/*/address"
    wait_for(lambda: mac in inside(addresses[second], shown), lambda: "the NIC is not there", 60)
    port = added.json["interfaceAttachment"]["port_id"]
    assert cloud.compute("DELETE", f"/servers/{second}/os-interface/{port}").status == 202
    wait_for(lambda: mac not in inside(addresses[second], shown), lambda: "the NIC is still there", 60)
    for uuid in (first, second):
        cloud.remove(uuid)
