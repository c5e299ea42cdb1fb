# SPDX-License-Identifier: Apache-2.0
"""DHCP and DNS for a host's guests: one dnsmasq a bridge, one file a guest.

A new guest is a new file, which dnsmasq reads by itself. It cannot forget one by itself: what a deleted
guest had stays in its memory, which does no harm until the address or the MAC comes again. Only then is
it told to read everything anew; when the set of networks changes it is started again.
"""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import shutil
import sys
import threading
import time
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path

from nova.conf.network import NetworkSection
from nova.errors import NetworkNotReady, NovaError
from nova.network.linux.dnsmasq import (
    NO_GATEWAY,
    DnsmasqKeeper,
    configuration,
    option_lines,
    port_tag,
    serves_anything,
)
from nova.network.linux.lease_events import lease_answer
from nova.network.linux.line_socket import LineSocket
from nova.network.linux.release import release
from nova.network.linux.state_files import StateFiles, write
from nova.objects.host_network import HostLease, HostNetwork, HostNetworkState, LeaseEvent

LOG = logging.getLogger(__name__)

#: Kind of refresh that concerns it.
NAMES = "names"

#: dnsmasq takes host names of up to so many characters (and of a label, RFC 1035).
_LONGEST_NAME = 63


def host_line(lease: HostLease, section: NetworkSection) -> str:
    """A guest's address as dnsmasq reads it (dhcp-host, dnsmasq(8))."""
    tag = f"set:{NO_GATEWAY}," if section.use_single_default_gateway and not lease.first else ""
    if lease.options:
        tag += f"set:{port_tag(lease)},"
    return f"{lease.mac},{tag}{host_name(lease, section)},{lease.address}"


def host_name(lease: HostLease, section: NetworkSection) -> str:
    """A guest's name with the domain; one that is too long keeps its ends."""
    name = lease.hostname
    if len(name) > _LONGEST_NAME:
        name = f"{name[:2]}-{name[-60:]}"
    return f"{name}.{section.dhcp_domain}" if section.dhcp_domain else name


def lease_lines(networks: Iterable[HostNetwork], section: NetworkSection, moment: float) -> str:
    """Guests' leases as dnsmasq's lease file has them: end, MAC, address, name, client id."""
    end = int(moment) + section.dhcp_lease_time
    return "".join(
        f"{end} {lease.mac} {lease.address} {lease.hostname or '*'} *\n"
        for network in networks for lease in network.leases
    )


def inotify_limit(path: Path = Path("/proc/sys/fs/inotify/max_user_instances")) -> int:
    """How many processes of one user may watch files."""
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return 128


class Dhcp:
    """The part that serves DHCP and DNS."""

    def __init__(
        self,
        section: NetworkSection,
        files: StateFiles,
        tell: Callable[[LeaseEvent], object],
        names: Callable[[], Iterable[tuple[str, str]]],
    ) -> None:
        """``tell`` carries a change of a lease to the conductor; ``names`` asks it for the names of DNS
        domains, as (address, full name).
        """
        self._section = section
        self._files = files
        self._tell = tell
        self._names = names
        self._socket = LineSocket(
            files.socket, lambda words: lease_answer(words, self.seen, self._leases)
        )
        self._keeper = DnsmasqKeeper(
            files, {
                "NOVA_DHCPBRIDGE_SOCKET": str(files.socket),
                "CONFIG_FILE": str(list(section.dhcpbridge_flagfile)).replace("'", '"'),
            },
        )
        #: By network: address -> the line that its file holds.
        self._hosts: dict[str, dict[str, str]] = {}
        self._served: dict[str, HostNetwork] = {}
        #: By bridge: addresses and MACs that dnsmasq may still remember. None: it may be any.
        self._forgotten: dict[str, set[str] | None] = {}
        self._bridges: set[str] = set()
        #: By bridge: whether its dnsmasq watches its files. Half of the kernel's limit is left to others.
        self._watching: dict[str, bool] = {}
        self._most_watching = inotify_limit() // 2
        self._leased: set[tuple[str, str]] = set()
        #: Leases that began while nobody listened, perhaps.
        self._untold: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    @property
    def pids(self) -> dict[str, int]:
        """The dnsmasq of each bridge."""
        return self._keeper.pids()

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Listen for leases; what serves already is taken over with the first state."""
        self._files.prepare()
        self._files.names.mkdir(exist_ok=True)
        if shutil.which("dnsmasq") is None:
            raise NetworkNotReady("dnsmasq is not installed: guests' DHCP needs it.")
        self._socket.start()
        self._keeper.start()
        for network in self._files.networks():
            if network.serves:
                self._served[network.uuid] = network
                self._bridges.add(network.bridge)
        for bridge in self._bridges:
            for mac, address in self._on_file(bridge):
                self._leased.add((mac, address))
                self._untold.append((mac, address))

    def stop(self) -> None:
        """Stop watching; dnsmasq serves on."""
        self._keeper.stop()
        self._socket.stop()

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        """Read the names of DNS domains anew."""
        if kind == NAMES:
            self._write_domains(self._names())

    # --- the state -------------------------------------------------------------------------------

    def apply(self, state: HostNetworkState, changed: Collection[str]) -> dict[str, str]:
        """Serve the networks of a state; only bridges with a changed network are looked at.

        Returns what is wrong with which network.
        """
        if state.names is not None:
            try:
                self._write_domains(state.names)
            except OSError as error:
                # Guests need their leases all the same; the next whole look tries again.
                LOG.warning("names of DNS domains could not be written: %s", error)
        wanted = {
            each.uuid: each for each in state.networks
            if serves_anything(each, ipv6=self._section.use_ipv6)
        }
        touched = {
            network.bridge for uuid in changed
            for network in (wanted.get(uuid), self._served.get(uuid)) if network is not None
        }
        groups: dict[str, list[HostNetwork]] = {bridge: [] for bridge in touched}
        for network in wanted.values():
            if network.bridge in groups:
                groups[network.bridge].append(network)
        problems: dict[str, str] = {}
        before = self._served
        with self._lock:
            self._served = wanted
        for bridge, networks in groups.items():
            gone = [
                each for each in before.values()
                if each.bridge == bridge and wanted.get(each.uuid) not in networks
            ]
            try:
                if networks:
                    self._serve(bridge, sorted(networks, key=lambda each: each.uuid), gone)
                else:
                    self._end(bridge, gone)
            except OSError as error:
                problem = f"DHCP on {bridge} could not be set up: {error}"
                problems |= dict.fromkeys((each.uuid for each in networks), problem)
        self._tell_untold()
        return problems

    def _serve(
        self, bridge: str, networks: Sequence[HostNetwork], gone: Sequence[HostNetwork]
    ) -> None:
        forgotten = self._forgotten.setdefault(bridge, None if bridge in self._bridges else set())
        self._bridges.add(bridge)
        again = touched = False
        released: list[tuple[str, list[tuple[str, str]]]] = []
        for network in networks:
            added, dropped = self._write_hosts(network)
            touched = touched or bool(added or dropped)
            again = again or bool(
                added and (forgotten is None or not forgotten.isdisjoint(added))
            ) or not added.isdisjoint({each for pair in dropped for each in pair})
            if dropped and forgotten is not None:
                forgotten.update(each for pair in dropped for each in pair)
            held = {(each.mac, each.address) for each in network.leases}
            left = [pair for pair in dropped if pair not in held]
            if left and network.host_address:
                # One that only has another name keeps its lease.
                released.append((network.host_address, left))
            self._write_names(network)
        for network in gone:
            self._remove_files(network)
        watching = self._watches(bridge)
        text = configuration(
            bridge, networks, self._section, self._files, self._program(), watching=watching
        )
        # Before a new start: what was served before knows these leases.
        self._release(released)
        options = self._write_options(bridge, networks)
        names = ",".join(each.uuid for each in networks)
        if self._keeper.ensure(bridge, text, names):
            self._forgotten[bridge] = set()
        elif again or options or (touched and not watching):
            self._keeper.reread(bridge)
            self._forgotten[bridge] = set()

    def _write_options(self, bridge: str, networks: Sequence[HostNetwork]) -> bool:
        """Bring the file of ports' own options up to date; answers whether it changed."""
        lines = option_lines(networks)
        path = self._files.of_bridge(bridge, "options")
        if not lines and not path.exists():
            return False
        return write(path, "".join(f"{each}\n" for each in lines).encode())

    def _write_hosts(self, network: HostNetwork) -> tuple[set[str], list[tuple[str, str]]]:
        """Bring a network's files up to date.

        Returns the addresses and MACs that came or changed, and the pairs (MAC, address) that went.
        """
        directory = self._files.of_network(network, "hosts")
        present = self._hosts.get(network.uuid)
        if present is None:
            directory.mkdir(exist_ok=True)
            present = {path.name: path.read_text().strip() for path in directory.iterdir()
                       if not path.name.startswith(".")}
        wanted = {each.address: host_line(each, self._section) for each in network.leases}
        added: set[str] = set()
        dropped = []
        for address, line in present.items():
            if wanted.get(address) != line:
                dropped.append((line.partition(",")[0], address))
                if address not in wanted:
                    with contextlib.suppress(FileNotFoundError):
                        (directory / address).unlink()
        for address, line in wanted.items():
            if present.get(address) != line:
                write(directory / address, f"{line}\n".encode())
                added |= {address, line.partition(",")[0]}
        self._hosts[network.uuid] = wanted
        return added, dropped

    def _write_names(self, network: HostNetwork) -> None:
        directory = self._files.of_network(network, "names")
        directory.mkdir(exist_ok=True)
        lines = [f"{each.address}\t{host_name(each, self._section)}" for each in network.leases]
        known = {each.address for each in network.leases}
        domain = f".{self._section.dhcp_domain}" if self._section.dhcp_domain else ""
        lines += [
            f"{address}\t{name}{domain}" for address, name in network.neighbours if address not in known
        ]
        write(directory / "hosts", "".join(f"{line}\n" for line in lines).encode())

    def _write_domains(self, names: Iterable[tuple[str, str]]) -> None:
        """Bring the names of DNS domains up to date, for the processes of all bridges.

        Those that watch read new names by themselves; what is gone they forget when they are told.
        """
        path = self._files.names / "hosts"
        before = set(path.read_text().splitlines()) if path.exists() else set()
        lines = [f"{address}\t{name}" for address, name in names]
        if not write(path, "".join(f"{line}\n" for line in lines).encode()):
            return
        gone = not before.issubset(lines)
        for bridge in self._bridges:
            if gone or not self._watches(bridge):
                self._keeper.reread(bridge)

    def _release(self, released: Iterable[tuple[str, list[tuple[str, str]]]]) -> None:
        """Give the leases of guests that are gone back, so that they do not run on."""
        for server, pairs in released:
            with self._lock:
                held = [pair for pair in pairs if pair in self._leased]
            if not held or not self._section.force_dhcp_release:
                continue
            try:
                release(server, held)
            except OSError as error:
                LOG.warning("leases of %s could not be released: %s", server, error)
            with self._lock:
                self._leased.difference_update(held)

    def _end(self, bridge: str, gone: Sequence[HostNetwork]) -> None:
        self._keeper.end(bridge)
        self._bridges.discard(bridge)
        self._forgotten.pop(bridge, None)
        self._watching.pop(bridge, None)
        for network in gone:
            self._remove_files(network)
        for kind in ("conf", "pid", "leases", "log", "options"):
            with contextlib.suppress(FileNotFoundError):
                self._files.of_bridge(bridge, kind).unlink()

    def _remove_files(self, network: HostNetwork) -> None:
        self._hosts.pop(network.uuid, None)
        for kind in ("hosts", "names"):
            shutil.rmtree(self._files.of_network(network, kind), ignore_errors=True)

    def _watches(self, bridge: str) -> bool:
        """Whether the bridge's dnsmasq watches its files: as many do as the kernel lets, the others are told.
        """
        if bridge not in self._watching:
            try:
                conf = self._files.of_bridge(bridge, "conf").read_text()
                watching = "dhcp-hostsdir=" in conf
            except OSError:
                watching = sum(self._watching.values()) < self._most_watching
                if not watching and not any(not each for each in self._watching.values()):
                    LOG.warning(
                        "more than %d bridges: the dnsmasq of the others reads all its hosts at each change; "
                        "raise fs.inotify.max_user_instances to avoid that", self._most_watching,
                    )
            self._watching[bridge] = watching
        return self._watching[bridge]

    def _program(self) -> str:
        """What dnsmasq runs: as configured, the command installed beside Python, or else one written here."""
        if self._section.dhcpbridge:
            return self._section.dhcpbridge
        installed = Path(sys.executable).with_name("nova-dhcpbridge")
        if os.access(installed, os.X_OK):
            return str(installed)
        written = self._files.directory / "nova-dhcpbridge"
        text = f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m nova.cmd.dhcpbridge "$@"\n'
        if write(written, text.encode()):
            written.chmod(0o755)
        return str(written)

    def _tell_untold(self) -> None:
        untold, self._untold = self._untold, []
        known = {address for lines in self._hosts.values() for address in lines}
        for mac, address in untold:
            if address in known:
                self._tell(LeaseEvent("old", mac, address))

    # --- leases; on the threads of the socket ------------------------------------------------------

    def seen(self, event: LeaseEvent) -> None:
        """DHCP says something of a lease; the conductor hears of what it does not know yet."""
        pair = (event.mac, event.address)
        with self._lock:
            known = pair in self._leased
            if event.kind == "del":
                self._leased.discard(pair)
            else:
                self._leased.add(pair)
            ours = any(event.address in lines for lines in self._hosts.values())
        if ours and known != (event.kind != "del"):
            try:
                self._tell(event)
            except NovaError as error:
                LOG.warning("lease %s of %s is not told: %s", event.address, event.mac, error.message)

    def _leases(self, device: str | None) -> str:
        with self._lock:
            networks = [each for each in self._served.values() if device in (None, each.bridge)]
        return lease_lines(networks, self._section, time.time())

    def _on_file(self, bridge: str) -> list[tuple[str, str]]:
        """The leases that dnsmasq wrote down: (MAC, address)."""
        try:
            lines = self._files.of_bridge(bridge, "leases").read_text().splitlines()
        except OSError:
            return []
        words = [line.split() for line in lines]
        return [(each[1].lower(), each[2]) for each in words if len(each) >= 5]
