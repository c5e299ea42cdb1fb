# SPDX-License-Identifier: Apache-2.0
"""Where a rescue image wants its disk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec


class RescueDisk(msgspec.Struct, frozen=True):
    """The place of a rescue's disk beside the server's own, which keep theirs; None is as the driver has it.

    ``device`` is ``disk`` or ``cdrom``.
    """

    bus: str | None = None
    device: str | None = None


def rescue_disk_of(properties: Mapping[str, Any]) -> RescueDisk | None:
    """What an image's properties say of its disk in a rescue; None where they say nothing."""
    bus, device = properties.get("hw_rescue_bus"), properties.get("hw_rescue_device")
    return None if bus is None and device is None else RescueDisk(bus, device)
