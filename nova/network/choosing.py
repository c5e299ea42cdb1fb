# SPDX-License-Identifier: Apache-2.0
"""Which networks an instance gets cards in.

When it names none:

1. all networks of its project, by priority, then by age, if it owns any;
2. otherwise the first network of nobody, in the same order. The VLAN manager binds it to the
   project if it has a VLAN id of its own; one without a VLAN id stays shared, as all do under the
   flat managers.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import msgspec

from nova.errors import BadRequest, Conflict, NoMoreAddresses, NotFound
from nova.network.cards import AllocationRequest, Card, may_use, row_with
from nova.network.catalog import NetworkCatalog, NetworkSnapshot
from nova.network.manager import NetworkManager
from nova.objects.instance import RequestedNetwork
from nova.objects.network import Network

if TYPE_CHECKING:
    from nova.db.engine import Transaction


class NetworkChooser:
    """Chooses from the networks as the process remembers them."""

    def __init__(self, catalog: NetworkCatalog, manager: NetworkManager) -> None:
        self._catalog = catalog
        self._manager = manager

    def cards_for(self, tx: Transaction, request: AllocationRequest) -> list[Card]:
        """The cards that an instance is to get, in their order; nothing is taken but networks."""
        if request.requested is None:
            automatic = self.automatic(tx, request.project_id, bind=True)
            snapshot = self._catalog.snapshot(tx)
            return [Card(each, None, None, snapshot.rows_of(each)) for each in automatic]
        return self.requested(
            tx, request.project_id, request.requested, request.instance_uuid
        )

    def automatic(self, tx: Transaction, project_id: str, *, bind: bool) -> list[Network]:
        """The networks of an instance that names none; with ``bind`` one of nobody may become the project's.

        Raises ``NoMoreAddresses`` where there is none.
        """
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

    def requested(
        self,
        tx: Transaction,
        project_id: str,
        requested: Iterable[RequestedNetwork],
        instance_uuid: str | None = None,
    ) -> list[Card]:
        """The cards for what was asked for; raises ``NotFound``, ``BadRequest``, ``Conflict``."""
        snapshot = self._catalog.snapshot(tx)
        refreshed = False
        cards = []
        for each in requested:
            if each.port_id is not None:
                cards.append(
                    self.port_card(tx, project_id, each.port_id, each.tag, instance_uuid)
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

    def port_card(
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


def _usable(snapshot: NetworkSnapshot, network_uuid: str, project_id: str) -> Network | None:
    network = snapshot.by_uuid.get(network_uuid)
    if network is None:
        return None
    return network if may_use(network, project_id) else None
