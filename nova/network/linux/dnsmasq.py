# SPDX-License-Identifier: Apache-2.0
"""The dnsmasq of one bridge: its configuration, and the process that is kept alive.

It serves all networks of the bridge, for two processes on one bridge refuse each other's renewals. It is
no child in spirit: it outlives this process, and the next one takes it over by its pid file.
"""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import pwd
import selectors
import signal
import subprocess
import threading
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

from nova.conf.network import NetworkSection
from nova.network.linux.state_files import StateFiles, write
from nova.objects.host_network import HostLease, HostNetwork

LOG = logging.getLogger(__name__)

#: The tag of cards that are told no gateway (``use_single_default_gateway``).
NO_GATEWAY = "no-gateway"
_METADATA = "169.254.169.254/32"
#: A process that lived shorter than this waits before it comes again, each time twice as long.
_STEADY = 5.0
_LONGEST_WAIT = 30.0
#: How long a process may take to end before it is killed.
_END = 5.0


def configuration(
    bridge: str,
    networks: Sequence[HostNetwork],
    section: NetworkSection,
    files: StateFiles,
    script: str,
    *,
    watching: bool = True,
) -> str:
    """The text of dnsmasq's configuration for a bridge; ``script`` is the program told of leases.

    ``watching`` lets it read new files by itself, which takes one of the kernel's inotify instances
    (fs.inotify.max_user_instances); else it has to be told.
    """
    lines = [
        "strict-order", "bind-interfaces", f"interface={bridge}", "except-interface=lo", "no-hosts",
        # It refuses a known guest nothing, and has nothing to say to anybody else on the segment.
        "no-ping", "dhcp-authoritative", "dhcp-ignore=tag:!known",
        f"dhcp-leasefile={files.of_bridge(bridge, 'leases')}", f"dhcp-script={script}",
        f"log-facility={files.of_bridge(bridge, 'log')}",
        f"user={pwd.getpwuid(os.geteuid()).pw_name}",
    ]
    if section.dhcp_domain:
        lines += [f"domain={section.dhcp_domain}", "expand-hosts"]
    size = sum(ipaddress.ip_network(each.cidr).num_addresses for each in networks if each.cidr)
    lines.append(f"dhcp-lease-max={max(size, 150)}")
    servers = list(section.dns_server)
    lines.append(f"{'hostsdir' if watching else 'addn-hosts'}={files.names}")
    for network in networks:
        if section.use_network_dns_servers:
            servers += network.dns
        lines += _network_lines(network, section, files, watching=watching)
    if not watching and not servers:
        # It would watch this file too.
        servers = name_servers()
        lines.append("no-resolv")
    if servers:
        lines.append("no-resolv")
        lines += [f"server={each}" for each in dict.fromkeys(servers)]
    if option_lines(networks):
        lines.append(f"dhcp-optsfile={files.of_bridge(bridge, 'options')}")
    if section.dnsmasq_config_file:
        lines.append(f"conf-file={section.dnsmasq_config_file}")
    return "\n".join(lines) + "\n"


def port_tag(lease: HostLease) -> str:
    """The tag of a card that has DHCP options of its own."""
    return f"port-{lease.vif_id[:11]}"


def option_lines(networks: Iterable[HostNetwork]) -> list[str]:
    """The options that single ports ask for, each for its tag alone (dhcp-optsfile, dnsmasq(8)).

    dnsmasq passes over a line that it does not understand, and says so in its log.
    """
    return [
        f"tag:{port_tag(lease)},{name if name.isdigit() else f'option:{name}'},{value}"
        for network in networks for lease in network.leases for name, value in lease.options
    ]


def name_servers(path: Path = Path("/etc/resolv.conf")) -> list[str]:
    """The servers that this host asks."""
    try:
        words = [line.split() for line in path.read_text().splitlines()]
    except OSError:
        return []
    return [each[1] for each in words if len(each) > 1 and each[0] == "nameserver"]


def _network_lines(
    network: HostNetwork, section: NetworkSection, files: StateFiles, *, watching: bool
) -> list[str]:
    lines = []
    hosts, names = ("dhcp-hostsdir", "hostsdir") if watching else ("dhcp-hostsfile", "addn-hosts")
    tag = network.uuid
    if network.cidr and network.enable_dhcp and network.host_address:
        subnet = ipaddress.ip_network(network.cidr)
        lines += [
            f"dhcp-range=set:{tag},{network.dhcp_start or subnet[2]},static,{subnet.netmask},"
            f"{section.dhcp_lease_time}s",
            f"{hosts}={files.of_network(network, 'hosts')}",
            f"{names}={files.of_network(network, 'names')}",
            f"dhcp-option=tag:{tag},tag:!{NO_GATEWAY},option:router"
            + (f",{network.gateway}" if network.gateway else ""),
            f"dhcp-option=tag:{tag},tag:{NO_GATEWAY},option:router",
            *_routes(network),
        ]
        if network.mtu:
            lines.append(f"dhcp-option=tag:{tag},option:mtu,{network.mtu}")
    if network.cidr_v6 and network.gateway_v6 and section.use_ipv6:
        subnet6 = ipaddress.ip_network(network.cidr_v6)
        lines += ["enable-ra", f"dhcp-range=set:{tag},{subnet6.network_address},ra-only,{subnet6.prefixlen}"]
    return lines


def _routes(network: HostNetwork) -> list[str]:
    """Option 121 (RFC 3442) for networks with routes of their own, and for those without a router, whose
    guests find the metadata at this host. A client that reads it passes over the router of option 3, so that
    has to be in it.
    """
    if network.gateway is not None and not network.routes:
        return []
    told = list(network.routes)
    if network.gateway is None and all(range_ != _METADATA for range_, _hop in told):
        told.append((_METADATA, network.host_address or ""))
    lines = []
    for tag, router in ((f"!{NO_GATEWAY}", network.gateway), (NO_GATEWAY, None)):
        routes = [*told, ("0.0.0.0/0", router)] if router is not None else told
        words = ",".join(f"{range_},{hop}" for range_, hop in routes)
        if words:
            lines.append(f"dhcp-option=tag:{network.uuid},tag:{tag},option:classless-static-route,{words}")
    return lines


def serves_anything(network: HostNetwork, *, ipv6: bool) -> bool:
    """Whether a network needs a dnsmasq on this host."""
    dhcp = bool(network.cidr and network.enable_dhcp and network.host_address)
    announced = ipv6 and network.cidr_v6 is not None and network.gateway_v6 is not None
    return network.serves and (dhcp or announced)


class Dnsmasq:
    """The process of one bridge. All methods but ``alive`` are called with the keeper's lock held."""

    def __init__(self, bridge: str, files: StateFiles, environment: dict[str, str]) -> None:
        self.bridge = bridge
        self._environment = environment
        self._conf = files.of_bridge(bridge, "conf")
        self._pid_file = files.of_bridge(bridge, "pid")
        self._log = files.of_bridge(bridge, "log")
        self.pidfd: int | None = None
        self.pid: int | None = None
        self.started_at = 0.0
        self.failures = 0

    @property
    def alive(self) -> bool:
        """Whether there is a process that is not known to have ended."""
        return self.pidfd is not None

    def adopt(self) -> bool:
        """Take over the process that an earlier service left; false where there is none."""
        try:
            pid = int(self._pid_file.read_text())
            pidfd = os.pidfd_open(pid)
        except (OSError, ValueError):
            return False
        with contextlib.suppress(OSError):
            # Looked at after it was opened: the number may have gone to somebody else before.
            if f"--conf-file={self._conf}".encode() in Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0"):
                self.pid, self.pidfd, self.started_at = pid, pidfd, time.monotonic()
                return True
        os.close(pidfd)
        return False

    def start(self) -> None:
        """Begin; what it says before it can log goes to the log file too."""
        with self._log.open("ab") as log:
            process = subprocess.Popen(  # noqa: S603
                ["dnsmasq", "--keep-in-foreground", f"--conf-file={self._conf}",  # noqa: S607
                 f"--pid-file={self._pid_file}"],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
                env={**os.environ, **self._environment},
            )
        self.pid, self.started_at = process.pid, time.monotonic()
        self.pidfd = os.pidfd_open(process.pid)
        # The keeper's loop takes its end from the descriptor; nothing else waits for it.
        process.returncode = 0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal; to a process that ended it is no error."""
        if self.pidfd is not None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self.pidfd, number)

    def ended(self) -> None:
        """Note that the process is gone."""
        if self.pidfd is None:
            return
        with contextlib.suppress(ChildProcessError):
            os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED | os.WNOHANG)
        os.close(self.pidfd)
        self.pidfd = self.pid = None

    def end(self) -> None:
        """End the process and wait until it is gone."""
        if self.pidfd is None:
            return
        self.signal(signal.SIGTERM)
        with selectors.DefaultSelector() as selector:
            selector.register(self.pidfd, selectors.EVENT_READ)
            if not selector.select(_END):
                self.signal(signal.SIGKILL)
                selector.select(_END)
        self.ended()
        with contextlib.suppress(FileNotFoundError):
            self._pid_file.unlink()

    def pause(self) -> float:
        """How long to wait before the next start of a process that ended by itself, seconds."""
        if time.monotonic() - self.started_at >= _STEADY:
            self.failures = 0
            return 0.0
        self.failures += 1
        return min(_LONGEST_WAIT, 0.1 * float(2**self.failures))


class DnsmasqKeeper:
    """Keeps the processes of all bridges alive. One thread waits for any of them to end."""

    def __init__(self, files: StateFiles, environment: dict[str, str]) -> None:
        self._files = files
        self._environment = environment
        self._processes: dict[str, Dnsmasq] = {}
        self._due: dict[str, float] = {}
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._selector.register(self._wake_read, selectors.EVENT_READ, None)
        self._stopping = False
        self._thread = threading.Thread(target=self._watch, name="dnsmasq-keeper", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no longer; the processes serve on."""
        self._stopping = True
        self._wake()
        self._thread.join(10)
        for process in self._processes.values():
            if process.pidfd is not None:
                os.close(process.pidfd)
                process.pidfd = None
        self._selector.close()
        os.close(self._wake_read)
        os.close(self._wake_write)

    def pids(self) -> dict[str, int]:
        """The process of each bridge."""
        with self._lock:
            return {name: each.pid for name, each in self._processes.items() if each.pid is not None}

    def ensure(self, bridge: str, text: str, networks: str) -> bool:
        """Let the bridge's process run with this configuration; answers whether it was (re)started.

        A process that an earlier service left is taken over where its configuration is the same.
        """
        with self._lock:
            changed = write(self._files.of_bridge(bridge, "conf"), text.encode())
            process = self._processes.get(bridge)
            if process is None:
                process = Dnsmasq(bridge, self._files, {**self._environment, "NETWORK_ID": networks})
                self._processes[bridge] = process
                if process.adopt():
                    self._register(process)
            if process.alive and not changed:
                return False
            if process.alive:
                self._unregister(process)
                process.end()
            self._begin(process)
            return True

    def reread(self, bridge: str) -> None:
        """Let the bridge's process read all its hosts anew."""
        with self._lock:
            if bridge in self._processes:
                self._processes[bridge].signal(signal.SIGHUP)

    def end(self, bridge: str) -> None:
        """End the bridge's process, also one that an earlier service left."""
        with self._lock:
            self._due.pop(bridge, None)
            process = self._processes.pop(bridge, None) or Dnsmasq(bridge, self._files, {})
            if process.alive:
                self._unregister(process)
            elif not process.adopt():
                return
            process.end()

    # --- watching; the lock is held in all of these but the loop ----------------------------------

    def _begin(self, process: Dnsmasq) -> None:
        self._due.pop(process.bridge, None)
        process.start()
        self._register(process)

    def _register(self, process: Dnsmasq) -> None:
        assert process.pidfd is not None
        self._selector.register(process.pidfd, selectors.EVENT_READ, process)
        self._wake()

    def _unregister(self, process: Dnsmasq) -> None:
        assert process.pidfd is not None
        with contextlib.suppress(KeyError):
            self._selector.unregister(process.pidfd)

    def _wake(self) -> None:
        with contextlib.suppress(BlockingIOError):
            os.write(self._wake_write, b".")

    def _watch(self) -> None:
        while not self._stopping:
            with self._lock:
                soonest = min(self._due.values(), default=None)
            wait = None if soonest is None else max(0.0, soonest - time.monotonic())
            for key, _events in self._selector.select(wait):
                if key.data is None:
                    with contextlib.suppress(BlockingIOError):
                        os.read(self._wake_read, 4096)
                    continue
                with self._lock:
                    self._ended(key.fd, key.data)
            with self._lock:
                for bridge in [name for name, due in self._due.items() if due <= time.monotonic()]:
                    self._again(bridge)

    def _ended(self, descriptor: int, process: Dnsmasq) -> None:
        current = self._processes.get(process.bridge)
        if self._stopping or process.pidfd != descriptor or current is not process:
            return
        self._unregister(process)
        process.ended()
        pause = process.pause()
        LOG.warning("dnsmasq of %s ended; it comes again%s (%s says why)", process.bridge,
                    f" in {pause:.1f} s" if pause else "", self._files.of_bridge(process.bridge, "log"))
        self._due[process.bridge] = time.monotonic() + pause

    def _again(self, bridge: str) -> None:
        del self._due[bridge]
        process = self._processes.get(bridge)
        if process is None or process.alive:
            return
        try:
            self._begin(process)
        except OSError as error:
            LOG.error("dnsmasq of %s does not start: %s", bridge, error)
            self._due[bridge] = time.monotonic() + process.pause()
