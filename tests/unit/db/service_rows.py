# SPDX-License-Identifier: Apache-2.0
"""Rows of services, as their daemons make them."""

from __future__ import annotations

import datetime

from nova.db.engine import Transaction
from nova.objects.host import Service


def reported(
    tx: Transaction, binary: str, host: str, topic: str, moment: datetime.datetime
) -> Service:
    """The service after one sign of life."""
    tx.services.report_many([(binary, host, topic)], moment)
    service = tx.services.get_by_host(binary, host)
    assert service is not None
    return service
