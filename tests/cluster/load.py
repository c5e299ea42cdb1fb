# SPDX-License-Identifier: Apache-2.0
"""A steady load of boots, restarts and deletes, that remembers what the API accepted."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable
from typing import Any

from tests.cluster.cluster import Api, Cluster


class Load:
    """Clients on threads. An API that is away is asked again; ``accepted`` are the servers it took."""

    def __init__(self, cluster: Cluster, clients: int = 3) -> None:
        self._cluster = cluster
        self._image = cluster.api().image_id()
        self._stop = threading.Event()
        self.accepted: set[str] = set()
        self.deleted: set[str] = set()
        self.surprises: list[str] = []
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def _client(self, number: int) -> None:
        chance = random.Random(number)
        mine: list[str] = []
        api: Api | None = None
        while not self._stop.is_set():
            try:
                api = api or self._cluster.api()
                self._act(api, chance, mine, number)
            except (OSError, RuntimeError):
                # Refused, reset, 503: the API or what it needs is away.
                self._stop.wait(0.3)
            self._stop.wait(0.05)

    def _act(self, api: Api, chance: random.Random, mine: list[str], number: int) -> None:
        kind = chance.random()
        if kind < 0.5 or not mine:
            body = {"server": {"name": f"load{number}", "imageRef": self._image, "flavorRef": "1",
                               "networks": "auto"}}
            status, answer = api.ask("POST", "/servers", body)
            if status == 202:
                mine.append(answer["server"]["id"])
                self.accepted.add(answer["server"]["id"])
            else:
                self._judge("boot", status, answer)
            return
        uuid = chance.choice(mine)
        if kind < 0.75:
            status, answer = api.ask("DELETE", f"/servers/{uuid}")
            if status in (204, 404):
                mine.remove(uuid)
                self.deleted.add(uuid)
                return
        else:
            body = chance.choice([{"os-stop": None}, {"os-start": None}, {"reboot": {"type": "HARD"}}])
            status, answer = api.ask("POST", f"/servers/{uuid}/action", body)
        self._judge("action", status, answer)

    def _judge(self, what: str, status: int, answer: Any) -> None:
        if status not in (202, 204, 404, 409, 503):
            self.surprises.append(f"{what}: {status} {answer}")


def wait_until(condition: Callable[[], bool], seconds: float) -> bool:
    """Whether it becomes true in time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except Exception:
            pass
        time.sleep(0.3)
    return False
