# SPDX-License-Identifier: Apache-2.0
"""Opens the volumes of a server to the host where one of its operations is, and to no other.

What a host is told may hold secrets: it is asked of the block storage service each time, and kept nowhere
on the control side.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from nova.conductor.core import ConductorCore
from nova.conductor.held import held
from nova.conductor.volume_attachments import reserve
from nova.conductor.volume_rows import ASKED_FOR, ATTACHING, DETACHED, SWAPPING, device_of
from nova.db.engine import Transaction
from nova.errors import HostRefused, NotFound
from nova.objects.context import internal_context
from nova.objects.instance import BlockDevice, Instance
from nova.objects.operation import Operation
from nova.objects.volume_connection import VolumeConnection

LOG = logging.getLogger(__name__)


class VolumeConnections:
    """Answers hosts."""

    def __init__(self, core: ConductorCore) -> None:
        self._core = core

    def connect(
        self, host: str, operation_id: int, connector: Mapping[str, Any]
    ) -> list[VolumeConnection]:
        """Open the volumes that an operation at this host is about; the answer when repeated is the same.

        Raises ``HostRefused`` where the operation is not at this host.
        """
        operation, instance = held(self._core.db, host, operation_id)
        said = {**connector, "host": host}
        found = []
        for device in self._wanted(operation, instance):
            volume_id, attachment = self._attachment(operation, instance, device, host)
            info = self._core.volumes.connect(
                internal_context(operation.request_id), attachment, said, device.device_name
            )
            found.append(
                VolumeConnection(
                    bdm_uuid=device.bdm_uuid, volume_id=volume_id, attachment_id=attachment,
                    connection_info=info, device_name=device.device_name,
                    boot_index=device.boot_index, disk_bus=device.disk_bus,
                    device_type=device.device_type, tag=device.tag, volume_size=device.volume_size,
                    multiattach=bool((info.get("data") or {}).get("multiattach", info.get("multiattach"))),
                )
            )
        return found

    def complete(self, host: str, operation_id: int) -> None:
        """The guest has the disks of what was opened to this host for the operation."""
        operation, instance = held(self._core.db, host, operation_id)
        context = internal_context(operation.request_id)
        for device in self._wanted(operation, instance):
            swapped = operation.flow == "swap_volume"
            if not swapped and device.host == host and device.attachment_id:
                self._core.volumes.complete(context, device.attachment_id)
            elif device.next_host == host and device.next_attachment_id not in (None, ASKED_FOR):
                assert device.next_attachment_id is not None
                self._core.volumes.complete(context, device.next_attachment_id)

    def _wanted(self, operation: Operation, instance: Instance) -> list[BlockDevice]:
        bdm_uuid = operation.payload.get("bdm_uuid")
        if bdm_uuid is not None:
            device = device_of(instance, bdm_uuid)
            return [] if device is None else [device]
        return [
            each for each in instance.volumes
            if each.attachment_id is not None and each.volume_id is not None
            and each.state not in (ATTACHING, DETACHED)
        ]

    def _attachment(
        self, operation: Operation, instance: Instance, device: BlockDevice, host: str
    ) -> tuple[str, str]:
        """The volume and the attachment for this host, written down before the volume is opened with it.

        Where the volume is open to another host (the server moves) it is a second one.
        """
        assert device.volume_id is not None
        assert device.attachment_id is not None
        uuid = instance.uuid
        if operation.flow == "swap_volume":
            assert device.next_attachment_id is not None
            self._note(operation, uuid, device, next_host=host)
            if operation.payload.get("migrates"):
                return device.volume_id, device.next_attachment_id
            return str(operation.payload["new_volume_id"]), device.next_attachment_id
        if device.host in (None, host):
            if device.host is None:
                self._note(operation, uuid, device, host=host)
            return device.volume_id, device.attachment_id
        if device.state == SWAPPING:
            # Its second attachment is that of the volume which takes its place.
            raise HostRefused(f"Volume {device.volume_id} is being exchanged for another.")
        other = device.next_attachment_id
        if other is not None and other != ASKED_FOR and device.next_host == host:
            return device.volume_id, other
        context = internal_context(operation.request_id)
        if other is not None and other != ASKED_FOR:
            try:
                self._core.volumes.detach(context, other)
            except NotFound:
                LOG.debug("attachment %s was gone", other)
        self._note(operation, uuid, device, next_attachment_id=ASKED_FOR, next_host=host)
        fresh = reserve(self._core, context, uuid, device.volume_id)
        self._note(operation, uuid, device, next_attachment_id=fresh, next_host=host)
        return device.volume_id, fresh

    def _note(
        self, operation: Operation, uuid: str, device: BlockDevice, **changes: Any
    ) -> None:
        def write(tx: Transaction) -> None:
            found = tx.operations.get(operation.id, lock=True)
            if found is None or found.finished_at is not None or found.step != operation.step:
                raise HostRefused(f"Operation {operation.id} has ended.")
            devices = tx.block_devices.change(uuid, device.bdm_uuid, **changes)
            if not any(each.bdm_uuid == device.bdm_uuid for each in devices or ()):
                raise HostRefused(f"Instance {uuid} does not have volume {device.volume_id} any more.")

        try:
            self._core.db.run(write)
        except HostRefused:
            if changes.get("next_attachment_id", ASKED_FOR) != ASKED_FOR:
                self._core.volumes.detach(
                    internal_context(operation.request_id), changes["next_attachment_id"]
                )
            raise
