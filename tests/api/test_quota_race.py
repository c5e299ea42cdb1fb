# SPDX-License-Identifier: Apache-2.0
"""Requests that arrive together never get more than the quota, and lose nothing of it."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from tests.api.cloud_process import CloudProcess
from tests.leaks import leaks

ASKED, QUOTA = 50, 10


def test_fifty_creates_at_once_against_a_quota_of_ten_give_exactly_ten(tmp_path: Path) -> None:
    cloud = CloudProcess(tmp_path / "state").start()
    try:
        images = cloud.call("image", "GET", "/v2/images?visibility=public").json["images"]
        body = {"server": {"name": "race", "imageRef": images[0]["id"], "flavorRef": "1"}}
        cloud.login("demo")
        statuses: list[int] = []
        together = threading.Barrier(ASKED)

        def create() -> None:
            together.wait()
            statuses.append(cloud.call("compute", "POST", "/v2.1/servers", body).status)

        threads = [threading.Thread(target=create) for _ in range(ASKED)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(statuses) == [202] * QUOTA + [403] * (ASKED - QUOTA)
        deadline = time.monotonic() + 20
        while True:
            servers = cloud.call("compute", "GET", "/v2.1/servers?status=ACTIVE").json["servers"]
            if len(servers) == QUOTA:
                break
            assert time.monotonic() < deadline
            time.sleep(0.05)
        assert leaks(cloud.state / "nova.sqlite", cloud.state / "guests") == []
    finally:
        cloud.stop()
