# SPDX-License-Identifier: Apache-2.0
"""Filters and floating addresses as one part of the host's network: they are told and read together."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence

from nova.network.linux.firewall import KIND, FiltersSource, Firewall
from nova.network.linux.floating import FloatingAddresses
from nova.objects.host_network import HostNetworkState

LOG = logging.getLogger(__name__)


class Filtering:
    """Filters first, then floating addresses, which lead to what is filtered."""

    def __init__(
        self, source: FiltersSource, firewall: Firewall, floating: FloatingAddresses
    ) -> None:
        self._source = source
        self._firewall = firewall
        self._floating = floating

    def start(self) -> None:
        """Get ready; nothing is let through or held back otherwise than before."""
        self._firewall.start()
        self._floating.start()

    def apply(self, state: HostNetworkState, changed: Collection[str]) -> None:
        """Bring both up to date.

        Raises ``FilterError``: a guest that waits for its network is not started without its filters.
        """
        self._firewall.apply(state, changed)
        self._floating.apply(state, changed)

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        """Read filters and floating addresses anew, once for both."""
        if kind != KIND:
            return
        filters = self._source.filters()
        self._firewall.set(filters)
        self._floating.refresh_with(filters)

    def stop(self) -> None:
        """Everything stays and serves."""
        self._firewall.stop()
        self._floating.stop()
