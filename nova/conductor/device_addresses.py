# SPDX-License-Identifier: Apache-2.0
"""Writes down where a host put the devices that a user tagged."""

from __future__ import annotations

import msgspec

from nova.db.engine import Transaction
from nova.objects.device_addresses import KEY, DeviceAddresses
from nova.objects.instance import Instance


def note_addresses_of(tx: Transaction, uuid: str, found: DeviceAddresses) -> None:
    """Write down what a host says outside of an operation, while the server is there."""
    instance = tx.instances.get(uuid, lock=True)
    if instance is not None:
        note_addresses(tx, instance, found)


def note_addresses(tx: Transaction, instance: Instance, found: DeviceAddresses) -> Instance:
    """The instance with what its host says; nothing is written where that is known."""
    if found == instance.system_metadata.get(KEY, {}):
        return instance
    facts = {**instance.system_metadata, KEY: found}
    tx.instances.update(instance.uuid, {"system_metadata": facts})
    return msgspec.structs.replace(instance, system_metadata=facts)
