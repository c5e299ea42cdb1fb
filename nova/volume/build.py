# SPDX-License-Identifier: Apache-2.0
"""Builds the built-in block storage service from the options."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nova.compute.images import Images
from nova.compute.projects import Projects
from nova.conf import Config
from nova.db.engine import Database
from nova.http.auth import Authenticator
from nova.http.when_called import WhenCalled
from nova.policy import Policy
from nova.volume.backend import Backend
from nova.volume.local import LocalBlockStorage
from nova.volume.service import VolumeService


def backend_name(config: Config) -> str:
    """``files`` or ``simulated``: what is set, or what suits the guests of this cloud."""
    section = config.volume
    if section.backend is not None:
        return section.backend
    simulated = "fake" in config.default.compute_driver and section.volumes_path is None
    return "simulated" if simulated else "files"


def build_backend(config: Config) -> Backend:
    """Where the volumes' data is."""
    if backend_name(config) == "simulated":
        from nova.volume.simulated import SimulatedBackend

        return SimulatedBackend()
    from nova.volume.files import VolumeFiles

    section = config.volume
    directory = Path(section.volumes_path or Path(config.default.state_path) / "volumes")
    return VolumeFiles(directory, section)


def build_service(
    config: Config, db: Database, images: Images, *, works: bool = True,
    projects: Projects | None = None,
) -> VolumeService:
    """The service; with ``works`` False its work is left to the process that runs a ``VolumeUnit``."""
    return VolumeService(
        db, config.volume, build_backend(config), images, works=works, projects=projects
    )


def build_volumes(
    config: Config, db: Database, images: Images, projects: Projects | None = None
) -> VolumeService | None:
    """The service that does its own work; None where it is not enabled."""
    return build_service(config, db, images, projects=projects) if config.volume.enabled else None


def build_block_storage(
    config: Config, db: Database, images: Images
) -> LocalBlockStorage | None:
    """What compute asks in a process that is not the service's; None where it is not enabled."""
    if not config.volume.enabled:
        return None
    return LocalBlockStorage(build_service(config, db, images, works=False))


class VolumePolicy:
    """The policy of the volume API, made when it is first needed."""

    def __init__(self, policy_file: Path) -> None:
        self._file = policy_file
        self._made: Policy | None = None

    def get(self) -> Policy:
        """The policy; raises ``PolicyFileError`` where its file cannot be read as rules."""
        from nova.volume.api.policies import RULES

        if self._made is None:
            self._made = Policy(RULES, str(self._file))
        return self._made

    def reload_if_changed(self) -> None:
        """Read the file again where it changed since it was needed."""
        if self._made is not None:
            self._made.reload_if_changed()


def build_app(
    service: VolumeService, policy: VolumePolicy, authenticator: Authenticator, identity_url: str
) -> Any:
    """The WSGI application, made when it is first called: many clouds never hold a volume."""

    def make() -> Any:
        from nova.volume.api.app import make_volume_app

        return make_volume_app(service, policy.get(), authenticator, identity_url)

    return WhenCalled(make)
