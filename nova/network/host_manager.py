# SPDX-License-Identifier: Apache-2.0
"""The network service of one host: learns from the conductor what the network is to be, and makes it so.

One thread does all the work. What others ask for (a refresh, a network that a guest is about to need) is
collected while it is busy and fetched in one question, so that a hundred guests that boot at once cost a
few. Parts (bridges, DHCP, filters, floating addresses) get the whole wanted state each time and change
only what differs from what is there.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Mapping, Sequence, Set
from typing import Any, Protocol

import msgspec

from nova.errors import NetworkNotReady, NovaError, ServiceUnavailable
from nova.network.linux.line_socket import LineSocket
from nova.network.linux.state_files import StateFiles
from nova.objects.host_filters import HostFilters
from nova.objects.host_network import HostNetwork, HostNetworkState, LeaseEvent
from nova.objects.network import Segment
from nova.rpc.calls import CONDUCTOR
from nova.rpc.transport import Transport

LOG = logging.getLogger(__name__)

#: How long a guest waits for its network, seconds.
_PATIENCE = 50.0
_RETRY = 2.0


class HostPart(Protocol):
    """A part of the host's network. All its methods are called on one thread."""

    def start(self) -> None:
        """Get ready; look at what is there already."""
        ...

    def apply(self, state: HostNetworkState, changed: Set[str]) -> Mapping[str, str] | None:
        """Make the host's network what ``state`` says; it always has all networks. ``changed`` are the row
        uuids of those that differ from the last time (or are gone). After a whole look (``state.whole``)
        everything counts as changed, to put right what somebody else changed. Safe to repeat.

        Returns what is wrong, by row uuid: those networks are left out for the parts that follow, and come
        again. An error raised is one of everything.
        """
        ...

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        """Something other than a network changed: ``kind`` says what. Kinds of others are ignored."""
        ...

    def stop(self) -> None:
        """Let go; what serves guests stays."""
        ...


class Prober(Protocol):
    """Asks on a segment who has addresses."""

    def probe(self, network: HostNetwork, addresses: Sequence[str]) -> dict[str, str | None]:
        """Who answers: the MAC for each address, None for silence."""
        ...

    def probe_beside(self, segment: Segment, addresses: Sequence[str]) -> dict[str, str | None]:
        """The same on a segment that this host carries no network of."""
        ...


class NetworkConductor:
    """The conductor, as a host's network service sees it."""

    def __init__(self, transport: Transport, host: str) -> None:
        self._transport = transport
        self.host = host

    def state(self, network_uuids: Sequence[str] | None = None) -> HostNetworkState:
        """The networks of this host, all or those named."""
        state: HostNetworkState = self._call("network_state", network_uuids)
        return state

    def filters(self) -> HostFilters:
        """What this host filters, and the floating addresses that it carries."""
        found: HostFilters = self._call("host_filters")
        return found

    def names(self) -> tuple[tuple[str, str], ...]:
        """The names that this host's DNS answers beside those of guests: (address, full name)."""
        found: tuple[tuple[str, str], ...] = self._call("host_names")
        return found

    def report(self) -> None:
        """The service lives."""
        self._call("network_report")

    def lease_changed(self, event: LeaseEvent) -> bool:
        """A DHCP lease began, goes on, or ended; answers whether the address is known."""
        known: bool = self._call("lease_changed", event)
        return known

    def _call(self, method: str, *args: object) -> Any:
        return self._transport.call(CONDUCTOR, None, method, self.host, *args)


class HostNetworkManager:
    """Endpoint of the ``network`` topic on one host.

    ``interval`` is the time between two whole looks, seconds. ``memory`` keeps what was applied, so that a
    host that starts without reaching the conductor has its network all the same.
    """

    def __init__(
        self,
        conductor: NetworkConductor,
        parts: Sequence[HostPart],
        *,
        interval: float = 60.0,
        prober: Prober | None = None,
        memory: StateFiles | None = None,
    ) -> None:
        self.conductor = conductor
        self.parts = parts
        self._prober = prober
        self._door = LineSocket(memory.door, self._asked) if memory is not None else None
        self._memory = memory
        self._interval = interval
        self._networks: dict[str, HostNetwork] = {}
        self._changed = threading.Condition()
        self._whole = False
        self._wanted: set[str] = set()
        self._notes: list[tuple[str, tuple[str, ...]]] = []
        #: Rounds begun and ended; who waits is served by a round that begins after it came.
        self._begun = 0
        self._ended = 0
        self._errors: dict[int, Exception] = {}
        #: What is wrong with networks, by row uuid.
        self._problems: dict[str, str] = {}
        self._stopping = False
        self._thread = threading.Thread(target=self._work, name="network", daemon=True)

    @property
    def name(self) -> str:
        """The host's name."""
        return self.conductor.host

    @property
    def networks(self) -> Mapping[str, HostNetwork]:
        """The networks as they were last applied, by row uuid. Never changed in place."""
        return self._networks

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> None:
        """Take over what is there and begin. Returns when the network was looked at once, or when the
        conductor cannot be reached: then what is there goes on serving and the look comes later.
        """
        if self._memory is not None:
            self._memory.prepare()
        for part in self.parts:
            part.start()
        self._thread.start()
        if self._door is not None:
            self._door.start()
        with self._changed:
            self._whole = True
            ticket = self._ticket()
            self._changed.notify_all()
        try:
            self._wait(ticket)
        except NovaError as error:
            LOG.warning("%s: the network could not be set up yet: %s", self.name, error.message)

    def stop(self) -> None:
        """End; bridges, DHCP and filters stay and serve on."""
        if self._door is not None:
            self._door.stop()
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.is_alive():
            self._thread.join(30)
        for part in reversed(self.parts):
            part.stop()

    def report(self) -> None:
        """Say that the service lives."""
        try:
            self.conductor.report()
        except ServiceUnavailable as error:
            LOG.warning("%s: not reporting: %s", self.name, error.message)

    # --- what others ask -------------------------------------------------------------------------

    def refresh(self, kind: str, ids: Sequence[str]) -> None:
        """Look at something anew: ``networks`` by uuid (all where none is named), or what a part knows."""
        with self._changed:
            if kind != "networks":
                self._notes.append((kind, tuple(ids)))
            elif ids:
                self._wanted.update(ids)
            else:
                self._whole = True
            self._changed.notify_all()

    def prepare(self, network_uuids: Sequence[str]) -> None:
        """Return when the networks stand with all their present leases.

        Raises ``NetworkNotReady`` where that cannot be.
        """
        if not network_uuids:
            return
        with self._changed:
            self._wanted.update(network_uuids)
            ticket = self._ticket()
            self._changed.notify_all()
        self._wait(ticket)
        carried = {each.network_uuid for each in self._networks.values()} | self._networks.keys()
        missing = [each for each in network_uuids if each not in carried]
        if missing:
            raise NetworkNotReady(f"Network {missing[0]} is not one of host {self.name}.")
        for uuid, problem in self._problems.items():
            if uuid in network_uuids or self._networks[uuid].network_uuid in network_uuids:
                raise NetworkNotReady(problem)

    def _asked(self, words: list[str]) -> str:
        """The compute service of this host asks: ``prepare UUID ...`` is answered with ``ready``, or with
        what is wrong.
        """
        if words[:1] != ["prepare"]:
            return "unknown request"
        try:
            self.prepare(words[1:])
        except NovaError as error:
            return error.message
        return "ready"

    def probe(
        self, network_uuid: str, addresses: Sequence[str], segment: Segment | None = None
    ) -> dict[str, str | None]:
        """Who answers for addresses on a network's segment. Where the network is not on this host it is asked
        on ``segment``, and without one nothing is answered.
        """
        network = self._networks.get(network_uuid)
        if self._prober is None:
            return {}
        if network is not None:
            return self._prober.probe(network, addresses)
        return self._prober.probe_beside(segment, addresses) if segment is not None else {}

    # --- the work --------------------------------------------------------------------------------

    def _ticket(self) -> int:
        """The round that will serve a request made now. The lock is held."""
        return self._begun + 1

    def _wait(self, ticket: int) -> None:
        with self._changed:
            done = self._changed.wait_for(lambda: self._ended >= ticket or self._stopping, _PATIENCE)
            error = self._errors.get(ticket)
        if not done or self._stopping:
            raise NetworkNotReady(f"The network of host {self.name} was not ready in time.")
        if error is not None:
            message = error.message if isinstance(error, NovaError) else type(error).__name__
            raise NetworkNotReady(f"The network of host {self.name} could not be set up: {message}")

    def _work(self) -> None:
        pause, failed = self._interval, False
        while True:
            with self._changed:
                due = not self._changed.wait_for(
                    lambda: self._whole or self._wanted or self._notes or self._stopping, pause
                )
                if self._stopping:
                    return
                whole, wanted, notes = self._whole or due or failed, self._wanted, self._notes
                if wanted and not whole:
                    # What went wrong before is tried again with whatever comes next.
                    wanted = wanted | self._problems.keys()
                self._whole, self._wanted, self._notes = False, set(), []
                self._begun += 1
                ticket = self._begun
            error: Exception | None = None
            try:
                self._round(whole, wanted, notes)
            except Exception as problem:
                error = problem
                LOG.log(
                    logging.WARNING if isinstance(problem, NovaError) else logging.ERROR,
                    "%s: the network could not be brought up to date: %s", self.name, problem,
                    exc_info=not isinstance(problem, NovaError),
                )
            # What failed is looked at again soon, and whole: nobody else would.
            failed = error is not None
            pause = min(_RETRY, self._interval) if failed or self._problems else self._interval
            with self._changed:
                self._ended = ticket
                self._errors = {ticket: error} if error is not None else {}
                self._changed.notify_all()

    def _round(
        self, whole: bool, wanted: set[str], notes: Sequence[tuple[str, tuple[str, ...]]]
    ) -> None:
        if whole or wanted:
            state = self._ask(whole, wanted)
            changed = self._merge(state, wanted) | (self._problems.keys() & self._networks.keys())
            full = msgspec.structs.replace(state, networks=tuple(self._networks.values()))
            self._apply(full, self._networks.keys() | changed if whole else changed)
        told: dict[str, dict[str, None]] = {}
        for kind, ids in notes:
            told.setdefault(kind, {}).update(dict.fromkeys(ids))
        for kind, named in told.items():
            for part in self.parts:
                part.refresh(kind, tuple(named))

    def _ask(self, whole: bool, wanted: set[str]) -> HostNetworkState:
        """Ask the conductor. Where it does not answer and nothing was applied yet, what an earlier service
        had applied stands meanwhile, and the error is raised all the same.
        """
        try:
            return self.conductor.state(None if whole else sorted(wanted))
        except ServiceUnavailable:
            if self._memory is not None and not self._networks:
                remembered = self._memory.networks()
                self._networks = {each.uuid: each for each in remembered}
                self._apply(
                    HostNetworkState(host=self.name, whole=True, networks=tuple(remembered)),
                    set(self._networks),
                )
            raise

    def _apply(self, state: HostNetworkState, changed: Set[str]) -> None:
        problems: dict[str, str] = {}
        try:
            for part in self.parts:
                found = part.apply(state, changed - problems.keys())
                for uuid, problem in (found or {}).items():
                    problems[uuid] = problem
        finally:
            # A part that fails altogether takes nothing away from those before it.
            if self._memory is not None:
                self._memory.keep(state.networks, changed)
        for problem in set(problems.values()) - set(self._problems.values()):
            LOG.error("%s: %s", self.name, problem)
        self._problems = {
            uuid: problem for uuid, problem in self._problems.items()
            if uuid not in changed and uuid in self._networks
        } | problems

    def _merge(self, state: HostNetworkState, wanted: set[str]) -> set[str]:
        """Take an answer in; returns the row uuids of what is new, differs, or is gone."""
        answered = {each.uuid: each for each in state.networks}
        before = self._networks
        if state.whole:
            after = answered
        else:
            after = {
                uuid: each for uuid, each in before.items()
                if uuid not in wanted and each.network_uuid not in wanted
            } | answered
        self._networks = after
        return {
            uuid for uuid in before.keys() | after.keys() if before.get(uuid) != after.get(uuid)
        }
