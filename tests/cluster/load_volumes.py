# SPDX-License-Identifier: Apache-2.0
"""The volumes of a load: one of each client, through the volume API and the volumes of servers."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from tests.cluster.cluster import Api


class _Load(Protocol):
    def note(self, api: Api, kind: str, uuid: str, status: int) -> None: ...

    def judge(self, kind: str, status: int, answer: Any) -> None: ...


class LoadVolumes:
    """``accepted`` are the volumes that the API took, ``deleted`` those that it took the delete of."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self.accepted: set[str] = set()
        self.deleted: set[str] = set()
        #: Those whose delete was asked for and not answered.
        self.doubtful: set[str] = set()

    def act(self, api: Api, chance: random.Random, number: int, server: str) -> None:
        """Whatever a client does next with its volume: make, attach to the server, detach, or delete it."""
        volume = self._mine(api, f"load{number}")
        if volume is None:
            self._create(api, f"load{number}")
        elif volume["status"] == "in-use" and volume["attachments"]:
            self._detach(api, volume["id"], volume["attachments"][0]["server_id"])
        elif volume["status"] == "available":
            if chance.random() < 0.25:
                self._delete(api, volume["id"])
            else:
                self._attach(api, volume["id"], server)

    def _mine(self, api: Api, name: str) -> dict[str, Any] | None:
        """The volume of that name, whichever load made it; one that is being deleted is none any more."""
        status, answer = api.ask("GET", f"/volumes/detail?name={name}", base=api.volume_base)
        self._load.judge("list volumes", status, answer)
        if status != 200:
            # Neither there nor absent: nothing is done with it now.
            return {"id": "", "status": "unknown", "attachments": []}
        found: list[dict[str, Any]] = [each for each in answer["volumes"] if each["status"] != "deleting"]
        return found[0] if found else None

    def _create(self, api: Api, name: str) -> None:
        body = {"volume": {"size": 1, "name": name}}
        status, answer = api.ask("POST", "/volumes", body, base=api.volume_base)
        if status == 202:
            self.accepted.add(answer["volume"]["id"])
        self._load.judge("create volume", status, answer)

    def _delete(self, api: Api, volume: str) -> None:
        self.doubtful.add(volume)
        status, answer = api.ask("DELETE", f"/volumes/{volume}", base=api.volume_base)
        self.doubtful.discard(volume)
        if status == 202:
            self.deleted.add(volume)
        self._load.judge("delete volume", status, answer)

    def _attach(self, api: Api, volume: str, server: str) -> None:
        body = {"volumeAttachment": {"volumeId": volume}}
        status, answer = api.ask("POST", f"/servers/{server}/os-volume_attachments", body)
        self._load.note(api, "attach volume", server, status)
        self._load.judge("attach volume", status, answer)

    def _detach(self, api: Api, volume: str, server: str) -> None:
        status, answer = api.ask("DELETE", f"/servers/{server}/os-volume_attachments/{volume}")
        self._load.note(api, "detach volume", server, status)
        self._load.judge("detach volume", status, answer)
