# SPDX-License-Identifier: Apache-2.0
"""The transport over three brokers that speak TLS: any of them may die."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nova.conf.messaging import MessagingSection
from nova.conf.rabbit import RabbitSection
from nova.objects.operation import StepResult
from nova.rpc.brokers import brokers_of, connection_parameters
from nova.rpc.calls import CONDUCTOR
from nova.rpc.link import Retry
from nova.rpc.plain import PlainSealer
from nova.rpc.rabbit import RabbitSettings, RabbitTransport
from nova.rpc.topology import Topology
from tests.cluster.rounds import LONG
from tests.services.broker_cluster import BrokerCluster, rabbitmq_cluster
from tests.services.servers import MissingServer, free_port

pytestmark = pytest.mark.timeout(300)

Maker = Callable[..., RabbitTransport]


@pytest.fixture(scope="module")
def brokers() -> Iterator[BrokerCluster]:
    try:
        with rabbitmq_cluster() as made:
            yield made
    except MissingServer as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def make(brokers: BrokerCluster) -> Iterator[Maker]:
    made: list[RabbitTransport] = []

    def start(ca_file: str = "", url: str = "") -> RabbitTransport:
        rabbit = dataclasses.replace(RabbitSection(), ssl=True, ssl_ca_file=ca_file or str(brokers.ca_file))
        messaging = dataclasses.replace(MessagingSection(), transport_url=url or brokers.url)
        parameters = [connection_parameters(each, rabbit, "test") for each in brokers_of(messaging, rabbit)]
        settings = RabbitSettings(
            retry=Retry(0.1, 0.1, 0.5), response_timeout=100.0, topology=Topology(prefix="cluster")
        )
        made.append(RabbitTransport(parameters, PlainSealer(), settings))
        made[-1].start()
        return made[-1]

    yield start
    for transport in made:
        transport.close(1)


class Conductor:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.done: list[int] = []

    def step_done(self, host: str, operation_id: int, step: str, result: StepResult) -> bool:
        self.done.append(operation_id)
        return True


def test_a_broker_that_cannot_show_who_it_is_is_not_spoken_to(make: Maker) -> None:
    # The system's authorities have not signed what it shows.
    assert not make("/etc/ssl/certs/ca-certificates.crt").wait_ready(3)


def test_any_of_several_brokers_may_die_and_nothing_is_lost(make: Maker, brokers: BrokerCluster) -> None:
    dead = f"rabbit://nova:nova@127.0.0.1:{free_port()},"
    url = brokers.url.replace("rabbit://", dead)
    server, client, conductor = make(url=url), make(url=url), Conductor()
    assert server.wait_ready(60)
    assert client.wait_ready(60)
    server.serve(CONDUCTOR, None, conductor)
    answered: list[int] = []
    ending = threading.Event()

    def ask() -> None:
        number = 0
        while not ending.is_set():
            number += 1
            assert client.call(CONDUCTOR, None, "step_done", "node1", number, "spawn", StepResult()) is True
            answered.append(number)
            ending.wait(0.02)

    thread = threading.Thread(target=ask)
    thread.start()
    try:
        _await(lambda: len(answered) > 10)
        queues = brokers.nodes[0].control("list_queues", "name", "type", "members").splitlines()
        members = next(line for line in queues if line.startswith("cluster.rpc.conductor\t"))
        assert members.count("nova") == 3, members
        for node in brokers.nodes if LONG else brokers.nodes[:1]:
            node.kill()
            so_far = len(answered)
            _await(lambda n=so_far: len(answered) > n + 10)
            node.start()
            brokers.nodes[0].control("await_online_nodes", "3")
    finally:
        ending.set()
        thread.join(110)
    assert answered == list(range(1, len(answered) + 1))
    assert set(answered) <= set(conductor.done)


def _await(condition: Callable[[], bool], seconds: float = 90.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)
