# SPDX-License-Identifier: Apache-2.0
"""Volumes of simulated guests: which guest has which, and under what name. No data is moved."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.objects.volume_connection import VolumeConnection

if TYPE_CHECKING:
    from nova.virt.fake import FakeGuest


class SimulatedVolumes:
    """The ``Volumes`` protocol."""

    host: str

    if TYPE_CHECKING:

        def _get(self, instance: Instance) -> FakeGuest: ...

        def _edit(
            self, instance: Instance, values: Callable[[FakeGuest], Mapping[str, object]]
        ) -> None: ...

    def connector(self) -> dict[str, Any]:
        """A host as others are, at an address that leads nowhere."""
        return {
            "ip": "127.0.0.1", "initiator": f"iqn.1994-05.org.simulated:{self.host}",
            "multipath": False, "os_type": "linux", "platform": "x86_64", "do_local_attach": False,
        }

    def connect_volumes(self, instance: Instance, volumes: Sequence[VolumeConnection]) -> None:
        """Nothing has to be prepared."""

    def attach_volume(self, instance: Instance, volume: VolumeConnection) -> None:
        """Note the disk."""
        added = {volume.volume_id: volume.device_name or ""}
        self._edit(instance, lambda guest: {"volumes": {**guest.volumes, **added}})

    def detach_volume(self, instance: Instance, volume_id: str) -> None:
        """Forget the disk."""
        self._edit(
            instance,
            lambda guest: {"volumes": {
                each: name for each, name in guest.volumes.items() if each != volume_id
            }},
        )

    def swap_volume(
        self, instance: Instance, old_volume_id: str, volume: VolumeConnection
    ) -> None:
        """Note the other one."""

        def swapped(guest: FakeGuest) -> dict[str, object]:
            present = dict(guest.volumes)
            name = present.pop(old_volume_id, volume.device_name or "")
            return {"volumes": {**present, volume.volume_id: name}}

        self._edit(instance, swapped)

    def extend_volume(self, instance: Instance, volume_id: str, size: int) -> None:
        """Sizes are not simulated; the guest has to have the disk."""
        self._require(instance, volume_id)

    def snapshot_volume(
        self, instance: Instance, volume_id: str, create_info: Mapping[str, str]
    ) -> None:
        """Files are not simulated; the guest has to have the disk."""
        self._require(instance, volume_id)

    def delete_volume_snapshot(
        self, instance: Instance, volume_id: str, delete_info: Mapping[str, str | None]
    ) -> None:
        """Files are not simulated; the guest has to have the disk."""
        self._require(instance, volume_id)

    def _require(self, instance: Instance, volume_id: str) -> None:
        if volume_id not in self._get(instance).volumes:
            raise VirtError(f"Guest {instance.uuid} on {self.host} does not have volume {volume_id}.")
