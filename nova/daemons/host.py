# SPDX-License-Identifier: Apache-2.0
"""The units of hosts: compute (a real host, or the simulated ones of this process) and network."""

from __future__ import annotations

import logging
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from nova.compute.manager import ComputeManager
from nova.conf.default import DefaultSection
from nova.errors import ServiceUnavailable
from nova.network.host_manager import HostNetworkManager
from nova.rpc.calls import COMPUTE
from nova.rpc.transport import Transport
from nova.service import PeriodicTask

LOG = logging.getLogger(__name__)

_PAUSE = 2.0
_AT_ONCE = 8


class ComputeUnit:
    """Compute services with their reports."""

    def __init__(
        self,
        managers: Sequence[ComputeManager],
        section: DefaultSection,
        ending: threading.Event | None = None,
        transport: Transport | None = None,
    ) -> None:
        """With a ``transport`` the hosts' steps come over it, from when each has started."""
        self._transport = transport
        self._managers = managers
        self._section = section
        self._ending = ending or threading.Event()

    def start(self) -> None:
        """Start the hosts; each waits for a conductor that answers and for its hypervisor.

        In one process with the conductor nothing is waited for, and hosts come into being in their order.
        """
        if self._transport is None or len(self._managers) == 1:
            for manager in self._managers:
                self._start(manager)
            return
        with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="start") as pool:
            for _ in pool.map(self._start, self._managers):
                pass

    def _start(self, manager: ComputeManager) -> None:
        while not self._ending.is_set():
            try:
                manager.find_conductor()
                manager.start(partial(self._serve, manager))
                return
            except ServiceUnavailable as error:
                LOG.warning("host %s waits: %s", manager.name, error.message)
                self._ending.wait(_PAUSE)

    def _serve(self, manager: ComputeManager) -> None:
        if self._transport is not None:
            self._transport.serve(COMPUTE, manager.name, manager)

    def tasks(self) -> Sequence[PeriodicTask]:
        """Reports, and comparisons of guests."""
        section = self._section
        reports = [
            PeriodicTask(f"report-{each.name}", section.report_interval, each.report)
            for each in self._managers
        ]
        guests = [
            PeriodicTask(
                f"guests-{each.name}", section.sync_power_state_interval, partial(each.sync_guests)
            )
            for each in self._managers
        ]
        return [*reports, *guests]

    def give_up(self) -> None:
        """Insist no more on reports that nobody takes: what they tell is taken up again."""
        self._ending.set()
        for manager in self._managers:
            manager.give_up()

    def stop(self) -> None:
        """Let go of the hypervisors; guests go on."""
        self._ending.set()
        for manager in self._managers:
            manager.stop()


class NetworkUnit:
    """The network service of a host."""

    def __init__(self, manager: HostNetworkManager, report_interval: float) -> None:
        self._manager = manager
        self._interval = report_interval

    def start(self) -> None:
        """Begin; without a conductor what is there goes on serving, and the look comes later."""
        self._manager.start()
        self._report()

    def tasks(self) -> Sequence[PeriodicTask]:
        """Reports."""
        return [PeriodicTask("network-report", self._interval, self._report)]

    def stop(self) -> None:
        """Let go; what serves guests stays."""
        self._manager.stop()

    def _report(self) -> None:
        try:
            self._manager.report()
        except ServiceUnavailable as error:
            LOG.warning("host %s: %s", self._manager.name, error.message)
