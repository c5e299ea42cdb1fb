# SPDX-License-Identifier: Apache-2.0
"""Every table, one module per room that owns it. Importing this package fills ``metadata``."""

from nova.db.schema import compute, hosts, identity, image, network, operations
from nova.db.schema.base import metadata

__all__ = ["compute", "hosts", "identity", "image", "metadata", "network", "operations"]
