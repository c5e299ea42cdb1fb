# SPDX-License-Identifier: Apache-2.0
"""What runs in the nested machine: prints what came about, as JSON in its last line."""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path

from nova.errors import NetworkNotReady
from nova.network.linux.host_prober import HostProber
from nova.objects.network import Segment
from tests.network.namespaces import Namespace, run
from tests.network.plumbing import Client, PlumbedHost, lease, network, until, with_leases


class Outside(Client):
    """A guest behind the bond, on a VLAN device of its own."""

    def __init__(self, switch: Namespace, mac: str, vlan: int | None) -> None:
        super().__init__(switch, "sw0", mac)
        if vlan is not None:
            self.ip("link", "set", "eth0", "down")
            self.ip("link", "set", "eth0", "name", "wire")
            self.ip("link", "set", "wire", "up")
            self.ip("link", "add", "link", "wire", "name", "eth0", "type", "vlan", "id", str(vlan))
            self.ip("link", "set", "eth0", "up")


def main() -> None:
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o755)
    host = PlumbedHost(directory, teardown_unused_network_gateway=True, vlan_interface="bond1")
    switch = Namespace("switch")
    switch.ip("link", "add", "sw0", "type", "bridge", "forward_delay", "0")
    switch.ip("link", "set", "sw0", "up")
    host.ip("link", "add", "bond1", "type", "veth", "peer", "name", "port0", "netns", switch.name)
    switch.ip("link", "set", "port0", "master", "sw0", "up")
    host.ip("addr", "add", "192.168.77.2/24", "dev", "bond1")

    networks = [
        with_leases(
            network(number, "br401", vlan=401, mtu=1496, bridge_interface="eth0"), [lease(number, 10)]
        ) for number in (1, 2)
    ]
    host.conductor.set(*networks)
    host.start()
    said: dict[str, object] = {
        "bridge": sorted(host.addresses("br401")), "host addresses": sorted(host.addresses("bond1")),
    }
    (shown,) = json.loads(host.ip("-j", "-d", "link", "show", "vlan401"))
    said["vlan"] = [
        shown["linkinfo"]["info_data"]["id"], shown["link"], shown["master"], shown["mtu"]
    ]
    with switch:
        import socket

        raw = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        raw.bind(("port0", 3))
        raw.setsockopt(263, 8, 1)  # SOL_PACKET, PACKET_AUXDATA
    guests = [Outside(switch, each.leases[0].mac, 401) for each in networks]
    said["leases"] = [each.lease(directory, tries=15) for each in guests]
    said["renewals"] = [
        each.renew(f"10.{number}.0.10", f"10.{number}.0.1") for number, each in enumerate(guests, 1)
    ]
    raw.settimeout(5)
    tag = 0
    while not tag:  # the bridge's own frames have none
        _data, extra, _flags, _where = raw.recvmsg(2000, 100)
        tag = int.from_bytes(extra[0][2][16:18], "little") & 0xFFF
    said["tagged"] = tag
    stranger = Outside(switch, networks[0].leases[0].mac[:-1] + "f", None)
    said["untagged"] = stranger.lease(directory, tries=2)
    # A VLAN of which this host has no device is asked on the bond.
    neighbour = Outside(switch, "fa:16:3e:09:09:09", 409)
    neighbour.ip("addr", "add", "10.9.9.7/24", "dev", "eth0")
    with host:
        found = HostProber(host.config.network).probe_beside(
            Segment(cidr="10.9.9.0/24", bridge="br409", vlan=409), ["10.9.9.7", "10.9.9.8"]
        )
    said["asked from beside"] = found
    before = (host.ip("link"), host.ip("-4", "addr"), host.pids())
    host.restart()
    same = (host.ip("link"), host.ip("-4", "addr"), host.pids()) == before
    said["second start"] = "nothing changed" if same else "something changed"
    host.set(networks[1])
    until(lambda: host.addresses("br401") == {"10.2.0.1/24"})
    said["after one is gone"] = [
        sorted(host.addresses("br401")), guests[1].renew("10.2.0.10", "10.2.0.1")
    ]
    host.ip("link", "add", "link", "bond1", "name", "vlan402", "type", "vlan", "id", "17")
    try:
        host.set(networks[1], network(3, "br402", vlan=402))
        said["wrong vlan"] = "taken"
    except NetworkNotReady as error:
        said["wrong vlan"] = error.message
    run("ip", "-n", host.name, "link", "del", "vlan402")
    host.set()
    until(lambda: "br401" not in host.ip("link"))
    said["at the end"] = [
        line.split()[1] for line in host.ip("-o", "link").splitlines()
        if line.split()[1].startswith(("br4", "vlan"))
    ]
    print(json.dumps(said))
    sys.stdout.flush()
    host.close()


main()
