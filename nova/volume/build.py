# SPDX-License-Identifier: Apache-2.0
"""Builds the built-in block storage service from the options."""

from __future__ import annotations

from pathlib import Path

from nova.compute.images import Images
from nova.conf import Config
from nova.db.engine import Database
from nova.volume.backend import Backend
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


def build_service(config: Config, db: Database, images: Images) -> VolumeService:
    """The service. It does its work in the process that runs a ``VolumeUnit`` on it."""
    return VolumeService(db, config.volume, build_backend(config), images)
