# SPDX-License-Identifier: Apache-2.0
"""The process is killed at any moment, again and again, and nothing that was accepted is lost or leaks.

Each round starts the cloud, lets it bring on what the last round interrupted, checks everything, and
kills it (SIGKILL) in the middle of a burst of requests of every kind. The same seed gives the same
requests; the moments at which they meet the kill differ by what else the machine does.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.api.cloud_process import BASE_PORTS, CloudProcess
from tests.leaks import Snapshot, leaks

ROUNDS = int(os.environ.get("NOVA_CRASH_ROUNDS", "50"))
SEED = int(os.environ.get("NOVA_CRASH_SEED", "20"))
CLIENTS = 4
FEWEST, MOST = 12, 30
VERSION = "2.95"

#: What a server may be in the end. ERROR needs a fault, which ``leaks`` looks for.
SETTLED = {
    "ACTIVE", "SHUTOFF", "VERIFY_RESIZE", "PAUSED", "SUSPENDED", "SHELVED", "SHELVED_OFFLOADED",
    "RESCUE", "SOFT_DELETED", "ERROR",
}
#: Options of a round: simulated work takes time, so that the kill meets steps half done.
SLOW = ("spawn", "destroy", "power", "snapshot", "migrate")

ACTIONS: tuple[tuple[int, dict[str, Any]], ...] = (
    (4, {"resize": {"flavorRef": "2"}}), (3, {"resize": {"flavorRef": "1"}}),
    (3, {"resize": {"flavorRef": "3"}}), (3, {"migrate": None}),
    (6, {"confirmResize": None}), (6, {"revertResize": None}),
    (6, {"os-migrateLive": {"host": None, "block_migration": "auto"}}),
    (2, {"reboot": {"type": "SOFT"}}), (2, {"reboot": {"type": "HARD"}}),
    (4, {"os-stop": None}), (4, {"os-start": None}), (1, {"pause": None}), (1, {"unpause": None}),
    (1, {"suspend": None}), (1, {"resume": None}), (2, {"rescue": {}}), (2, {"unrescue": None}),
    (4, {"shelve": None}), (5, {"unshelve": None}), (1, {"shelveOffload": None}),
    (3, {"rebuild": {}}), (4, {"createImage": {"name": "crash"}}),
    (1, {"createBackup": {"name": "crash", "backup_type": "daily", "rotation": 2}}),
)


class Promises:
    """What the cloud accepted, as the clients heard it."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.servers: set[str] = set()
        self.deleted: set[str] = set()
        self.doubtful: set[str] = set()
        self.images: set[str] = set()
        #: Made before the first round, never deleted.
        self.volumes: list[str] = []
        self.accepted = 0


class Client:
    """One kept-alive connection of one client thread."""

    def __init__(self, cloud: CloudProcess, token: str) -> None:
        self._connection = http.client.HTTPConnection(
            "127.0.0.1", BASE_PORTS["compute"] + cloud.offset, timeout=20
        )
        self._headers = {
            "X-Auth-Token": token, "Content-Type": "application/json",
            "OpenStack-API-Version": f"compute {VERSION}",
        }

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body)
        self._connection.request(method, f"/v2.1{path}", data, self._headers)
        answer = self._connection.getresponse()
        content = answer.read()
        return answer.status, json.loads(content) if content else None


def _burst(client: Client, image: str, promises: Promises, chance: random.Random) -> None:
    """Requests of every kind until the connection breaks."""
    weights = [weight for weight, _body in ACTIONS]
    while True:
        with promises.lock:
            live = sorted(promises.servers - promises.deleted - promises.doubtful)
        draw = chance.random()
        if len(live) < FEWEST or (draw < 0.15 and len(live) < MOST):
            _boot(client, image, promises, chance)
        elif draw < 0.3 or len(live) >= MOST:
            _delete(client, chance.choice(live), promises)
        elif draw < 0.45:
            _volume(client, chance.choice(live), promises, chance)
        elif draw < 0.5:
            _card(client, chance.choice(live), promises, chance)
        else:
            body = dict(chance.choices(ACTIONS, weights)[0][1])
            _act(client, chance.choice(live), body, image, promises)


def _boot(client: Client, image: str, promises: Promises, chance: random.Random) -> None:
    count = chance.choice((1, 1, 1, 3))
    server = {
        "name": "crash", "imageRef": image, "flavorRef": chance.choice("12"),
        "networks": "auto", "min_count": count, "max_count": count,
        "return_reservation_id": False,
    }
    if chance.random() < 0.3:
        server |= {"imageRef": "", "block_device_mapping_v2": [{
            "source_type": "image", "uuid": image, "destination_type": "volume", "boot_index": 0,
            "volume_size": 1, "delete_on_termination": chance.random() < 0.7,
        }]}
    status, answer = client.ask("POST", "/servers", {"server": server})
    assert status == 202, answer
    with promises.lock:
        promises.servers.add(answer["server"]["id"])
        promises.accepted += 1


def _delete(client: Client, uuid: str, promises: Promises) -> None:
    with promises.lock:
        promises.doubtful.add(uuid)
    status, answer = client.ask("DELETE", f"/servers/{uuid}")
    assert status in (204, 404), answer
    with promises.lock:
        promises.doubtful.discard(uuid)
        promises.deleted.add(uuid)
        promises.accepted += 1


def _volume(client: Client, uuid: str, promises: Promises, chance: random.Random) -> None:
    """Attach one of the volumes, or detach one that the server has."""
    path = f"/servers/{uuid}/os-volume_attachments"
    status, answer = client.ask("GET", path)
    held = [each["volumeId"] for each in answer["volumeAttachments"]] if status == 200 else []
    if held and chance.random() < 0.5:
        status, answer = client.ask("DELETE", f"{path}/{chance.choice(held)}")
    else:
        body = {"volumeAttachment": {"volumeId": chance.choice(promises.volumes)}}
        status, answer = client.ask("POST", path, body)
    # A volume that is elsewhere or on its way (400), a server in another state (409), both gone (404).
    assert status in (200, 202, 400, 404, 409), (status, answer)
    if status < 300:
        with promises.lock:
            promises.accepted += 1


def _card(client: Client, uuid: str, promises: Promises, chance: random.Random) -> None:
    """Give the server another NIC, or take one of several away."""
    path = f"/servers/{uuid}/os-interface"
    status, answer = client.ask("GET", path)
    cards = [each["port_id"] for each in answer["interfaceAttachments"]] if status == 200 else []
    if len(cards) > 1:
        status, answer = client.ask("DELETE", f"{path}/{chance.choice(cards)}")
    else:
        status, answer = client.ask("POST", path, {"interfaceAttachment": {}})
    assert status in (200, 202, 400, 404, 409), (status, answer)
    if status < 300:
        with promises.lock:
            promises.accepted += 1


def _act(
    client: Client, uuid: str, body: dict[str, Any], image: str, promises: Promises
) -> None:
    if "rebuild" in body:
        body["rebuild"] = {"imageRef": image}
    status, answer = client.ask("POST", f"/servers/{uuid}/action", body)
    # Refused in this state (409), nothing to confirm (400), gone meanwhile (404): all are answers.
    assert status in (200, 202, 204, 400, 404, 409), (body, status, answer)
    if status < 300:
        with promises.lock:
            promises.accepted += 1
            if isinstance(answer, dict) and "image_id" in answer:
                promises.images.add(answer["image_id"])


@contextlib.contextmanager
def _round(state: Path, chance: random.Random) -> Iterator[CloudProcess]:
    arguments = ["--set", "fake.hosts=4", "--set", "conductor.recovery_interval=2"]
    for limit in ("volumes", "gigabytes", "snapshots"):
        arguments += ["--set", f"volume.quota_{limit}=-1"]
    if chance.random() < 0.6:
        for name in SLOW:
            latency = chance.choice((0, 0.02, 0.1, 0.3))
            arguments += ["--set", f"fake.{name}_latency={latency}"]
    if chance.random() < 0.3:
        for option in ("reclaim_instance_interval", "resize_confirm_window"):
            arguments += ["--set", f"{option}=1"]
    # Ports of its own each time: others may take those of a cloud that is dead.
    cloud = CloudProcess(state, arguments=arguments)
    cloud.start()
    try:
        yield cloud
    finally:
        cloud.process.send_signal(signal.SIGKILL)
        cloud.wait()


def _leaks_when_quiet(cloud: CloudProcess, seconds: float = 30.0) -> list[str]:
    """What is left when nothing is under way; the cloud's own upkeep may begin something again."""
    deadline = time.monotonic() + seconds
    database, guests = cloud.state / "nova.sqlite", cloud.state / "guests"
    while True:
        if Snapshot(database, guests).is_quiet:
            found = leaks(database, guests)
            if not found or Snapshot(database, guests).is_quiet:
                return found
        if time.monotonic() > deadline:
            return leaks(database, guests)
        time.sleep(0.05)


def _broken_promises(client: Client, promises: Promises) -> list[str]:
    status, answer = client.ask("GET", "/servers/detail?limit=1000")
    assert status == 200, answer
    shown = {server["id"]: server for server in answer["servers"]}
    wrong = []
    for uuid in promises.servers - promises.deleted - promises.doubtful - shown.keys():
        wrong.append(f"server {uuid} was accepted and is not there")
    for uuid in promises.deleted & shown.keys():
        if shown[uuid]["status"] == "SOFT_DELETED":
            continue
        wrong.append(f"server {uuid} was deleted and is there: {shown[uuid]['status']}")
    for uuid, server in shown.items():
        if server["status"] not in SETTLED:
            wrong.append(f"server {uuid} is {server['status']}")
    # A request without an answer may have been done or not; now it is known which.
    promises.servers |= shown.keys()
    promises.deleted |= promises.doubtful - shown.keys()
    promises.doubtful.clear()
    return wrong


@pytest.mark.timeout(900)
def test_nothing_accepted_is_lost_and_nothing_leaks_when_the_process_is_killed(
    tmp_path: Path,
) -> None:
    chance = random.Random(SEED)
    promises = Promises()
    found: list[str] = []
    errors: list[BaseException] = []
    for number in range(ROUNDS + 1):
        with _round(tmp_path / "state", chance) as cloud:
            token, project = cloud.login("admin")
            client = Client(cloud, token)
            wrong = _leaks_when_quiet(cloud)
            wrong += _broken_promises(client, promises)
            found += [f"round {number}: {line}" for line in wrong]
            assert not found, "\n".join([*found, cloud.log])
            if number == ROUNDS:
                break
            if number == 0:
                quota = {"quota_set": {"instances": -1, "cores": -1, "ram": -1}}
                assert client.ask("PUT", f"/os-quota-sets/{project}", quota)[0] == 200
                promises.volumes = _volumes(cloud)
            image = _base_image(cloud)
            threads = [
                threading.Thread(
                    target=_until_killed,
                    args=(Client(cloud, token), image, promises, chance.randrange(2**32), errors),
                )
                for _ in range(CLIENTS)
            ]
            for thread in threads:
                thread.start()
            time.sleep(chance.uniform(0.05, 0.9))
        for thread in threads:
            thread.join()
        assert not errors, errors
    assert promises.accepted > ROUNDS * 10
    print(f"{ROUNDS} kills, {promises.accepted} accepted requests, {len(found)} leaks")


def _until_killed(
    client: Client, image: str, promises: Promises, seed: int, errors: list[BaseException]
) -> None:
    try:
        _burst(client, image, promises, random.Random(seed))
    except (OSError, http.client.HTTPException):
        return
    except BaseException as error:
        errors.append(error)


def _volumes(cloud: CloudProcess) -> list[str]:
    project = cloud.login("admin")[1]
    made = [
        cloud.call(
            "volume", "POST", f"/v3/{project}/volumes", {"volume": {"size": 1}}, by="admin"
        ).json["volume"]["id"]
        for _ in range(8)
    ]
    return [str(each) for each in made]


def _base_image(cloud: CloudProcess) -> str:
    images = cloud.call("image", "GET", "/v2/images?visibility=public", by="admin").json["images"]
    return str(images[0]["id"])
