# SPDX-License-Identifier: Apache-2.0
"""Every table, one module per room that owns it. Importing this package fills ``metadata``."""

from nova.db.schema import (
    audits,
    compute,
    consoles,
    host_identity,
    hosts,
    identity,
    image,
    network,
    network_tasks,
    operations,
    releases,
    volume,
)
from nova.db.schema.base import metadata

__all__ = [
    "audits",
    "compute",
    "consoles",
    "host_identity",
    "hosts",
    "identity",
    "image",
    "metadata",
    "network",
    "network_tasks",
    "operations",
    "releases",
    "volume",
]
