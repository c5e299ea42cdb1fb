# SPDX-License-Identifier: Apache-2.0
"""A block storage service on a database of its own, as the tests build it."""

from __future__ import annotations

import functools
import tempfile
import time
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

import msgspec

from nova.compute.projects import Projects
from nova.conf.volume import VolumeSection
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.errors import ImageNotFound
from nova.objects.context import RequestContext
from nova.objects.image import Image
from nova.volume.backend import Backend
from nova.volume.files import VolumeFiles
from nova.volume.service import VolumeService, VolumeUnit
from nova.volume.simulated import SimulatedBackend

MEMBER = RequestContext(user_id="ann", project_id="p1", roles=("member", "reader"))
OTHER = RequestContext(user_id="bob", project_id="p2", roles=("member", "reader"))
ADMIN = RequestContext(
    user_id="root", project_id="p0", roles=("admin", "member", "reader"), is_admin=True
)
INSTANCE = "11111111-2222-4333-8444-555555555555"
CONNECTOR = {"host": "node1", "ip": "10.0.0.1", "initiator": "iqn.x"}


class MemoryImages:
    """Images in memory, of a service that trusts everybody."""

    def __init__(self) -> None:
        self.images: dict[str, Image] = {}
        self.data: dict[str, bytes] = {}

    def add(self, image_id: str, data: bytes, **facts: Any) -> Image:
        facts = {"status": "active", "size": len(data), "disk_format": "raw", **facts}
        image = Image(id=image_id, name=facts.pop("name", "bild"), container_format="bare", **facts)
        self.images[image_id], self.data[image_id] = image, data
        return image

    def show(self, context: RequestContext, image_id: str) -> Image:
        if image_id not in self.images:
            raise ImageNotFound(image_id)
        return self.images[image_id]

    def list(
        self, context: RequestContext, *, filters: Mapping[str, str], limit: int | None,
        marker: str | None,
    ) -> list[Image]:
        return [each for each in self.images.values() if each.name == filters.get("name")]

    def create(
        self, context: RequestContext, *, name: str, properties: Mapping[str, Any],
        disk_format: str | None, container_format: str | None, min_disk: int = 0, min_ram: int = 0,
        visibility: str = "private", owner: str | None = None, image_id: str | None = None,
    ) -> Image:
        image = Image(
            id=image_id or f"00000000-0000-4000-8000-{len(self.images):012d}", name=name,
            disk_format=disk_format, container_format=container_format, owner=owner,
            properties=dict(properties), min_disk=min_disk, min_ram=min_ram, visibility=visibility,
        )
        self.images[image.id] = image
        return image

    def upload(
        self, context: RequestContext, image_id: str, chunks: Iterable[bytes]
    ) -> Image:
        head, size = b"", 0
        for chunk in chunks:
            head, size = head or chunk[:64], size + len(chunk)
        self.data[image_id] = head
        image = msgspec.structs.replace(self.images[image_id], status="active", size=size)
        self.images[image_id] = image
        return image

    def download(self, context: RequestContext, image_id: str) -> Iterator[bytes]:
        data = self.data[image_id]
        for start in range(0, len(data), 1 << 20):
            yield data[start:start + (1 << 20)]

    def update_properties(self, *_arguments: Any, **_options: Any) -> Image:
        raise AssertionError("nobody asks for that")

    def delete(self, context: RequestContext, image_id: str) -> None:
        if self.images.pop(image_id, None) is None:
            raise ImageNotFound(image_id)


@functools.cache
def _empty_database() -> bytes:
    """The file of a database with its tables, made once: that takes longer than most tests."""
    with tempfile.TemporaryDirectory() as directory:
        database = Database(f"sqlite:///{directory}/n.sqlite")
        metadata.create_all(database.engine)
        database.dispose()
        return (Path(directory) / "n.sqlite").read_bytes()


class Storage:
    """The service, started."""

    def __init__(
        self, directory: Path, *, backend: Backend | None = None, works: bool = True,
        database: Database | None = None, projects: Projects | None = None, **options: Any,
    ) -> None:
        self.section = VolumeSection(**options)
        if database is None:
            (directory / "n.sqlite").write_bytes(_empty_database())
            database = Database(f"sqlite:///{directory}/n.sqlite")
        self.database = database
        self.images = MemoryImages()
        self.backend = backend or SimulatedBackend()
        self.service = VolumeService(
            database, self.section, self.backend, self.images, works=works, projects=projects
        )
        self.unit = VolumeUnit(self.service, alone=True)
        self.unit.start()

    @classmethod
    def of_files(cls, directory: Path, **options: Any) -> Storage:
        """One whose volumes are files in ``directory/volumes``."""
        section = VolumeSection(**options)
        return cls(directory, backend=VolumeFiles(directory / "volumes", section), **options)

    def status(self, volume_id: str) -> str:
        return self.service.volumes.get(ADMIN, volume_id).status

    def wait(self, volume_id: str, *statuses: str) -> str:
        """The volume's status, once it is one of ``statuses`` (available where none is named)."""
        return _until(lambda: self.status(volume_id), statuses or ("available",))

    def wait_snapshot(self, snapshot_id: str, *statuses: str) -> str:
        return _until(
            lambda: self.service.snapshots.get(ADMIN, snapshot_id).status,
            statuses or ("available",),
        )

    def volume(self, size: int = 1, **facts: Any) -> str:
        """A volume of the member's that is available."""
        made = self.service.volumes.create(MEMBER, size, **facts)
        self.wait(made.id)
        return made.id

    def stop(self) -> None:
        self.unit.stop()
        self.database.dispose()


def _until(ask: Any, wanted: tuple[str, ...]) -> str:
    deadline = time.monotonic() + 20
    while True:
        found = str(ask())
        if found in wanted:
            return found
        assert time.monotonic() < deadline, f"{found} and not {wanted}"
        time.sleep(0.01)


def gone(ask: Any) -> None:
    """Return once ``ask`` raises that there is nothing."""
    from nova.errors import NotFound

    deadline = time.monotonic() + 20
    while True:
        try:
            ask()
        except NotFound:
            return
        assert time.monotonic() < deadline, "it is still there"
        time.sleep(0.01)
