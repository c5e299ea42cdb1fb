# SPDX-License-Identifier: Apache-2.0
"""NICs of running servers whose ports are an external network service's.

Before the service is asked for a port, a row says so; whoever dies in between leaves the row, and the
conductor gives up what the server does not know of. What the service has to be told later is a row as well.
"""

from __future__ import annotations

import datetime
import logging
from collections.abc import Sequence
from functools import partial
from typing import Any

import msgspec

from nova.compute.operations.card_ending import forget_own_card, take_back_card
from nova.compute.operations.core import OperationsCore, ask_guest, begin_own, end_own
from nova.conductor.device_addresses import note_addresses_of
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.errors import InstanceNotFound, NovaError, ServiceUnavailable
from nova.network.external import KEPT, PLUGGED_EARLY, kept_ports
from nova.network.outside import OutsideNetworks
from nova.objects.context import RequestContext
from nova.objects.instance import Instance, RequestedNetwork, Vif
from nova.objects.network_task import ATTACH
from nova.objects.states import BUILDING
from nova.rpc.calls import COMPUTE, CONDUCTOR

LOG = logging.getLogger(__name__)

#: Longer than any attach takes.
_ATTACH_TIME = datetime.timedelta(minutes=5)


def attach(
    core: OperationsCore,
    outside: OutsideNetworks,
    context: RequestContext,
    instance: Instance,
    host: str,
    wanted: RequestedNetwork,
) -> Vif:
    """Give a server another NIC; it is plugged when this returns."""
    intent = core.db.run(lambda tx: _intend(tx, instance.uuid, wanted.port_id))
    try:
        added = outside.attach(instance, wanted)
    except NovaError:
        # Nobody knows what became of a request that was not answered.
        core.db.run(lambda tx: tx.network_tasks.postpone(intent, now()))
        _wake(core, intent)
        raise
    kept = wanted.port_id is not None
    operation_id = core.db.run(
        lambda tx: _know(core, tx, context, instance.uuid, added, intent, kept=kept)
    )
    try:
        places = ask_guest(core, host, "plug_interface", instance, added)
    except ServiceUnavailable:
        if core.db.run(
            lambda tx: take_back_card(core, tx, context, instance.uuid, added.id, operation_id, keep=kept)
        ):
            raise
        return added
    except Exception:
        if forget(core, outside, instance, added.id, operation_id, keep=kept, failed=True):
            raise
        return added
    core.db.run(lambda tx: end_own(tx, operation_id))
    if places:
        core.db.run(lambda tx: note_addresses_of(tx, instance.uuid, places))
    return added


def _intend(tx: Transaction, uuid: str, port_id: str | None) -> int:
    instance = tx.instances.get(uuid, lock=True)
    if instance is None:
        raise InstanceNotFound(uuid)
    if port_id is not None:
        kept = list(dict.fromkeys((*kept_ports(instance), port_id)))
        tx.instances.update(uuid, {"system_metadata": {**instance.system_metadata, KEPT: kept}})
    return tx.network_tasks.add(uuid, ATTACH, {"port": port_id}, now() + _ATTACH_TIME)


def _know(
    core: OperationsCore, tx: Transaction, context: RequestContext, uuid: str, added: Vif, intent: int,
    *, kept: bool,
) -> int:
    instance = tx.instances.get(uuid, lock=True)
    if instance is None:
        # Deleted meanwhile: the intent stays, and the port is given up by it.
        tx.network_tasks.postpone(intent, now())
        raise InstanceNotFound(uuid)
    others = tuple(vif for vif in instance.network_info if vif.id != added.id)
    tx.instances.update(uuid, {"network_info": (*others, added)})
    tx.network_tasks.remove(intent)
    return begin_own(
        core, tx, context, instance, "attach_interface", "plug", {"card": added.id, "keep": kept}
    )


def stays(instance: Instance, port_id: str, *, keep: bool) -> bool:
    """Whether a port stays when it is taken off its server: one that the service had before."""
    return keep and port_id in kept_ports(instance)


def forget(
    core: OperationsCore, outside: OutsideNetworks, instance: Instance, port_id: str, operation_id: int,
    *, keep: bool, failed: bool = False,
) -> bool:
    """The guest has the NIC no more, or never got it: forget the card, and tell the service, now or later.

    False where another operation may be giving the server's guest the card: it stays until that has ended.
    """

    forgotten = core.db.run(
        lambda tx: forget_own_card(
            core, tx, instance.uuid, port_id, operation_id, keep=keep, failed=failed
        )
    )
    task = forgotten.task
    if task is None:
        return forgotten.gone
    try:
        outside.detach(instance.uuid, port_id, keep=keep)
    except NovaError as error:
        LOG.warning("port %s is given up later: %s", port_id, error.message)
        core.db.run(lambda tx: tx.network_tasks.postpone(task, now()))
        return True
    core.db.run(lambda tx: tx.network_tasks.remove(task))
    return True


def _wake(core: OperationsCore, task: int) -> None:
    core.transport.cast(CONDUCTOR, None, "network_tasks", [task])


def refresh(
    core: OperationsCore, outside: OutsideNetworks, instance_uuids: Sequence[str]
) -> None:
    """Read the known cards of servers anew; one whose port is gone is unplugged and forgotten."""
    with core.db.read() as tx:
        found = tx.instances.get_many(list(instance_uuids))
    for instance in found.values():
        if not instance.network_info:
            continue
        cards = {vif.id: vif for vif in outside.cards(instance)}
        gone = core.db.run(partial(_renew, cards=cards, asked=instance))
        for vif in gone:
            _unplug(core, instance, vif)


def _renew(
    tx: Transaction, *, cards: dict[str, Vif], asked: Instance
) -> list[Vif]:
    """Write what was read; cards that came after it was asked stay as they are."""
    fresh = tx.instances.get(asked.uuid, lock=True)
    if fresh is None:
        return []
    known = {vif.id for vif in asked.network_info}
    gone = [vif for vif in fresh.network_info if vif.id in known and vif.id not in cards]
    info = tuple(
        msgspec.structs.replace(cards[vif.id], plugged=vif.plugged or cards[vif.id].plugged)
        if vif.id in cards else vif
        for vif in fresh.network_info if vif.id in cards or vif.id not in known
    )
    if info != fresh.network_info:
        tx.instances.update(asked.uuid, {"network_info": info})
    return gone


def port_plugged(
    core: OperationsCore, instance_uuid: str, port_id: str, *, plugged: bool
) -> None:
    """The network service says that it carries a port's traffic, or that it cannot: a boot waits for it.

    It may say so before the port is known here; then it is remembered with the server.
    """

    def write(tx: Transaction) -> list[int]:
        instance = tx.instances.get(instance_uuid, lock=True)
        if instance is None or (instance.vm_state != BUILDING and not plugged):
            return []
        values: dict[str, Any] = {}
        if plugged and any(vif.id == port_id and not vif.plugged for vif in instance.network_info):
            values["network_info"] = tuple(
                msgspec.structs.replace(vif, plugged=True) if vif.id == port_id else vif
                for vif in instance.network_info
            )
        elif instance.vm_state == BUILDING:
            said = {**(instance.system_metadata.get(PLUGGED_EARLY) or {}), port_id: plugged}
            values["system_metadata"] = {**instance.system_metadata, PLUGGED_EARLY: said}
        if values:
            tx.instances.update(instance_uuid, values)
        return [each.id for each in tx.operations.open_for(instance_uuid) if each.step == "plugging"]

    waiting = core.db.run(write)
    if waiting:
        core.dispatcher.wake_now(waiting, "plugging")


def _unplug(core: OperationsCore, instance: Instance, vif: Vif) -> None:
    if instance.host is None:
        return
    try:
        core.transport.call(COMPUTE, instance.host, "unplug_interface", instance, vif)
    except NovaError as error:
        LOG.warning("the NIC %s of a port that is gone stays: %s", vif.id, error.message)


def note_groups(
    core: OperationsCore,
    instance: Instance,
    *,
    add: str | None = None,
    remove: str | None = None,
) -> None:
    """Let the server show the groups that its ports are in now."""

    def write(tx: Transaction) -> None:
        fresh = tx.instances.get(instance.uuid, lock=True)
        if fresh is None:
            return
        names = [each for each in fresh.security_groups if each != remove]
        if add is not None and add not in names:
            names.append(add)
        tx.instances.update(instance.uuid, {"security_groups": names})

    core.db.run(write)
