# SPDX-License-Identifier: Apache-2.0
"""NICs of running servers: plugged and unplugged while the caller waits.

The row of the operation is there before the host is asked; where this process dies meanwhile, the conductor
brings it to its end as it does with all that is lost.
"""

from __future__ import annotations

import contextlib

from nova.compute.operations import outside_interfaces
from nova.compute.operations.card_ending import forget_own_card, take_back_card
from nova.compute.operations.core import OperationsCore, ask_guest, begin_own, end_own, host_of, prepare
from nova.compute.operations.facts import check_card, join_groups
from nova.conductor.device_addresses import note_addresses_of
from nova.db.engine import Transaction
from nova.errors import Conflict, InstanceNotFound, NotFound, NovaError, ServiceUnavailable
from nova.network.filter_refreshes import members_changed
from nova.objects.context import RequestContext
from nova.objects.instance import Instance, RequestedNetwork, Vif
from nova.rpc.calls import COMPUTE


def attach_interface(
    core: OperationsCore, context: RequestContext, instance: Instance, wanted: RequestedNetwork
) -> Vif:
    """Give a server another NIC; it is plugged when this returns."""
    prepare(context, instance, "attach_interface")
    host = host_of(instance)
    if core.networks.outside is not None:
        return outside_interfaces.attach(
            core, core.networks.outside, context, instance, host, wanted
        )
    added, operation_id = core.db.run(lambda tx: _add_card(core, tx, context, instance.uuid, host, wanted))
    try:
        places = ask_guest(core, host, "plug_interface", instance, added)
    except ServiceUnavailable:
        if core.db.run(
            lambda tx: take_back_card(core, tx, context, instance.uuid, added.id, operation_id, keep=True)
        ):
            raise
        return added
    except Exception:
        # What was refused may have been done in part.
        with contextlib.suppress(NovaError):
            core.transport.call(COMPUTE, host, "unplug_interface", instance, added)
        if core.db.run(
            lambda tx: forget_own_card(
                core, tx, instance.uuid, added.id, operation_id, keep=True, failed=True
            )
        ).gone:
            raise
        return added
    core.db.run(lambda tx: end_own(tx, operation_id))
    if places:
        core.db.run(lambda tx: note_addresses_of(tx, instance.uuid, places))
    return added


def _add_card(
    core: OperationsCore,
    tx: Transaction,
    context: RequestContext,
    uuid: str,
    host: str,
    wanted: RequestedNetwork,
) -> tuple[Vif, int]:
    """Give the server a card in the tables; a delete, a move or another card that came first is seen."""
    instance = tx.instances.get(uuid, lock=True)
    if instance is None:
        raise InstanceNotFound(uuid)
    prepare(context, instance, "attach_interface")
    if instance.host != host:
        raise Conflict(f"Instance {uuid} has moved meanwhile.")
    present = {vif.id for vif in instance.network_info}
    if wanted.port_id is not None:
        vifs = core.networks.attach_port(tx, instance, wanted.port_id, wanted.tag)
        instance = join_groups(tx, instance, wanted.port_id)
        members_changed(core.networks.refreshes, tx, [uuid])
    else:
        network_id = wanted.network_id
        if network_id is None:
            network_id = core.networks.check(tx, instance.project_id, None)[0].uuid
        check_card(core, tx, instance)
        vifs = core.networks.add_fixed_ip(tx, instance, network_id, wanted.address, wanted.tag)
    tx.instances.update(uuid, {"network_info": vifs})
    added = next(vif for vif in vifs if vif.id not in present)
    operation_id = begin_own(
        core, tx, context, instance, "attach_interface", "plug", {"card": added.id}
    )
    return added, operation_id


def detach_interface(
    core: OperationsCore,
    context: RequestContext,
    instance: Instance,
    vif_id: str,
    *,
    keep: bool = True,
) -> None:
    """Take a NIC away from a server; one that was made as a port stays as such, if ``keep``.

    Where the host does not answer (``ServiceUnavailable``), it is taken away later.
    """
    outside = core.networks.outside
    if outside is not None:
        keep = outside_interfaces.stays(instance, vif_id, keep=keep)
    host, vif, operation_id = core.db.run(
        lambda tx: _begin_detach(core, tx, context, instance, vif_id, keep=keep)
    )
    try:
        ask_guest(core, host, "unplug_interface", instance, vif)
    except ServiceUnavailable:
        # It may have come about: the operation stays open, and is taken up again.
        raise
    except Exception:
        core.db.run(lambda tx: end_own(tx, operation_id, failed=True))
        raise
    if outside is not None:
        outside_interfaces.forget(core, outside, instance, vif.id, operation_id, keep=keep)
        return
    core.db.run(lambda tx: forget_own_card(core, tx, instance.uuid, vif.id, operation_id, keep=keep))


def _begin_detach(
    core: OperationsCore, tx: Transaction, context: RequestContext, asked: Instance, card_id: str, *,
    keep: bool,
) -> tuple[str, Vif, int]:
    instance = tx.instances.get(asked.uuid, lock=True)
    if instance is None:
        raise InstanceNotFound(asked.uuid)
    prepare(context, instance, "detach_interface")
    vif = next((each for each in instance.network_info if each.id == card_id), None)
    if vif is None:
        raise NotFound(f"Port {card_id} could not be found on instance {asked.uuid}.")
    host = host_of(instance)
    return host, vif, begin_own(
        core, tx, context, instance, "detach_interface", "unplug", {"card": card_id, "keep": keep}
    )
