# SPDX-License-Identifier: Apache-2.0
"""Gives instances their network cards and fixed addresses, and takes them back.

Which networks an instance gets when it names none:

1. all networks of its project, by priority, then by age, if it owns any;
2. otherwise the first network of nobody, in the same order. The VLAN manager binds it to the
   project if it has a VLAN id of its own; one without a VLAN id stays shared, as all do under the
   flat managers.

All statements of a batch are made once for the whole batch. Nothing is written before it is known
that an instance can get all it needs, so a refused instance leaves nothing behind.
"""

from __future__ import annotations

import uuid
from collections import Counter, deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from nova.conf.network import NetworkSection
from nova.errors import (
    AddressInUse,
    BadRequest,
    NetworkNotFound,
    NoMoreAddresses,
    NotFound,
    NovaError,
    ServiceUnavailable,
)
from nova.network.addresses import random_macs, slaac_address
from nova.network.catalog import NetworkCatalog, NetworkSnapshot
from nova.network.manager import manager_named
from nova.objects.instance import Address, Instance, RequestedNetwork, Vif
from nova.objects.network import FixedIP, InterfaceAddress, Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction

_MAC_ATTEMPTS = 5


class AllocationRequest(msgspec.Struct, frozen=True, kw_only=True):
    """What one instance needs: ``requested`` None is automatic, an empty tuple is no network."""

    instance_uuid: str
    project_id: str
    host: str | None = None
    requested: tuple[RequestedNetwork, ...] | None = None


class _Card(msgspec.Struct):
    """A network card on its way: its network, the address asked for, then what it was given."""

    network: Network
    wanted: str | None
    tag: str | None
    mac: str = ""
    row: int = 0
    address: str = ""
    id: str = ""

    @property
    def lacks_address(self) -> bool:
        """Whether an address must still be found; a network of IPv6 alone keeps none in the
        database.
        """
        return not self.row and self.network.cidr is not None


class _Plan(msgspec.Struct):
    """One instance of the batch and its cards."""

    request: AllocationRequest
    cards: list[_Card]


class NetworkAllocator:
    """Allocates from the database; one for the whole process, safe for any number of threads."""

    def __init__(self, section: NetworkSection) -> None:
        self._manager = manager_named(section.network_manager)
        self._auto_assign_floating = section.auto_assign_floating_ip
        self._floating_pool = section.default_floating_pool
        self._catalog = NetworkCatalog()

    def forget_networks(self) -> None:
        """Read the networks anew at the next use; call it after a network was changed."""
        self._catalog.forget()

    # -- before a request is accepted --------------------------------------------------------------

    def check(
        self,
        tx: Transaction,
        project_id: str,
        requested: Sequence[RequestedNetwork] | None,
    ) -> list[Network]:
        """The networks that a boot would use; nothing is taken.

        Raises ``BadRequest`` for a network that is not there or not the project's, a port, or an
        address outside the network; ``AddressInUse`` for one that is taken or reserved;
        ``NoMoreAddresses`` where there is no network for the project at all.
        """
        if requested is None:
            return self._automatic(tx, project_id, bind=False)
        cards = self._requested(tx, project_id, requested)
        self._find_named(tx, cards)
        return [card.network for card in cards]

    # -- boots -------------------------------------------------------------------------------------

    def allocate_many(
        self, tx: Transaction, wanted: Sequence[AllocationRequest]
    ) -> list[tuple[Vif, ...] | NovaError]:
        """Give every instance its cards and addresses; the answers are in the order of ``wanted``.

        An instance that has its cards already gets them back unchanged. One that cannot be served
        gets the error as its value, and holds nothing.
        """
        answers: dict[str, tuple[Vif, ...] | NovaError] = {}
        plans: list[_Plan] = []
        for request in wanted:
            if request.instance_uuid in answers:
                continue
            answers[request.instance_uuid] = ()
            if request.requested is not None and not request.requested:
                continue
            try:
                plans.append(_Plan(request, self._cards_for(tx, request)))
            except NovaError as error:
                answers[request.instance_uuid] = error
        # Also those whose networks are gone: they may have their cards from an earlier try.
        existing = self._name_cards(tx, [each.instance_uuid for each in wanted], plans)
        if existing:
            answers.update(self._vifs(tx, existing))
            plans = [plan for plan in plans if plan.request.instance_uuid not in existing]
        if plans:
            self._take_addresses(tx, plans, answers)
        return [answers[each.instance_uuid] for each in wanted]

    def release(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        """Take back all that instances hold: floating addresses, fixed addresses, cards.

        Safe to repeat. Floating addresses that were assigned automatically return to their pool,
        the others stay with their project.
        """
        if not instance_uuids:
            return
        tx.floating_ips.disassociate_instances(instance_uuids)
        tx.fixed_ips.release_instances(instance_uuids)

    def vifs_of(
        self, tx: Transaction, instance_uuids: Sequence[str]
    ) -> dict[str, tuple[Vif, ...]]:
        """The cards of instances as the database has them, by instance uuid; () for one without."""
        found = _by_instance(tx.fixed_ips.interfaces_of(instance_uuids)) if instance_uuids else {}
        vifs = self._vifs(tx, found)
        return {each: vifs.get(each, ()) for each in instance_uuids}

    # -- a running instance ------------------------------------------------------------------------

    def add_fixed_ip(
        self,
        tx: Transaction,
        instance: Instance,
        network_uuid: str,
        address: str | None = None,
        tag: str | None = None,
    ) -> tuple[Vif, ...]:
        """Give an instance one more card in a network; returns its new full list.

        Raises ``BadRequest`` for a foreign network, ``AddressInUse``, ``NoMoreAddresses``.
        """
        request = AllocationRequest(
            instance_uuid=instance.uuid, project_id=instance.project_id, host=instance.host,
            requested=(RequestedNetwork(network_id=network_uuid, address=address, tag=tag),),
        )
        plan = _Plan(request, self._cards_for(tx, request))
        self._name_cards(tx, [], [plan])
        answers: dict[str, tuple[Vif, ...] | NovaError] = {}
        self._take_addresses(tx, [plan], answers, auto_assign=False)
        given = answers[instance.uuid]
        if isinstance(given, NovaError):
            raise given
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

    def remove_fixed_ip(
        self, tx: Transaction, instance: Instance, address: str
    ) -> tuple[Vif, ...]:
        """Take one address from an instance, with its card; returns its new full list.

        Raises ``NotFound`` where the instance has no such address.
        """
        tx.floating_ips.disassociate_fixed(instance.uuid, address)
        if not tx.fixed_ips.release_address(instance.uuid, address):
            raise NotFound(f"Instance {instance.uuid} doesn't have fixed ip '{address}'.")
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

    # -- which networks ----------------------------------------------------------------------------

    def _cards_for(self, tx: Transaction, request: AllocationRequest) -> list[_Card]:
        if request.requested is None:
            return [
                _Card(network, None, None)
                for network in self._automatic(tx, request.project_id, bind=True)
            ]
        return self._requested(tx, request.project_id, request.requested)

    def _automatic(self, tx: Transaction, project_id: str, *, bind: bool) -> list[Network]:
        snapshot = self._catalog.snapshot(tx)
        owned = snapshot.owned_by(project_id)
        if owned:
            return owned
        first = snapshot.unowned[0] if snapshot.unowned else None
        if first is not None and not self._binds(first):
            return [first]
        # Nothing remembered will do as it is: see what another process may have changed meanwhile.
        # This is not remembered in turn: it may show what this transaction alone has bound so far.
        snapshot = self._catalog.read(tx)
        owned = snapshot.owned_by(project_id)
        if owned:
            return owned
        for network in snapshot.unowned:
            if not bind or not self._binds(network):
                return [network]
            if tx.networks.claim_unowned(network.id, project_id):
                tx.after_commit(self._catalog.forget)
                return [msgspec.structs.replace(network, project_id=project_id)]
        raise NoMoreAddresses(f"No network is available for project {project_id}.")

    def _binds(self, network: Network) -> bool:
        return self._manager.binds_to_project and network.vlan is not None

    def _requested(
        self, tx: Transaction, project_id: str, requested: Iterable[RequestedNetwork]
    ) -> list[_Card]:
        snapshot = self._catalog.snapshot(tx)
        refreshed = False
        cards = []
        for each in requested:
            if each.port_id is not None or each.network_id is None:
                raise BadRequest(
                    f"Port {each.port_id} could not be found: networks here have no ports, "
                    "name a network by its uuid."
                )
            network = _usable(snapshot, each.network_id, project_id)
            if network is None and not refreshed:
                snapshot = self._catalog.refresh(tx)
                refreshed = True
                network = _usable(snapshot, each.network_id, project_id)
            if network is None:
                raise BadRequest(
                    f"Network {each.network_id} could not be found, or is not "
                    f"assigned to project {project_id}."
                )
            cards.append(_Card(network, each.address, each.tag))
        return cards

    # -- taking addresses --------------------------------------------------------------------------

    def _name_cards(
        self, tx: Transaction, instance_uuids: Sequence[str], plans: Sequence[_Plan]
    ) -> dict[str, list[InterfaceAddress]]:
        """Give every new card a MAC that nobody has; returns the cards that instances have already.
        """
        cards = [card for plan in plans for card in plan.cards]
        existing: dict[str, list[InterfaceAddress]] = {}
        instances = set(instance_uuids)
        for card, mac in zip(cards, random_macs(len(cards)), strict=True):
            card.mac = mac
        doubtful = cards
        for _ in range(_MAC_ATTEMPTS):
            lines = tx.fixed_ips.interfaces_of(instance_uuids, [card.mac for card in doubtful])
            if not existing:
                existing = _by_instance(each for each in lines if each.instance_uuid in instances)
            taken = {each.mac for each in lines}
            doubtful = [card for card in doubtful if card.mac in taken]
            if not doubtful:
                return existing
            for card in doubtful:
                card.mac = random_macs(1)[0]
        raise ServiceUnavailable("No unused MAC address was found; try again.")

    def _find_named(self, tx: Transaction, cards: Sequence[_Card]) -> None:
        """Find the rows of the addresses that cards ask for.

        Raises ``BadRequest`` or ``AddressInUse`` for the first that cannot be given.
        """
        seen: set[tuple[int, str]] = set()
        for card in cards:
            if card.wanted is None:
                continue
            key = (card.network.id, card.wanted)
            found = tx.fixed_ips.lock(card.network.id, [card.wanted]).get(card.wanted)
            if found is None:
                raise BadRequest(
                    f"Fixed IP address ({card.wanted}) does not exist in "
                    f"network ({card.network.uuid})."
                )
            if key in seen or not _is_free(found):
                raise AddressInUse(card.wanted)
            seen.add(key)
            card.row, card.address = found.id, found.address

    def _take_addresses(
        self,
        tx: Transaction,
        plans: Sequence[_Plan],
        answers: dict[str, tuple[Vif, ...] | NovaError],
        *,
        auto_assign: bool = True,
    ) -> None:
        ready = self._with_named(tx, plans, answers)
        needed = Counter(
            card.network.id for plan in ready for card in plan.cards if card.lacks_address
        )
        named = Counter(card.network.id for plan in ready for card in plan.cards if card.row)
        kept = {card.row for plan in ready for card in plan.cards}
        # In the order of the ids, so that parallel transactions lock in one order.
        free = {
            network_id: deque(
                each
                for each in tx.fixed_ips.next_free(network_id, count + named[network_id])
                if each[0] not in kept
            )
            for network_id, count in sorted(needed.items())
        }
        served = []
        for plan in ready:
            short = _short_network(plan.cards, free)
            if short is not None:
                answers[plan.request.instance_uuid] = NoMoreAddresses(
                    f"No fixed IP addresses available for network: {short.uuid}"
                )
                continue
            for card in plan.cards:
                if card.lacks_address:
                    card.row, card.address = free[card.network.id].popleft()
                card.id = str(uuid.uuid4())
            served.append(plan)
        if self._auto_assign_floating and auto_assign:
            served = [plan for plan in served if self._with_floating(tx, plan, answers)]
        if served:
            self._store(tx, served)
        for plan in served:
            uuid_ = plan.request.instance_uuid
            if self._auto_assign_floating and auto_assign:
                answers[uuid_] = self.vifs_of(tx, [uuid_])[uuid_]
            else:
                answers[uuid_] = tuple(
                    _vif(
                        card.network, card.id, card.mac, card.tag,
                        ((card.address, ()),) if card.address else (),
                    )
                    for card in plan.cards
                )

    def _with_named(
        self,
        tx: Transaction,
        plans: Sequence[_Plan],
        answers: dict[str, tuple[Vif, ...] | NovaError],
    ) -> list[_Plan]:
        """The plans whose named addresses can be given; the others get their error."""
        ready = []
        taken: set[int] = set()
        for plan in plans:
            named = [card for card in plan.cards if card.wanted is not None]
            try:
                if named:
                    self._find_named(tx, named)
                    clash = next((card for card in named if card.row in taken), None)
                    if clash is not None:
                        raise AddressInUse(clash.address)
            except NovaError as error:
                answers[plan.request.instance_uuid] = error
                continue
            taken.update(card.row for card in named)
            ready.append(plan)
        return ready

    def _store(self, tx: Transaction, plans: Sequence[_Plan]) -> None:
        for _ in range(_MAC_ATTEMPTS):
            if tx.fixed_ips.add_interfaces(
                [
                    (card.id, card.mac, card.network.id, plan.request.instance_uuid, card.tag)
                    for plan in plans
                    for card in plan.cards
                ]
            ):
                break
            self._name_cards(tx, [], plans)
        else:
            raise ServiceUnavailable("No unused MAC address was found; try again.")
        assignments = [
            (card.row, plan.request.instance_uuid, card.id)
            for plan in plans
            for card in plan.cards
            if card.address
        ]
        if assignments:
            tx.fixed_ips.assign(assignments)

    def _with_floating(
        self,
        tx: Transaction,
        plan: _Plan,
        answers: dict[str, tuple[Vif, ...] | NovaError],
    ) -> bool:
        """Lead a floating address to the instance's first fixed one (``auto_assign_floating_ip``).
        """
        request = plan.request
        first = next((card for card in plan.cards if card.row), None)
        if first is None:
            return True
        try:
            tx.floating_ips.assign_automatically(
                self._floating_pool, request.project_id, first.row, request.host
            )
        except NovaError as error:
            answers[request.instance_uuid] = error
            return False
        return True

    # -- views -------------------------------------------------------------------------------------

    def _vifs(
        self, tx: Transaction, lines: dict[str, list[InterfaceAddress]]
    ) -> dict[str, tuple[Vif, ...]]:
        if not lines:
            return {}
        snapshot = self._catalog.snapshot(tx)
        used = {each.network_id for group in lines.values() for each in group}
        if not used <= snapshot.by_id.keys():
            snapshot = self._catalog.refresh(tx)
        return {
            instance_uuid: _assemble(snapshot, group) for instance_uuid, group in lines.items()
        }


def _usable(snapshot: NetworkSnapshot, network_uuid: str, project_id: str) -> Network | None:
    network = snapshot.by_uuid.get(network_uuid)
    if network is None or network.project_id not in (None, project_id):
        return None
    return network


def _is_free(row: FixedIP) -> bool:
    return not (row.allocated or row.reserved or row.used_elsewhere)


def _short_network(
    cards: Sequence[_Card], free: dict[int, deque[tuple[int, str]]]
) -> Network | None:
    """The first network that has fewer free addresses than the cards need."""
    needs = Counter(card.network.id for card in cards if card.lacks_address)
    for card in cards:
        if card.lacks_address and len(free[card.network.id]) < needs[card.network.id]:
            return card.network
    return None


def _by_instance(lines: Iterable[InterfaceAddress]) -> dict[str, list[InterfaceAddress]]:
    groups: dict[str, list[InterfaceAddress]] = {}
    for line in lines:
        groups.setdefault(line.instance_uuid, []).append(line)
    return groups


def _assemble(snapshot: NetworkSnapshot, lines: Sequence[InterfaceAddress]) -> tuple[Vif, ...]:
    cards: dict[str, InterfaceAddress] = {}
    addresses: dict[str, dict[str, list[str]]] = {}
    for line in lines:
        cards[line.vif_uuid] = line
        carried = addresses.setdefault(line.vif_uuid, {})
        if line.address is not None:
            floating = carried.setdefault(line.address, [])
            if line.floating is not None:
                floating.append(line.floating)
    vifs = []
    for vif_uuid, line in cards.items():
        network = snapshot.by_id.get(line.network_id)
        if network is None:
            raise NetworkNotFound(str(line.network_id))
        carried = addresses[vif_uuid]
        vifs.append(
            _vif(
                network, vif_uuid, line.mac, line.tag,
                tuple((address, tuple(floating)) for address, floating in carried.items()),
            )
        )
    return tuple(vifs)


def _vif(
    network: Network,
    vif_uuid: str,
    mac: str,
    tag: str | None,
    fixed: Sequence[tuple[str, tuple[str, ...]]],
) -> Vif:
    addresses = tuple(Address(address, 4, floating) for address, floating in fixed)
    if network.cidr_v6 is not None:
        addresses = (*addresses, Address(slaac_address(network.cidr_v6, mac), 6))
    return Vif(
        id=vif_uuid,
        mac=mac,
        network_id=network.uuid,
        label=network.label,
        addresses=addresses,
        tag=tag,
        bridge=network.bridge,
        bridge_interface=network.bridge_interface,
        vlan=network.vlan,
        cidr=network.cidr,
        gateway=network.gateway,
        netmask=network.netmask,
        broadcast=network.broadcast,
        dhcp_server=network.dhcp_server,
        dns=tuple(each for each in (network.dns1, network.dns2) if each is not None),
        mtu=network.mtu,
        multi_host=network.multi_host,
        cidr_v6=network.cidr_v6,
        gateway_v6=network.gateway_v6,
    )
