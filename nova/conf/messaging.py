# SPDX-License-Identifier: Apache-2.0
"""Options of messages that are in [DEFAULT]."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "DEFAULT"


@dataclasses.dataclass(frozen=True)
class MessagingSection:
    """Which transport, and how daemons end."""

    transport_url: str | None = option(
        None, "The brokers as rabbit://USER:PASSWORD@HOST:PORT,USER:PASSWORD@HOST:PORT/VIRTUAL_HOST; over "
        "[oslo_messaging_rabbit].", secret=True,
    )
    rpc_response_timeout: int = option(
        60, "Seconds that a call waits for its answer, where the call itself sets no shorter time.", minimum=1
    )
    graceful_shutdown_timeout: int = option(
        60, "Seconds that a daemon which is told to end lets its work end; 0 is no limit.", minimum=0
    )
