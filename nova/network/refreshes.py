# SPDX-License-Identifier: Apache-2.0
"""Tells the network services of hosts, once a change is committed, that there is something to look at.

Only the hosts that a change concerns are told. A message may be lost: every host looks at everything anew
every so often. Where no host has a network service nothing is asked and nothing is sent.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from nova.rpc.calls import NETWORK
from nova.rpc.transport import Transport

if TYPE_CHECKING:
    from nova.db.engine import Transaction

#: How long it is remembered which hosts have a network service, seconds.
_LIFETIME = 10.0


class NetworkRefreshes:
    """One for a process of the control side; safe for any number of threads."""

    def __init__(
        self,
        transport: Transport,
        clock: Callable[[], float] = time.monotonic,
        *,
        names_everywhere: bool = False,
    ) -> None:
        """With ``names_everywhere`` every host of a network knows the names of all its guests
        (``update_dns_entries``), and is told when they change.
        """
        self._transport = transport
        self._clock = clock
        self._names_everywhere = names_everywhere
        self._lock = threading.Lock()
        self._known: tuple[float, frozenset[str], frozenset[str]] | None = None

    def of_instances(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        """The networks of these instances are to be looked at: where they are, and where they are served.

        To be called while the instances have their addresses.
        """
        hosts, _serving = self._services(tx)
        if not hosts or not instance_uuids:
            return
        wanted: dict[str, set[str]] = {}
        concerned = tx.host_networks.servers_of(instance_uuids)
        if self._names_everywhere:
            concerned |= tx.host_networks.neighbours_of(instance_uuids)
        for host, network_uuid in concerned:
            if host in hosts:
                wanted.setdefault(host, set()).add(network_uuid)
        for host, uuids in wanted.items():
            self.tell(tx, host, "networks", uuids)

    def of_networks(self, tx: Transaction, network_uuids: Sequence[str]) -> None:
        """Networks, by the uuids of their rows, changed for their guests: wherever these are, and where they
        are served.
        """
        hosts, _serving = self._services(tx)
        if not hosts:
            return
        wanted: dict[str, set[str]] = {}
        for host, network_uuid in tx.host_networks.carriers_of(network_uuids):
            if host in hosts:
                wanted.setdefault(host, set()).add(network_uuid)
        for host, uuids in wanted.items():
            self.tell(tx, host, "networks", uuids)

    def of_guest_on(self, tx: Transaction, instance_uuid: str, host: str) -> None:
        """A guest leaves a host: its networks there are to be looked at."""
        hosts, _serving = self._services(tx)
        if host in hosts:
            networks = {uuid for _host, uuid in tx.host_networks.servers_of([instance_uuid], host)}
            if networks:
                self.tell(tx, host, "networks", networks)

    def of_servers_elsewhere(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        """The same for new instances, whose own hosts look at their networks without being told.

        Only networks that one host serves for all others are of interest then, and names that are known
        on all hosts.
        """
        hosts, serving = self._services(tx)
        if serving or (hosts and self._names_everywhere):
            self.of_instances(tx, instance_uuids)

    def listening(self, tx: Transaction) -> frozenset[str]:
        """The hosts that have a network service."""
        return self._services(tx)[0]

    def networks_changed(self) -> None:
        """Networks were made, changed or deleted: those that serve them for others look anew.

        This process may not know who they are; then their next regular look has to do.
        """
        known = self._known
        for host in known[2] if known is not None else ():
            self.send(host, "networks", ())

    def tell(self, tx: Transaction, host: str, kind: str, ids: Iterable[str]) -> None:
        """Send one host something to look at, once committed."""
        named = sorted(ids)
        tx.after_commit(lambda: self.send(host, kind, named))

    def send(self, host: str, kind: str, ids: Sequence[str]) -> None:
        """Send one host something to look at now."""
        self._transport.cast(NETWORK, host, "refresh", kind, list(ids))

    def _services(self, tx: Transaction) -> tuple[frozenset[str], frozenset[str]]:
        """The hosts with a network service, and those of them that serve networks for others."""
        known = self._known
        if known is not None and self._clock() - known[0] < _LIFETIME:
            return known[1:]
        hosts = frozenset(each.host for each in tx.services.list("nova-network"))
        serving = frozenset(tx.host_networks.serving_hosts()) & hosts if hosts else frozenset()
        with self._lock:
            self._known = (self._clock(), hosts, serving)
        return hosts, serving
