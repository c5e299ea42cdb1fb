# SPDX-License-Identifier: Apache-2.0
"""The built-in block storage service: its parts, and its life in a process."""

from __future__ import annotations

from collections.abc import Sequence

from nova.compute.images import Images
from nova.compute.projects import Projects
from nova.conf.volume import VolumeSection
from nova.db.engine import Database
from nova.service import PeriodicTask
from nova.volume.attachments import Attachments
from nova.volume.backend import Backend
from nova.volume.core import VolumeCore
from nova.volume.default_types import DefaultTypes
from nova.volume.flows import VolumeFlows
from nova.volume.limits import Limits
from nova.volume.messages import Messages
from nova.volume.snapshots import Snapshots
from nova.volume.tasks import VolumeTasks
from nova.volume.transfers import Transfers
from nova.volume.types import VolumeTypes
from nova.volume.volumes import Volumes

#: How often work that nobody has a lease on is looked for, in seconds: where other processes may leave
#: some, and where there are none.
_LOOK_SECONDS = 1.0
_ALONE_SECONDS = 20.0


class VolumeService:
    """Block storage. Every operation of a part takes the caller first, where it matters who that is."""

    def __init__(
        self,
        db: Database,
        section: VolumeSection,
        backend: Backend,
        images: Images,
        *,
        works: bool = True,
        projects: Projects | None = None,
    ) -> None:
        """``works`` says that what is begun here is done here too, and not by another process.

        ``projects`` tells which there are; without it every name may be one.
        """
        self.db = db
        self.section = section
        self.backend = backend
        self.images = images
        self.tasks = VolumeTasks(
            db, workers=section.workers, lease_seconds=section.task_lease,
            immediate=backend.immediate, works=works,
        )
        self.flows = VolumeFlows(db, backend, images)
        self.tasks.flows = self.flows
        core = VolumeCore(db, section, backend, images, self.tasks)
        self.volumes = Volumes(core)
        self.snapshots = Snapshots(core)
        self.attachments = Attachments(core)
        self.types = VolumeTypes(core)
        self.default_types = DefaultTypes(core, projects or Projects())
        self.transfers = Transfers(core)
        self.limits = Limits(core)
        self.messages = Messages(db)


class VolumeUnit:
    """The service's part of a process: takes up what was left behind, and ends cleanly."""

    def __init__(self, service: VolumeService, *, alone: bool) -> None:
        """``alone`` says that no other process works on the same database."""
        self._service = service
        self._alone = alone

    def start(self) -> None:
        """Get ready, and resume work."""
        self._service.backend.prepare()
        self._service.types.ensure_default()
        self._service.tasks.start(alone=self._alone)

    def tasks(self) -> Sequence[PeriodicTask]:
        """Keep leases, and look for work that others left."""
        tasks = self._service.tasks
        seconds = _ALONE_SECONDS if self._alone else _LOOK_SECONDS
        return [
            PeriodicTask("volume leases", tasks.renew_seconds, tasks.renew),
            PeriodicTask("volume tasks", seconds, tasks.resume),
        ]

    def stop(self) -> None:
        """End what runs; it is taken up again later."""
        self._service.backend.stop()
        self._service.tasks.stop()
