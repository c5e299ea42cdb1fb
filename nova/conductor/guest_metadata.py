# SPDX-License-Identifier: Apache-2.0
"""What metadata services may ask: who a guest is, and to keep the password that it posted.

``host`` None is the control side itself; a host is answered about guests that it serves alone.
"""

from __future__ import annotations

import logging

from nova.db.engine import Database, Transaction
from nova.errors import Conflict, HostRefused, InstanceNotFound
from nova.metadata.tree import PASSWORD_KEY
from nova.objects.instance import Instance

LOG = logging.getLogger(__name__)


class GuestMetadata:
    """The database's side of the metadata service."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def by_address(self, host: str | None, bridge: str | None, address: str) -> Instance | None:
        """The server that speaks from an address; None where it is nobody's, or more than one's."""
        with self._db.read() as tx:
            found = tx.guest_addresses.holders(address, host=host, bridge=bridge)
        if len(found) > 1:
            LOG.warning(
                "address %s is held by servers of several networks; without the bridge that a "
                "request came on, none of them is told its metadata", address,
            )
            return None
        return found[0] if found else None

    def by_uuid(self, host: str | None, uuid: str) -> Instance | None:
        """The server of that uuid; None where there is none or it is not the host's."""
        with self._db.read() as tx:
            if host is not None and not tx.guest_addresses.is_served_by(uuid, host):
                return None
            return tx.instances.get(uuid)

    def set_password(self, host: str | None, uuid: str, ciphertext: str) -> None:
        """Keep the password that a guest encrypted for its owner.

        Raises ``Conflict`` where there is one already, ``InstanceNotFound`` where the server is gone,
        ``HostRefused`` where it is not the host's.
        """

        def write(tx: Transaction) -> None:
            instance = tx.instances.get(uuid, lock=True)
            if instance is None:
                raise InstanceNotFound(uuid)
            if host is not None and not tx.guest_addresses.is_served_by(uuid, host):
                raise HostRefused(f"{host} does not serve instance {uuid}")
            if instance.system_metadata.get(PASSWORD_KEY):
                raise Conflict("There is a password already.")
            tx.instances.update(
                uuid, {"system_metadata": {**instance.system_metadata, PASSWORD_KEY: ciphertext}}
            )

        self._db.run(write)


class CloudGuests:
    """All guests, for a metadata service on the control side."""

    def __init__(self, metadata: GuestMetadata) -> None:
        self._metadata = metadata

    def by_address(self, bridge: str | None, address: str) -> Instance | None:
        """The server that speaks from an address."""
        return self._metadata.by_address(None, bridge, address)

    def by_uuid(self, uuid: str) -> Instance | None:
        """The server of that uuid."""
        return self._metadata.by_uuid(None, uuid)

    def set_password(self, uuid: str, ciphertext: str) -> None:
        """Keep a server's password."""
        self._metadata.set_password(None, uuid, ciphertext)
