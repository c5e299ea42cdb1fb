# SPDX-License-Identifier: Apache-2.0
"""Block storage on each database: limits against parallel requests, tasks done once, pages."""

from __future__ import annotations

import datetime
import threading
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import BadRequest, InvalidVolume, NotFound, QuotaExceeded
from nova.objects.volume_record import ListQuery, VolumeTask
from tests.unit.volume.storage import ADMIN, INSTANCE, MEMBER, Storage

THREADS = 6


def together(work: Callable[[], None]) -> None:
    threads = [threading.Thread(target=work) for _each in range(THREADS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_limits_hold_against_parallel_requests_and_pages_are_whole(
    empty_database: Database, tmp_path: Path
) -> None:
    migrate.prepare(empty_database)
    storage = Storage(tmp_path, database=empty_database, quota_volumes=8, quota_gigabytes=12)
    made: list[str] = []
    refused: list[str] = []

    def create() -> None:
        for _each in range(3):
            try:
                made.append(storage.service.volumes.create(MEMBER, 1, "größe").id)
            except QuotaExceeded as error:
                refused.append(error.message)

    together(create)
    assert (len(made), len(refused)) == (8, THREADS * 3 - 8)
    grown: list[str] = []

    def extend() -> None:
        for volume_id in made:
            try:
                storage.service.volumes.extend(MEMBER, volume_id, 2)
                grown.append(volume_id)
            except (QuotaExceeded, BadRequest) as error:
                refused.append(error.message)

    together(extend)
    assert len(grown) == 4
    assert storage.service.limits.usage("p1")["gigabytes"] == 12

    seen: list[str] = []
    marker = None
    while True:
        query = ListQuery(
            project_id="p1", limit=3, marker=marker, sort=(("name", "asc"), ("id", "asc")),
            like={"name": "röß"},
        )
        page = storage.service.volumes.list(MEMBER, query)
        if not page:
            break
        seen += [each.id for each in page]
        marker = page[-1].id
    assert seen == sorted(made)
    offset = ListQuery(project_id="p1", offset=6, sort=(("id", "asc"),))
    assert [each.id for each in storage.service.volumes.list(MEMBER, offset)] == sorted(made)[6:]

    # Default types of projects: set by several at once, changed, of a type that is gone.
    types, defaults = storage.service.types, storage.service.default_types
    answers: list[str] = []

    def set_default(name: str) -> None:
        answers.append(defaults.set(ADMIN, "p1", name))

    for name in ("größe", "schnell"):
        type_id = types.create(name, None).id
        together(partial(set_default, name))
        assert (types.default(MEMBER).name, defaults.page()) == (name, [("p1", type_id)])
    assert len(answers) == 2 * THREADS
    with pytest.raises(NotFound), empty_database.write() as tx:
        tx.volumes.types.set_project_default("p2", INSTANCE)
    defaults.unset("p1")
    assert types.default(MEMBER).name == "__DEFAULT__"


def test_one_of_several_servers_gets_a_volume(empty_database: Database, tmp_path: Path) -> None:
    migrate.prepare(empty_database)
    storage = Storage(tmp_path, database=empty_database)
    volume_id = storage.volume()
    won: list[str] = []
    lock, number = threading.Lock(), iter(range(THREADS))

    def reserve() -> None:
        with lock:
            server = f"{next(number):08d}{INSTANCE[8:]}"
        try:
            won.append(storage.service.attachments.reserve(MEMBER, volume_id, server).id)
        except InvalidVolume:
            return

    together(reserve)
    assert len(won) == 1
    volume = storage.service.volumes.get(MEMBER, volume_id)
    assert (volume.status, [each.id for each in volume.attachments]) == ("reserved", won)


def test_a_task_is_claimed_once(empty_database: Database, tmp_path: Path) -> None:
    migrate.prepare(empty_database)
    storage = Storage(tmp_path, database=empty_database)
    with empty_database.write() as tx:
        tx.volumes.tasks.create(
            VolumeTask(id="t", flow="create", volume_id="v", request_id="r", created_at=now())
        )
    claimed: list[str] = []
    lock, number = threading.Lock(), iter(range(THREADS))

    def claim() -> None:
        with lock:
            owner = f"o{next(number)}"
        until = now() + datetime.timedelta(minutes=1)
        if empty_database.run(lambda tx: tx.volumes.tasks.claim("t", owner, until)) is not None:
            claimed.append(owner)

    together(claim)
    assert len(claimed) == 1
    with empty_database.write() as tx:
        assert tx.volumes.tasks.finish("t", claimed[0])
    storage.service.tasks.stop()
