# SPDX-License-Identifier: Apache-2.0
"""What a host's network service may ask about filters: those of its own guests."""

from __future__ import annotations

from nova.conf.network import NetworkSection
from nova.db.engine import Database, Transaction
from nova.network.addresses import slaac_address
from nova.objects.host_filters import HostFilters


def host_filters(db: Database, section: NetworkSection, host: str) -> HostFilters:
    """All that a host filters and carries."""
    with db.read() as tx:
        return filters_in(tx, section, host)


def filters_in(tx: Transaction, section: NetworkSection, host: str) -> HostFilters:
    """The same in a transaction that is open."""
    return tx.host_filters.of_host(
        host, neighbours=section.allow_same_net_traffic, form_v6=slaac_address
    )
