# SPDX-License-Identifier: Apache-2.0
"""``/os-volume-transfer``, and ``/volume-transfers`` (3.55): volumes that change their project."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from nova.errors import InvalidInput
from nova.volume.api import versions, views
from nova.volume.api.request import Reply, Request, boolean, identifier, required_text, text


class Transfers:
    """The handlers of one of the two paths."""

    def __init__(self, path: str) -> None:
        self._path = path

    def _require(self, request: Request) -> None:
        if self._path == "volume-transfers":
            request.require(versions.TRANSFERS_WITH_SNAPSHOTS)

    def listing(self, *, detailed: bool) -> Callable[[Request], Any]:
        """The handler of a list."""

        def handler(request: Request) -> Any:
            self._require(request)
            request.check("volume:get_all_transfers")
            found = request.service.transfers.page(
                request.caller, everywhere=request.flag("all_tenants")
            )
            return {
                "transfers": [
                    views.transfer_view(request, each, self._path, detailed=detailed)
                    for each in found
                ]
            }

        return handler

    def create(self, request: Request) -> Reply:
        """Offer a volume."""
        self._require(request)
        known = {"volume_id", "name"}
        if self._path == "volume-transfers":
            known.add("no_snapshots")
        given = request.body("transfer", frozenset(known))
        volume_id = identifier("volume_id", given.get("volume_id"))
        if volume_id is None:
            raise InvalidInput("transfer", "'volume_id' is a required property")
        name = text("name", given.get("name"))
        no_snapshots = boolean("no_snapshots", given.get("no_snapshots", False))
        volume = request.service.volumes.get(request.caller, volume_id)
        request.check("volume:create_transfer", volume.project_id)
        made, key = request.service.transfers.create(
            request.caller, volume_id, name, no_snapshots=no_snapshots
        )
        return Reply(202, {"transfer": views.transfer_view(request, made, self._path, key=key)})

    def show(self, request: Request, transfer_id: str) -> Any:
        """Show."""
        self._require(request)
        found = request.service.transfers.get(request.caller, transfer_id)
        request.check("volume:get_transfer", found.project_id)
        return {"transfer": views.transfer_view(request, found, self._path)}

    def accept(self, request: Request, transfer_id: str) -> Reply:
        """Take a volume."""
        self._require(request)
        given = request.body("accept", frozenset({"auth_key"}))
        key = required_text("auth_key", given.get("auth_key"))
        request.check("volume:accept_transfer")
        taken = request.service.transfers.accept(request.caller, transfer_id, key)
        return Reply(
            202, {"transfer": views.transfer_view(request, taken, self._path, detailed=False)}
        )

    def delete(self, request: Request, transfer_id: str) -> Reply:
        """Take an offer back."""
        self._require(request)
        found = request.service.transfers.get(request.caller, transfer_id)
        request.check("volume:delete_transfer", found.project_id)
        request.service.transfers.delete(request.caller, transfer_id)
        return Reply(202)
