# SPDX-License-Identifier: Apache-2.0
"""Runs in the interpreter of the public clients, with python-novaclient 7 before the newest one: every
command that the newest has no more, most of them of networks that Nova keeps itself
(``test_nova_client.py``).

The argument is the names of the newest client's commands, with blanks. Prints a JSON object: the command
lines that went wrong and why (``failures``), and the commands that were not tried (``untried``).
"""

from __future__ import annotations

import json
import re
import sys

from nova_client_tour import Nova
from novaclient.v2 import shell as commands

#: Run programs beside the client, or ask a service that was never a part of Nova.
LEFT_OUT = {"baremetal-interface-list", "baremetal-node-list", "baremetal-node-show"}
#: Versions up to 2.35 have these resources.
_AT = "2.35"


class OldNova(Nova):
    """The ``nova`` command of 2017."""

    def run(self, line: str, *more: str, at: str) -> tuple[int, str, str]:
        """As of the newest, at a version that it knew."""
        return super().run(line, *more, at=_AT)

    def shows(self, line: str, *wanted: str) -> str:
        """The output of a command that has to succeed and to show these."""
        output = self(line)
        self.failures += [f"nova {line}: no {each} in {output}" for each in wanted if each not in output]
        return output

    def hides(self, line: str, unwanted: str) -> None:
        """A command that has to succeed and must not show this."""
        if unwanted in self(line):
            self.failures.append(f"nova {line}: shows {unwanted}")


def networks(nova: OldNova) -> None:
    nova("network-create keller --fixed-range-v4 10.77.0.0/27 --vlan 477")
    nova("network-create keller2 --fixed-range-v4 10.77.1.0/24 --vlan 477")
    nova.refused("network-create nochmal --fixed-range-v4 10.77.1.0/25 --vlan 478", 409)
    nova.refused("network-create ohne --fixed-range-v4 10.77.9.0/33", 400)
    uuid = re.findall(r"\| (\S+) \| keller ", nova.shows("network-list", "10.77.0.0/27", "10.77.1.0/24"))[0]
    nova.shows(f"network-show {uuid}", "br477", "10.77.0.1")
    nova(f"network-associate-host {uuid} fake-1")
    nova(f"network-associate-project {uuid}")
    nova.refused(f"network-delete {uuid}", 409)
    nova(f"network-disassociate {uuid}")
    nova(f"network-delete {uuid}")
    nova.hides("network-list", "10.77.0.0/27")
    nova("network-delete keller2")
    nova.shows("tenant-network-create privat 10.78.0.0/24", "10.78.0.0/24")
    uuid = re.findall(r"\| (\S+) \| privat ", nova.shows("tenant-network-list", "10.78.0.0/24"))[0]
    nova.shows(f"tenant-network-show {uuid}", "privat")
    nova.shows(f"net {uuid}", "privat")
    nova("net-list")
    nova(f"tenant-network-delete {uuid}")
    nova.shows("net-create privat2 10.78.1.0/24", "10.78.1.0/24")
    uuid = re.findall(r"\| (\S+) \| privat2 ", nova("net-list"))[0]
    nova(f"net-delete {uuid}")
    nova.hides("tenant-network-list", "10.78.1.0/24")


def addresses(nova: OldNova, server: str) -> None:
    nova("floating-ip-bulk-create 203.0.114.0/29 --pool auswahl --interface lo")
    nova.shows("floating-ip-bulk-list", "203.0.114.6", "auswahl")
    nova.shows("floating-ip-pool-list", "auswahl")
    nova.shows("floating-ip-create auswahl", "203.0.114.1")
    nova(f"floating-ip-associate {server} 203.0.114.1")
    nova.shows("floating-ip-list", "203.0.114.1")
    nova.shows(f"show {server}", "203.0.114.1")
    nova(f"floating-ip-disassociate {server} 203.0.114.1")
    nova("floating-ip-delete 203.0.114.1")
    nova("floating-ip-bulk-delete 203.0.114.0/29")
    nova.hides("floating-ip-bulk-list", "203.0.114")
    network, _label, fixed = re.findall(
        r"\| (\S+) \| (\w+)\s+\| (10\.\S+)", nova("network-list")
    )[0]
    nova(f"add-fixed-ip {server} {network}")
    shown = re.findall(r" network +\| ([^|]+?) *\|", nova(f"show {server}"))[0].split(", ")
    if len(shown) != 2:
        nova.failures.append(f"add-fixed-ip: {server} in {fixed} has {shown}")
    nova(f"remove-fixed-ip {server} {shown[-1]}")
    nova.shows(f"fixed-ip-get {shown[0]}", fixed)
    spare = fixed.split("/")[0].rsplit(".", 1)[0] + ".99"
    nova(f"fixed-ip-reserve {spare}")
    nova.shows(f"fixed-ip-get {spare}", "True")
    nova(f"fixed-ip-unreserve {spare}")
    nova.refused("fixed-ip-get 192.0.2.1", 404)
    nova.shows(f"virtual-interface-list {server}", network)


def names(nova: OldNova) -> None:
    nova("dns-create-private-domain innen.example --availability-zone nova")
    nova("dns-create-public-domain aussen.example --project someproject")
    nova.shows("dns-domains", "innen.example", "aussen.example")
    nova("dns-create 203.0.113.9 tuer aussen.example --type A")
    nova.shows("dns-list aussen.example --name tuer", "203.0.113.9")
    nova.shows("dns-list aussen.example --ip 203.0.113.9", "tuer")
    nova("dns-delete aussen.example tuer")
    nova.refused("dns-delete aussen.example tuer", 404)
    nova("dns-delete-domain aussen.example")
    nova("dns-delete-domain innen.example")
    nova.hides("dns-domains", "example")


def groups(nova: OldNova) -> None:
    nova("secgroup-create gruppe eine")
    nova("secgroup-add-rule gruppe tcp 22 22 0.0.0.0/0")
    nova.refused("secgroup-add-rule gruppe tcp 22 22 0.0.0.0/0", 400)
    nova("secgroup-add-group-rule gruppe default tcp 80 80")
    nova.shows("secgroup-list-rules gruppe", "22", "default")
    nova("secgroup-update gruppe gruppe2 zwei")
    nova("secgroup-delete-rule gruppe2 tcp 22 22 0.0.0.0/0")
    nova("secgroup-delete-group-rule gruppe2 default tcp 80 80")
    nova("secgroup-delete gruppe2")
    nova.hides("secgroup-list", "gruppe2")
    nova("secgroup-add-default-rule tcp 8080 8080 0.0.0.0/0")
    nova.shows("secgroup-list-default-rules", "8080")
    nova("secgroup-delete-default-rule tcp 8080 8080 0.0.0.0/0")
    nova.hides("secgroup-list-default-rules", "8080")


def images_and_hosts(nova: OldNova) -> None:
    nova.shows("image-list", "nova-test")
    nova.shows("image-show nova-test", "nova-test")
    nova("image-meta nova-test set farbe=rot")
    nova.shows("image-show nova-test", "rot")
    nova("image-meta nova-test delete farbe")
    nova.shows("host-list", "fake-1")
    nova.shows("host-describe fake-1", "used_now")
    nova("host-update fake-1 --status disable")
    nova("host-update fake-1 --status enable")
    nova.refused("host-action fake-1 --action reboot", 501)
    nova.shows("list-extensions", "os-networks")
    # Gone from the original in 2017 and later, at every version.
    nova.refused("cell-show eine", 410)
    nova.refused("cell-capacities", 410)
    nova.refused("cloudpipe-list", 410)
    nova.refused("cloudpipe-create someproject", 410)
    nova.refused("cloudpipe-configure 192.0.2.1 1000", 410)
    nova.refused("x509-create-cert", 410)
    nova.refused("x509-get-root-cert", 410)


def main() -> None:
    """All of it."""
    newest = set(sys.argv[1].split())
    nova = OldNova()
    networks(nova)
    nova("boot --flavor m1.tiny --image nova-test --poll alt")
    addresses(nova, "alt")
    groups(nova)
    names(nova)
    images_and_hosts(nova)
    image = re.findall(r"\| (\S+) \| weg ", nova("image-create --poll alt weg") and nova("image-list"))
    nova(f"image-delete {image[0]}")
    nova("delete alt")
    nova("scrub someproject")
    known = {
        name.removeprefix("do_").replace("_", "-") for name in vars(commands) if name.startswith("do_")
    }
    print(json.dumps({
        "failures": nova.failures, "untried": sorted(known - newest - nova.tried - LEFT_OUT),
    }))


if __name__ == "__main__":
    main()
