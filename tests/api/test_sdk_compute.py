# SPDX-License-Identifier: Apache-2.0
"""Every public method of openstacksdk's compute proxy, once, against a running cloud."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands, clients_directory

#: The first test waits for the whole tour.
pytestmark = pytest.mark.timeout(300)

TOUR = Path(__file__).with_name("sdk_compute_tour.py")

#: The parts of the tour, in its order.
PARTS = (
    "servers", "states", "moves", "addresses", "consoles", "images", "flavors", "keypairs", "groups",
    "aggregates", "hosts", "limits", "volumes_and_shares",
)


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the tour printed, of a cloud that is its own: it breaks hosts and removes services."""
    clients_directory()
    running = CloudProcess(
        tmp_path_factory.mktemp("sdk") / "state",
        arguments=[
            "--set", "identity.bcrypt_rounds=4",
            # Long enough that a live migration can be aborted while it runs.
            "--set", "fake.migrate_latency=0.5",
            "--set", "reclaim_instance_interval=600",
        ],
    ).start()
    try:
        result = Commands(running, "admin").program("python", "-W", "ignore", str(TOUR))
        assert result.status == 0, result.errors
        yield json.loads(result.output)
    finally:
        assert running.stop() == 0, running.log
    assert "Traceback" not in running.log


@pytest.mark.parametrize("part", PARTS)
def test_a_part_of_the_tour(outcome: dict[str, Any], part: str) -> None:
    assert outcome["parts"][part] is None, outcome["parts"][part]


def test_the_tour_calls_every_public_method(outcome: dict[str, Any]) -> None:
    assert tuple(outcome["parts"]) == PARTS
    assert outcome["uncalled"] == []
