# SPDX-License-Identifier: Apache-2.0
"""Looks on the wire for addresses before guests get them, ahead of demand.

The next free addresses of each network are kept probed by a host that is on its segment. Boots take them
in the same order, so that they find them probed; only a burst that is larger than the pool is probed for at
once, in one batch, between two tries of its transaction. An address that somebody answers for is marked,
passed over, and looked at again when the probe is old. Where no host can look, nothing waits.

A network that is on no host yet is asked for from beside: by a host whose NIC leads to its segment. What such
a host says to be in use is believed where a second one finds it too, as it holds nothing of that network.
"""

from __future__ import annotations

import datetime
import logging
import math
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, wait

from nova import metrics
from nova.conf.network import NetworkSection
from nova.db.engine import Database, Transaction
from nova.db.schema.base import now
from nova.errors import NovaError
from nova.objects.network import ProbeCandidate, ProbedNetwork
from nova.rpc.calls import NETWORK
from nova.rpc.transport import Transport

LOG = logging.getLogger(__name__)


class AddressesUnprobed(Exception):
    """Addresses were about to be given out that nobody has looked for: how many, by the network's row id."""

    def __init__(self, wanted: Mapping[int, int]) -> None:
        super().__init__(wanted)
        self.wanted = wanted


#: How long it is remembered which hosts are on which segments, seconds.
_LIFETIME = 5.0
#: How long a host that could not be asked is left alone, seconds.
_REST = 60.0
#: The longest that a boot waits, seconds.
_PATIENCE = 1.0
#: How many networks are asked for at once.
_THREADS = 8


class AddressProber:
    """One for a process of the control side; safe for any number of threads."""

    def __init__(
        self,
        db: Database,
        transport: Transport,
        section: NetworkSection,
        down_after: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``down_after`` is the number of seconds after which a service that is silent counts as dead."""
        self._db = db
        self._transport = transport
        self._section = section
        self._down_after = down_after
        self._clock = clock
        self._known: tuple[float, Mapping[int, ProbedNetwork]] | None = None
        #: By host and network: until when it is not asked.
        self._resting: dict[tuple[str, int], float] = {}
        #: When the pool of a network that is on no host was filled; nobody takes from it meanwhile.
        self._filled: dict[int, float] = {}
        # Boots do not stand behind what is done ahead of demand.
        self._ahead = ThreadPoolExecutor(_THREADS, thread_name_prefix="probe-ahead")
        self._at_once = ThreadPoolExecutor(_THREADS, thread_name_prefix="probe-at-once")
        #: One probe of a network at a time; who comes second finds it done.
        self._locks: dict[int, threading.Lock] = {}
        self._guard = threading.Lock()

    def run(self) -> int:
        """Fill every network's pool and look again at what was in use elsewhere; returns how many addresses
        were asked for.
        """
        if not self._section.probe_addresses:
            return 0
        age = self._section.probe_age
        due = [
            each for each in self._networks(fresh=True).values()
            if each.segment is None or self._clock() - self._filled.get(each.id, -math.inf) >= age
        ]
        return sum(self._ahead.map(self._fill, due))

    def ready(self, wanted: Mapping[int, int]) -> None:
        """See to it that the next addresses of networks are probed: how many, by the network's row id.

        Returns at once where they are, and where nobody can look; else within a second.
        """
        if not self._section.probe_addresses or not wanted:
            return
        networks = self._networks()
        deadline = self._clock() + _PATIENCE
        asked = [
            self._at_once.submit(self._prepare, networks[network_id], count, deadline)
            for network_id, count in sorted(wanted.items()) if network_id in networks
        ]
        # A host that hangs keeps a thread, but no boot.
        wait(asked, timeout=_PATIENCE)

    def _prepare(self, network: ProbedNetwork, count: int, deadline: float) -> None:
        lock = self._lock(network.id)
        if not lock.acquire(timeout=max(0.0, deadline - self._clock())):
            return
        try:
            while (stale := self._stale(network.id, count)) and self._clock() < deadline:
                if not self._ask(network, stale, deadline):
                    return
        except Exception:
            LOG.exception("addresses of network %s could not be probed", network.uuid)
        finally:
            lock.release()

    def unprobed(self, tx: Transaction, wanted: Mapping[int, int]) -> bool:
        """Whether any of the next addresses of networks, so many by row id, was not looked for and could be.

        Asks within the caller's transaction, which holds these addresses already.
        """
        if not self._section.probe_addresses:
            return False
        # Who knows nothing yet must not ask for it here: boots wait for this transaction.
        known = self._known[1] if self._known is not None else {}
        since = self._since()
        return any(
            not each.is_fresh(since)
            for network_id, count in wanted.items() if network_id in known
            for each in tx.probes.next_free(network_id, count)
        )

    def fresh_since(self, network_id: int) -> datetime.datetime | None:
        """How old a probe of a network's address may be; None where nobody looks for them."""
        if not self._section.probe_addresses or self._known is None or network_id not in self._known[1]:
            return None
        return self._since()

    # --- one network -----------------------------------------------------------------------------

    def _fill(self, network: ProbedNetwork) -> int:
        with self._lock(network.id):
            asked = 0
            # What is passed over makes room for the next, until the pool is full.
            while due := self._stale(network.id, self._section.probe_pool):
                if not self._ask(network, due):
                    self._filled[network.id] = self._clock() - self._section.probe_age + _REST
                    return asked
                asked += len(due)
            with self._db.read() as tx:
                again = tx.probes.used_elsewhere(
                    network.id, self._section.probe_batch, self._since()
                )
            if again and self._ask(network, again):
                asked += len(again)
            self._filled[network.id] = self._clock()
            return asked

    def _stale(self, network_id: int, count: int) -> list[ProbeCandidate]:
        """Which of the next ``count`` addresses are to be asked for, at most one batch."""
        since = self._since()
        with self._db.read() as tx:
            following = tx.probes.next_free(network_id, count)
        return [each for each in following if not each.is_fresh(since)][: self._section.probe_batch]

    def _ask(
        self,
        network: ProbedNetwork,
        candidates: Sequence[ProbeCandidate],
        deadline: float | None = None,
    ) -> bool:
        """Ask for addresses and record the answers; false where nobody could be asked."""
        moment = now()
        for host in network.hosts:
            if deadline is not None and deadline - self._clock() < self._section.probe_timeout:
                return False
            known = self._answers(network, host, candidates)
            if known is None:
                continue
            if network.segment is not None:
                known = self._confirmed(network, host, candidates, known)
            self._record(known, moment)
            self._note(network, candidates, known)
            return True
        return False

    def _record(self, known: Mapping[int, str | None], moment: datetime.datetime) -> None:
        self._db.run(lambda tx: tx.probes.record(known, moment))

    def _answers(
        self, network: ProbedNetwork, host: str, candidates: Sequence[ProbeCandidate]
    ) -> dict[int, str | None] | None:
        """What one host hears, by row; None where it cannot ask. It is left alone then for a while."""
        if self._resting.get((host, network.id), 0.0) > self._clock():
            return None
        asked = [each.address for each in candidates]
        try:
            answers: dict[str, str | None] = self._transport.call(
                NETWORK, host, "probe", network.uuid, asked, network.segment
            )
        except NovaError as error:
            LOG.warning("host %s cannot probe network %s: %s", host, network.uuid, error.message)
            self._resting[host, network.id] = self._clock() + _REST
            return None
        # A host is believed for what it was asked, nothing else.
        known = {each.id: answers[each.address] for each in candidates if each.address in answers}
        return known if len(known) == len(candidates) else None

    def _confirmed(
        self,
        network: ProbedNetwork,
        host: str,
        candidates: Sequence[ProbeCandidate],
        known: dict[int, str | None],
    ) -> dict[int, str | None]:
        """The same, without what a second host does not find in use."""
        doubtful = [each for each in candidates if known[each.id] is not None]
        if doubtful:
            for other in network.hosts:
                seen = self._answers(network, other, doubtful) if other != host else None
                if seen is not None:
                    return {**known, **seen}
        return known

    def _note(
        self,
        network: ProbedNetwork,
        candidates: Sequence[ProbeCandidate],
        known: Mapping[int, str | None],
    ) -> None:
        metrics.ADDRESSES_PROBED.inc(len(known))
        for each in candidates:
            mac = known[each.id]
            if mac is not None and not each.used_elsewhere:
                metrics.ADDRESSES_USED_ELSEWHERE.inc()
                LOG.warning(
                    "address %s of network %s is in use by %s; it is not given to guests", each.address,
                    network.uuid, mac,
                )

    # --- who can look ----------------------------------------------------------------------------

    def _networks(self, *, fresh: bool = False) -> Mapping[int, ProbedNetwork]:
        known = self._known
        if not fresh and known is not None and self._clock() - known[0] < _LIFETIME:
            return known[1]
        with self._db.read() as tx:
            hosts = [
                each.host for each in tx.services.list("nova-network")
                if each.is_up(now(), self._down_after)
            ]
            found = {each.id: each for each in tx.probes.networks(hosts)} if hosts else {}
        self._known = (self._clock(), found)
        return found

    def _since(self) -> datetime.datetime:
        return now() - datetime.timedelta(seconds=self._section.probe_age)

    def _lock(self, network_id: int) -> threading.Lock:
        with self._guard:
            return self._locks.setdefault(network_id, threading.Lock())
