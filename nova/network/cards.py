# SPDX-License-Identifier: Apache-2.0
"""Cards on their way to servers, and the free addresses that a batch of them is given."""

from __future__ import annotations

import ipaddress
import uuid
from collections import Counter, deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

import msgspec

from nova.objects.instance import RequestedNetwork
from nova.objects.network import Network, PortRecord

if TYPE_CHECKING:
    from nova.db.engine import Transaction


class AllocationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance needs: ``requested`` None is automatic, an empty tuple is no network."""

    instance_uuid: str
    project_id: str
    host: str | None = None
    requested: tuple[RequestedNetwork, ...] | None = None


class Card(msgspec.Struct):
    """A network card on its way: its network, the address asked for, then what it was given.

    ``rows`` are the networks of the same segment that the address may come from. A ``port`` is a
    card that exists already and has its addresses.
    """

    network: Network
    wanted: str | None
    tag: str | None
    rows: Sequence[Network] = ()
    port: PortRecord | None = None
    mac: str = ""
    row: int = 0
    address: str = ""
    id: str = ""

    @property
    def lacks_address(self) -> bool:
        """Whether an address must still be found; a network of IPv6 alone keeps none in the
        database.
        """
        return (
            not self.row and self.port is None
            and (self.network.cidr is not None or any(row.cidr for row in self.rows))
        )


class Plan(msgspec.Struct):
    """One instance of the batch and its cards."""

    request: AllocationRequest
    cards: list[Card]


class Drawing:
    """Hands out the free addresses of a batch."""

    def __init__(self, tx: Transaction, plans: Sequence[Plan]) -> None:
        self._tx = tx
        cards = [card for plan in plans for card in plan.cards]
        self._needed = Counter(card.network.id for card in cards if card.lacks_address)
        self._named = Counter(card.network.id for card in cards if card.row)
        self._kept = {card.row for card in cards}
        self._free: dict[int, deque[tuple[int, str]]] = {}
        # In the order of the ids, so that parallel transactions lock in one order.
        for network_id, count in sorted(self._needed.items()):
            self._read(network_id, count)

    @property
    def needed(self) -> dict[int, int]:
        """How many addresses each network is to give, by its row id."""
        return dict(self._needed)

    def serve(self, cards: Sequence[Card]) -> Network | None:
        """Give every card its address; where one cannot be had, none: returns that network."""
        drawn: list[tuple[Card, Network]] = []
        for card in cards:
            if card.lacks_address:
                before = card.network
                if not self._draw(card):
                    for other, network in reversed(drawn):
                        self._free[other.network.id].appendleft((other.row, other.address))
                        other.network, other.row, other.address = network, 0, ""
                    return before
                drawn.append((card, before))
            if card.port is None:
                card.id = str(uuid.uuid4())
        return None

    def _draw(self, card: Card) -> bool:
        for network in (card.network, *card.rows):
            if network.cidr is None:
                continue
            if network.id not in self._free:
                self._read(network.id, sum(self._needed.values()))
            if self._free[network.id]:
                card.network = network
                card.row, card.address = self._free[network.id].popleft()
                return True
        return False

    def _read(self, network_id: int, count: int) -> None:
        self._free[network_id] = deque(
            each
            for each in self._tx.fixed_ips.next_free(network_id, count + self._named[network_id])
            if each[0] not in self._kept
        )


def has_port(plan: Plan) -> bool:
    """Whether any of a server's cards is a port that was made before."""
    return any(card.port is not None for card in plan.cards)


def ports_of(plan: Plan) -> set[str]:
    """The ids of a server's cards that were ports before."""
    return {card.port.card.uuid for card in plan.cards if card.port is not None}


def row_with(rows: Sequence[Network], address: str | None) -> Network:
    """The row whose range holds an address, the first where none does or no address is given."""
    if address is not None and len(rows) > 1:
        number = ipaddress.ip_address(address)
        for row in rows:
            if row.cidr is not None and number in ipaddress.ip_network(row.cidr):
                return row
    return rows[0]


def may_use(network: Network, project_id: str) -> bool:
    """Whether a project may have cards in a network: its own, nobody's, or one shared with it."""
    if (network.facts or {}).get("admin_state_up") is False:
        return False
    return may_see(network, project_id)


def may_see(network: Network, project_id: str) -> bool:
    """Whether a project sees a network: its own, nobody's, or one shared with it."""
    if network.project_id is None or network.project_id == project_id:
        return True
    policies = (network.facts or {}).get("rbac", ())
    return any(each["target_tenant"] in ("*", project_id) for each in policies)
