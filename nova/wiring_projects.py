# SPDX-License-Identifier: Apache-2.0
"""Who knows the projects, beside the other wiring: the volume daemon needs this and nothing else of it."""

from __future__ import annotations

from nova.compute.projects import Projects
from nova.conf import Config
from nova.db.engine import Database
from nova.external.build import external_projects
from nova.identity.known_projects import LocalProjects


def build_projects(config: Config, db: Database) -> Projects:
    """Which projects there are, as whichever identity service is configured tells."""
    return Projects(external_projects(config) or LocalProjects(db))
