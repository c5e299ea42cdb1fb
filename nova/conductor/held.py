# SPDX-License-Identifier: Apache-2.0
"""What a host that asks has at hand: its right to ask of an operation and the instance of it."""

from __future__ import annotations

from nova.db.engine import Database
from nova.errors import HostRefused
from nova.objects.instance import Instance
from nova.objects.operation import Operation


def held(db: Database, host: str, operation_id: int) -> tuple[Operation, Instance]:
    """An operation that is at a host now, and its instance; ``HostRefused`` for every other host."""
    with db.read() as tx:
        operation = tx.operations.get(operation_id)
        if operation is None or operation.finished_at is not None or operation.host != host:
            raise HostRefused(f"Operation {operation_id} is not at host {host}.")
        instance = tx.instances.get(operation.instance_uuid)
    if instance is None:
        raise HostRefused(f"Operation {operation_id} is about no instance any more.")
    return operation, instance
