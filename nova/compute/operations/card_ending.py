# SPDX-License-Identifier: Apache-2.0
"""The end of an operation about one NIC that this process carries out itself."""

from __future__ import annotations

import msgspec

from nova.compute.lifecycle import ACTIONS
from nova.compute.operations.core import OperationsCore, end_own
from nova.conductor.beside import left_to_recovery
from nova.conductor.cards import forget_card
from nova.db.engine import Transaction
from nova.objects.context import RequestContext


class Forgotten(msgspec.Struct, frozen=True):
    """Whether a card is off the tables, and the task that tells an external network service of it.

    A card stays where another operation may be giving the server's guest the card: until that has ended.
    """

    gone: bool
    task: int | None = None


def forget_own_card(
    core: OperationsCore, tx: Transaction, uuid: str, card_id: str, operation_id: int, *, keep: bool,
    failed: bool = False,
) -> Forgotten:
    """The guest has the card no more, or never got it: end the operation and take it from the tables.

    ``keep`` spares a port that a user made. A delete that was faster has taken all cards.
    """
    operation = tx.operations.get(operation_id, lock=True)
    instance = tx.instances.get(uuid, lock=True)
    if left_to_recovery(core, tx, operation, instance):
        return Forgotten(gone=False)
    if not end_own(tx, operation_id, failed=failed) or instance is None:
        return Forgotten(gone=True)
    return Forgotten(gone=True, task=forget_card(core, tx, instance, card_id, keep=keep))


def take_back_card(
    core: OperationsCore, tx: Transaction, context: RequestContext, uuid: str, card_id: str,
    operation_id: int, *, keep: bool,
) -> bool:
    """Nobody knows whether the guest got the card: its host takes it away once it answers again.

    Until then the server keeps the card, and its address is nobody else's. False where another operation may
    be giving the guest the card: it stays.
    """
    operation = tx.operations.get(operation_id, lock=True)
    instance = tx.instances.get(uuid, lock=True)
    if left_to_recovery(core, tx, operation, instance):
        return False
    if end_own(tx, operation_id, failed=True) and instance is not None:
        core.dispatcher.start(
            tx, context, instance, ACTIONS["detach_interface"], "unplug", {"card": card_id, "keep": keep}
        )
    return True
