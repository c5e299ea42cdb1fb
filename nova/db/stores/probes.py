# SPDX-License-Identifier: Apache-2.0
"""Which addresses to look for on the wire, who can look, and what was found."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from sqlalchemy import (
    Boolean,
    Connection,
    Integer,
    String,
    bindparam,
    case,
    false,
    or_,
    select,
    true,
    update,
)

from nova.db.schema.base import Timestamp, now
from nova.db.schema.compute import instances
from nova.db.schema.network import fixed_ips, networks
from nova.db.stores.free_addresses import IS_FREE, values_at
from nova.objects.network import ProbeCandidate, ProbedNetwork, Segment

_fixed = fixed_ips.c
_row = bindparam("row", type_=Integer)

# Single-host networks are on their host; others are where their guests are.
_SEGMENTS = (
    select(networks.c.id, networks.c.uuid, networks.c.host)
    .where(networks.c.cidr.is_not(None), networks.c.multi_host == false(), networks.c.host.is_not(None))
    .union(
        select(networks.c.id, networks.c.uuid, instances.c.host)
        .select_from(
            networks.join(fixed_ips, _fixed.network_id == networks.c.id).join(
                instances, instances.c.uuid == _fixed.instance_uuid
            )
        )
        .where(
            networks.c.multi_host == true(), _fixed.allocated == true(),
            instances.c.host.is_not(None), instances.c.deleted == 0,
        )
        .distinct()
    )
    .order_by("id", "host")
)
_RANGES = (
    select(
        networks.c.id, networks.c.uuid, networks.c.cidr, networks.c.bridge, networks.c.vlan,
        networks.c.bridge_interface,
    )
    .where(networks.c.cidr.is_not(None), networks.c.bridge.is_not(None))
    .order_by(networks.c.id)
)
# In the order in which they are handed out.
_NEXT = (
    select(_fixed.id, _fixed.address, _fixed.probed_at, _fixed.released_at, _fixed.used_elsewhere)
    .where(IS_FREE)
    .order_by(_fixed.released_at, _fixed.position)
    .limit(bindparam("count", type_=Integer))
)
_ELSEWHERE = (
    select(_fixed.id, _fixed.address, _fixed.probed_at, _fixed.released_at, _fixed.used_elsewhere)
    .where(
        _fixed.network_id == bindparam("network"), _fixed.allocated == false(),
        _fixed.reserved == false(), _fixed.used_elsewhere == true(),
        or_(_fixed.probed_at.is_(None), _fixed.probed_at < bindparam("before", type_=Timestamp)),
    )
    .order_by(_fixed.probed_at)
    .limit(bindparam("count", type_=Integer))
)
# One that was handed out or reserved meanwhile is left alone.
_RECORD = (
    update(fixed_ips)
    .where(_fixed.id == _row, _fixed.allocated == false(), _fixed.reserved == false())
    .values(
        probed_at=bindparam("moment", type_=Timestamp),
        used_elsewhere=bindparam("answered", type_=Boolean),
        seen_mac=case(
            (bindparam("answered", type_=Boolean) == true(), bindparam("mac", type_=String)),
            else_=_fixed.seen_mac,
        ),
        seen_at=case(
            (bindparam("answered", type_=Boolean) == true(), bindparam("moment", type_=Timestamp)),
            else_=_fixed.seen_at,
        ),
    )
)


class ProbeStore:
    """Probes of addresses in one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def networks(self, hosts: Sequence[str]) -> list[ProbedNetwork]:
        """The networks with the hosts, of those given, that are on their segments; where none is, with two
        that may ask from beside it.
        """
        wanted = set(hosts)
        found: dict[int, tuple[str, list[str]]] = {}
        for network_id, uuid, host in self._connection.execute(_SEGMENTS):
            if host in wanted:
                found.setdefault(network_id, (uuid, []))[1].append(host)
        answer = [ProbedNetwork(each, uuid, tuple(on)) for each, (uuid, on) in found.items()]
        asked = sorted(wanted)
        for network_id, uuid, cidr, bridge, vlan, interface in self._connection.execute(_RANGES):
            if network_id not in found and asked:
                # Not the same two for all networks.
                first = network_id % len(asked)
                some = tuple(dict.fromkeys((asked[first], asked[(first + 1) % len(asked)])))
                segment = Segment(
                    cidr=cidr, bridge=bridge, vlan=vlan, bridge_interface=interface
                )
                answer.append(ProbedNetwork(network_id, uuid, some, segment))
        return answer

    def next_free(self, network_id: int, count: int) -> list[ProbeCandidate]:
        """The addresses of a network that are given out next, in that order."""
        rows = self._connection.execute(_NEXT, values_at(now(), network_id, count))
        return [ProbeCandidate(*row) for row in rows]

    def used_elsewhere(
        self, network_id: int, count: int, before: datetime.datetime
    ) -> list[ProbeCandidate]:
        """Addresses that somebody else answered for, not asked for since ``before``."""
        rows = self._connection.execute(
            _ELSEWHERE, {"network": network_id, "count": count, "before": before}
        )
        return [ProbeCandidate(*row) for row in rows]

    def record(self, answers: Mapping[int, str | None], moment: datetime.datetime) -> None:
        """Write what answered, by row: a MAC, or nothing.

        An answer marks the address as used elsewhere, so that nobody is given it; silence takes the mark
        away, and who was seen last stays readable.
        """
        if answers:
            self._connection.execute(
                _RECORD,
                [
                    {"row": row, "moment": moment, "answered": mac is not None, "mac": (mac or "").lower()}
                    for row, mac in answers.items()
                ],
            )
