# SPDX-License-Identifier: Apache-2.0
"""Operations about one disk or one NIC run beside others: whether what a host said of the guest still counts.

An operation that began after the host was asked may have made the guest anew, there or on another host, with
the disks and NICs of the row as it was. The host that has the guest then is asked once more.
"""

from __future__ import annotations

from typing import Any

from nova.compute.lifecycle import ACTIONS
from nova.conductor.release import Holder
from nova.db.engine import Transaction
from nova.db.schema.base import now
from nova.objects.instance import Instance
from nova.objects.operation import Operation

_BESIDE = frozenset(name for name, action in ACTIONS.items() if action.beside)
#: In an operation's payload: the newest other operation of the server when its host was asked again.
_SINCE = "since"


def is_stale(tx: Transaction, operation: Operation, instance: Instance) -> bool:
    """Whether another operation began after the host was asked; ``instance`` was read with a lock."""
    since = operation.payload.get(_SINCE, operation.id)
    return bool(tx.operations.newest(instance.uuid, besides=_BESIDE) > since)


def asked_now(tx: Transaction, operation: Operation, instance: Instance) -> dict[str, Any]:
    """The payload with which the host is asked (again), while nothing else is under way."""
    return {
        **operation.payload,
        _SINCE: max(operation.id, tx.operations.newest(instance.uuid, besides=_BESIDE)),
    }


def left_to_recovery(
    core: Holder, tx: Transaction, operation: Operation | None, instance: Instance | None
) -> bool:
    """Leave an operation open whose host may not speak for the guest any more; false where it does."""
    if (
        operation is None or operation.finished_at is not None or instance is None
        or not is_stale(tx, operation, instance)
    ):
        return False
    assert operation.step is not None
    tx.operations.advance(
        operation.id, step=operation.step, host=instance.host, lease_owner=core.dispatcher.owner,
        lease_until=now(),
    )
    return True
