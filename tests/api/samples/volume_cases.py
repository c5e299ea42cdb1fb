# SPDX-License-Identifier: Apache-2.0
"""The samples of volumes: the proxies, attachments, servers that boot from one, assisted snapshots."""

from __future__ import annotations

from typing import Any

from tests.api.samples import server_cases
from tests.api.samples.stage import Case, Stage

#: Ids that the samples name.
_SHOWN = "a26887c6-c47b-4654-abb5-dfadf7d3f803"
_ATTACHED = "a07f71dc-8151-4e7d-a0cc-cd24a3f11113"
_OTHER = "227cc671-f30b-4488-96fd-7d0bf13648d8"
_OTHER_OF_V2 = "a26887c6-c47b-4654-abb5-dfadf7d3f805"
_SNAPSHOT_OF = "521752a6-acf6-4b2d-bc7a-119f9148cd8c"
_ATTACHMENTS = "/servers/{server}/os-volume_attachments"


def zone(stage: Stage) -> None:
    """The zone that volumes are asked for in."""
    stage.texts |= {"dublin": "nova", "zone1:host1": "nova"}


def in_use(stage: Stage) -> None:
    """A volume that a server has, as the proxies show it."""
    server_cases.running(stage)
    stage.attached(stage.volume(_SHOWN))


def snapshots(stage: Stage) -> None:
    """Three snapshots of a volume."""
    volume = stage.volume(_SNAPSHOT_OF)
    for number in range(3):
        made = stage.must("POST", "/os-snapshots", {"snapshot": {
            "volume_id": volume, "display_name": f"snap-{number}", "display_description": "Daily",
        }}, at=1, by="member")
        stage.names["snapshot"] = made["snapshot"]["id"]


def to_snapshot(stage: Stage) -> None:
    """A volume of which a snapshot is asked for."""
    stage.volume(_SNAPSHOT_OF)


def to_attach(stage: Stage) -> None:
    """A server, and the volumes that are to become its disks."""
    server_cases.running(stage)
    stage.volume(_ATTACHED)
    stage.volume(_SHOWN)


def to_swap(stage: Stage) -> None:
    """A server with a volume, and another one that is to take its place."""
    server_cases.running(stage)
    stage.attached(stage.migrating(stage.volume(_ATTACHED)))
    stage.texts[_OTHER_OF_V2] = stage.volume(_OTHER, name="other")


def open_in_guest(stage: Stage) -> None:
    """A volume whose service asks for a snapshot."""
    server_cases.running(stage)
    stage.attached(stage.volume(_SNAPSHOT_OF))


def attachment(stage: Stage) -> Any:
    """The request of the version."""
    return stage.request("os-volume_attachments/attach-volume-to-server-req")


_PROXIES = "os-volumes/os-volumes"

CASES: tuple[Case, ...] = (
    # These boot from a volume that is made of an image.
    Case("servers/server-create-resp", "POST", "/servers", server_cases.networked, by="member",
         request="servers/server-create-req", status=202, only=(32, 42, 67)),
    Case(f"{_PROXIES}-detail-resp", "GET", "/os-volumes/detail", in_use, by="member"),
    Case(f"{_PROXIES}-index-resp", "GET", "/os-volumes", in_use, by="member"),
    Case(f"{_PROXIES}-get-resp", "GET", "/os-volumes/{volume}", in_use, by="member"),
    Case(f"{_PROXIES}-post-resp", "POST", "/os-volumes", zone, request=f"{_PROXIES}-post-req",
         by="member", free=frozenset({"attachments", "volumeType"})),
    Case("os-snapshots/snapshots-detail-resp", "GET", "/os-snapshots/detail", snapshots, by="member"),
    Case("os-snapshots/snapshots-list-resp", "GET", "/os-snapshots", snapshots, by="member"),
    Case("os-snapshots/snapshots-show-resp", "GET", "/os-snapshots/{snapshot}", snapshots,
         by="member"),
    Case("os-snapshots/snapshot-create-resp", "POST", "/os-snapshots", to_snapshot,
         request="os-snapshots/snapshot-create-req", by="member"),
    Case("os-volume_attachments/attach-volume-to-server-resp", "POST", _ATTACHMENTS, to_attach,
         request="os-volume_attachments/attach-volume-to-server-req", by="member",
         status={1: 200, 101: 202}),
    Case(None, "PUT", _ATTACHMENTS + "/{volume}", to_swap, by="service", status=202,
         request="os-volume_attachments/update-volume-req"),
    *(
        Case(f"os-assisted-volume-snapshots/snapshot-create-assisted-{part}"
             if part == "resp" else None,
             "POST", "/os-assisted-volume-snapshots", open_in_guest, by="service",
             request="os-assisted-volume-snapshots/snapshot-create-assisted-req")
        for part in ("resp", "req")
    ),
)

#: The samples of v2 have numbers where a uuid is.
_NUMBERED = frozenset({"id", "volumeId"})

#: Those of v2, where a few have other names.
KILO: tuple[Case, ...] = (
    Case("os-volumes/attach-volume-to-server-resp", "POST", _ATTACHMENTS, to_attach,
         request="os-volumes/attach-volume-to-server-req", by="member"),
    Case(None, "PUT", _ATTACHMENTS + "/{volume}", to_swap, by="service", status=202,
         request="os-volume-attachment-update/update-volume-req"),
    *(
        Case(f"os-volumes/{name}-resp", method, path, setup, by="member", free=free,
             request=f"os-volumes/{name}-req" if method == "POST" else None)
        for name, method, path, setup, free in (
            ("os-volumes-detail", "GET", "/os-volumes/detail", in_use, frozenset[str]()),
            ("os-volumes-get", "GET", "/os-volumes/{volume}", in_use, frozenset[str]()),
            ("os-volumes-index", "GET", "/os-volumes", in_use, frozenset[str]()),
            ("snapshots-detail", "GET", "/os-snapshots/detail", snapshots, _NUMBERED),
            ("snapshots-list", "GET", "/os-snapshots", snapshots, _NUMBERED),
            ("snapshots-show", "GET", "/os-snapshots/{snapshot}", snapshots, _NUMBERED),
            ("os-volumes-post", "POST", "/os-volumes", zone, frozenset({"attachments", "volumeType"})),
            ("snapshot-create", "POST", "/os-snapshots", to_snapshot, _NUMBERED),
        )
    ),
    *(
        Case(f"os-assisted-volume-snapshots/snapshot-create-assisted-{part}"
             if part == "resp" else None,
             "POST", "/os-assisted-volume-snapshots", open_in_guest, by="service", free=_NUMBERED,
             request="os-assisted-volume-snapshots/snapshot-create-assisted-req")
        for part in ("resp", "req")
    ),
)
