# SPDX-License-Identifier: Apache-2.0
"""Measures addresses and the network of a host: ``figure NAME VALUE UNIT`` a line.

``--database URL`` allocates there instead of in SQLite, with 16 clients at once. As root, where dnsmasq and
nft are installed, a host is set up from nothing in a namespace of its own. ``daemon`` alone measures the
memory of nova-network as a process of its own that serves 200 networks, which needs RabbitMQ as well.
"""

from __future__ import annotations

import argparse
import collections
import os
import sys
import tempfile
import threading
import time
import uuid
from pathlib import Path

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from nova.conf import load  # noqa: E402
from nova.db.engine import Database  # noqa: E402
from nova.db.schema import metadata  # noqa: E402
from nova.network.allocation import NetworkAllocator  # noqa: E402
from nova.network.cards import AllocationRequest  # noqa: E402
from nova.network.creation import NetworkRequest, create_networks  # noqa: E402
from nova.objects.host_network import HostNetwork  # noqa: E402

ADDRESSES = 4000
CLIENTS = 16


def figure(name: str, value: float, unit: str) -> None:
    """Print one figure."""
    print(f"figure {name} {value:.6g} {unit}", flush=True)


def allocate(url: str | None, clients: int, batch: int) -> None:
    """Give so many addresses out, and see that none went twice."""
    with tempfile.TemporaryDirectory() as directory:
        db = Database(url or f"sqlite:///{directory}/bench.sqlite", pool_size=clients + 4)
        if url:
            metadata.drop_all(db.engine)
        metadata.create_all(db.engine)
        section = load(overrides={
            ("DEFAULT", "fake_network"): True,
            ("DEFAULT", "network_manager"): "nova.network.manager.FlatDHCPManager",
        }).network
        with db.write() as tx:
            create_networks(
                tx, NetworkRequest(label="n", cidr="10.0.0.0/19", network_size=8192), section
            )
        allocator = NetworkAllocator(section)
        given: collections.Counter[str] = collections.Counter()
        lock = threading.Lock()

        def client() -> None:
            for _ in range(ADDRESSES // clients // batch):
                wanted = [
                    AllocationRequest(instance_uuid=str(uuid.uuid4()), project_id="p", host="h")
                    for _ in range(batch)
                ]
                answers = db.run(lambda tx, wanted=wanted: allocator.allocate_many(tx, wanted))
                with lock:
                    given.update(vif.addresses[0].address for vifs in answers for vif in vifs)

        threads = [threading.Thread(target=client) for _ in range(clients)]
        began = time.perf_counter()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        taken = time.perf_counter() - began
        assert max(given.values()) == 1, "an address went twice"
        kind = f"{db.dialect}.clients_{clients}.batch_{batch}"
        figure(f"network.allocate.{kind}", given.total() / taken, "1/s")
        db.dispose()


def networks_of_a_host() -> list[HostNetwork]:
    """200 networks with ten guests each."""
    from tests.network.plumbing import lease, network, with_leases

    return [
        with_leases(network(each, f"br{each}"), [lease(each, place) for place in range(10, 20)])
        for each in range(1, 201)
    ]


def host() -> None:
    """200 networks with 2,000 guests on one host, from nothing, and then once more."""
    from tests.network.plumbing import MISSING, PlumbedHost, lease, with_leases

    if os.geteuid() != 0 or MISSING:
        print(f"the host is left out: it needs root and {', '.join(MISSING) or 'nothing else'}",
              file=sys.stderr)
        return
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        directory.chmod(0o755)
        plumbed = PlumbedHost(directory)
        try:
            networks = networks_of_a_host()
            plumbed.conductor.set(*networks)
            timed("network.host.from_nothing", plumbed.start)
            timed("network.host.whole_look", lambda: plumbed.set(*networks))
            plumbed.stop()
            timed("network.host.second_start", plumbed.start)
            networks[0] = with_leases(networks[0], [*networks[0].leases, lease(1, 50)])
            plumbed.conductor.set(*networks)
            manager = plumbed.manager
            assert manager is not None
            timed("network.host.one_more_guest", lambda: manager.prepare([networks[0].uuid]))
        finally:
            plumbed.close()


def daemon() -> None:
    """What the nova-network of a host with 200 networks of ten guests each has resident."""
    from tests.network.daemon import NetworkDaemon
    from tests.network.namespaces import Namespace
    from tests.network.plumbing import until
    from tests.services.broker import rabbitmq

    inside = Namespace("benchmark")
    try:
        with rabbitmq() as broker:
            made = NetworkDaemon(inside, broker)
            try:
                made.conductor.set(*networks_of_a_host())
                made.start()
                until(lambda: made.dnsmasq("br200") != 0, 120)
                status = Path(f"/proc/{made.pid}/status").read_text()
                kilobytes = int(status.partition("VmRSS:")[2].split()[0])
                figure("network.host.daemon_memory", kilobytes / 1024, "MB")
            finally:
                made.close()
    finally:
        inside.close()


def timed(name: str, work: object) -> None:
    """Run something and print how long it took."""
    began = time.perf_counter()
    assert callable(work)
    work()
    figure(name, time.perf_counter() - began, "s")


def main() -> None:
    """All figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="?", choices=["all", "daemon"], default="all")
    parser.add_argument("--database", help="SQLAlchemy URL of an empty database on a server")
    arguments = parser.parse_args()
    if arguments.what == "daemon":
        daemon()
        return
    allocate(arguments.database, 1, 1)
    allocate(arguments.database, CLIENTS, 1)
    allocate(arguments.database, CLIENTS, 10)
    host()


if __name__ == "__main__":
    main()
