# SPDX-License-Identifier: Apache-2.0
"""Tells compute of volumes that changed under its servers."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from nova.db.engine import Database
from nova.objects.context import internal_context
from nova.objects.instance import Instance
from nova.objects.volume_record import VolumeRecord
from nova.volume.service import VolumeService

if TYPE_CHECKING:
    from nova.compute.operations import Operations


class ComputeEvents:
    """What Cinder does with Nova's external events, by calls.

    ``operations`` makes what they go to when it is first needed: few volumes grow while they are used.
    """

    def __init__(self, db: Database, operations: Callable[[], Operations]) -> None:
        self._db = db
        self._operations = operations

    def connect(self, service: VolumeService) -> None:
        """Hear of a service's volumes."""
        service.flows.extended = self.extended
        service.flows.reimaged = self.reimaged

    def extended(self, volume: VolumeRecord, request_id: str) -> None:
        """A volume in use grew: every server that has it looks at its disk."""
        operations, context = self._operations(), internal_context(request_id)
        for instance in self._servers(volume):
            operations.volume_extended(context, instance, volume.id)

    def reimaged(self, volume: VolumeRecord, _request_id: str) -> None:
        """A volume has a new image: a rebuild that waits for it goes on."""
        servers = self._servers(volume)
        if servers:
            operations = self._operations()
            for instance in servers:
                operations.volume_reimaged(instance)

    def _servers(self, volume: VolumeRecord) -> list[Instance]:
        ids = {each.instance_uuid for each in volume.attachments if each.instance_uuid}
        if not ids:
            return []
        with self._db.read() as tx:
            found = tx.instances.get_many(ids)
        return list(found.values())
