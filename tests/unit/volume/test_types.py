# SPDX-License-Identifier: Apache-2.0
"""Types of volumes that a project may use, and may use no more."""

from __future__ import annotations

from pathlib import Path

import pytest

from nova.errors import AlreadyExists, NotFound
from tests.unit.volume.http_face import Api
from tests.unit.volume.storage import ADMIN, Storage, gone


def test_an_upload_began_and_was_answered_404_where_the_project_had_lost_the_type(
    tmp_path: Path,
) -> None:
    storage = Storage(tmp_path)
    api = Api(storage)
    private = {"name": "fast", "os-volume-type-access:is_public": False}
    made = api("POST", "/types", {"volume_type": private}, who="admin")
    assert made.status_code == 200, made.text
    path = f"/types/{made.json['volume_type']['id']}/action"
    access = {"project": "p1"}
    assert api("POST", path, {"addProjectAccess": access}, who="admin").status_code == 202
    volume = api.volume(volume_type="fast")
    storage.wait(volume)
    assert api("POST", path, {"removeProjectAccess": access}, who="admin").status_code == 202
    upload = {"os-volume_upload_image": {"image_name": "bild"}}
    answer = api("POST", f"/volumes/{volume}/action", upload)
    assert answer.status_code == 202, answer.text
    assert answer.json["os-volume_upload_image"]["volume_type"]["name"] == "fast"
    storage.wait(volume)
    storage.stop()


def test_two_grants_at_once_were_answered_500(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = Storage(tmp_path)
    private = storage.service.types.create("fast", None, is_public=False)
    with storage.database.write() as tx:
        types = tx.volumes.types
        # What the second request has read before the first one wrote.
        monkeypatch.setattr(types, "projects_of", lambda _type_id: [])
        types.grant(private.id, "p1")
        with pytest.raises(AlreadyExists):
            types.grant(private.id, "p1")
        types.delete(private.id)
        with pytest.raises(NotFound):
            types.grant(private.id, "p1")
    storage.stop()


def test_a_type_that_a_volume_got_at_that_moment_was_answered_500(tmp_path: Path) -> None:
    storage = Storage(tmp_path)
    api = Api(storage)
    made = api("POST", "/types", {"volume_type": {"name": "fast"}}, who="admin")
    type_id = made.json["volume_type"]["id"]
    path = f"/types/{type_id}"
    volume = api.volume(volume_type="fast")
    storage.wait(volume)
    with storage.database.write() as tx:
        # Nobody has looked for volumes before.
        assert not tx.volumes.types.delete(type_id)
        assert tx.volumes.types.get(type_id) is not None
    assert api("DELETE", path, who="admin").status_code == 400
    assert api("GET", path).json["volume_type"]["name"] == "fast"
    storage.service.volumes.delete(ADMIN, volume)
    gone(lambda: storage.service.volumes.get(ADMIN, volume))
    assert api("DELETE", path, who="admin").status_code == 202
    assert api("GET", path).status_code == 404
    storage.stop()
