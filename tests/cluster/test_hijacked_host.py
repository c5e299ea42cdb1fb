# SPDX-License-Identifier: Apache-2.0
"""A host that was taken over: it has the broker's password and its own key, and tries everything.

The victim's server is on node1; the attacker owns node2.
"""

from __future__ import annotations

import base64
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import pika
import pytest

from nova.errors import HostRefused, ServiceUnavailable
from nova.objects.operation import StepResult
from nova.rpc.calls import COMPUTE, CONDUCTOR, SCHEDULER
from nova.rpc.envelope import CONTROL, Clock, Envelope, Key, MessageRefused, Sealed
from nova.rpc.keys import HostKeys, read_key
from nova.rpc.link import Retry
from nova.rpc.rabbit import RabbitSettings, RabbitTransport
from nova.rpc.topology import Topology
from tests.cluster.cluster import ROOT, Api, Cluster
from tests.cluster.load import wait_until

pytestmark = pytest.mark.timeout(300)

SECRET = "the victim's user data, which nobody else may read"


class _OwnKeyForAll(HostKeys):
    """Seals everything, whoever it says it is from, with the one key that the attacker has."""

    def __init__(self, key: Key) -> None:
        super().__init__([key])
        self._key = key

    def to_seal(self, sender: str, receiver: str) -> Key:
        return self._key


class Attacker:
    """What can be done with node2's key and the broker's password."""

    def __init__(self, cluster: Cluster) -> None:
        self.key = read_key(cluster.directory / "hosts" / "keys" / "node2.key")
        self._parameters = pika.ConnectionParameters(
            "127.0.0.1", cluster.broker.port, credentials=pika.PlainCredentials("nova", "nova")
        )
        sealer = Envelope(_OwnKeyForAll(self.key), frozenset({"node2"}), Clock())
        self.transport = RabbitTransport(
            [self._parameters], sealer,
            RabbitSettings(retry=Retry(0.1, 0.1, 0.5), topology=Topology(), response_timeout=3.0),
        )
        self.transport.start()
        assert self.transport.wait_ready(30)

    def ask(self, method: str, *arguments: Any) -> Any:
        """Call the conductor; the first argument is who it says it is."""
        return self.transport.call(CONDUCTOR, None, method, *arguments)

    def listen(self, queue: str, provoke: Callable[[], object], count: int = 1) -> list[bytes]:
        """Copies of what goes to a queue while ``provoke`` runs."""
        seen: list[bytes] = []
        connection = pika.BlockingConnection(self._parameters)
        channel = connection.channel()
        mine = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(mine, "nova.rpc", queue)
        thread = threading.Thread(target=provoke)
        thread.start()
        for _method, _properties, body in channel.consume(mine, auto_ack=True, inactivity_timeout=10):
            if body is None:
                break
            seen.append(body)
            if len(seen) >= count:
                break
        thread.join()
        connection.close()
        return seen

    def send_again(self, queue: str, bodies: list[bytes]) -> None:
        """Publish copies."""
        connection = pika.BlockingConnection(self._parameters)
        channel = connection.channel()
        for body in bodies:
            channel.basic_publish("nova.rpc", queue, body)
        connection.close()


@pytest.fixture(scope="module")
def attacker(cluster: Cluster) -> Iterator[Attacker]:
    made = Attacker(cluster)
    yield made
    made.transport.close(1)


@pytest.fixture(scope="module")
def victim(cluster: Cluster) -> str:
    api = cluster.api()
    body = {"server": {
        "name": "victim", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
        "availability_zone": "nova:node1", "user_data": base64.b64encode(SECRET.encode()).decode(),
    }}
    status, answer = api.ask("POST", "/servers", body)
    assert status == 202, answer
    uuid = str(answer["server"]["id"])
    assert wait_until(lambda: _server(api, uuid)["status"] == "ACTIVE", 60), _server(api, uuid)
    assert _server(api, uuid)["OS-EXT-SRV-ATTR:host"] == "node1"
    return uuid


def _server(api: Api, uuid: str) -> Any:
    return api.get(f"/servers/{uuid}")["server"]


def _untouched(cluster: Cluster, uuid: str) -> None:
    """The victim runs on its host, as it did."""
    api = cluster.api()
    found = _server(api, uuid)
    assert (found["status"], found["OS-EXT-SRV-ATTR:host"], found["OS-EXT-STS:power_state"]) == (
        "ACTIVE", "node1", 1
    )
    assert api.ask("GET", f"/servers/{uuid}/diagnostics")[0] == 200


def test_it_is_answered_about_itself(attacker: Attacker, victim: str) -> None:
    """The attack is carried out right: with its own name the attacker is a host like any other."""
    assert attacker.ask("guests_seen", "node2", {}) == []
    assert victim not in {each.uuid for each in attacker.ask("guests_wanted", "node2")}


def test_it_cannot_speak_as_another_host(attacker: Attacker, cluster: Cluster, victim: str) -> None:
    told: dict[str, tuple[Any, ...]] = {
        "guests_wanted": (), "guests_seen": ({},), "network_state": (), "host_report": ([], []),
        "network_report": (),
    }
    # At once, as each waits its time for an answer.
    with ThreadPoolExecutor(len(told)) as pool:
        answers = [pool.submit(attacker.ask, method, "node1", *arguments)
                   for method, arguments in told.items()]
    for answer in answers:
        with pytest.raises(ServiceUnavailable):
            answer.result()
    _untouched(cluster, victim)


def test_it_learns_nothing_of_another_hosts_server(attacker: Attacker, victim: str) -> None:
    assert attacker.ask("guest_by_uuid", "node2", victim) is None
    answer = msgspec.json.encode(attacker.ask("guests_seen", "node2", {victim: 1}))
    assert b"user_data" not in answer
    state = msgspec.json.encode(attacker.ask("network_state", "node2"))
    assert victim.encode() not in state


def test_it_cannot_change_another_hosts_server(
    attacker: Attacker, cluster: Cluster, victim: str
) -> None:
    attacker.ask("guest_changed", "node2", victim, 4)
    with pytest.raises(HostRefused):
        attacker.ask("set_guest_password", "node2", victim, "mine")
    actions = cluster.api().get(f"/servers/{victim}/os-instance-actions")["instanceActions"]
    assert [each["action"] for each in actions] == ["create"]
    _untouched(cluster, victim)
    status, body = cluster.api().ask("GET", f"/servers/{victim}/os-server-password")
    assert (status, body["password"]) == (200, "")


def test_it_cannot_end_what_another_host_does(
    attacker: Attacker, cluster: Cluster, victim: str
) -> None:
    for operation_id in range(1, 50):
        attacker.ask("step_done", "node2", operation_id, "spawn", StepResult(power_state=4))
        assert attacker.ask("step_wanted", "node2", operation_id, "spawn") is False
    _untouched(cluster, victim)


def test_it_gets_no_image_that_is_not_its_business(attacker: Attacker, cluster: Cluster) -> None:
    api = cluster.api()
    status, image = api.ask(
        "POST", "/images", {"name": "private", "disk_format": "raw", "container_format": "bare"},
        base=api.image_base,
    )
    assert status == 201, image
    for operation_id in (None, 1, 2, 10**6):
        with pytest.raises(HostRefused):
            attacker.ask("image_ticket", "node2", operation_id, image["id"], False)


def test_it_cannot_send_work_to_another_host(
    attacker: Attacker, cluster: Cluster, victim: str
) -> None:
    with pytest.raises(ServiceUnavailable):
        attacker.transport.call(COMPUTE, "node1", "uptime")
    _untouched(cluster, victim)


def test_it_cannot_wake_the_control_side_in_its_name(
    attacker: Attacker, cluster: Cluster, victim: str
) -> None:
    attacker.transport.cast(CONDUCTOR, None, "discard", [1, 2, 3])
    attacker.transport.cast(SCHEDULER, None, "wake", [1, 2, 3])
    logs = [each.log for name, each in cluster.daemons.items() if name.startswith("conductor")]
    assert wait_until(lambda: any("not sealed" in each.read_text() or "refused" in each.read_text()
                                  for each in logs), 20)
    _untouched(cluster, victim)


def test_it_cannot_read_what_goes_to_another_host(
    attacker: Attacker, cluster: Cluster, victim: str
) -> None:
    def reboot() -> None:
        status, answer = cluster.api().ask(
            "POST", f"/servers/{victim}/action", {"reboot": {"type": "HARD"}}
        )
        assert status == 202, answer

    bodies = attacker.listen("nova.rpc.compute.node1", reboot)
    assert bodies
    assert wait_until(lambda: _server(cluster.api(), victim)["status"] == "ACTIVE", 30)
    encoded = base64.b64encode(SECRET.encode())
    ring = _OwnKeyForAll(attacker.key)
    for body in bodies:
        assert SECRET.encode() not in body
        assert encoded not in body
        assert b"victim" not in body
        with pytest.raises(MessageRefused):
            Envelope(ring, frozenset({"node1", "node2"}), Clock()).open(body)
    _untouched(cluster, victim)


def test_it_cannot_repeat_what_another_host_said(
    attacker: Attacker, cluster: Cluster, victim: str
) -> None:
    queue = "nova.rpc.conductor"
    heard = [
        body for body in attacker.listen(queue, lambda: None, count=20)
        if b"node1" in msgspec.msgpack.decode(body, type=Sealed).header
    ]
    assert heard
    logs = [each.log for name, each in cluster.daemons.items() if name.startswith("conductor")]

    def refusals() -> int:
        texts = [each.read_text(errors="replace") for each in logs]
        return sum(text.count("came twice") + text.count("acted on before") for text in texts)

    before = refusals()
    # Each conductor gets some of them.
    attacker.send_again(queue, heard * 4)
    assert wait_until(lambda: refusals() - before >= 3 * len(heard), 30), refusals() - before
    _untouched(cluster, victim)


def test_a_revoked_host_is_out(cluster: Cluster, victim: str) -> None:
    """Last of all here: node4's key is taken back, and what it reports no longer counts."""
    done = subprocess.run(
        [sys.executable, "-m", "nova.cmd.manage", "host", "revoke", "node4", "--config-file",
         str(cluster.directory / "conf" / "conductor1.conf")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )
    assert done.returncode == 0, done.stderr

    def down() -> bool:
        found = cluster.api().get("/os-services?binary=nova-compute")["services"]
        return {each["host"] for each in found if each["state"] == "down"} == {"node4"}

    # service_down_time and the few seconds that a key is remembered.
    assert wait_until(down, 90)
    again = subprocess.run(
        [sys.executable, "-m", "nova.cmd.manage", "host", "enrol", "node4", "--output",
         str(cluster.directory / "hosts" / "keys" / "node4.new"), "--config-file",
         str(cluster.directory / "conf" / "conductor1.conf")],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )
    assert again.returncode == 0, again.stderr
    keys = cluster.directory / "hosts" / "keys"
    (keys / "node4.new").replace(keys / "node4.key")
    cluster.daemons["node4"].end()
    cluster.daemons["node4"].start()
    assert wait_until(lambda: not down() and _all_up(cluster), 60)


def _all_up(cluster: Cluster) -> bool:
    found = cluster.api().get("/os-services?binary=nova-compute")["services"]
    return all(each["state"] == "up" for each in found)


def test_a_hosts_daemons_know_no_database(cluster: Cluster) -> None:
    """Neither the code that speaks SQL nor the address and the password of one."""
    code = (
        "import sys, nova.cmd.compute, nova.cmd.network, nova.cmd.api_metadata, nova.daemons.build_host\n"
        "print([name for name in sys.modules if name.startswith('nova.db') or name == 'sqlalchemy'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    assert done.stdout.strip() == "[]"
    for host in cluster.hosts:
        assert cluster.database_url not in (cluster.directory / "conf" / f"{host}.conf").read_text()


def test_the_clock_of_a_host_does_not_matter(attacker: Attacker, cluster: Cluster) -> None:
    """A host whose clock is ten minutes wrong is told the time and then answered."""
    wrong = Envelope(
        HostKeys([attacker.key]), frozenset({"node2"}), Clock(lambda: time.time() - 600)
    )
    transport = RabbitTransport(
        [attacker._parameters], wrong,
        RabbitSettings(retry=Retry(0.1, 0.1, 0.5), topology=Topology(), response_timeout=20.0),
    )
    transport.start()
    try:
        assert transport.wait_ready(30)
        assert transport.call(CONDUCTOR, None, "guests_seen", "node2", {}) == []
    finally:
        transport.close(1)


def test_the_control_key_is_on_no_host(cluster: Cluster) -> None:
    keys = sorted(path.name for path in (cluster.directory / "hosts" / "keys").iterdir())
    assert keys == [f"{host}.key" for host in cluster.hosts]
    for path in (cluster.directory / "hosts" / "keys").iterdir():
        assert read_key(path).owner != CONTROL
