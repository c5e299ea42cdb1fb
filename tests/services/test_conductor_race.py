# SPDX-License-Identifier: Apache-2.0
"""Two conductors and two schedulers on the same operations at the same moment: each takes effect once.

Every report of a host goes to both at once, as a message does that is delivered again; both look for lost
operations without a pause, and take every open one for lost, as if every lease were over.
"""

from __future__ import annotations

import random
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text

from nova import wiring
from nova.conf.load import load
from nova.db import migrate
from nova.db.engine import Database
from nova.errors import NovaError
from nova.image.bootstrap import ensure_test_image
from nova.image.local import LocalImages
from nova.image.service import ImageService
from nova.network.creation import NetworkRequest, create_networks
from nova.objects.boot import BootRequest
from nova.policy import Policy
from nova.rpc.calls import CONDUCTOR, SCHEDULER
from nova.virt.fake import FakeDriver, host_names
from tests.leaks import Snapshot, leaks
from tests.unit.compute.small_cloud import USER

REQUESTS = 100
CLIENTS = 3


class _Both:
    """Two endpoints as one: whoever calls it calls both at once, and gets the answer of one of them."""

    def __init__(self, first: object, second: object) -> None:
        self._endpoints = (first, second)
        self._pool = ThreadPoolExecutor(64)

    def __getattr__(self, method: str) -> Callable[..., Any]:
        def call(*args: Any) -> Any:
            asked = [self._pool.submit(getattr(each, method), *args) for each in self._endpoints]
            errors = [each.exception() for each in asked]
            answers = [each for each, error in zip(asked, errors, strict=True) if error is None]
            return random.choice(answers or asked).result()

        return call


class RacingCloud:
    """Three simulated hosts and two control sides on one database."""

    def __init__(self, url: str, directory: Path) -> None:
        self.url, self.directory = url, directory
        self.errors: list[Exception] = []
        self.config = load(overrides={
            ("DEFAULT", "fake_network"): True, ("fake", "hosts"): 3, ("fake", "spawn_latency"): 0.02,
            ("fake", "power_latency"): 0.01, ("fake", "migrate_latency"): 0.02,
            ("DEFAULT", "network_manager"): "nova.network.manager.FlatDHCPManager",
            ("DEFAULT", "flat_network_bridge"): "br100", ("quota", "instances"): -1, ("quota", "cores"): -1,
            ("quota", "ram"): -1, ("conductor", "lease_seconds"): 5,
        })
        self.transport = wiring.in_process_transport()
        self.sides = []
        for number in (1, 2):
            db = Database(url, pool_size=8)
            if number == 1:
                migrate.prepare(db)
            images = LocalImages(ImageService(db, self.config.image, directory / "images"))
            if number == 1:
                self._fill(db, images)
            self.sides.append(wiring.build_control_side(self.config, db, self.transport, images))
        first, second = self.sides
        self.transport.serve(CONDUCTOR, None, _Both(first.conductor, second.conductor))
        self.transport.serve(SCHEDULER, None, _Both(*(
            wiring.SchedulerService(each.conductor.placer) for each in self.sides
        )))
        self.managers = [
            wiring.build_compute(
                self.config, self.transport, wiring.LocalHostImages(first.images), name,
                FakeDriver(name, zone, self.config.fake, directory / "guests"),
            )
            for name, zone in host_names(self.config.fake)
        ]
        for manager in self.managers:
            manager.start()
        for side in self.sides:
            side.hosts.refresh(force=True)
            side.conductor.placer.start()
            side.conductor.start()
        self.operations = wiring.build_cloud(first, Policy((), str(directory / "policy.yaml"))).operations
        self.image = first.images.list(USER, filters={}, limit=1, marker=None)[0].id

    def _fill(self, db: Database, images: LocalImages) -> None:
        ensure_test_image(ImageService(db, self.config.image, self.directory / "images"), "p")
        with db.write() as tx:
            tx.flavors.seed_defaults()
            create_networks(
                tx, NetworkRequest(label="private", cidr="10.0.0.0/20", network_size=4096),
                self.config.network,
            )

    def stop(self) -> None:
        self.transport.close()
        for side in self.sides:
            side.conductor.placer.stop()
            side.conductor.stop()
        for manager in self.managers:
            manager.stop()
        for side in self.sides:
            side.db.dispose()

    def load(self, seed: int, ending: threading.Event, accepted: Counter[str]) -> None:
        """One client: boots, moves, power, deletes."""
        chance = random.Random(seed)
        mine: list[str] = []
        operations, db = self.operations, self.sides[0].db
        while not ending.wait(0.005):
            kind = chance.choice(("boot", "boot", "delete", "stop", "start", "resize", "confirm_resize",
                                  "revert_resize", "migrate", "live_migrate", "shelve", "unshelve"))
            try:
                if kind == "boot" or not mine:
                    booted = operations.boot(USER, BootRequest(
                        name="race", flavor_ref="1", image_ref=self.image, min_count=1, max_count=1))
                    mine.append(booted.uuids[0])
                    accepted["boot"] += 1
                else:
                    uuid = chance.choice(mine)
                    with db.read() as tx:
                        instance = tx.instances.get(uuid)
                    if instance is None:
                        mine.remove(uuid)
                        continue
                    if kind == "resize":
                        operations.resize(USER, instance, chance.choice("12"))
                    elif kind in ("migrate", "live_migrate"):
                        getattr(operations, kind)(USER, instance, host=None)
                    else:
                        getattr(operations, kind)(USER, instance)
                    accepted[kind] += 1
            except NovaError:
                continue
            except Exception as error:
                self.errors.append(error)
                raise


@pytest.fixture(params=("mariadb", "postgresql"))
def engine(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def cloud(new_url: Callable[[], str], tmp_path: Path) -> Iterator[RacingCloud]:
    made = RacingCloud(new_url(), tmp_path)
    yield made
    made.stop()


def test_two_conductors_that_race_for_the_same_operations_carry_each_out_once(cloud: RacingCloud) -> None:
    ending, accepted = threading.Event(), Counter[str]()
    recovered = [0, 0]

    def recover(number: int) -> None:
        while not ending.is_set():
            recovered[number] += cloud.sides[number].conductor.recovery.run(everything=True)

    threads = [threading.Thread(target=recover, args=(number,)) for number in (0, 1)]
    threads += [
        threading.Thread(target=cloud.load, args=(seed, ending, accepted)) for seed in range(CLIENTS)
    ]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 90
    while accepted.total() < REQUESTS and time.monotonic() < deadline and not cloud.errors:
        time.sleep(0.05)
    ending.set()
    for thread in threads:
        thread.join(60)
    found = _when_quiet(cloud)
    print(f"\n{accepted.total()} requests accepted, {sum(recovered)} times taken for lost: {dict(accepted)}")
    assert not found, "\n".join(found)
    assert not cloud.errors, cloud.errors
    assert accepted.total() >= REQUESTS
    assert all(recovered)
    assert not _ended_twice(cloud)


def _when_quiet(cloud: RacingCloud) -> list[str]:
    """What is wrong when all has ended; recovery goes on as in operation meanwhile."""
    guests = cloud.directory / "guests"
    deadline = time.monotonic() + 120
    while True:
        for side in cloud.sides:
            side.conductor.recovery.run()
        for manager in cloud.managers:
            manager.sync_guests()
        if Snapshot(cloud.url, guests).is_quiet:
            found = leaks(cloud.url, guests)
            if not found:
                return []
        if time.monotonic() > deadline:
            return leaks(cloud.url, guests)
        time.sleep(0.1)


def _ended_twice(cloud: RacingCloud) -> list[tuple[Any, ...]]:
    """Steps that count as done more than once: the same event of an operation at the same host."""
    with cloud.sides[0].db.read() as tx:
        return [tuple(row) for row in tx.connection.execute(text(
            "SELECT operation_id, event, host, COUNT(*) FROM operation_events WHERE result = 'Success' "
            "AND event LIKE 'compute%' GROUP BY operation_id, event, host HAVING COUNT(*) > 1"
        ))]
