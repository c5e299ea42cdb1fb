# SPDX-License-Identifier: Apache-2.0
"""Which projects the compute service hears of from the identity service beside it."""

from __future__ import annotations

from nova.db.engine import Database
from nova.identity.bootstrap import BootstrapResult
from nova.identity.known_projects import LocalProjects
from nova.objects.context import RequestContext


def test_the_projects_and_domains_that_are_in_the_database_are_known(
    cloud: BootstrapResult, database: Database
) -> None:
    caller = RequestContext(user_id="u")
    with database.read() as tx:
        present = [project.id for project in tx.identity.projects.of_domain("default")]
    known = LocalProjects(database)
    assert present
    assert all(known(caller, project) for project in [*present, "default"])
    assert not known(caller, "nonexistent")
