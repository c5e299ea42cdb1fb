# SPDX-License-Identifier: Apache-2.0
"""A volume as a host has it opened to it: what the virt driver needs to make a disk of it."""

from __future__ import annotations

from typing import Any

import msgspec

from nova.errors import VirtError


class VolumeConnection(msgspec.Struct, frozen=True, kw_only=True):
    """One volume on one host. It may hold secrets: it goes to that host, is kept there, and is never logged.

    ``connection_info`` has ``driver_volume_type`` and ``data``, as Cinder's attachments have them;
    ``volume_size`` is GiB.
    """

    bdm_uuid: str
    volume_id: str
    attachment_id: str
    connection_info: dict[str, Any]
    device_name: str | None = None
    boot_index: int | None = None
    disk_bus: str | None = None
    device_type: str | None = None
    tag: str | None = None
    volume_size: int | None = None
    multiattach: bool = False

    @property
    def kind(self) -> str:
        """The type of the connection, such as ``file`` or ``iscsi``."""
        return str(self.connection_info.get("driver_volume_type") or "none")

    @property
    def data(self) -> dict[str, Any]:
        """What belongs to that type."""
        found = self.connection_info.get("data")
        return found if isinstance(found, dict) else {}

    def text(self, name: str) -> str:
        """A fact that the connection has to have; ``VirtError`` names one that it lacks."""
        value = self.data.get(name)
        if not isinstance(value, (str, int)) or value == "":
            raise VirtError(f"The connection ({self.kind}) of volume {self.volume_id} lacks {name}.")
        return str(value)

    def __repr__(self) -> str:
        """Without the connection, which may hold secrets."""
        return f"VolumeConnection({self.kind} {self.volume_id})"
