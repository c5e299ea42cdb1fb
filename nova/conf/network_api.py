# SPDX-License-Identifier: Apache-2.0
"""[network_api]: the network endpoint that current clients speak to."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "network_api"


@dataclasses.dataclass(frozen=True)
class NetworkApiSection:
    """Options of the built-in network API."""

    enabled: bool = option(
        True,
        "Serve the network API and list it in the catalogue. Without it, clients that still can use "
        "the compute API's own network resources.",
    )
    listen_port: int = option(9696, "Port of the network API.", minimum=1, maximum=65535)
