# SPDX-License-Identifier: Apache-2.0
"""A server whose state an administrator has set to what it is not."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.errors import Conflict
from nova.objects.context import RequestContext
from tests.unit.compute.small_cloud import SmallCloud

ADMIN = RequestContext(
    user_id="a", user_name="a", project_id="p", project_name="p",
    roles=("admin", "member", "reader"), is_admin=True,
)


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path, shelved_offload_time=0)
    yield made
    made.stop()


def test_what_needs_a_host_is_refused_where_an_active_server_has_none(cloud: SmallCloud) -> None:
    uuid = cloud.boot().uuid
    operations = cloud.operations
    operations.shelve(ADMIN, cloud.show(uuid))
    cloud.settle()
    operations.reset_state(ADMIN, cloud.show(uuid), "active")
    server = cloud.show(uuid)
    assert (server.vm_state, server.host) == ("active", None)
    requests: tuple[Callable[[], Any], ...] = (
        lambda: operations.reboot(ADMIN, server, False),
        lambda: operations.pause(ADMIN, server),
        lambda: operations.shelve(ADMIN, server),
        lambda: operations.change_password(ADMIN, server, "x"),
        lambda: operations.resize(ADMIN, server, "2"),
        lambda: operations.migrate(ADMIN, server, host=None),
        lambda: operations.live_migrate(
            ADMIN, server, host=None, block_migration="auto", force=False
        ),
    )
    for request in requests:
        with pytest.raises(Conflict, match="not ready"):
            request()
        assert cloud.show(uuid).task_state is None
    operations.delete(ADMIN, server)
    cloud.settle()
    assert cloud.leaks() == []
