# SPDX-License-Identifier: Apache-2.0
"""Keeps a host's security groups as they are to be.

The rules stay in the kernel when the service ends, and are found there when it starts again. A device is in
the map before its guest starts, as the map holds names, so that no packet comes to a guest unfiltered.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Collection
from pathlib import Path
from typing import Protocol

from nova.network.linux import rules
from nova.network.linux.nftables import Nftables
from nova.objects.host_filters import HostFilters
from nova.objects.host_network import HostNetworkState

LOG = logging.getLogger(__name__)

#: Kind of ``refresh`` that this part knows.
KIND = "filters"

_BRIDGE_SETTINGS = Path("/proc/sys/net/bridge")
#: What of a bridge's traffic connection tracking sees.
_SEEN = ("bridge-nf-call-iptables", "bridge-nf-call-ip6tables", "bridge-nf-filter-vlan-tagged")


class FiltersSource(Protocol):
    """Where the wanted state comes from: the conductor."""

    def filters(self) -> HostFilters:
        """All filters and floating addresses of this host."""
        ...


class Firewall:
    """Filters what comes to guests."""

    def __init__(self, nftables: Nftables | None = None) -> None:
        self._nftables = nftables or Nftables()
        self._wanted = rules.tables(HostFilters())

    def start(self) -> None:
        """Let connection tracking see what crosses bridges."""
        self._let_tracking_see()

    def apply(self, state: HostNetworkState, changed: Collection[str]) -> None:
        """Bring the rules up to date; see whether somebody took the tables away."""
        if state.filters is None:
            return
        if changed:
            self._let_tracking_see()
            self._nftables.check(self._wanted)
        self.set(state.filters)

    def stop(self) -> None:
        """The rules stay."""

    def set(self, filters: HostFilters) -> int:
        """Make the rules these; returns how many commands the change took.

        Raises ``FilterError`` where the kernel refuses; what was there holds then.
        """
        began = time.perf_counter()
        self._wanted = rules.tables(filters)
        commands = self._nftables.apply(self._wanted)
        if commands:
            LOG.info(
                "security groups: %d commands for %d ports in %.1f ms", commands, len(filters.ports),
                (time.perf_counter() - began) * 1e3,
            )
        return commands

    def remove(self) -> None:
        """Take all rules away, as when a host leaves the cloud."""
        self._nftables.remove(self._wanted)

    def _let_tracking_see(self) -> None:
        for name in _SEEN:
            setting = _BRIDGE_SETTINGS / name
            try:
                if setting.read_text().strip() != "1":
                    setting.write_text("1")
            except FileNotFoundError:
                LOG.error(
                    "%s is missing: load the kernel module br_netfilter, else answers to guests are "
                    "held back by their security groups", setting,
                )
                return
            except OSError as error:
                LOG.error("%s could not be set to 1: %s", setting, error)
                return
