# SPDX-License-Identifier: Apache-2.0
"""A host that was taken over: it has the broker's password and its own key, and tries everything.

The victim's server is on node1; the attacker owns node2.
"""

from __future__ import annotations

import base64
import configparser
import contextlib
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import msgspec
import pika
import pytest
from sqlalchemy import create_engine, text

from nova.errors import HostRefused, ServiceUnavailable
from nova.objects.host_network import LeaseEvent
from nova.objects.operation import StepFailure, StepResult
from nova.rpc.calls import COMPUTE, CONDUCTOR, SCHEDULER
from nova.rpc.envelope import CONTROL, Clock, Envelope, Key, MessageRefused, Sealed
from nova.rpc.keys import HostKeys, read_key
from nova.rpc.link import Retry
from nova.rpc.rabbit import RabbitSettings, RabbitTransport
from nova.rpc.topology import Topology
from tests.cluster.cluster import ROOT, Api, Cluster, Daemon
from tests.cluster.faces import address_of, metadata
from tests.cluster.load import wait_until

pytestmark = pytest.mark.timeout(300)

SECRET = "the victim's user data, which nobody else may read"
PASSWORD = "bm9ib2R5IGVsc2UgbWF5IHJlYWQgdGhpcw"
KEY = "AAAAC3NzaC1lZDI1NTE5AAAAINsrEQ2UJHBsTYQAHFSO9rP5UEu26Wrr0rNhQCAcIMfW"
SECRETS = (SECRET, base64.b64encode(SECRET.encode()).decode(), PASSWORD, KEY)


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

    def ask_all(self, asked: dict[str, tuple[Any, ...]]) -> dict[str, Any]:
        """The answers to several calls in its own name; none of them may hold a secret of the victim's."""
        answers = {method: self.ask(method, "node2", *rest) for method, rest in asked.items()}
        for method, answer in answers.items():
            encoded = msgspec.json.encode(answer).decode()
            assert not any(secret in encoded for secret in SECRETS), method
        return answers

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
    """A server with user data, a key and a password."""
    api = cluster.api()
    pair = {"keypair": {"name": "victim", "type": "ssh", "public_key": f"ssh-ed25519 {KEY} victim"}}
    assert api.ask("POST", "/os-keypairs", pair)[0] == 201
    uuid = _boot(api, "node1", key_name="victim", user_data=base64.b64encode(SECRET.encode()).decode())
    posted = metadata(
        cluster, "node1", address_of(_server(api, uuid)), "/openstack/latest/password", PASSWORD.encode()
    )
    assert posted[0] == 200, cluster.tails()
    return uuid


def _ask_boot(api: Api, host: str, **more: Any) -> str:
    body = {"server": {"name": "victim", "imageRef": api.image_id(), "flavorRef": "1", "networks": "auto",
                       "availability_zone": f"nova:{host}", **more}}
    status, answer = api.ask("POST", "/servers", body)
    assert status == 202, answer
    return str(answer["server"]["id"])


def _boot(api: Api, host: str, **more: Any) -> str:
    """A server that runs on a host."""
    uuid = _ask_boot(api, host, **more)
    assert wait_until(lambda: _server(api, uuid)["status"] == "ACTIVE", 60), _server(api, uuid)
    assert _server(api, uuid)["OS-EXT-SRV-ATTR:host"] == host
    return uuid


def _rows(cluster: Cluster, statement: str, **values: Any) -> list[Any]:
    engine = create_engine(cluster.database_url)
    with engine.connect() as connection:
        found = connection.execute(text(statement), values).fetchall()
    engine.dispose()
    return list(found)


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


def test_it_learns_nothing_of_another_hosts_server(
    attacker: Attacker, cluster: Cluster, victim: str
) -> None:
    # What is looked for would be found: the victim's own host is told all of it.
    status, told = metadata(
        cluster, "node1", address := address_of(_server(cluster.api(), victim))
    )
    assert status == 200
    assert KEY.encode() in told
    assert cluster.api().get(f"/servers/{victim}/os-server-password")["password"] == PASSWORD
    assert attacker.ask_all({"guest_by_uuid": (victim,)}) == {"guest_by_uuid": None}
    # A guest that it says it has it is told to remove: the name that it gave, and no more.
    assert attacker.ask_all({"guests_seen": ({victim: 1},)}) == {"guests_seen": [victim]}
    for bridge in (None, "br100", "br-none"):
        assert attacker.ask_all({"guest_by_address": (bridge, address)}) == {"guest_by_address": None}
    for method, answer in attacker.ask_all(
        {"guests_wanted": (), "network_state": (), "host_filters": (), "host_names": ()}
    ).items():
        assert victim not in msgspec.json.encode(answer).decode(), method


@pytest.fixture
def many_hosts_network(cluster: Cluster) -> Iterator[str]:
    """A network for which each host with guests of it serves its own (multi_host)."""
    api = cluster.api()
    api.headers["OpenStack-API-Version"] = "compute 2.1"
    body = {"network": {"label": "many-hosts", "cidr": "10.77.0.0/24", "bridge": "br177", "multi_host": True}}
    status, answer = api.ask("POST", "/os-networks", body)
    assert status == 200, answer
    uuid = str(answer["network"]["id"])
    yield uuid
    assert wait_until(lambda: api.ask("DELETE", f"/os-networks/{uuid}")[0] == 202, 30)


def test_it_serves_no_network_and_no_guest_but_its_own(
    attacker: Attacker, cluster: Cluster, many_hosts_network: str
) -> None:
    api = cluster.api()
    networks = [{"uuid": many_hosts_network}]
    theirs = _boot(api, "node1", networks=networks)
    named = (None, [many_hosts_network])
    for wanted in named:
        state = attacker.ask_all({"network_state": (wanted,)})["network_state"]
        assert many_hosts_network not in {each.network_uuid for each in state.networks}
        assert theirs not in msgspec.json.encode(state).decode()
    # With a guest of its own it serves the network to that one alone.
    mine = _boot(api, "node2", networks=networks)
    for wanted in named:
        state = attacker.ask_all({"network_state": (wanted,)})["network_state"]
        found = [each for each in state.networks if each.network_uuid == many_hosts_network]
        assert [(each.serves, [lease.instance_uuid for lease in each.leases]) for each in found] == [
            (True, [mine])
        ]
        assert theirs not in msgspec.json.encode(state).decode()
    mac, address = _card(_server(api, theirs))
    assert attacker.ask("lease_changed", "node2", LeaseEvent("add", mac, address)) is False
    assert attacker.ask("lease_changed", "node2", LeaseEvent("add", *_card(_server(api, mine)))) is True
    leased = dict(_rows(
        cluster, "SELECT instance_uuid, leased FROM fixed_ips WHERE instance_uuid IN (:theirs, :mine)",
        theirs=theirs, mine=mine,
    ))
    assert {uuid: bool(each) for uuid, each in leased.items()} == {theirs: False, mine: True}
    for uuid in (theirs, mine):
        assert api.ask("DELETE", f"/servers/{uuid}")[0] == 204
    assert wait_until(lambda: all(api.ask("GET", f"/servers/{u}")[0] == 404 for u in (theirs, mine)), 30)


def _card(server: Any) -> tuple[str, str]:
    """The MAC and the address of a server's only card."""
    (only,) = server["addresses"].values()
    return only[0]["OS-EXT-IPS-MAC:mac_addr"], only[0]["addr"]


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
    assert (status, body["password"]) == (200, PASSWORD)
    mac, address = _card(_server(cluster.api(), victim))
    assert attacker.ask("lease_changed", "node2", LeaseEvent("del", mac, address)) is False


@contextlib.contextmanager
def _standing_still(daemon: Daemon) -> Iterator[None]:
    assert daemon.process is not None
    daemon.process.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        daemon.process.send_signal(signal.SIGCONT)


def test_it_cannot_end_what_another_host_does(attacker: Attacker, cluster: Cluster) -> None:
    api = cluster.api()
    looks = "SELECT id, host, step, state, attempt, lease_owner FROM operations WHERE instance_uuid = :uuid"
    with _standing_still(cluster.daemons["node1"]):
        uuid = _ask_boot(api, "node1")

        def begun() -> bool:
            return [row[1:4] for row in _rows(cluster, looks, uuid=uuid)] == [("node1", "spawn", "running")]

        assert wait_until(begun, 20), _rows(cluster, looks, uuid=uuid)
        (before,) = _rows(cluster, looks, uuid=uuid)
        number = before[0]
        assert attacker.ask("step_wanted", "node2", number, "spawn") is False
        attacker.ask("step_progress", "node2", number, "spawning")
        assert attacker.ask("step_done", "node2", number, "spawn", StepResult(power_state=4)) is False
        failure = StepFailure(message="mine", details="")
        assert attacker.ask("step_failed", "node2", number, "spawn", failure) is False
        for method, rest in (
            ("connect_volumes", ({},)), ("complete_volumes", ()),
        ):
            with pytest.raises(HostRefused):
                attacker.ask(method, "node2", number, *rest)
        with pytest.raises(HostRefused):
            attacker.ask("image_ticket", "node2", number, api.image_id(), False)
        assert _rows(cluster, looks, uuid=uuid) == [before]
    assert wait_until(lambda: _server(api, uuid)["status"] == "ACTIVE", 60), _server(api, uuid)
    found = _server(api, uuid)
    assert (found["OS-EXT-SRV-ATTR:host"], found["OS-EXT-STS:power_state"]) == ("node1", 1)
    assert api.ask("DELETE", f"/servers/{uuid}")[0] == 204


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
    def refusals(topic: str) -> int:
        words = f"a message for {topic} was refused"
        return sum(each.lines(words) for name, each in cluster.daemons.items() if name.startswith(topic))

    before = {topic: refusals(topic) for topic in (CONDUCTOR, SCHEDULER)}
    attacker.transport.cast(CONDUCTOR, None, "discard", [1, 2, 3])
    attacker.transport.cast(SCHEDULER, None, "wake", [1, 2, 3])
    assert wait_until(lambda: all(refusals(topic) > count for topic, count in before.items()), 20)
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
    ports = {_port(cluster.database_url), str(cluster.database_link.port)}
    owned = [daemon for daemon in cluster.daemons.values() if daemon.name.startswith(_ON_HOSTS)]
    assert len(owned) > len(cluster.hosts)
    for daemon in owned:
        file = cluster.directory / "conf" / f"{daemon.name}.conf"
        parser = configparser.ConfigParser(strict=False, interpolation=None)
        parser.read_string(file.read_text())
        assert not parser.has_section("database"), daemon.name
        assert not any(parser.has_option(name, "connection") for name in parser.sections()), daemon.name
        assert not any(port in file.read_text() for port in ports), daemon.name
    for file in (cluster.directory / "hosts").rglob("*"):
        assert file.is_dir() or not any(
            words in file.read_text(errors="replace") for words in ("mysql", "pymysql", "postgresql")
        ), file
    # Nor is any of them connected to it, as those of the control side are.
    assert ports & _peers(cluster.daemons["conductor1"])
    for daemon in owned:
        assert _peers(daemon)
        assert not ports & _peers(daemon), daemon.name


_ON_HOSTS = ("node", "metadata", "vnc", "serial")


def _port(url: str) -> str:
    found = re.search(r"@127\.0\.0\.1:(\d+)/", url)
    assert found is not None
    return found[1]


def _peers(daemon: Daemon) -> set[str]:
    """The ports that a daemon is connected to."""
    assert daemon.process is not None
    directory = Path(f"/proc/{daemon.process.pid}")
    sockets = set()
    for each in (directory / "fd").iterdir():
        with contextlib.suppress(OSError):
            sockets.add(str(each.readlink()))
    found = set()
    for line in (directory / "net" / "tcp").read_text().splitlines()[1:]:
        fields = line.split()
        if f"socket:[{fields[9]}]" in sockets and fields[3] == "01":
            found.add(str(int(fields[2].rpartition(":")[2], 16)))
    return found


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
