# SPDX-License-Identifier: Apache-2.0
"""A steady load of boots, moves, attachments and deletes, that remembers what the API accepted."""

from __future__ import annotations

import dataclasses
import http.client
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from tests.cluster.cluster import Api, Cluster
from tests.cluster.load_volumes import LoadVolumes

#: How often an action is asked for beside the others. None of them needs another to have gone well.
_ACTIONS: tuple[tuple[int, dict[str, Any]], ...] = (
    (2, {"os-stop": None}), (2, {"os-start": None}), (2, {"reboot": {"type": "HARD"}}),
    (3, {"resize": {"flavorRef": "2"}}), (2, {"resize": {"flavorRef": "1"}}), (2, {"migrate": None}),
    (4, {"confirmResize": None}), (2, {"revertResize": None}),
    (4, {"os-migrateLive": {"host": None, "block_migration": "auto"}}),
    (1, {"createImage": {"name": "load"}}), (1, {"shelve": None}), (2, {"unshelve": None}),
)
#: Servers of one client: beyond them it boots no more.
_MOST = 15
#: Answers that tell a client what is the matter: 400 is a resize to the flavor that a server has.
_ANSWERS = (200, 202, 204, 400, 404, 409, 503)


@dataclasses.dataclass(frozen=True)
class Accepted:
    """A request that was answered with success: what it was, of which server, under which id."""

    kind: str
    server: str
    request_id: str


class Load:
    """Clients on threads. An API that is away is asked again; what was accepted is remembered.

    ``accepted`` are the servers, ``doubtful`` those whose delete was asked for and not answered, ``requests``
    all requests that the API took; ``answers`` counts by kind and status, where a connection that was refused
    or broken counts as ``refused`` or ``broken``. Each client has a volume (tests/cluster/load_volumes.py),
    which is given to its servers and taken from them, deleted and made again.
    """

    def __init__(self, cluster: Cluster, clients: int = 3, *, seed: int = 1) -> None:
        self._cluster = cluster
        self._image = cluster.api().image_id()
        self._stop = threading.Event()
        self._seed = seed
        self.accepted: set[str] = set()
        self.deleted: set[str] = set()
        self.doubtful: set[str] = set()
        self.requests: list[Accepted] = []
        self.answers: Counter[tuple[str, int | str]] = Counter()
        self.surprises: list[str] = []
        self.volumes = LoadVolumes(self)
        #: Servers that may wait for a confirm or a revert.
        self._moved: set[str] = set()
        self._threads = [threading.Thread(target=self._client, args=(n,)) for n in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(120)

    def wait_for(self, more: int, seconds: float = 90.0) -> None:
        """Until so many more requests were accepted; raises ``TimeoutError``."""
        before = len(self.requests)
        if not wait_until(lambda: len(self.requests) >= before + more, seconds):
            raise TimeoutError(f"{len(self.requests) - before} of {more} requests within {seconds} s")

    def _client(self, number: int) -> None:
        chance = random.Random(100 * self._seed + number)
        mine: list[str] = []
        api: Api | None = None
        while not self._stop.is_set():
            try:
                api = api or self._cluster.api(turn=number)
                self._act(api, chance, mine, number)
            except ConnectionRefusedError:
                self._away("refused")
            except (OSError, http.client.HTTPException) as error:
                refused = isinstance(getattr(error, "reason", None), ConnectionRefusedError)
                self._away("refused" if refused else "broken")
            except RuntimeError:
                self._away("failed")
            self._stop.wait(0.05)

    def _away(self, how: str) -> None:
        self.answers["connection", how] += 1
        self._stop.wait(0.3)

    def _act(self, api: Api, chance: random.Random, mine: list[str], number: int) -> None:
        draw = chance.random()
        if not mine or (draw < 0.35 and len(mine) < _MOST):
            body = {"server": {"name": f"load{number}", "imageRef": self._image, "flavorRef": "1",
                               "networks": "auto"}}
            status, answer = api.ask("POST", "/servers", body)
            if status == 202:
                mine.append(answer["server"]["id"])
                self.accepted.add(answer["server"]["id"])
                self.note(api, "boot", answer["server"]["id"], status)
            self.judge("boot", status, answer)
            return
        uuid = chance.choice(mine)
        if draw < 0.55 or len(mine) >= _MOST:
            # Where no answer comes nobody knows whether it was accepted.
            self.doubtful.add(uuid)
            status, answer = api.ask("DELETE", f"/servers/{uuid}")
            self.doubtful.discard(uuid)
            if status in (204, 404):
                mine.remove(uuid)
                self.deleted.add(uuid)
            self.note(api, "delete", uuid, status)
            self.judge("delete", status, answer)
        elif draw < 0.65:
            self._nic(api, chance, uuid)
        elif draw < 0.77:
            self.volumes.act(api, chance, number, uuid)
        else:
            body = chance.choices(_ACTIONS, [weight for weight, _body in _ACTIONS])[0][1]
            if uuid in self._moved:
                body = chance.choice(({"confirmResize": None}, {"revertResize": None}))
            status, answer = api.ask("POST", f"/servers/{uuid}/action", body)
            kind = next(iter(body))
            if status in (202, 204):
                (self._moved.add if kind in ("resize", "migrate") else self._moved.discard)(uuid)
            self.note(api, kind, uuid, status)
            self.judge(kind, status, answer)

    def _nic(self, api: Api, chance: random.Random, uuid: str) -> None:
        """Give a server another network card, or take one away."""
        status, answer = api.ask("GET", f"/servers/{uuid}/os-interface")
        self.judge("list cards", status, answer)
        if status != 200:
            return
        cards = answer["interfaceAttachments"]
        if len(cards) > 1 and chance.random() < 0.6:
            card = chance.choice(cards)["port_id"]
            status, answer = api.ask("DELETE", f"/servers/{uuid}/os-interface/{card}")
            kind = "detach"
        else:
            body: dict[str, Any] = {"interfaceAttachment": {}}
            status, answer = api.ask("POST", f"/servers/{uuid}/os-interface", body)
            kind = "attach"
        self.note(api, kind, uuid, status)
        self.judge(kind, status, answer)

    def note(self, api: Api, kind: str, uuid: str, status: int) -> None:
        """Remember a request of a server that was accepted."""
        if status in (200, 202, 204):
            self.requests.append(Accepted(kind, uuid, api.request_id))

    def judge(self, kind: str, status: int, answer: Any) -> None:
        """Count an answer, and keep one that no client can do anything with."""
        self.answers[kind, status] += 1
        if status not in _ANSWERS:
            self.surprises.append(f"{kind}: {status} {answer}")


def wait_until(condition: Callable[[], bool], seconds: float, pause: float = 0.3) -> bool:
    """Whether it becomes true in time; it is asked again after each ``pause``."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        try:
            if condition():
                return True
        except Exception:
            pass
        time.sleep(pause)
    return False
