# SPDX-License-Identifier: Apache-2.0
"""Real guests on the bridge that the host's own network service made, with addresses from its DHCP."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.host.cloud import GuestCloud
from tests.host.hypervisor import PrivateLibvirt, program_missing
from tests.network.plumbing import until


@pytest.fixture
def plumbed(hypervisor: PrivateLibvirt, image: Path) -> Iterator[GuestCloud]:
    """A cloud that sets its host's network up, in the hypervisor's network namespace with this test."""
    if missing := program_missing(["dnsmasq", "nft"]):
        pytest.skip(f"{', '.join(missing)} not installed (make system-parts)")
    with hypervisor.network():
        cloud = GuestCloud(
            hypervisor, image, arguments=[
                "--set", "network_driver=nova.network.linux_net", "--set", "fake_network=false",
            ],
        )
        try:
            cloud.begin()
            yield cloud
        finally:
            pids = [path.read_text().strip() for path in (cloud.state / "networks").glob("*.pid")]
            cloud.end()
            for pid in pids:
                hypervisor.run("kill", pid, check=False)
            hypervisor.run("ip", "link", "del", "br100", check=False)


def test_two_guests_get_their_addresses_from_the_hosts_own_dhcp(
    plumbed: GuestCloud, hypervisor: PrivateLibvirt
) -> None:
    cloud = plumbed
    pid_file = cloud.state / "networks" / "nova-br100.pid"
    until(pid_file.exists, 60)
    guests = {}
    for name in ("first", "second"):
        uuid = cloud.boot(name)
        server = cloud.reach(uuid, "ACTIVE")
        addresses = server["addresses"]
        assert isinstance(addresses, dict)
        guests[uuid] = str(next(iter(addresses.values()))[0]["addr"])
    for uuid, address in guests.items():
        cloud.says(uuid, "MARK ready")
        assert f"MARK lease {address}" in cloud.console(uuid)
    leases = (cloud.state / "networks" / "nova-br100.leases").read_text()
    assert all(address in leases for address in guests.values())
    first, second = guests

    # All of the cloud and its DHCP are killed while a ping runs; not one is lost.
    ping = subprocess.Popen(
        ["busybox", "ping", "-i", "0.2", guests[first]], stdout=subprocess.PIPE, text=True
    )
    pid = int(pid_file.read_text())
    cloud.process.kill()
    cloud.process.wait(30)
    os.kill(pid, signal.SIGKILL)
    cloud.start()
    until(lambda: pid_file.exists() and pid_file.read_text().strip() not in ("", str(pid)), 60)
    ping.send_signal(signal.SIGINT)
    output, _ = ping.communicate(timeout=30)
    # What was asked last may be on its way still.
    answered = [int(number) for number in re.findall(r" seq=(\d+) ", output)]
    assert len(answered) >= 3, "it was asked all the while"
    assert answered == list(range(answered[0], answered[-1] + 1)), output[-500:]

    # A deleted guest's lease is released at once.
    cloud.remove(second)
    until(lambda: guests[second] not in (cloud.state / "networks" / "nova-br100.leases").read_text())
    cloud.remove(first)
