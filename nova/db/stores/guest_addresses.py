# SPDX-License-Identifier: Apache-2.0
"""Which guest asks: servers by the address that they speak from, as a host sees them."""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, and_, bindparam, or_, select, true

from nova.db.schema.compute import instances
from nova.db.schema.network import fixed_ips, networks
from nova.objects.instance import Instance

# Two lines are enough to know that an address is not one guest's alone.
_BY_ADDRESS = (
    select(instances)
    .join(
        fixed_ips,
        and_(fixed_ips.c.instance_uuid == instances.c.uuid, fixed_ips.c.allocated == true()),
    )
    .join(networks, networks.c.id == fixed_ips.c.network_id)
    .where(fixed_ips.c.address == bindparam("address"), instances.c.deleted == 0)
    .limit(2)
)
# A host answers for its own guests, and as the network host of a network for those in it.
_SERVED = or_(
    instances.c.host == bindparam("of_host"),
    and_(networks.c.host == bindparam("of_host"), networks.c.multi_host != true()),
)
_ON_BRIDGE = networks.c.bridge == bindparam("of_bridge")

_STATEMENTS = {
    (False, False): _BY_ADDRESS,
    (True, False): _BY_ADDRESS.where(_SERVED),
    (False, True): _BY_ADDRESS.where(_ON_BRIDGE),
    (True, True): _BY_ADDRESS.where(_SERVED, _ON_BRIDGE),
}
_IS_SERVED = (
    select(instances.c.uuid)
    .outerjoin(
        fixed_ips,
        and_(fixed_ips.c.instance_uuid == instances.c.uuid, fixed_ips.c.allocated == true()),
    )
    .outerjoin(networks, networks.c.id == fixed_ips.c.network_id)
    .where(instances.c.uuid == bindparam("of_uuid"), instances.c.deleted == 0, _SERVED)
    .limit(1)
)


class GuestAddresses:
    """Reads of servers for those who serve them on the wire."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def holders(
        self, address: str, *, host: str | None = None, bridge: str | None = None
    ) -> list[Instance]:
        """The servers that hold an address, two at most: networks with the same range may be apart.

        With ``host`` only those that it answers for, with ``bridge`` only those on it.
        """
        values: dict[str, Any] = {"address": address}
        if host is not None:
            values["of_host"] = host
        if bridge is not None:
            values["of_bridge"] = bridge
        rows = self._connection.execute(
            _STATEMENTS[host is not None, bridge is not None], values
        )
        return [Instance(*row) for row in rows]

    def is_served_by(self, uuid: str, host: str) -> bool:
        """Whether a host answers for a server."""
        row = self._connection.execute(_IS_SERVED, {"of_uuid": uuid, "of_host": host}).first()
        return row is not None
