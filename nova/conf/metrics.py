# SPDX-License-Identifier: Apache-2.0
"""[metrics]: the listener for those who watch over the cloud, in every daemon."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "metrics"


@dataclasses.dataclass(frozen=True)
class MetricsSection:
    """Options of the listener that serves /metrics and /healthcheck with its details."""

    enabled: bool = option(True, "Serve /metrics and /healthcheck on an address of their own.")
    listen: str = option(
        "127.0.0.1", "Address that it listens on. Whoever reaches it sees numbers about the whole cloud."
    )
    listen_port: int | None = option(
        None, "Port that it listens on; where not set, each daemon has a port of its own.", minimum=0,
        maximum=65535,
    )
    healthcheck_disabled_by_file: str | None = option(
        None, "While this file exists /healthcheck answers 503 on the public addresses, so that a load "
        "balancer sends no new requests.", old=("healthcheck.disable_by_file_path",),
    )
