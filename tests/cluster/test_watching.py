# SPDX-License-Identifier: Apache-2.0
"""One request followed through the logs of separate daemons."""

from __future__ import annotations

import re

import pytest

from tests.cluster.cluster import Cluster
from tests.cluster.load import wait_until

pytestmark = pytest.mark.timeout(400)


def test_a_request_id_is_in_the_logs_of_api_scheduler_host_and_conductor(cluster: Cluster) -> None:
    api = cluster.api()
    status, answer = api.ask("POST", "/servers", {"server": {
        "name": "spur", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
    }})
    assert status == 202, answer
    uuid = answer["server"]["id"]
    actions = api.get(f"/servers/{uuid}/os-instance-actions")["instanceActions"]
    request_id = actions[0]["request_id"]

    def kinds() -> set[str]:
        """The kinds of daemons whose log has a line of the request."""
        return {
            re.sub(r"\d+$", "", name)
            for name, daemon in cluster.daemons.items()
            if f"[{request_id} " in daemon.log.read_text(errors="replace")
        }

    assert wait_until(lambda: {"api", "scheduler", "node", "conductor"} <= kinds(), 30), kinds()
    assert api.ask("GET", f"/servers/{uuid}/diagnostics")[0] in (200, 409)
    assert api.ask("DELETE", f"/servers/{uuid}")[0] == 204
