# SPDX-License-Identifier: Apache-2.0
"""Compute's way to the images: cache, rights, life of an image; recovery of the files."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.conf.image import ImageSection
from nova.db.engine import Database
from nova.errors import BadRequest, Conflict, Forbidden, ImageNotFound, InvalidInput, NotFound
from nova.image import cache
from nova.image.bootstrap import TEST_IMAGE_BYTES, ensure_test_image
from nova.image.local import LocalImages
from nova.image.service import ImageService
from nova.objects.context import RequestContext, internal_context
from nova.objects.image import Image
from tests.databases import new_database

ALICE = RequestContext(user_id="alice", project_id="a", roles=("member",))
BOB = RequestContext(user_id="bob", project_id="b", roles=("member",))
ADMIN = internal_context()


@pytest.fixture
def database(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def service(database: Database, tmp_path: Path) -> ImageService:
    return ImageService(database, ImageSection(), tmp_path / "images")


@pytest.fixture
def images(service: ImageService) -> LocalImages:
    return LocalImages(service)


def _create(images: LocalImages, context: RequestContext = ALICE, **values: object) -> Image:
    return images.create(context, **{  # type: ignore[arg-type]
        "name": "image", "properties": {}, "disk_format": "raw", "container_format": "bare",
        **values,
    })


def test_life_of_a_snapshot(images: LocalImages) -> None:
    image = _create(
        images, name="Schnappschuß", min_disk=2,
        properties={
            "instance_uuid": "u", "image_type": "snapshot", "size": None, "bdm_v2": True,
            "block_device_mapping": [{"boot_index": 0}],
        },
    )
    assert (image.status, image.visibility, image.owner) == ("queued", "private", "a")
    assert image.properties == {
        "instance_uuid": "u", "image_type": "snapshot", "bdm_v2": "True",
        "block_device_mapping": [{"boot_index": 0}],
    }
    with pytest.raises(Conflict):
        images.download(ALICE, image.id)
    assert images.upload(ALICE, image.id, [b"ab", b"", b"cd"]).status == "active"
    assert b"".join(images.download(ALICE, image.id)) == b"abcd"
    shown = images.show(ALICE, image.id)
    assert (shown.size, shown.virtual_size, shown.name) == (4, 4, "Schnappschuß")
    images.update_properties(ALICE, image.id, {"a": 1})
    assert images.show(ALICE, image.id).properties["a"] == "1"
    images.update_properties(ALICE, image.id, {"b": "2"}, purge=True)
    assert images.show(ALICE, image.id).properties == {"b": "2"}
    images.delete(ALICE, image.id)
    with pytest.raises(ImageNotFound):
        images.show(ALICE, image.id)
    with pytest.raises(ImageNotFound):
        images.delete(ALICE, image.id)


def test_bad_values_are_refused(images: LocalImages) -> None:
    for values in ({"name": "a\0"}, {"min_disk": -1}, {"disk_format": "x"}, {"image_id": "x"}):
        with pytest.raises(InvalidInput):
            _create(images, **values)
    with pytest.raises(Forbidden):
        _create(images, properties={"status": "active"})
    with pytest.raises(Forbidden):
        _create(images, owner="b")
    assert _create(images, ADMIN, owner="b").owner == "b"


def test_show_does_not_ask_the_database_twice(
    images: LocalImages, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = _create(images)
    first = images.show(ALICE, image.id)

    def refuse() -> None:
        raise AssertionError("the database was asked")

    monkeypatch.setattr(database, "read", refuse)
    assert images.show(ALICE, image.id) is first
    assert images.show(ADMIN, image.id) is first
    with pytest.raises(ImageNotFound):
        images.show(BOB, image.id)


def test_every_write_of_this_process_is_seen_at_once(
    images: LocalImages, service: ImageService
) -> None:
    image = _create(images, visibility="shared")
    assert images.show(ALICE, image.id).status == "queued"
    images.upload(ALICE, image.id, [b"x"])
    assert images.show(ALICE, image.id).status == "active"
    service.deactivate(ALICE, image.id)
    assert images.show(ALICE, image.id).status == "deactivated"
    service.reactivate(ALICE, image.id)
    service.add_tag(ALICE, image.id, "t")
    assert images.show(ALICE, image.id).tags == ("t",)
    with pytest.raises(ImageNotFound):
        images.show(BOB, image.id)
    service.members.add(ALICE, image.id, "b")
    assert images.show(BOB, image.id).id == image.id
    service.members.remove(ALICE, image.id, "b")
    with pytest.raises(ImageNotFound):
        images.show(BOB, image.id)
    images.delete(ALICE, image.id)
    with pytest.raises(ImageNotFound):
        images.show(ALICE, image.id)


def test_the_writes_of_other_processes_are_seen_in_time(
    images: LocalImages, database: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = [1000.0]
    monkeypatch.setattr("nova.image.cache.time.monotonic", lambda: clock[0])
    image = _create(images)
    assert images.show(ALICE, image.id).tags == ()
    other = ImageService(database, ImageSection(), tmp_path / "images")
    other.add_tag(ALICE, image.id, "t")
    clock[0] += cache.TTL
    assert images.show(ALICE, image.id).tags == ("t",)


def test_what_was_read_before_a_write_is_not_kept(
    images: LocalImages, service: ImageService
) -> None:
    image = _create(images)
    writes = service.cache.writes
    stale = service.get(ALICE, image.id)
    service.add_tag(ALICE, image.id, "t")
    service.cache.keep(stale, frozenset(), writes)
    assert images.show(ALICE, image.id).tags == ("t",)


def test_list(images: LocalImages) -> None:
    ids = [_create(images, name=f"i{number}").id for number in range(3)]
    _create(images, BOB)
    assert [i.id for i in images.list(ALICE, filters={}, limit=None, marker=None)] == ids[::-1]
    page = images.list(ALICE, filters={}, limit=1, marker=ids[2])
    assert [image.id for image in page] == [ids[1]]
    named = images.list(ALICE, filters={"name": "i0"}, limit=None, marker=None)
    assert [image.id for image in named] == [ids[0]]
    with pytest.raises(BadRequest):
        images.list(BOB, filters={}, limit=None, marker=ids[0])


def test_parallel_changes_are_all_kept(images: LocalImages, service: ImageService) -> None:
    image = _create(images)
    threads = [
        threading.Thread(target=service.add_tag, args=(ALICE, image.id, f"t{number}"))
        for number in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(images.show(ALICE, image.id).tags) == 8


def test_one_of_two_uploads_wins(images: LocalImages) -> None:
    image = _create(images)

    def chunks() -> Iterator[bytes]:
        yield b"first"
        with pytest.raises(Conflict):
            images.upload(ALICE, image.id, [b"second"])

    images.upload(ALICE, image.id, chunks())
    assert b"".join(images.download(ALICE, image.id)) == b"first"


def test_an_upload_for_a_deleted_image_changes_nothing(
    images: LocalImages, tmp_path: Path
) -> None:
    image = _create(images)

    def chunks() -> Iterator[bytes]:
        yield b"data"
        images.delete(ALICE, image.id)

    with pytest.raises(Exception, match="deleted") as refused:
        images.upload(ALICE, image.id, chunks())
    assert getattr(refused.value, "status", None) == 410
    assert not (tmp_path / "images" / image.id).exists()


def test_recovery_leaves_living_uploads_alone(
    images: LocalImages, service: ImageService, tmp_path: Path
) -> None:
    running = _create(images)

    def chunks() -> Iterator[bytes]:
        yield b"one"
        service.recover()
        yield b"two"

    assert images.upload(ALICE, running.id, chunks()).size == 6


def test_recovery_removes_what_nobody_owns(
    images: LocalImages, service: ImageService, tmp_path: Path
) -> None:
    directory = tmp_path / "images"
    kept = _create(images)
    images.upload(ALICE, kept.id, [b"kept"])
    orphan = _create(images).id
    images.delete(ALICE, orphan)
    unknown = "99999999-2222-4333-8444-555555555555"
    for name in (
        orphan, f"incoming/{kept.id}.abandoned", f"staging/{orphan}", f"staging/{kept.id}", unknown,
    ):
        (directory / name).write_bytes(b"left over")
    service.recover()
    left = sorted(path.name for path in directory.rglob("*") if path.is_file())
    assert left == sorted([kept.id, "gate", unknown])
    assert b"".join(images.download(ALICE, kept.id)) == b"kept"


def test_lost_data_is_told(images: LocalImages, tmp_path: Path) -> None:
    image = _create(images)
    images.upload(ALICE, image.id, [b"x"])
    (tmp_path / "images" / image.id).unlink()
    with pytest.raises(NotFound, match="missing"):
        images.download(ALICE, image.id)


def test_the_first_image(service: ImageService, images: LocalImages) -> None:
    image_id = ensure_test_image(service, "adm")
    assert ensure_test_image(service, "adm") == image_id
    image = images.show(BOB, image_id)
    assert (image.name, image.owner, image.visibility) == ("nova-test", "adm", "public")
    assert (image.status, image.disk_format, image.min_disk) == ("active", "qcow2", 0)
    assert image.virtual_size == TEST_IMAGE_BYTES
    assert image.size is not None
    assert image.size < 300_000
    images.delete(ADMIN, image_id)
    assert ensure_test_image(service, "adm") == image_id
    with pytest.raises(ImageNotFound):
        images.show(ADMIN, image_id)


def test_the_first_image_gets_its_data_after_a_crash(
    service: ImageService, images: LocalImages, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(ImageService, "upload", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            ensure_test_image(service, "adm")
    image_id = ensure_test_image(service, "adm")
    assert images.show(BOB, image_id).status == "active"
