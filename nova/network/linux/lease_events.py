# SPDX-License-Identifier: Apache-2.0
"""What nova-dhcpbridge tells of leases, line by line.

A line has the words that dnsmasq gives (``add MAC ADDRESS [NAME]``, ``old …``, ``del …``, ``init [DEVICE]``);
``init`` is answered with leases in the form of dnsmasq's lease file.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from nova.objects.host_network import LeaseEvent

LOG = logging.getLogger(__name__)

_KINDS = frozenset({"add", "old", "del"})


def lease_answer(
    words: list[str], seen: Callable[[LeaseEvent], None], leases: Callable[[str | None], str]
) -> str:
    """Take one line in and answer it; what is no lease event is answered with nothing."""
    if words[:1] == ["init"]:
        return leases(words[1] if len(words) > 1 else None)
    if len(words) < 3 or words[0] not in _KINDS:
        LOG.debug("no lease event: %r", words[:4])
        return ""
    kind, mac, address = words[:3]
    seen(LeaseEvent(kind, mac.lower(), address, words[3] if len(words) > 3 else None))
    return ""
