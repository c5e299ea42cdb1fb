# SPDX-License-Identifier: Apache-2.0
"""How a compute service asks the network service of its own host for the networks of a guest."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable

from nova import metrics
from nova.errors import ServiceUnavailable
from nova.objects.instance import Vif
from nova.rpc.calls import NETWORK
from nova.rpc.transport import Transport

LOG = logging.getLogger(__name__)


class HostNetworking:
    """The network service of one host, as its compute service sees it."""

    def __init__(self, transport: Transport, host: str) -> None:
        self._transport = transport
        self._host = host

    def prepare(self, vifs: Iterable[Vif]) -> None:
        """Return when the host has the networks of these cards; raises ``NetworkNotReady``.

        Where the host has no network service that answers, what is there has to do: the driver says if a
        bridge is missing.
        """
        networks = sorted({vif.network_id for vif in vifs})
        if not networks:
            return
        began = time.perf_counter()
        try:
            self._transport.call(NETWORK, self._host, "prepare", networks)
        except ServiceUnavailable as error:
            LOG.warning("%s: its network service does not answer: %s", self._host, error.message)
        metrics.NETWORK_READY.observe(time.perf_counter() - began)
