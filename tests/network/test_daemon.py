# SPDX-License-Identifier: Apache-2.0
"""The daemon itself: a process of an ordinary user over a real RabbitMQ, killed and started under traffic."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.rpc.calls import NETWORK
from tests.network.daemon import USER, NetworkDaemon
from tests.network.namespaces import Namespace
from tests.network.plumbing import Client, Pinger, lease, needs_parts, network, until, with_leases
from tests.services.broker import Broker, rabbitmq
from tests.services.servers import MissingServer

pytest.importorskip("pyroute2")
pytestmark = [
    needs_parts, pytest.mark.timeout(300),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="setpriv is not installed"),
]

#: CAP_NET_BIND_SERVICE, CAP_NET_ADMIN, CAP_NET_RAW; linux/capability.h.
_WANTED = 1 << 10 | 1 << 12 | 1 << 13
#: CAP_DAC_READ_SEARCH, which the test needs to let nobody read this Python.
_READS = 1 << 2


@pytest.fixture
def broker() -> Iterator[Broker]:
    try:
        with rabbitmq() as made:
            yield made
    except MissingServer as error:
        if os.environ.get("CI") == "true":
            pytest.fail(str(error))
        pytest.skip(str(error))


@pytest.fixture
def daemon(broker: Broker) -> Iterator[NetworkDaemon]:
    host = Namespace("host")
    made = NetworkDaemon(host, broker)
    try:
        yield made
    finally:
        made.close()
        host.close()


def test_the_daemon_is_killed_and_comes_again_without_a_lost_packet(
    daemon: NetworkDaemon, tmp_path: Path
) -> None:
    base = with_leases(network(8, "br8"), [lease(8, 10), lease(8, 11)])
    daemon.conductor.set(base)
    daemon.start()
    status = dict(
        line.split(":\t", 1) for line in Path(f"/proc/{daemon.pid}/status").read_text().splitlines()
    )
    assert status["Uid"].split() == [str(USER)] * 4, "no root"
    assert int(status["CapEff"], 16) & ~_READS == _WANTED
    assert " DEBUG " in daemon.log, "-v -d"
    guests = [Client(daemon.inside, "br8", each.mac) for each in base.leases]
    pingers: list[Pinger] = []
    try:
        assert [each.lease(tmp_path) for each in guests] == ["10.8.0.10", "10.8.0.11"]
        assert daemon.conductor.hears("add", "10.8.0.11")
        pingers += [Pinger(guests[0], "10.8.0.11"), Pinger(guests[1], "10.8.0.1")]
        served_by = daemon.dnsmasq("br8")
        links = daemon.inside.ip("link")

        daemon.end(signal.SIGKILL)
        assert guests[0].renew("10.8.0.10", "10.8.0.1") == "ACK", "DHCP serves on"
        # What changes meanwhile is found at the start.
        later = lease(8, 12)
        daemon.conductor.set(with_leases(base, [*base.leases, later]))
        daemon.start()
        assert daemon.dnsmasq("br8") == served_by, "it was taken over"
        assert daemon.inside.ip("link") == links
        assert guests[1].renew("10.8.0.11", "10.8.0.1") == "ACK"
        late = Client(daemon.inside, "br8", later.mac)
        guests.append(late)
        assert late.lease(tmp_path) == "10.8.0.12"

        os.kill(served_by, signal.SIGKILL)
        until(lambda: daemon.dnsmasq("br8") not in (0, served_by))
        assert guests[0].renew("10.8.0.10", "10.8.0.1") == "ACK"

        # Told over the broker, as by the control side.
        last = lease(8, 13)
        daemon.conductor.set(with_leases(base, [*base.leases, later, last]))
        daemon.control.call(NETWORK, "one", "prepare", [base.uuid])
        assert (daemon.directory / "networks" / f"nova-br8-{base.uuid}.hosts" / last.address).exists()
        daemon.end(signal.SIGTERM)
        assert guests[1].renew("10.8.0.11", "10.8.0.1") == "ACK", "also after a stop"
        for pinger in pingers:
            sent, received = pinger.stop()
            assert sent > 5, "it was asked all the while"
            assert sent - received <= 1, "only what was under way at the end may be missing"
        pingers.clear()
    finally:
        for pinger in pingers:
            pinger.stop()
        for guest in guests:
            guest.close()
