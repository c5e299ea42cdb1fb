# SPDX-License-Identifier: Apache-2.0
"""Gives instances their network cards and fixed addresses, and takes them back.

Which networks an instance gets says ``nova/network/choosing.py``. All statements of a batch are made
once for the whole batch. Nothing is written before it is known that an instance can get all it needs, so
a refused instance leaves nothing behind.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from typing import TYPE_CHECKING

from nova.conf.network import NetworkSection
from nova.db.schema.base import now
from nova.errors import (
    AddressInUse,
    BadRequest,
    Conflict,
    NoMoreAddresses,
    NotFound,
    NovaError,
    ServiceUnavailable,
)
from nova.network.addresses import random_macs
from nova.network.card_views import by_instance, vif_of, vifs
from nova.network.cards import (
    AllocationRequest,
    Card,
    Drawing,
    Plan,
    has_port,
    ports_of,
)
from nova.network.catalog import NetworkCatalog, NetworkSnapshot
from nova.network.choosing import NetworkChooser
from nova.network.filter_refreshes import addresses_changed, members_changed
from nova.network.manager import manager_named
from nova.network.names import ServerNames, names_changed
from nova.network.outside import OutsideNetworks
from nova.network.probing import AddressesUnprobed, AddressProber
from nova.network.refreshes import NetworkRefreshes
from nova.objects.instance import Instance, RequestedNetwork, Vif
from nova.objects.network import InterfaceAddress, Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction


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

    def __init__(self, section: NetworkSection, default_zone: str = "nova") -> None:
        """``default_zone`` is that of hosts in no aggregate with a zone."""
        self._names = (
            ServerNames(section.instance_dns_domain, default_zone) if section.instance_dns_domain else None
        )
        self._auto_assign_floating = section.auto_assign_floating_ip
        self._floating_pool = section.default_floating_pool
        self._hold = _hold(section)
        self._mac_attempts = section.create_unique_mac_address_attempts
        self._catalog = NetworkCatalog()
        self._choose = NetworkChooser(self._catalog, manager_named(section.network_manager))

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
            return self._choose.automatic(tx, project_id, bind=False)
        cards = self._choose.requested(tx, project_id, requested)
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
            card = self._choose.port_card(tx, instance.project_id, each.port_id or "", each.tag)
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
                plans.append(Plan(request, self._choose.cards_for(tx, request)))
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
            answers.update(vifs(self._catalog, tx, existing))
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
        self._forget_names(tx, instance_uuids)
        kept = tx.fixed_ips.kept_ports(instance_uuids)
        if kept:
            tx.ports.unbind(kept)
        tx.floating_ips.disassociate_instances(instance_uuids)
        tx.fixed_ips.release_instances(instance_uuids, self._hold)

    def moved(self, tx: Transaction, instance_uuid: str) -> None:
        """A server is on another host from this transaction on; its networks go along."""
        self._tell_hosts(tx, [instance_uuid])
        members_changed(self.refreshes, tx, [instance_uuid])

    def renamed(self, tx: Transaction, instance_uuid: str) -> None:
        """A server has another host name from this transaction on: DHCP and DNS know it by that."""
        if self.refreshes is not None:
            self.refreshes.of_instances(tx, [instance_uuid])
        self._renew_names(tx, instance_uuid)

    def _tell_hosts(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        if self.refreshes is not None:
            self.refreshes.of_instances(tx, instance_uuids)
            addresses_changed(self.refreshes, tx, instance_uuids)

    def _renew_names(self, tx: Transaction, instance_uuid: str) -> None:
        """A server's names in DNS follow its host name and its first address."""
        if self._names is not None and self._names.renew(tx, [instance_uuid]):
            names_changed(self.refreshes, tx)

    def _forget_names(self, tx: Transaction, instance_uuids: Sequence[str]) -> None:
        """Take the names out of DNS that go with servers; they have their addresses still."""
        changed = self._names is not None and self._names.remove(tx, instance_uuids)
        if self._auto_assign_floating:
            changed = tx.dns.forget_automatic(instance_uuids) or changed
        if changed:
            names_changed(self.refreshes, tx)

    def vifs_of(
        self, tx: Transaction, instance_uuids: Sequence[str]
    ) -> dict[str, tuple[Vif, ...]]:
        """The cards of instances as the database has them, by instance uuid; () for one without."""
        found = by_instance(tx.fixed_ips.interfaces_of(instance_uuids)) if instance_uuids else {}
        shown = vifs(self._catalog, tx, found)
        return {each: shown.get(each, ()) for each in instance_uuids}

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
        plan = Plan(request, self._choose.cards_for(tx, request))
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
        if not tx.fixed_ips.release_address(instance.uuid, address, self._hold):
            raise NotFound(f"Instance {instance.uuid} doesn't have fixed ip '{address}'.")
        self._renew_names(tx, instance.uuid)
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

    def attach_port(
        self, tx: Transaction, instance: Instance, port_id: str, tag: str | None = None
    ) -> tuple[Vif, ...]:
        """Give a server a port that was made before; returns its new full list.

        Raises ``NotFound`` and ``Conflict`` as ``check`` does.
        """
        card = self._choose.port_card(tx, instance.project_id, port_id, tag)
        assert card.port is not None
        if not tx.ports.bind(card.port, instance.uuid, tag, instance.host):
            raise Conflict(f"Port {port_id} is still in use.")
        self._tell_hosts(tx, [instance.uuid])
        self._renew_names(tx, instance.uuid)
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
            self._renew_names(tx, instance.uuid)
        return self.vifs_of(tx, [instance.uuid])[instance.uuid]

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
        for _ in range(self._mac_attempts):
            lines = tx.fixed_ips.interfaces_of(instance_uuids, [card.mac for card in doubtful])
            if not existing:
                existing = by_instance(each for each in lines if each.instance_uuid in instances)
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
            if found.is_unclaimed_vip:
                raise AddressInUse(card.wanted, kept_for="virtual IPs")
            if key in seen or not found.is_free_by_name(now(), card.network):
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
        auto_assign = auto_assign and self._auto_assign_floating
        if not auto_assign and self._take_one(tx, plans, probed_only=probed_only):
            served = list(plans)
        else:
            ready = self._with_named(tx, plans, answers)
            served = self._draw(tx, ready, answers, probed_only=probed_only)
            if auto_assign:
                served = [plan for plan in served if self._with_floating(tx, plan, answers)]
            if served:
                served = self._store(tx, served, answers)
        if self.refreshes is not None:
            uuids = [plan.request.instance_uuid for plan in served]
            self.refreshes.of_servers_elsewhere(tx, uuids)
            addresses_changed(self.refreshes, tx, uuids)
        if self._names is not None and served:
            hosts = {plan.request.instance_uuid: plan.request.host for plan in served}
            if self._names.add(tx, list(hosts), hosts):
                names_changed(self.refreshes, tx)
        for plan in served:
            uuid_ = plan.request.instance_uuid
            if auto_assign or has_port(plan):
                answers[uuid_] = self.vifs_of(tx, [uuid_])[uuid_]
            else:
                answers[uuid_] = tuple(
                    vif_of(
                        card.network, card.id, card.mac, card.tag,
                        ((card.address, ()),) if card.address else (),
                    )
                    for card in plan.cards
                )

    def _take_one(self, tx: Transaction, plans: Sequence[Plan], *, probed_only: bool) -> bool:
        """Serve the usual boot, of one server with one card, with one statement for its address.

        False, with nothing taken, where it is not one, or where the next address was not probed.
        """
        if len(plans) != 1 or len(plans[0].cards) != 1:
            return False
        plan, card = plans[0], plans[0].cards[0]
        if card.wanted is not None or not card.lacks_address or card.network.cidr is None:
            return False
        since = None
        if probed_only and self.prober is not None:
            since = self.prober.fresh_since(card.network.id)
        card.id = str(uuid.uuid4())
        address = tx.fixed_ips.take_next(card.network.id, plan.request.instance_uuid, card.id, since)
        if address is None:
            return False
        card.address = address
        self._add_cards(tx, [plan], [card])
        return True

    def _draw(
        self,
        tx: Transaction,
        plans: Sequence[Plan],
        answers: dict[str, tuple[Vif, ...] | NovaError],
        *,
        probed_only: bool,
    ) -> list[Plan]:
        """Find addresses for all cards; the plans that got all of theirs, the others get their error."""
        drawing = Drawing(tx, plans)
        if probed_only and self.prober is not None and self.prober.unprobed(tx, drawing.needed):
            raise AddressesUnprobed(drawing.needed)
        served = []
        for plan in plans:
            short = drawing.serve(plan.cards)
            if short is None:
                served.append(plan)
                continue
            answers[plan.request.instance_uuid] = NoMoreAddresses(
                f"No fixed IP addresses available for network: {short.uuid}"
            )
        return served

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
        """Write cards and give them their addresses."""
        owner = self._add_cards(tx, plans, cards)
        assignments = [
            (card.row, owner[id(card)].instance_uuid, card.id) for card in cards if card.address
        ]
        if assignments:
            tx.fixed_ips.assign(assignments)

    def _add_cards(
        self, tx: Transaction, plans: Sequence[Plan], cards: Sequence[Card]
    ) -> dict[int, AllocationRequest]:
        """Write cards; returns whose each is, by the card's identity."""
        owner = {id(card): plan.request for plan in plans for card in plan.cards}
        for _ in range(self._mac_attempts):
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
        return owner

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


def _hold(section: NetworkSection) -> datetime.timedelta:
    """How long the address of a deleted server is held back while its lease runs: not at all where the
    lease is released with the server (``force_dhcp_release``).
    """
    if section.force_dhcp_release or not manager_named(section.network_manager).dhcp:
        return datetime.timedelta()
    # No lease runs for longer than leases do.
    seconds = min(section.fixed_ip_disassociate_timeout, section.dhcp_lease_time)
    return datetime.timedelta(seconds=seconds)
