# SPDX-License-Identifier: Apache-2.0
"""openstacksdk's network proxy against a running cloud; and a cloud without a network endpoint."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands, clients_directory

TOUR = Path(__file__).with_name("sdk_network_tour.py")

PARTS = ("networks", "ports", "servers", "security_groups", "floating_ips", "all_the_rest")


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What the tour printed, of a cloud of its own."""
    clients_directory()
    running = CloudProcess(
        tmp_path_factory.mktemp("sdk-network") / "state",
        arguments=["--set", "identity.bcrypt_rounds=4"],
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
    assert tuple(outcome) == PARTS
    assert outcome[part] is None, outcome[part]


def test_a_cloud_can_leave_the_network_endpoint_out(tmp_path: Path) -> None:
    state = tmp_path / "state"
    fast = ["--set", "identity.bcrypt_rounds=4"]
    for arguments, listed in ((fast, True), ([*fast, "--no-network-endpoint"], False)):
        running = CloudProcess(state, arguments=arguments).start()
        try:
            assert ("network" in _catalogue(running)) is listed
            if listed:
                assert running.call("network", "GET", "/v2.0/networks").status == 200
            else:
                with pytest.raises(OSError):
                    running.call("network", "GET", "/", by=None)
        finally:
            assert running.stop() == 0, running.log


def _catalogue(running: CloudProcess) -> set[str]:
    answer = running.call("identity", "GET", "/v3/auth/catalog")
    return {each["type"] for each in answer.json["catalog"] if each["endpoints"]}
