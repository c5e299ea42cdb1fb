# SPDX-License-Identifier: Apache-2.0
"""Limits of network cards (ports) and fixed addresses, counted from the rows where a limit is set.

Without a limit, which is the default, nothing is counted. With one the project's usage row is held until the
transaction ends, so that parallel requests cannot exceed it together. Servers that wait for their cards count
with those that they asked for.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from nova.db.engine import Transaction
from nova.errors import QuotaExceeded


def check_cards(
    tx: Transaction,
    project_id: str,
    limits: Mapping[str, int],
    more: int,
    automatic: Callable[[], int],
) -> None:
    """Raise ``QuotaExceeded`` where ``more`` cards with an address each would be too many.

    ``limits`` has ``fixed_ips`` and perhaps ``port``; -1 is none. ``automatic`` tells how many cards a
    server gets that asked for no particular networks. Servers that ask now must not be stored yet.
    """
    ports, addresses = limits.get("port", -1), limits.get("fixed_ips", -1)
    if more <= 0 or (ports < 0 and addresses < 0):
        return
    tx.quotas.hold(project_id)
    used = tx.quotas.cards(project_id, automatic)
    if 0 <= ports < used.cards + used.to_come + more:
        raise QuotaExceeded("Maximum number of ports exceeded")
    if 0 <= addresses < used.addresses + used.to_come + more:
        raise QuotaExceeded(
            f"Quota exceeded for fixed_ips: Requested {more}, but already used "
            f"{used.addresses + used.to_come} of {addresses} fixed_ips"
        )
