# SPDX-License-Identifier: Apache-2.0
"""The volumes of a guest as its host remembers them, so that it can be started without asking anybody.

They lie in the guest's directory, in a file of this host's own, as a connection belongs to a host: the
directory may be shared, or go along in a move. Connections may hold secrets: only root may read them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

import msgspec

from nova.decoding import json_decoder
from nova.errors import VirtError
from nova.objects.volume_connection import VolumeConnection
from nova.virt.libvirt.files import GuestDirectory


class RecordedVolume(msgspec.Struct, frozen=True):
    """A volume, and the serial number by which the guest knows its disk, whichever volume that is."""

    connection: VolumeConnection
    serial: str


_decode = json_decoder(list[RecordedVolume]).decode


class VolumeRecords:
    """The volumes of one guest on one host."""

    def __init__(self, directory: GuestDirectory, host: str) -> None:
        self._path = directory.file(f"volumes-{host}.json")

    def load(self) -> list[RecordedVolume]:
        """The volumes in the order in which they came."""
        try:
            return _decode(self._path.read_bytes())
        except FileNotFoundError:
            return []
        except msgspec.DecodeError:
            raise VirtError(f"The record of volumes {self._path} cannot be read.") from None

    def find(self, volume_id: str) -> RecordedVolume | None:
        """One volume."""
        return next((each for each in self.load() if each.connection.volume_id == volume_id), None)

    def replace_all(self, volumes: Iterable[VolumeConnection]) -> None:
        """The guest has these volumes and no others; serial numbers stay."""
        serials = {each.connection.volume_id: each.serial for each in self.load()}
        self._save(
            [RecordedVolume(each, serials.get(each.volume_id, each.volume_id)) for each in volumes]
        )

    def put(self, volume: VolumeConnection, *, instead_of: str | None = None) -> None:
        """Add a volume, or put it in another's place."""
        kept = self.load()
        for place, each in enumerate(kept):
            if each.connection.volume_id in (instead_of, volume.volume_id):
                kept[place] = RecordedVolume(volume, each.serial)
                break
        else:
            kept.append(RecordedVolume(volume, volume.volume_id))
        self._save(kept)

    def set_serials(self, serials: Mapping[str, str]) -> None:
        """Note the serial numbers, by volume, that the guest has for them."""
        kept = self.load()
        fresh = [
            RecordedVolume(each.connection, serials.get(each.connection.volume_id, each.serial))
            for each in kept
        ]
        if fresh != kept:
            self._save(fresh)

    def drop(self, volume_id: str) -> None:
        """Forget a volume."""
        self._save([each for each in self.load() if each.connection.volume_id != volume_id])

    def _save(self, volumes: list[RecordedVolume]) -> None:
        if not volumes:
            self._path.unlink(missing_ok=True)
            return
        fresh = self._path.with_suffix(".new")
        descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(msgspec.json.encode(volumes))
        os.replace(fresh, self._path)
