# SPDX-License-Identifier: Apache-2.0
"""The rows of a server's network cards, once its guest has a card no more, or never got it."""

from __future__ import annotations

import datetime

from nova.conductor.release import Holder
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.instance import Instance
from nova.objects.network_task import DETACH

#: Operations about one card: the API carries them out itself and nobody else is woken. Where it dies, the
#: conductor finds them as it finds all that is lost.
OF_ONE_CARD = frozenset({"attach_interface", "detach_interface"})
#: When an external network service is told that a port is free, should whoever forgot it not do so at once.
_TELL_AFTER = datetime.timedelta(seconds=60)


def forget_card(
    core: Holder, tx: Transaction, instance: Instance, card_id: str, *, keep: bool
) -> int | None:
    """Take a card from a server; ``instance`` was read with a lock. One that is gone is no error.

    ``keep`` spares a port that a user made. Returns the task that tells an external network service of it;
    None where the networks are ours.
    """
    if core.networks.outside is None:
        vifs = core.networks.detach(tx, instance, card_id, keep=keep)
        tx.instances.update(instance.uuid, {"network_info": vifs})
        return None
    rest = tuple(vif for vif in instance.network_info if vif.id != card_id)
    tx.instances.update(instance.uuid, {"network_info": rest})
    return tx.network_tasks.add(
        instance.uuid, DETACH, {"port": card_id, "keep": keep}, now() + _TELL_AFTER
    )
