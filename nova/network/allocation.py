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

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from nova.conf.network import NetworkSection
from nova.errors import (
    AddressInUse,
    BadRequest,
    Conflict,
    NetworkNotFound,
    NoMoreAddresses,
    NotFound,
    NovaError,
    ServiceUnavailable,
)
from nova.network.addresses import random_macs, slaac_address
from nova.network.cards import (
    AllocationRequest,
    Card,
    Drawing,
    Plan,
    has_port,
    may_use,
    ports_of,
    row_with,
)
from nova.network.catalog import NetworkCatalog, NetworkSnapshot
from nova.network.filter_refreshes import addresses_changed, members_changed
from nova.network.manager import manager_named
from nova.network.outside import OutsideNetworks
from nova.network.probing import AddressesUnprobed, AddressProber
from nova.network.refreshes import NetworkRefreshes
from nova.objects.instance import Address, Instance, RequestedNetwork, Vif
from nova.objects.network import FixedIP, InterfaceAddress, Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction

_MAC_ATTEMPTS = 5


class NetworkAllocator:
    """Allocates from the database; one for the whole process, safe for any number of threads.

    ``outside`` is the network service that is asked instead, where there is one
    (``nova.network.external``).
    """

    outside: OutsideNetworks | None = None
    #: Tells hosts of what changed; None where hosts do not set up networks.
    refreshes: NetworkRefreshes | None = None
    #: Looks for addresses before guests get them; None where no host can.
    prober: AddressProber | None = None

    def __init__(self, section: NetworkSection) -> None:
        self._manager = manager_named(section.network_manager)
        self._auto_assign_floating = section.auto_assign_floating_ip
        self._floating_pool = section.default_floating_pool
        self._catalog = NetworkCatalog()

    def forget_networks(self) -> None:
        """Read the networks anew at the next use; call it after a network was changed."""
        self._catalog.forget()

    def networks(self, tx: Transaction, *, fresh: bool = False) -> NetworkSnapshot:
        """All networks, as remembered for a moment, or read through ``tx`` now."""
        return self._catalog.refresh(tx) if fresh else self._catalog.snapshot(tx)

    # -- before a request is accepted --------------------------------------------------------------

    def check(
        self,
        tx: Transaction,
        project_id: str,
        requested: Sequence[RequestedNetwork] | None,
    ) -> list[Network]:
        """The networks that a boot would use; nothing is taken.

        Raises ``NotFound`` for a network or a port that is not there or not the project's,
        ``Conflict`` for a port that has a server; ``BadRequest`` for an address outside the network,
        ``AddressInUse`` for an address that is taken or reserved;
        ``NoMoreAddresses`` where there is no network for the project at all.
        """
        if requested is None:
            return self._automatic(tx, project_id, bind=False)
        cards = self._requested(tx, project_id, requested)
        self._find_named(tx, [card for card in cards if card.port is None])
        return [card.network for card in cards]

    def reserve_ports(
        self, tx: Transaction, instance: Instance, requested: Sequence[RequestedNetwork] | None
    ) -> tuple[Vif, ...]:
        """Bind the ports that a boot asks for, so that no other boot gets them; returns its cards.

        The other cards come with ``allocate_many``. Raises ``Conflict`` for one that has a server.
        """
        ports = [each for each in requested or () if each.port_id is not None]
        for each in ports:
            card = self._port_card(tx, instance.project_id, each.port_id or "", each.tag)
            assert card.port is not None
            if not tx.ports.bind(card.port, instance.uuid, each.tag, None):
                raise Conflict(f"Port {each.port_id} is still in use.")
        return self.vifs_of(tx, [instance.uuid])[instance.uuid] if ports else ()

    # -- boots -------------------------------------------------------------------------------------

    def allocate_many(
        self, tx: Transaction, wanted: Sequence[AllocationRequest], *, probed_only: bool = False
    ) -> list[tuple[Vif, ...] | NovaError]:
        """Give every instance its cards and addresses; the answers are in the order of ``wanted``.

        An instance that has its cards already gets them back unchanged. One that cannot be served
        gets the error as its value, and holds nothing.

        With ``probed_only`` raises ``AddressesUnprobed`` where an address would be given that nobody has
        looked for on the wire; the transaction is to be given up then, and repeated after the probe.
        """
        answers: dict[str, tuple[Vif, ...] | NovaError] = {}
        plans: list[Plan] = []
        for request in wanted:
            if request.instance_uuid in answers:
                continue
            answers[request.instance_uuid] = ()
            if request.requested is not None and not request.requested:
                continue
            try:
                plans.append(Plan(request, self._cards_for(tx, request)))
            except NovaError as error:
                answers[request.instance_uuid] = error
        # Also those whose networks are gone: they may have their cards from an earlier try.
        existing = self._name_cards(tx, [each.instance_uuid for each in wanted], plans)
        for plan in plans:
            held = existing.get(plan.request.instance_uuid, ())
            if held and {each.vif_uuid for each in held} <= ports_of(plan):
                # Its ports are reserved for it, and that is all that it has so far.
                del existing[plan.request.instance_uuid]
        if existing:
            answers.update(self._vifs(tx, existing))
            plans = [plan for plan in plans if plan.request.instance_uuid not in existing]
        if plans:
            self._take_addresses(tx, plans, answers, probed_only=probed_only)
        return [answers[each.instance_uuid] for each in wanted]

    def release(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        """Take back all that instances hold: floating addresses, fixed addresses, cards.

        Safe to repeat. Floating addresses that were assigned automatically return to their pool,
        the others stay with their project. Ports that users made stay, with all that leads to them.
        """
        if not instance_uuids:
            return
        self._tell_hosts(tx, instance_uuids)
        tx.fixed_ips.take_off_kept(instance_uuids)
        tx.floating_ips.disassociate_instances(instance_uuids)
        tx.fixed_ips.release_instances(instance_uuids)

    def moved(self, tx: Transaction, instance_uuid: str) -> None:
        """A server is on another host from this transaction on; its networks go along."""
        self._tell_hosts(tx, [instance_uuid])
        members_changed(self.refreshes, tx, [instance_uuid])

    def _tell_hosts(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        if self.refreshes is not None:
            self.refreshes.of_instances(tx, instance_uuids)
            addresses_changed(self.refreshes, tx, instance_uuids)

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

        Raises ``NotFound`` for a foreign network, ``AddressInUse``, ``NoMoreAddresses``.
        """
        request = AllocationRequest(
            instance_uuid=instance.uuid, project_id=instance.project_id, host=instance.host,
            requested=(RequestedNetwork(network_id=network_uuid, address=address, tag=tag),),
        )
        plan = Plan(request, self._cards_for(tx, request))
        self._name_cards(tx, [], [plan])
        answers: dict[str, tuple[Vif, ...] | NovaError] = {}
        self._take_addresses(tx, [plan], answers, auto_assign=False)
        given = answers[instance.uuid]
        if isinstance(given, NovaError):
            raise given
        self._tell_hosts(tx, [instance.uuid])
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

    def remove_fixed_ip(
        self, tx: Transaction, instance: Instance, address: str
    ) -> tuple[Vif, ...]:
        """Take one address from an instance, with its card; returns its new full list.

        Raises ``NotFound`` where the instance has no such address.
        """
        self._tell_hosts(tx, [instance.uuid])
        tx.floating_ips.disassociate_fixed(instance.uuid, address)
        if not tx.fixed_ips.release_address(instance.uuid, address):
            raise NotFound(f"Instance {instance.uuid} doesn't have fixed ip '{address}'.")
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

    def attach_port(
        self, tx: Transaction, instance: Instance, port_id: str, tag: str | None = None
    ) -> tuple[Vif, ...]:
        """Give a server a port that was made before; returns its new full list.

        Raises ``NotFound`` and ``Conflict`` as ``check`` does.
        """
        card = self._port_card(tx, instance.project_id, port_id, tag)
        assert card.port is not None
        if not tx.ports.bind(card.port, instance.uuid, tag, instance.host):
            raise Conflict(f"Port {port_id} is still in use.")
        self._tell_hosts(tx, [instance.uuid])
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

    def detach(
        self, tx: Transaction, instance: Instance, card_id: str, *, keep: bool = True
    ) -> tuple[Vif, ...]:
        """Take a card from a server; returns its new full list.

        A card that a user made as a port stays as such, with its addresses, if ``keep``; all others
        are given up. One that is gone already is no error.
        """
        port = tx.ports.find(card_id)
        if port is not None and port.card.instance_uuid == instance.uuid:
            self._tell_hosts(tx, [instance.uuid])
            rows = [row for row, _address, _network in port.addresses]
            if port.card.kept and keep:
                tx.ports.unbind([card_id])
            else:
                for row in rows:
                    tx.floating_ips.disassociate_row(row)
                tx.ports.let_go(rows)
                tx.ports.delete(card_id)
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

    # -- which networks ----------------------------------------------------------------------------

    def _cards_for(self, tx: Transaction, request: AllocationRequest) -> list[Card]:
        if request.requested is None:
            automatic = self._automatic(tx, request.project_id, bind=True)
            snapshot = self._catalog.snapshot(tx)
            return [Card(each, None, None, snapshot.rows_of(each)) for each in automatic]
        return self._requested(
            tx, request.project_id, request.requested, request.instance_uuid
        )

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
        return (
            self._manager.binds_to_project
            and network.vlan is not None
            and not (network.facts or {}).get("shared")
        )

    def _requested(
        self,
        tx: Transaction,
        project_id: str,
        requested: Iterable[RequestedNetwork],
        instance_uuid: str | None = None,
    ) -> list[Card]:
        snapshot = self._catalog.snapshot(tx)
        refreshed = False
        cards = []
        for each in requested:
            if each.port_id is not None:
                cards.append(
                    self._port_card(tx, project_id, each.port_id, each.tag, instance_uuid)
                )
                continue
            wanted = each.network_id or ""
            network = _usable(snapshot, wanted, project_id)
            if network is None and not refreshed:
                snapshot = self._catalog.refresh(tx)
                refreshed = True
                network = _usable(snapshot, wanted, project_id)
            if network is None:
                raise NotFound(
                    f"Network {each.network_id} could not be found, or is not "
                    f"assigned to project {project_id}."
                )
            rows = snapshot.rows_of(network)
            if not rows:
                raise BadRequest(
                    f"Network {each.network_id} requires a subnet in order to boot instances on."
                )
            cards.append(Card(row_with(rows, each.address), each.address, each.tag, rows))
        return cards

    def _port_card(
        self,
        tx: Transaction,
        project_id: str,
        port_id: str,
        tag: str | None,
        instance_uuid: str | None = None,
    ) -> Card:
        """A card that was made as a port before.

        Raises ``NotFound`` for one that is not there or not the project's, ``Conflict`` for one
        that has a server other than ``instance_uuid``.
        """
        port = tx.ports.find(port_id)
        if port is None or port.card.project_id != project_id:
            raise NotFound(f"Port id {port_id} could not be found.")
        if port.card.instance_uuid not in (None, instance_uuid):
            raise Conflict(f"Port {port_id} is still in use.")
        if (port.card.facts or {}).get("admin_state_up") is False:
            raise Conflict(f"Port {port_id} is switched off (admin_state_up).")
        snapshot = self._catalog.snapshot(tx)
        if port.card.network_id not in snapshot.by_id:
            snapshot = self._catalog.refresh(tx)
        network = snapshot.by_id[port.card.network_id]
        return Card(network, None, tag, port=port, mac=port.card.address, id=port.card.uuid)

    # -- taking addresses --------------------------------------------------------------------------

    def _name_cards(
        self, tx: Transaction, instance_uuids: Sequence[str], plans: Sequence[Plan]
    ) -> dict[str, list[InterfaceAddress]]:
        """Give every new card a MAC that nobody has; returns the cards that instances have already.
        """
        cards = [card for plan in plans for card in plan.cards if card.port is None]
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

    def _find_named(self, tx: Transaction, cards: Sequence[Card]) -> None:
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
        plans: Sequence[Plan],
        answers: dict[str, tuple[Vif, ...] | NovaError],
        *,
        auto_assign: bool = True,
        probed_only: bool = False,
    ) -> None:
        ready = self._with_named(tx, plans, answers)
        drawing = Drawing(tx, ready)
        if probed_only and self.prober is not None and self.prober.unprobed(tx, drawing.needed):
            raise AddressesUnprobed(drawing.needed)
        served = []
        for plan in ready:
            short = drawing.serve(plan.cards)
            if short is not None:
                answers[plan.request.instance_uuid] = NoMoreAddresses(
                    f"No fixed IP addresses available for network: {short.uuid}"
                )
                continue
            served.append(plan)
        if self._auto_assign_floating and auto_assign:
            served = [plan for plan in served if self._with_floating(tx, plan, answers)]
        if served:
            served = self._store(tx, served, answers)
        if self.refreshes is not None:
            uuids = [plan.request.instance_uuid for plan in served]
            self.refreshes.of_servers_elsewhere(tx, uuids)
            addresses_changed(self.refreshes, tx, uuids)
        for plan in served:
            uuid_ = plan.request.instance_uuid
            if (self._auto_assign_floating and auto_assign) or has_port(plan):
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
        plans: Sequence[Plan],
        answers: dict[str, tuple[Vif, ...] | NovaError],
    ) -> list[Plan]:
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

    def _store(
        self,
        tx: Transaction,
        plans: Sequence[Plan],
        answers: dict[str, tuple[Vif, ...] | NovaError],
    ) -> list[Plan]:
        """Write the cards; returns the plans but those that lost a port to somebody faster."""
        mixed = [plan for plan in plans if has_port(plan)]
        plain = [plan for plan in plans if not has_port(plan)] if mixed else list(plans)
        if plain:
            self._insert(tx, plain, [card for plan in plain for card in plan.cards])
        for plan in mixed:
            lost = self._store_in_order(tx, plan)
            if lost is None:
                plain.append(plan)
            else:
                self.release(tx, [plan.request.instance_uuid])
                answers[plan.request.instance_uuid] = lost
        return plain

    def _store_in_order(self, tx: Transaction, plan: Plan) -> NovaError | None:
        """Write a server's cards one by one, so that ports take their place among the others."""
        for card in plan.cards:
            if card.port is None:
                self._insert(tx, [plan], [card])
            elif not tx.ports.bind(
                card.port, plan.request.instance_uuid, card.tag, plan.request.host
            ):
                return Conflict(f"Port {card.port.card.uuid} is still in use.")
        return None

    def _insert(self, tx: Transaction, plans: Sequence[Plan], cards: Sequence[Card]) -> None:
        owner = {id(card): plan.request for plan in plans for card in plan.cards}
        for _ in range(_MAC_ATTEMPTS):
            if tx.fixed_ips.add_interfaces(
                [
                    (card.id, card.mac, card.network.id, owner[id(card)].instance_uuid, card.tag,
                     owner[id(card)].project_id)
                    for card in cards
                ]
            ):
                break
            self._name_cards(tx, [], plans)
        else:
            raise ServiceUnavailable("No unused MAC address was found; try again.")
        assignments = [
            (card.row, owner[id(card)].instance_uuid, card.id) for card in cards if card.address
        ]
        if assignments:
            tx.fixed_ips.assign(assignments)

    def _with_floating(
        self,
        tx: Transaction,
        plan: Plan,
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
    if network is None:
        return None
    return network if may_use(network, project_id) else None


def _is_free(row: FixedIP) -> bool:
    return not (row.allocated or row.reserved or row.used_elsewhere)


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
        network_id=network.network_uuid,
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
