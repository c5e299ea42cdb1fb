# SPDX-License-Identifier: Apache-2.0
"""What is looked at before a server is made anew elsewhere, and in which order."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.errors import BadRequest, NotFound
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


def test_the_named_host_is_looked_at_before_the_servers_own(cloud: SmallCloud) -> None:
    server = cloud.boot()
    assert server.host is not None
    for alive in (True, False):
        if not alive:
            cloud.kill_host(server.host)
        with pytest.raises(NotFound, match="Compute host zz not found"):
            cloud.operations.evacuate(USER, server, host="zz")
        with pytest.raises(BadRequest, match="can't be the same one"):
            cloud.operations.evacuate(USER, server, host=server.host)
        if alive:
            with pytest.raises(BadRequest, match="still in use"):
                cloud.operations.evacuate(USER, server, host=None)
    other = next(host for host in cloud.managers if host != server.host)
    cloud.operations.evacuate(USER, cloud.show(server.uuid), host=other)
    cloud.settle()
    assert cloud.show(server.uuid).host == other
    cloud.revive_host(server.host)
