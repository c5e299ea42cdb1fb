# SPDX-License-Identifier: Apache-2.0
"""What Cinder says, as compute has it; and what the options have to say for it to be asked."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

pytest.importorskip("keystonemiddleware", reason="the extra external is not installed")

from nova.conf.load import load
from nova.external.build import ExternalServiceMisconfigured, external_volumes
from nova.external.cinder import CinderVolumes, connection_of, snapshot_of, volume_of
from nova.objects.context import RequestContext

VOLUME: dict[str, Any] = {
    "id": "v1", "name": None, "status": "in-use", "size": 2, "bootable": "true", "multiattach": False,
    "volume_type": "lvm", "availability_zone": "nova", "metadata": {"readonly": "True"},
    "volume_image_metadata": {"image_id": "i1", "min_ram": "64"},
    "created_at": "2026-01-02T03:04:05.000000", "os-vol-tenant-attr:tenant_id": "p",
    "attachments": [
        {"attachment_id": "a1", "server_id": "s1", "host_name": "h1", "device": "/dev/vdb",
         "attached_at": "2026-01-02T03:04:06.000000"}
    ],
}


def test_a_volume_of_cinders_is_one_of_ours() -> None:
    found = volume_of(VOLUME)
    assert (found.uuid, found.name, found.size_gb, found.bootable, found.readonly) == (
        "v1", "", 2, True, True,
    )
    assert found.created_at == datetime.datetime(2026, 1, 2, 3, 4, 5)
    (attachment,) = found.attachments
    assert (attachment.uuid, attachment.instance_uuid, attachment.host) == ("a1", "s1", "h1")
    bare = volume_of({"id": "v2", "status": "creating", "bootable": "false"})
    assert (bare.bootable, bare.attachments, bare.image_metadata) == (False, (), {})


def test_cinder_is_told_how_its_migration_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    sent: list[tuple[str, str, Any]] = []

    def send(
        _volumes: CinderVolumes, _context: RequestContext, method: str, path: str, body: Any, **_facts: Any
    ) -> None:
        sent.append((method, path, body))

    monkeypatch.setattr(CinderVolumes, "_send", send)
    options = {
        ("cinder", "endpoint_template"): "http://cinder:8776/v3/%(project_id)s",
        ("cinder", "auth_url"): "http://keystone:5000/v3",
    }
    volumes = external_volumes(load(overrides=options))
    assert volumes is not None
    volumes.complete_migration(RequestContext(), "old", "copy", failed=False)
    volumes.complete_migration(RequestContext(), "old", "copy", failed=True)
    assert sent == [
        ("POST", "/volumes/old/action",
         {"os-migrate_volume_completion": {"new_volume": "copy", "error": failed}})
        for failed in (False, True)
    ]
    assert volume_of({**VOLUME, "migration_status": "target:old"}).migration_status == "target:old"
    assert volume_of(VOLUME).migration_status is None


def test_a_snapshots_progress_is_a_number() -> None:
    facts = {
        "id": "s", "volume_id": "v", "status": "available", "size": 1,
        "os-extended-snapshot-attributes:progress": "100%",
    }
    assert snapshot_of(facts).progress == 100


def test_connections_come_flat_or_whole() -> None:
    flat = {"driver_volume_type": "rbd", "name": "p/v", "connector": {"host": "h"}}
    assert connection_of(flat) == {"driver_volume_type": "rbd", "data": {"name": "p/v"}}
    whole = {"driver_volume_type": "rbd", "data": {"name": "p/v"}}
    assert connection_of(whole) == whole


def test_the_options_have_to_name_a_login() -> None:
    template = {("cinder", "endpoint_template"): "http://cinder:8776/v3/%(project_id)s"}
    assert external_volumes(load(overrides={})) is None
    with pytest.raises(ExternalServiceMisconfigured, match=r"\[cinder\] auth_url"):
        external_volumes(load(overrides=template))
    named = {**template, ("cinder", "auth_url"): "http://keystone:5000/v3"}
    assert external_volumes(load(overrides=named)) is not None
