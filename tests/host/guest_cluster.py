# SPDX-License-Identifier: Apache-2.0
"""Two real hosts under one control side: daemons apart, as operators run them.

The control side (database, broker, APIs) has a network namespace of its own. Each host has its libvirtd and,
beside it in its namespaces, nova-network and nova-compute in the foreground as a plain user in libvirt's
groups. A cable joins all three for management, another one the guests' networks of the hosts.
"""

from __future__ import annotations

import contextlib
import grp
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
import uuid as uuids
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

from tests.cluster.cluster import ROOT, VOLUME, Api, Cluster, Daemon, at_once
from tests.host.hypervisor import PrivateLibvirt
from tests.network.namespaces import Namespace
from tests.services import servers
from tests.services.broker import rabbitmq

#: Where every host keeps its guests: a directory of its own, bound to the same name.
PLACE = Path(f"/var/tmp/nova-guests-{os.getpid()}")
CONTROL = "172.30.8.1"
#: The user that the hosts' daemons run as, and by what groups it may use libvirt and read what QEMU writes.
USER = 162
GROUPS = ("libvirt", "libvirt-qemu", "qemu", "kvm")
#: More than a guest takes to boot under emulation on a busy machine.
PATIENCE = 120.0
#: The number of the first server. libvirt calls a guest's control groups by its number at libvirtd and its
#: name, which is the server's number: those of another cloud beside this one, which begins with 1, differ.
_FIRST_SERVER = 1 << 16

_NETWORK_CAPABILITIES = "+net_admin,+net_raw,+net_bind_service"
_OPTIONS = (
    f"my_ip = {CONTROL}", "osapi_compute_listen = 0.0.0.0", "multi_host = True",
    "share_dhcp_address = True", "fake_network = False", "allow_resize_to_same_host = False",
    "quota.instances = -1", "quota.cores = -1", "quota.ram = -1", "conductor.lease_seconds = 15",
    "conductor.recovery_interval = 3", "report_interval = 2", "service_down_time = 12", "verbose = True",
    "sync_power_state_interval = 5", "rpc_response_timeout = 15", "graceful_shutdown_timeout = 10",
    # Its files are under the same path on both hosts, as on a file system that they share.
    "volume.backend = files",
)


class GuestHost:
    """One host: its libvirtd and its daemons."""

    def __init__(self, number: int, directory: Path) -> None:
        self.name = f"guesthost{number}"
        self.address = f"172.30.8.{number + 1}"
        self.libvirt = PrivateLibvirt(self.name)
        #: Configuration, keys, state and logs; the user's own.
        self.home = directory / self.name
        #: The image that nova-compute runs from, where it runs in a container.
        self.container: str | None = None
        self.compute: Daemon
        self.network: Daemon

    def begin(self, names: Sequence[GuestHost]) -> None:
        """Start libvirtd, which the other host can reach, and make the place for guests."""
        hosts = self.home / "hosts"
        hosts.write_text(
            "127.0.0.1 localhost\n" + "".join(f"{each.address} {each.name}\n" for each in names)
        )
        self.libvirt.start(
            'listen_tls = 0\nlisten_tcp = 1\nauth_tcp = "none"\nunix_sock_group = "libvirt"\n'
            'unix_sock_rw_perms = "0770"\nauth_unix_rw = "none"\n'
            f'host_uuid = "{uuids.uuid4()}"\n', "--listen",
        )
        self.libvirt.run("mount", "--bind", str(hosts), "/etc/hosts")
        # libvirtd looks up who its clients are.
        for name, entry in (("passwd", f"{USER}:{USER}::/:/usr/sbin/nologin"), ("group", f"{USER}:")):
            known = self.home / name
            known.write_text(Path("/etc", name).read_text() + f"novahost:x:{entry}\n")
            self.libvirt.run("mount", "--bind", str(known), f"/etc/{name}")
        _open_way(self.libvirt)
        own = self.libvirt.root / "instances"
        own.mkdir(mode=0o711)
        os.chown(own, USER, USER)
        self.use(self)

    def use(self, owner: GuestHost) -> None:
        """Keep guests in the directory of a host: the own one, or another's as on shared storage."""
        self.libvirt.run("umount", str(PLACE), check=False)
        self.libvirt.run("mount", "--bind", str(owner.libvirt.root / "instances"), str(PLACE))

    def _daemon(self, kind: str, capabilities: str | None) -> Daemon:
        """A daemon in this host's namespaces, in the manner of an operator's unit."""
        groups = [str(found.gr_gid) for name in GROUPS if (found := _group(name)) is not None]
        who = [
            "setpriv", f"--reuid={USER}", f"--regid={USER}", f"--groups={','.join(groups)}",
            f"--inh-caps={capabilities or '-all'}",
            *([f"--ambient-caps={capabilities}"] if capabilities else []),
        ]
        options = [f"--log-dir={self.home}/log", f"--log-file=nova-{kind}.log",
                   f"--config-file={self.home}/nova.conf", "-v", "-d"]
        how = [*who, "env", f"PYTHONPATH={ROOT}", f"HOME={self.home}", "PYTHONUNBUFFERED=1",
               sys.executable, "-m", f"nova.cmd.{kind}"]
        if self.container is not None and kind == "compute":
            shared = (self.home, PLACE, "/var/run/libvirt", "/sys/fs/cgroup")
            how = [
                "podman", "run", "--rm", "--name", f"nova-compute-{self.name}", "--privileged",
                *(f"--{each}=host" for each in ("network", "pid", "uts", "ipc", "userns", "cgroupns")),
                *(f"--volume={each}:{each}" for each in shared), self.container, "nova-compute",
            ]
        command = self.libvirt.enter(*how, *options)
        return Daemon(f"{self.name}-{kind}", command, self.home / f"{kind}.out")

    def configure(self, broker: str, options: Sequence[str]) -> None:
        """Write nova.conf and name the daemons."""
        for name in ("log", "state", "keys", "networks"):
            (self.home / name).mkdir(exist_ok=True)
        bridge = self.home / "dhcpbridge"
        bridge.write_text(
            f"#!/bin/sh\nexport PYTHONPATH={ROOT}\nexec {sys.executable} -m nova.cmd.dhcpbridge \"$@\"\n"
        )
        bridge.chmod(0o755)
        (self.home / "nova.conf").write_text(
            f"[DEFAULT]\nhost = {self.name}\nmy_ip = {self.address}\nstate_path = {self.home}/state\n"
            f"instances_path = {PLACE}\ntransport_url = {broker}\n"
            "compute_driver = libvirt.LibvirtDriver\nnetwork_manager = nova.network.manager.FlatDHCPManager\n"
            f"flat_network_bridge = br100\nflat_interface = data{self.name[-1]}\nmulti_host = True\n"
            f"share_dhcp_address = True\ndhcpbridge = {bridge}\nnetworks_path = {self.home}/networks\n"
            "shutdown_timeout = 6\nreport_interval = 2\nsync_power_state_interval = 5\n"
            "rpc_response_timeout = 15\nrpc_backend = rabbit\nvnc_enabled = True\n"
            "resume_guests_state_on_host_boot = False\n"
            f"vncserver_listen = 0.0.0.0\nvncserver_proxyclient_address = {self.address}\n"
            + "".join(f"{each}\n" for each in options)
            # Slow enough to be watched.
            + "[libvirt]\nvirt_type = qemu\nwait_soft_reboot_seconds = 30\nlive_migration_bandwidth = 20\n"
            f"[serial_console]\nenabled = True\nproxyclient_address = {self.address}\n"
            f"[host_identity]\nkey_directory = {self.home}/keys\n[metrics]\nlisten_port = 0\n"
        )
        _give(self.home)
        self.network = self._daemon("network", _NETWORK_CAPABILITIES)
        self.compute = self._daemon("compute", None)

    def kill_compute(self) -> None:
        """End nova-compute without warning."""
        self.compute.end(signal.SIGKILL)

    def files(self, uuid: str) -> list[str]:
        """What is in the place for guests of this host that has to do with a server."""
        place = Path(f"/proc/{self.libvirt.holder}/root{PLACE}")
        return sorted(path.name for path in place.iterdir() if path.name.startswith(uuid))

    def log(self, kind: str = "compute") -> str:
        """What a daemon logged."""
        files = (self.home / "log" / f"nova-{kind}.log", self.home / f"{kind}.out")
        return "".join(each.read_text(errors="replace") for each in files if each.exists())

    def end(self) -> None:
        """Stop the daemons and libvirtd with its guests."""
        for daemon in (self.compute, self.network):
            with contextlib.suppress(ProcessLookupError):
                daemon.end()
        for file in (self.home / "networks").glob("*.pid"):
            self.libvirt.run("kill", file.read_text().strip(), check=False)
        self.libvirt.stop()


class GuestCluster:
    """The control side and two hosts; ``image_id`` is the guest image; see ``begin`` for flavors."""

    def __init__(self, cluster: Cluster, hosts: tuple[GuestHost, GuestHost]) -> None:
        self.cluster = cluster
        self.hosts = hosts
        self.image_id = ""
        self.flavors: dict[str, str] = {}
        self._api: Api | None = None
        self._project = ""

    @property
    def api(self) -> Api:
        """The administrator's session."""
        self._api = self._api or self.cluster.api()
        return self._api

    def wait_ready(self) -> None:
        """Until the API answers and both hosts are up."""
        deadline = time.monotonic() + PATIENCE
        while True:
            with contextlib.suppress(OSError, RuntimeError):
                if all(self.up(host) for host in self.hosts):
                    return
            daemons = [each for host in self.hosts for each in (host.compute, host.network)]
            for daemon in (*daemons, *self.cluster.daemons.values()):
                assert daemon.is_alive, self.tails()
            assert time.monotonic() < deadline, self.tails()
            time.sleep(0.2)

    def begin(self, image: Path) -> None:
        """Upload the image and make the flavors."""
        self.image_id = self.upload("guest", image.read_bytes(), "qcow2")
        for name, vcpus, memory, disk in (("tiny", 1, 96, 0), ("small", 1, 96, 1), ("large", 2, 128, 1)):
            body = {"flavor": {"name": name, "vcpus": vcpus, "ram": memory, "disk": disk}}
            self.flavors[name] = self.ask("POST", "/flavors", body)["flavor"]["id"]

    def upload(self, name: str, data: bytes, disk_format: str) -> str:
        """An image with data; returns its id."""
        facts = {"name": name, "disk_format": disk_format, "container_format": "bare", "visibility": "public"}
        image_id = str(self.ask("POST", "/images", facts, base=self.api.image_base)["id"])
        request = urllib.request.Request(
            f"{self.api.image_base}/images/{image_id}/file", data,
            {**self.api.headers, "Content-Type": "application/octet-stream"}, method="PUT",
        )
        urllib.request.urlopen(request, timeout=60).close()
        return image_id

    # --- requests --------------------------------------------------------------------------------

    def ask(self, method: str, path: str, body: Any = None, **how: Any) -> Any:
        """The body of an accepted request."""
        status, answer = self.api.ask(method, path, body, **how)
        assert status < 300, (method, path, body, status, answer)
        return answer

    def boot(self, name: str, host: GuestHost, *, flavor: str = "tiny", **facts: Any) -> str:
        """Ask for a server on a host; returns its uuid."""
        body = {"name": name, "imageRef": self.image_id, "flavorRef": self.flavors[flavor],
                "networks": "auto", "availability_zone": f"nova:{host.name}", **facts}
        return str(self.ask("POST", "/servers", {"server": body})["server"]["id"])

    def act(self, uuid: str, action: str, body: Any = None) -> Any:
        """One action, which has to be accepted."""
        return self.ask("POST", f"/servers/{uuid}/action", {action: body})

    def attach_volume(self, uuid: str) -> str:
        """Give a server a new volume of 1 GiB; returns its id."""
        made = self.ask("POST", "/volumes", {"volume": {"size": 1}}, base=self._volumes(uuid))
        volume = str(made["volume"]["id"])
        self.until(lambda: self.volume(uuid, volume)["status"] == "available", f"volume {volume} is made")
        self.ask("POST", f"/servers/{uuid}/os-volume_attachments", {"volumeAttachment": {"volumeId": volume}})
        self.until(lambda: self.volume(uuid, volume)["status"] == "in-use", f"{uuid} has volume {volume}")
        return volume

    def volume(self, uuid: str, volume: str) -> dict[str, Any]:
        """A volume of the project that a server is of."""
        return dict(self.ask("GET", f"/volumes/{volume}", base=self._volumes(uuid))["volume"])

    def in_volume(self, volume: str, offset: int, size: int) -> bytes:
        """What is written in a volume, past the guest that has it."""
        (path,) = (self.cluster.directory / "control" / "volumes").glob(f"*{volume}*")
        with path.open("rb") as file:
            file.seek(offset)
            return file.read(size)

    def _volumes(self, uuid: str) -> str:
        self._project = self._project or str(self.server(uuid)["tenant_id"])
        return f"http://127.0.0.1:{VOLUME + self.cluster.offset}/v3/{self._project}"

    def act_on_migration(self, uuid: str, migration: int, action: str) -> None:
        """An action on a migration that is under way."""
        self.ask("POST", f"/servers/{uuid}/migrations/{migration}/action", {action: None})

    def server(self, uuid: str) -> dict[str, Any]:
        """A server as the API shows it."""
        return dict(self.ask("GET", f"/servers/{uuid}")["server"])

    def reach(self, uuid: str, status: str, *, on: GuestHost | None = None) -> dict[str, Any]:
        """The server once it is ``status`` without a task, on the host."""
        deadline = time.monotonic() + PATIENCE
        while True:
            seen = self.server(uuid)
            here = on is None or seen["OS-EXT-SRV-ATTR:host"] == on.name
            if seen["status"] == status and seen["OS-EXT-STS:task_state"] is None and here:
                return seen
            assert status == "ERROR" or seen["status"] != "ERROR", (seen.get("fault"), self.tails())
            assert time.monotonic() < deadline, (status, on and on.name, seen, self.tails())
            time.sleep(0.3)

    def until(self, condition: Any, what: str) -> None:
        """Wait for something to become true."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            assert time.monotonic() < deadline, (what, self.tails())
            time.sleep(0.3)

    def console(self, uuid: str) -> str:
        """The console's text."""
        return str(self.act(uuid, "os-getConsoleOutput", {})["output"])

    def says(self, uuid: str, pattern: str, *, times: int = 1) -> str:
        """The console once ``pattern`` is there so often."""
        deadline = time.monotonic() + PATIENCE
        while len(re.findall(pattern, text := self.console(uuid))) < times:
            assert time.monotonic() < deadline, f"{pattern} is not {times} times in:\n{text[-3000:]}"
            time.sleep(0.5)
        return text

    def remove(self, *servers_: str) -> None:
        """Delete servers and wait until nothing of them is left."""
        for uuid in servers_:
            assert self.api.ask("DELETE", f"/servers/{uuid}")[0] in (204, 404)
        for uuid in servers_:
            self.until(lambda uuid=uuid: self.api.ask("GET", f"/servers/{uuid}")[0] == 404, f"{uuid} gone")
        for host in self.hosts:
            for uuid in servers_:
                assert uuid not in host.libvirt.domains()
                assert host.files(uuid) == []

    def host_of(self, uuid: str) -> GuestHost:
        """The host that a server is on."""
        name = self.server(uuid)["OS-EXT-SRV-ATTR:host"]
        return next(host for host in self.hosts if host.name == name)

    def other(self, host: GuestHost) -> GuestHost:
        """The other host."""
        return self.hosts[1] if host is self.hosts[0] else self.hosts[0]

    def migrate_live(self, uuid: str) -> dict[str, Any]:
        """Begin a live migration to the other host; the migration once something was copied."""
        self.act(uuid, "os-migrateLive", {"host": None, "block_migration": "auto"})
        found: list[dict[str, Any]] = []

        def copies() -> bool:
            found[:] = self.ask("GET", f"/servers/{uuid}/migrations")["migrations"]
            assert found or self.server(uuid)["OS-EXT-STS:task_state"], (self.server(uuid), self.tails())
            return any(
                (each["memory_processed_bytes"] or 0) + (each["disk_processed_bytes"] or 0) for each in found
            )

        self.until(copies, "the migration copies")
        return found[0]

    def move_of(self, uuid: str) -> dict[str, Any]:
        """The newest move of a server."""
        return dict(self.ask("GET", f"/os-migrations?instance_uuid={uuid}")["migrations"][0])

    def up(self, host: GuestHost) -> bool:
        """Whether the control side takes the host's compute service for alive."""
        found = self.ask("GET", f"/os-services?binary=nova-compute&host={host.name}")["services"]
        return [each["state"] for each in found] == ["up"]

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(
            f"--- {host.name} {kind}\n{host.log(kind)[-2500:]}"
            for host in self.hosts for kind in ("compute", "network")
        ) + self.cluster.tails()


def _open_way(libvirt: PrivateLibvirt) -> None:
    """Let the plain user come to Python and to the code, in this host's namespace, wherever they lie.

    A directory that is closed to others is covered by an empty one, into which only what is needed is bound.
    """
    needed = {Path(place).resolve() for place in (sys.base_prefix, sys.prefix, ROOT)}
    closed = {
        next(each for each in reversed(path.parents) if not each.stat().st_mode & 0o001)
        for path in needed if any(not each.stat().st_mode & 0o001 for each in path.parents)
    }
    for directory in closed:
        inside = [path for path in needed if path.is_relative_to(directory)]
        lines = ["set -e"]
        for number, path in enumerate(inside):
            lines += [f"mkdir -p {libvirt.root}/way{number}",
                      f"mount --bind '{path}' {libvirt.root}/way{number}"]
        lines.append(f"mount -t tmpfs -o mode=755 way '{directory}'")
        for number, path in enumerate(inside):
            lines += [f"mkdir -p '{path}'", f"mount --bind {libvirt.root}/way{number} '{path}'",
                      f"umount {libvirt.root}/way{number}"]
        libvirt.run("bash", "-c", "\n".join(lines))


def _group(name: str) -> grp.struct_group | None:
    try:
        return grp.getgrnam(name)
    except KeyError:
        return None


def _give(directory: Path) -> None:
    for path in (directory, *directory.rglob("*")):
        os.chown(path, USER, USER)


def _join(*ends: tuple[int | str, str]) -> None:
    """A cable between two namespaces, each by a process in it or by its name."""
    (first, one), (second, other) = ends
    subprocess.run(
        ["ip", "link", "add", one, "netns", str(first), "type", "veth", "peer", "name", other,
         "netns", str(second)], check=True, capture_output=True, timeout=20,
    )


def _wire(control: Namespace, hosts: tuple[GuestHost, GuestHost]) -> None:
    control.ip("link", "add", "mgmt", "type", "bridge")
    control.ip("addr", "add", f"{CONTROL}/24", "dev", "mgmt")
    control.ip("link", "set", "mgmt", "up")
    for number, host in enumerate(hosts, 1):
        _join((control.name, f"to{number}"), (host.libvirt.holder, "mgmt0"))
        control.ip("link", "set", f"to{number}", "master", "mgmt", "up")
        host.libvirt.run("ip", "addr", "add", f"{host.address}/24", "dev", "mgmt0")
        host.libvirt.run("ip", "link", "set", "mgmt0", "up")
    _join((hosts[0].libvirt.holder, "data1"), (hosts[1].libvirt.holder, "data2"))


def _name_guests_apart(cluster: Cluster) -> None:
    """Let the first server have the number ``_FIRST_SERVER``."""
    engine = create_engine(cluster.database_url)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER TABLE instances AUTO_INCREMENT = {_FIRST_SERVER}"))
    engine.dispose()


@contextlib.contextmanager
def running(
    image: Path, *, options: Sequence[str] = (), container: str | None = None
) -> Iterator[GuestCluster]:
    """The whole, until the block ends; the calling thread lives in the control side's network meanwhile.

    ``container`` is the image that nova-compute of the first host runs from.
    """
    directory = Path(tempfile.mkdtemp(prefix="nova-guest-cluster-"))
    directory.chmod(0o755)
    control = Namespace("control")
    hosts = GuestHost(1, directory), GuestHost(2, directory)
    PLACE.mkdir(exist_ok=True)
    PLACE.chmod(0o755)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, directory, ignore_errors=True)
        stack.callback(PLACE.rmdir)
        stack.callback(control.close)
        hosts[0].container = container
        for host in hosts:
            host.home.mkdir()
            stack.callback(host.libvirt.stop)
            host.begin(hosts)
        stack.enter_context(control)
        _wire(control, hosts)
        # Their threads are in this one's network.
        database, broker = at_once(stack, servers.mariadb(), rabbitmq(address=CONTROL))
        cluster = Cluster(
            directory / "control", database.url("nova"), broker, offset=0, computes=0, options=_OPTIONS,
        )
        cluster.hosts = [host.name for host in hosts]
        stack.callback(cluster.stop)
        cluster.start()
        cluster.bootstrap()
        _name_guests_apart(cluster)
        for host in hosts:
            host.configure(broker.url, options)
            key = cluster.directory / "hosts" / "keys" / f"{host.name}.key"
            shutil.copy(key, host.home / "keys")
            _give(host.home)
            stack.callback(host.end)
            host.network.start()
            host.compute.start()
        made = GuestCluster(cluster, hosts)
        made.wait_ready()
        made.begin(image)
        yield made
