# SPDX-License-Identifier: Apache-2.0
"""Images that an administrator has hosts cache ahead of need."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova import wiring
from nova.policy import Policy
from nova.virt.fake import FakeDriver
from tests.unit.compute.small_cloud import SmallCloud

GONE = "00000000-0000-4000-8000-000000000000"


@pytest.fixture
def cloud(tmp_path: Path) -> Iterator[SmallCloud]:
    made = SmallCloud(tmp_path)
    yield made
    made.stop()


def test_the_hosts_asked_fetch_the_images_and_no_others_do(
    cloud: SmallCloud, tmp_path: Path
) -> None:
    asked, other = list(cloud.managers)[:2]
    events = wiring.build_cloud(cloud.control, Policy((), str(tmp_path / "policy.yaml"))).events
    # One image that is gone keeps no others.
    events.images_wanted([asked], [GONE, cloud.image])
    cached = _cached(cloud, asked)
    deadline = time.monotonic() + 20
    while cached != {cloud.image}:
        assert time.monotonic() < deadline
        time.sleep(0.002)
    assert _cached(cloud, other) == set()


def _cached(cloud: SmallCloud, host: str) -> set[str]:
    driver = cloud.managers[host]._host.driver
    assert isinstance(driver, FakeDriver)
    return driver.cached_images
