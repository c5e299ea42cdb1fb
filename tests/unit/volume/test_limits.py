# SPDX-License-Identifier: Apache-2.0
"""Limits of projects, of types, and that parallel requests never exceed them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.errors import BadRequest, QuotaExceeded
from nova.objects.volume_record import ListQuery
from tests.unit.volume.storage import MEMBER, OTHER, Storage, gone


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    made = Storage(tmp_path, quota_volumes=4, quota_gigabytes=20, quota_snapshots=2)
    yield made
    made.stop()


def test_volumes_gigabytes_and_snapshots_have_limits(storage: Storage) -> None:
    volumes, snapshots = storage.service.volumes, storage.service.snapshots
    first = storage.volume(8)
    with pytest.raises(QuotaExceeded, match=r"Requested 13G, quota is 20G and 8G has been consumed"):
        volumes.create(MEMBER, 13)
    snapshots.create(MEMBER, first)
    with pytest.raises(QuotaExceeded, match="16G has been consumed"):
        volumes.extend(MEMBER, first, 13)
    for _each in range(3):
        storage.volume(1)
    with pytest.raises(QuotaExceeded, match=r"number of volumes allowed \(4\)"):
        volumes.create(MEMBER, 1)
    small = volumes.list(MEMBER, _all())[0].id
    snapshots.create(MEMBER, small)
    with pytest.raises(QuotaExceeded, match=r"number of snapshots allowed \(2\)"):
        snapshots.create(MEMBER, small)
    assert storage.service.limits.usage("p1")["gigabytes"] == 8 + 8 + 3 + 1
    storage.service.volumes.create(OTHER, 20)
    volumes.delete(MEMBER, small, cascade=True)
    gone(lambda: volumes.get(MEMBER, small))
    storage.volume(1)


def _all() -> ListQuery:
    return ListQuery(project_id="p1")


def test_a_type_and_a_single_volume_have_limits_of_their_own(storage: Storage) -> None:
    limits = storage.service.limits
    storage.service.types.create("schnell", None)
    limits.set("p1", {"volumes_schnell": 1, "gigabytes_schnell": 3, "per_volume_gigabytes": 5})
    with pytest.raises(QuotaExceeded, match="gigabytes_schnell"):
        storage.service.volumes.create(MEMBER, 4, volume_type="schnell")
    with pytest.raises(QuotaExceeded, match="larger than maximum allowed limit 5G"):
        storage.service.volumes.create(MEMBER, 6)
    storage.volume(2, volume_type="schnell")
    with pytest.raises(QuotaExceeded, match="volumes_schnell"):
        storage.service.volumes.create(MEMBER, 1, volume_type="schnell")
    plain = storage.volume(1)
    with pytest.raises(QuotaExceeded):
        storage.service.volumes.retype(MEMBER, plain, "schnell")
    assert storage.service.volumes.get(MEMBER, plain).type_name == "__DEFAULT__"
    with pytest.raises(BadRequest, match="nonsense"):
        limits.set("p1", {"nonsense": 1})
    limits.delete("p1")
    storage.service.volumes.retype(MEMBER, plain, "schnell")
    assert limits.usage("p1")["volumes_schnell"] == 2


def test_the_class_counts_for_projects_without_their_own(storage: Storage) -> None:
    limits = storage.service.limits
    limits.set("", {"volumes": 1}, of_class=True)
    assert limits.of_project("p1")["volumes"] == 1
    limits.set("p1", {"volumes": 3})
    assert limits.of_project("p1")["volumes"] == 3
    assert limits.of_project("p2")["volumes"] == 1
    assert limits.defaults()["volumes"] == 1


def test_parallel_requests_get_just_the_limit(storage: Storage) -> None:
    made: list[str] = []
    refused: list[str] = []

    def work() -> None:
        for _each in range(3):
            try:
                made.append(storage.service.volumes.create(MEMBER, 1).id)
            except QuotaExceeded as error:
                refused.append(error.message)

    threads = [threading.Thread(target=work) for _each in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (len(made), len(refused)) == (4, 14)
    assert storage.service.limits.usage("p1")["volumes"] == 4
