# SPDX-License-Identifier: Apache-2.0
"""openstacksdk's block storage proxy against a running cloud."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands

TOUR = Path(__file__).with_name("sdk_volume_tour.py")
PARTS = ("volumes", "snapshots", "attachments", "types_and_transfers", "images", "cloud")


@pytest.fixture(scope="module")
def outcome(cloud: CloudProcess) -> dict[str, Any]:
    """What the tour printed; it leaves the administrator's project as it was."""
    with Commands(cloud, "admin") as admin:
        result = admin.program("python", "-W", "ignore", str(TOUR))
    assert result.status == 0, result.errors
    found: dict[str, Any] = json.loads(result.output)
    return found


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_tour(outcome: dict[str, Any], part: str) -> None:
    assert tuple(outcome) == PARTS
    assert outcome[part] is None, outcome[part]
