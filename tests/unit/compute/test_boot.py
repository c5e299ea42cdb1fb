# SPDX-License-Identifier: Apache-2.0
"""What a boot refuses and what it gives a server, on a whole cloud without HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.errors import BadRequest
from nova.network import security_groups
from tests.unit.compute.small_cloud import USER, SmallCloud


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


@pytest.mark.parametrize("networks", [None, ()])
def test_an_unknown_security_group_is_refused_with_and_without_a_nic(
    cloud: SmallCloud, networks: tuple[()] | None
) -> None:
    with pytest.raises(BadRequest, match="nowhere"):
        cloud.ask(security_groups=("nowhere",), networks=networks)


def test_a_server_without_a_nic_is_in_no_group(cloud: SmallCloud) -> None:
    with cloud.db.write() as tx:
        security_groups.create_group(tx, "p", "u", "web", "")
    assert not cloud.boot(security_groups=("web",), networks=()).security_groups
    assert list(cloud.boot(security_groups=("web",)).security_groups) == ["web"]
