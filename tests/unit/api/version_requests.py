# SPDX-License-Identifier: Apache-2.0
"""Requests that a microversion answers otherwise than the one before it."""

from __future__ import annotations

import dataclasses
from typing import Any

from tests.api.samples.cloud import IMAGE
from tests.api.samples.server_cases import NETWORK
from tests.api.samples.stage import Stage


@dataclasses.dataclass(frozen=True)
class Request:
    """A request, and the statuses just before a version and at it."""

    minor: int
    method: str
    path: str
    body: Any
    before: int
    after: int
    by: str = "admin"

    def __repr__(self) -> str:
        return f"2.{self.minor} {self.method} {self.path}"


def _boot(minor: int, before: int, after: int, **changes: Any) -> Request:
    """A create with what ``changes`` say; ``networks`` is given from 2.37 on by default."""

    def body(stage: Stage) -> Any:
        server = {"name": "border", "imageRef": IMAGE, "flavorRef": "1"}
        if minor > 37:
            server["networks"] = "auto"
        for key, value in changes.items():
            if key == "networks" and isinstance(value, list):
                value = [{"uuid": stage.texts[NETWORK], **value[0]}]
            server[key] = value
        return {"server": server}

    return Request(minor, "POST", "/servers", body, before, after)


def _act(
    minor: int, before: int, after: int, body: Any, *, server: str = "server"
) -> Request:
    """An action, on a server on which no task runs."""

    def settled(stage: Stage) -> Any:
        stage.until_task_ends(stage.names[server])
        return body

    return Request(minor, "POST", f"/servers/{{{server}}}/action", settled, before, after)


def _event(minor: int, name: str) -> Request:
    return Request(
        minor, "POST", "/os-server-external-events",
        lambda stage: {"events": [{
            "name": name, "server_uuid": stage.names["server"], "tag": "POWER_ON",
            "status": "completed",
        }]},
        400, 200,
    )


def _key(minor: int, before: int, after: int, **values: str) -> Request:
    """A key pair of a name that is not taken."""

    def body(stage: Stage) -> Any:
        stage.names["keys"] = stage.names.get("keys", "") + "k"
        return {"keypair": {"name": stage.names["keys"], **values}}

    return Request(minor, "POST", "/os-keypairs", body, before, after)


def _disk(**values: Any) -> list[dict[str, Any]]:
    return [{
        "boot_index": 0, "uuid": IMAGE, "source_type": "image", "destination_type": "local",
        **values,
    }]


_VOLUME = "a07f71dc-8151-4e7d-a0cc-cd24a3f11113"

REQUESTS: tuple[Request, ...] = (
    _key(2, 200, 201),
    _key(2, 400, 201, type="x509"),
    _key(10, 400, 201, user_id="someone"),
    _key(92, 201, 400),
    Request(6, "POST", "/servers/{server}/remote-consoles",
            {"remote_console": {"protocol": "serial", "type": "nosuch"}}, 404, 400),
    Request(7, "POST", "/flavors/6/action", {"addTenantAccess": {"tenant": "t"}}, 200, 409),
    Request(15, "POST", "/os-server-groups",
            {"server_group": {"name": "soft", "policies": ["soft-affinity"]}}, 400, 200),
    Request(64, "POST", "/os-server-groups",
            {"server_group": {"name": "new", "policy": "affinity"}}, 400, 200),
    Request(64, "POST", "/os-server-groups",
            {"server_group": {"name": "old", "policies": ["affinity"]}}, 200, 400),
    _act(17, 404, 202, {"trigger_crash_dump": None}),
    _boot(19, 400, 202, description="words"),
    Request(19, "PUT", "/servers/{server}", {"server": {"description": "words"}}, 400, 200),
    _act(25, 400, 202, {"os-migrateLive": {"host": None, "block_migration": "auto"}},
         server="mover"),
    _act(25, 202, 400, {"os-migrateLive": {
        "host": None, "block_migration": False, "disk_over_commit": False,
    }}, server="mover"),
    _boot(32, 400, 202, networks=[{"tag": "nic"}]),
    _boot(32, 400, 202, block_device_mapping_v2=_disk(tag="disk")),
    _boot(33, 202, 400, block_device_mapping_v2=_disk(tag="disk")),
    _boot(37, 202, 400, networks=[{"tag": "nic"}]),
    _boot(37, 202, 400),
    _boot(37, 400, 202, networks="none"),
    _boot(42, 400, 202, networks=[{"tag": "nic"}]),
    _boot(42, 400, 202, block_device_mapping_v2=_disk(tag="disk")),
    Request(49, "POST", "/servers/{server}/os-interface",
            lambda stage: {"interfaceAttachment": {
                "net_id": stage.texts[NETWORK], "tag": "nic",
            }}, 400, 200),
    _boot(52, 400, 202, tags=["tag"]),
    _act(54, 400, 202, {"rebuild": {"imageRef": IMAGE, "key_name": None}}),
    Request(55, "PUT", "/flavors/6", {"flavor": {"description": "words"}}, 404, 200),
    _act(56, 202, 400, {"migrate": {"nosuch": 1}}, server="second"),
    _boot(57, 202, 400, personality=[]),
    _act(57, 400, 202, {"rebuild": {"imageRef": IMAGE, "user_data": None}}),
    _boot(63, 400, 202, trusted_image_certificates=["certificate"]),
    _act(68, 202, 400, {"os-migrateLive": {
        "host": None, "block_migration": "auto", "force": False,
    }}, server="mover"),
    _act(30, 400, 202, {"os-migrateLive": {
        "host": None, "block_migration": "auto", "force": False,
    }}, server="mover"),
    _act(73, 202, 400, {"lock": {"nosuch": 1}}),
    _boot(74, 400, 202, host="fake-1"),
    _boot(74, 400, 202, hypervisor_hostname="fake-1"),
    _event(51, "volume-extended"),
    _event(76, "power-update"),
    _event(82, "accelerator-request-bound"),
    _event(93, "volume-reimaged"),
    _act(77, 409, 400, {"unshelve": {"nosuch": 1}}),
    _act(91, 400, 409, {"unshelve": {"host": "fake-1"}}),
    Request(81, "POST", "/os-aggregates/{aggregate}/images", {"cache": [{"id": IMAGE}]}, 404, 202),
    Request(85, "PUT", f"/servers/{{server}}/os-volume_attachments/{_VOLUME}",
            {"volumeAttachment": {"volumeId": _VOLUME, "delete_on_termination": True}}, 400, 202),
    Request(86, "POST", "/flavors/6/os-extra_specs",
            {"extra_specs": {"hw:cpu_policy": "nosuch"}}, 200, 400),
    _boot(90, 400, 202, hostname="border"),
    _boot(94, 400, 202, hostname="border.example.com"),
    Request(103, "POST", "/os-volumes_boot",
            {"server": {"name": "b", "imageRef": IMAGE, "flavorRef": "1", "networks": "auto"}},
            202, 404),
    Request(104, "PUT", "/servers/{server}", {"server": {"pinned_availability_zone": None}},
            400, 200),
)
