# SPDX-License-Identifier: Apache-2.0
"""Runs in the interpreter of the public clients, not in the test's: every command of python-novaclient's
``nova``, against a cloud that was started for it (``test_nova_client.py``).

Prints a JSON object: the command lines that went wrong and why (``failures``), and the commands that were
not tried (``untried``).
"""

from __future__ import annotations

import contextlib
import getpass
import io
import json
import re
import sys
import time
from pathlib import Path
from typing import Any

from novaclient import shell
from novaclient.v2 import shell as commands

#: Of removed services and of those that no cloud of ours has; or of programs beside the client.
LEFT_OUT = {
    "agent-create", "agent-delete", "agent-list", "agent-modify",  # os-agents: gone since 2.93
    "ssh",  # runs ssh
}
PUBLIC_KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIOzWxJx3YHHBR8DdaXZSLbdr3dqWXmQ1ns+2bd/0Y2e tür"
NOWHERE = "00000000-0000-4000-8000-000000000000"


class Nova:
    """The ``nova`` command."""

    def __init__(self) -> None:
        self.tried: set[str] = set()
        self.failures: list[str] = []

    def __call__(self, line: str, *more: str, at: str = "2.96") -> str:
        """The output of a command that has to succeed; a failure is kept."""
        status, output, errors = self.run(line, *more, at=at)
        if status:
            self.failures.append(f"nova {line}: {errors[-400:]}")
        return output

    def refused(self, line: str, code: int, *more: str, at: str = "2.96") -> None:
        """A command that the API has to refuse with that status."""
        status, output, errors = self.run(line, *more, at=at)
        if not status or f"HTTP {code}" not in errors:
            self.failures.append(f"nova {line}: {code} expected, but {output[-200:]} {errors[-300:]}")

    def run(self, line: str, *more: str, at: str) -> tuple[int, str, str]:
        """Run a command line; ``more`` are arguments with blanks."""
        words = [*line.split(), *more]
        self.tried.add(words[0])
        output, errors = io.StringIO(), io.StringIO()
        status = 0
        with contextlib.redirect_stdout(output), contextlib.redirect_stderr(errors):
            try:
                shell.OpenStackComputeShell().main(["--os-compute-api-version", at, *words])
            except SystemExit as leaving:
                status = int(leaving.code or 0)
            except Exception as error:
                status = 1
                errors.write(f"{type(error).__name__}: {error}")
        return status, output.getvalue(), errors.getvalue()

    def until(self, server: str, status: str) -> None:
        """Wait until the server has the status and no task runs."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            shown = self.table(f"show {server}")
            if shown.get("status") == status and shown.get("OS-EXT-STS:task_state") == "-":
                return
            time.sleep(0.1)
        self.failures.append(f"{server} does not become {status}: {shown}")

    def table(self, line: str, at: str = "2.96") -> dict[str, str]:
        """A table of two columns."""
        rows = re.findall(r"^\| (\S+)\s+\| (.*?)\s*\|$", self(line, at=at), re.MULTILINE)
        return dict(rows)

    def first(self, line: str, at: str = "2.96") -> str:
        """The first cell of the first row of a list."""
        found = re.search(r"^\| (?!ID|Id |Name)(\S+)", self(line, at=at), re.MULTILINE)
        if found is None:
            self.failures.append(f"nova {line}: the list is empty")
            return NOWHERE
        return found.group(1)


def flavors_keys_and_groups(nova: Nova, project: str) -> None:
    nova("flavor-create klein auto 64 1 1 --is-public false --description winzig")
    nova("flavor-list --all --extra-specs")
    nova("flavor-show klein")
    nova("flavor-key klein set hw:cpu_policy=shared")
    nova("flavor-key klein unset hw:cpu_policy")
    nova(f"flavor-access-add klein {project}")
    nova("flavor-access-list --flavor klein")
    nova(f"flavor-access-remove klein {project}")
    nova("flavor-update klein", "kleiner als klein")
    nova("flavor-delete klein")
    key = Path("key.pub")
    key.write_text(PUBLIC_KEY)
    nova("keypair-add --pub-key key.pub key")
    nova("keypair-list")
    nova("keypair-show key")
    nova("server-group-create nah affinity")
    group = nova.first("server-group-list")
    nova(f"server-group-get {group}")
    nova(f"server-group-delete {group}")


def states(nova: Nova) -> None:
    nova("boot --flavor m1.tiny --image nova-test --nic none --key-name key --meta a=1 eins")
    nova.until("eins", "ACTIVE")
    nova("list --fields name,status")
    for command, status in (
        ("pause", "PAUSED"), ("unpause", "ACTIVE"), ("suspend", "SUSPENDED"), ("resume", "ACTIVE"),
        ("stop", "SHUTOFF"), ("start", "ACTIVE"), ("rescue", "RESCUE"), ("unrescue", "ACTIVE"),
        ("shelve", "SHELVED_OFFLOADED"), ("unshelve", "ACTIVE"), ("reboot", "ACTIVE"),
        ("reboot --hard", "ACTIVE"), ("resize", "VERIFY_RESIZE"), ("resize-revert", "ACTIVE"),
        ("migrate", "VERIFY_RESIZE"), ("resize-confirm", "ACTIVE"),
    ):
        nova(f"{command} eins" + (" m1.small" if command == "resize" else ""))
        nova.until("eins", status)
    nova.refused("shelve-offload eins", 409)
    nova("rebuild eins nova-test --description neu")
    nova.until("eins", "ACTIVE")
    nova("lock eins --reason weil")
    nova("unlock eins")
    nova("trigger-crash-dump eins")
    nova("console-log eins --length 2")
    nova("diagnostics eins")
    nova("get-password eins")
    nova("clear-password eins")
    nova("reset-state eins --active")
    nova("meta eins set b=2")
    nova("meta eins delete a")
    nova("update eins --name zwei --description x")
    for command in ("server-tag-add zwei rot blau", "server-tag-list zwei",
                    "server-tag-delete zwei rot", "server-tag-set zwei grün",
                    "server-tag-delete-all zwei"):
        nova(command)
    nova("server-topology zwei")
    request = re.findall(r"req-[0-9a-f-]{36}", nova("instance-action-list zwei"))
    nova(f"instance-action zwei {request[0]}")
    uuid = nova.table("show zwei").get("id", NOWHERE)
    nova("delete zwei")
    nova.until(uuid, "SOFT_DELETED")
    nova("restore zwei")
    nova.until("zwei", "ACTIVE")
    nova("image-create zwei --metadata k=v Bild")
    nova.until("zwei", "ACTIVE")
    nova("backup zwei Kopie daily 1")
    nova.until("zwei", "ACTIVE")
    nova("force-delete zwei")
    nova("keypair-delete key")


def addresses(nova: Nova, network: str) -> None:
    nova(f"boot --flavor m1.tiny --image nova-test --nic net-id={network} netz")
    nova.until("netz", "ACTIVE")
    port = re.findall(r"\| ([0-9a-f-]{36}) \|", nova("interface-list netz"))
    nova(f"interface-attach --net-id {network} netz")
    nova(f"interface-detach netz {port[0] if port else NOWHERE}")
    nova.until("netz", "ACTIVE")
    nova("list-secgroup netz")
    nova("remove-secgroup netz default")
    nova("add-secgroup netz default")
    nova("refresh-network netz")
    nova.refused("reset-network netz", 410)
    for command in (
        "get-vnc-console netz novnc", "get-spice-console netz spice-html5", "get-serial-console netz",
        "get-mks-console netz",
    ):
        if "token" not in nova(command):
            nova.failures.append(f"nova {command}: no address with a token")
    nova.refused("get-rdp-console netz rdp-html5", 400)
    nova("volume-attachments netz")
    for command in (f"volume-attach netz {NOWHERE}", f"volume-detach netz {NOWHERE}",
                    f"volume-update netz {NOWHERE} {NOWHERE}"):
        _, _, errors = nova.run(command, at="2.96")
        if not re.search(r"HTTP (40[0-9]|503)", errors):
            nova.failures.append(f"nova {command}: {errors[-300:]}")
    nova("force-delete netz")


def moves(nova: Nova) -> None:
    nova("boot --flavor m1.tiny --image nova-test --nic none wander")
    nova.until("wander", "ACTIVE")
    nova("live-migration wander")
    abort = nova.first("server-migration-list wander")
    nova(f"server-migration-show wander {abort}")
    nova(f"live-migration-abort wander {abort}")
    nova.until("wander", "ACTIVE")
    nova("live-migration wander")
    time.sleep(0.5)
    forced = nova.first("server-migration-list wander")
    nova(f"live-migration-force-complete wander {forced}")
    nova.until("wander", "ACTIVE")
    nova("migration-list")
    host = nova.table("show wander").get("OS-EXT-SRV-ATTR:host", "")
    nova(f"host-meta {host} set k=v")
    nova(f"host-evacuate-live {host}")
    nova.until("wander", "ACTIVE")
    host = nova.table("show wander").get("OS-EXT-SRV-ATTR:host", "")
    nova(f"host-servers-migrate {host}")
    nova.until("wander", "VERIFY_RESIZE")
    nova("resize-confirm wander")
    nova.until("wander", "ACTIVE")
    for evacuate in ("evacuate wander", "host-evacuate {host}"):
        host = nova.table("show wander").get("OS-EXT-SRV-ATTR:host", "")
        service = re.search(
            rf"^\| ([0-9a-f-]{{36}})\s+\| nova-compute\s+\| {host} ", nova("service-list"), re.MULTILINE
        )
        nova(f"service-force-down {service.group(1) if service else NOWHERE}")
        nova(evacuate.format(host=host))
        nova.until("wander", "SHUTOFF")
        nova("start wander")
        nova.until("wander", "ACTIVE")
    nova("set-password wander")
    nova("force-delete wander")


def hosts_and_limits(nova: Nova, image: str, project: str) -> None:
    nova("aggregate-create regal keller")
    host = re.findall(r"\| nova-compute\s+\| (\S+)", nova("service-list --binary nova-compute"))[-1]
    nova(f"aggregate-add-host regal {host}")
    nova("aggregate-list")
    nova("aggregate-show regal")
    nova("aggregate-set-metadata regal ssd=true")
    nova("aggregate-update regal --name gestell")
    # By id: for a name the client asks the image service for a property that no image has.
    nova(f"aggregate-cache-images gestell {image}")
    nova("availability-zone-list")
    nova(f"aggregate-remove-host gestell {host}")
    nova("aggregate-delete gestell")
    up = re.findall(r"^\| (\S+)\s+\| \S+\s+\| up ", nova("hypervisor-list"), re.MULTILINE)
    hypervisor = up[0] if up else NOWHERE
    nova(f"hypervisor-show {hypervisor}")
    nova("hypervisor-servers fake")
    nova("hypervisor-stats", at="2.87")
    nova(f"hypervisor-uptime {hypervisor}", at="2.87")
    service = re.findall(r"\| ([0-9a-f-]{36})\s+\| nova-compute", nova("service-list"))[-1]
    nova(f"service-disable {service} --reason Umbau")
    nova(f"service-enable {service}")
    nova(f"service-delete {service}")
    nova("limits")
    nova("quota-show --detail")
    nova("quota-defaults")
    nova("quota-class-show default")
    nova.refused("quota-update --instances 5 someproject", 400)
    nova(f"quota-update --instances 5 {project}")
    nova(f"quota-delete --tenant {project}")
    nova("quota-class-update --instances 11 default")
    nova("quota-class-update --instances 10 default")
    nova("usage")
    nova("usage-list")
    nova("instance-usage-audit-log")
    nova("version-list")


def main() -> None:
    """All of it; the arguments are the ids of a network, of an image and of another project."""
    getpass.getpass = lambda *_: "geheim"
    nova = Nova()
    flavors_keys_and_groups(nova, sys.argv[3])
    states(nova)
    addresses(nova, sys.argv[1])
    moves(nova)
    hosts_and_limits(nova, sys.argv[2], sys.argv[3])
    known = {
        name.removeprefix("do_").replace("_", "-")
        for name in vars(commands) if name.startswith("do_")
    }
    result: dict[str, Any] = {
        "failures": nova.failures, "untried": sorted(known - nova.tried - LEFT_OUT),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
