# SPDX-License-Identifier: Apache-2.0
"""The volumes of an external Cinder (Block Storage API v3), as compute needs them.

What a user asks for is asked of Cinder with the user's own token, so that Cinder decides what may be seen and
done. The cloud's own work (a host opens a volume, a server is deleted after the token's end) is done with the
service's login, which needs the administrator's role.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import time
from collections.abc import Mapping
from typing import Any

import msgspec
from keystoneauth1 import exceptions as auth_errors
from keystoneauth1.adapter import Adapter
from keystoneauth1.session import Session

from nova.conf.cinder import CinderSection
from nova.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InvalidSnapshot,
    InvalidVolume,
    NotFound,
    NovaError,
    QuotaExceeded,
    ServiceUnavailable,
    Unauthorized,
    VolumeAttachmentNotFound,
    VolumeNotFound,
    VolumeSnapshotNotFound,
)
from nova.objects.context import RequestContext
from nova.objects.volume import Volume, VolumeAttachment, VolumeSnapshot

LOG = logging.getLogger(__name__)

#: Attachments with os-complete (Cinder's microversion history); reimage came later.
_VERSION = "volume 3.44"
_REIMAGE = "volume 3.68"
#: Most on one page that Cinder gives (its ``osapi_max_limit``).
_PAGE = 1000
_ATTACHED = frozenset({"in-use", "reserved", "attaching", "detaching"})


class CinderVolumes:
    """A ``BlockStorage`` (see ``nova.volume.interface``) of an external Cinder.

    ``session`` has the service's login.
    """

    def __init__(self, section: CinderSection, session: Session) -> None:
        self._section = section
        self._session = session
        kind, _, rest = section.catalog_info.partition(":")
        self._adapter = Adapter(
            session, service_type=kind, interface=rest.rpartition(":")[2] or "public",
            region_name=section.os_region_name, default_microversion=None,
        )
        self._verify = False if section.insecure else (section.cafile or True)

    # --- volumes ---------------------------------------------------------------------------------

    def show(self, context: RequestContext, volume_id: str) -> Volume:
        """One volume; ``VolumeNotFound``. The cloud itself sees attachments that are only reserved, too."""
        facts = self._get(context, f"/volumes/{volume_id}", VolumeNotFound(volume_id))["volume"]
        volume = volume_of(facts)
        if context.token or volume.status not in _ATTACHED:
            return volume
        return msgspec.structs.replace(
            volume, attachments=tuple(self._attachments(context, volume_id))
        )

    def list_volumes(self, context: RequestContext) -> list[Volume]:
        """The volumes of the caller's project, newest first."""
        return [volume_of(each) for each in self._pages(context, "/volumes/detail", "volumes")]

    def create(
        self,
        context: RequestContext,
        size_gb: int,
        name: str,
        description: str,
        *,
        snapshot_id: str | None = None,
        source_id: str | None = None,
        image_id: str | None = None,
        volume_type: str | None = None,
        availability_zone: str | None = None,
        metadata: Mapping[str, str] | None = None,
    ) -> Volume:
        """Start a volume, which is the project's whose token is used: without one it would be nobody's."""
        if not context.token:
            raise BadRequest(
                "The request's token is not at hand any more, so that no volume can be made for its project."
            )
        wanted = {
            "size": size_gb, "name": name, "description": description, "snapshot_id": snapshot_id,
            "source_volid": source_id, "imageRef": image_id, "volume_type": volume_type,
            "availability_zone": availability_zone, "metadata": dict(metadata) if metadata else None,
        }
        body = {"volume": {key: value for key, value in wanted.items() if value is not None}}
        return volume_of(self._send(context, "POST", "/volumes", body).json()["volume"])

    def delete(self, context: RequestContext, volume_id: str) -> None:
        """Start a deletion; one that is under way is left to itself."""
        try:
            self._send(
                context, "DELETE", f"/volumes/{volume_id}", missing=VolumeNotFound(volume_id),
                bad=InvalidVolume,
            )
        except InvalidVolume:
            if self.show(context, volume_id).status != "deleting":
                raise

    def reimage(self, context: RequestContext, volume_id: str, image_id: str) -> None:
        """Start writing an image over a volume."""
        self._act(
            context, volume_id, {"os-reimage": {"image_id": image_id, "reimage_reserved": True}}, _REIMAGE
        )

    def has_type(self, context: RequestContext, volume_type: str) -> bool:
        """Whether the caller may use a volume type of that name or id."""
        types = self._pages(context, "/types", "volume_types")
        return any(volume_type in (each["id"], each["name"]) for each in types)

    # --- snapshots -------------------------------------------------------------------------------

    def show_snapshot(self, context: RequestContext, snapshot_id: str) -> VolumeSnapshot:
        """One snapshot; ``VolumeSnapshotNotFound``."""
        missing = VolumeSnapshotNotFound(snapshot_id)
        return snapshot_of(self._get(context, f"/snapshots/{snapshot_id}", missing)["snapshot"])

    def list_snapshots(self, context: RequestContext) -> list[VolumeSnapshot]:
        """The snapshots of the caller's project, newest first."""
        return [snapshot_of(each) for each in self._pages(context, "/snapshots/detail", "snapshots")]

    def create_snapshot(
        self, context: RequestContext, volume_id: str, name: str, description: str, force: bool = False
    ) -> VolumeSnapshot:
        """Start a snapshot."""
        body = {
            "snapshot": {
                "volume_id": volume_id, "name": name, "description": description, "force": force,
            }
        }
        answer = self._send(
            context, "POST", "/snapshots", body, missing=VolumeNotFound(volume_id), bad=InvalidVolume
        )
        return snapshot_of(answer.json()["snapshot"])

    def delete_snapshot(self, context: RequestContext, snapshot_id: str) -> None:
        """Start the deletion of a snapshot."""
        self._send(
            context, "DELETE", f"/snapshots/{snapshot_id}",
            missing=VolumeSnapshotNotFound(snapshot_id), bad=InvalidSnapshot,
        )

    def update_snapshot_status(
        self, context: RequestContext, snapshot_id: str, status: str
    ) -> None:
        """How a host's part in a snapshot ended; Cinder takes 90 % for the end of it."""
        self._send(
            context, "POST", f"/snapshots/{snapshot_id}/action",
            {"os-update_snapshot_status": {"status": status, "progress": "90%"}},
            missing=VolumeSnapshotNotFound(snapshot_id), bad=InvalidSnapshot,
        )

    # --- attachments -----------------------------------------------------------------------------

    def reserve(
        self, context: RequestContext, volume_id: str, instance_uuid: str, mode: str | None = None
    ) -> str:
        """Keep a volume for a server; a reservation that it has is the answer."""
        for each in self._attachments(context, volume_id):
            if each.instance_uuid == instance_uuid and each.status == "reserved":
                return each.uuid
        wanted = {"volume_uuid": volume_id, "instance_uuid": instance_uuid}
        version = _VERSION
        if mode is not None:
            wanted["mode"] = mode
            version = "volume 3.54"
        answer = self._send(
            context, "POST", "/attachments", {"attachment": wanted}, version=version,
            missing=VolumeNotFound(volume_id), bad=InvalidVolume,
        )
        return str(answer.json()["attachment"]["id"])

    def connect(
        self,
        context: RequestContext,
        attachment_id: str,
        connector: Mapping[str, Any],
        mountpoint: str | None = None,
    ) -> dict[str, Any]:
        """Open the volume to a host; answers the connection information."""
        said = {**connector, **({"mountpoint": mountpoint} if mountpoint else {})}
        answer = self._send(
            context, "PUT", f"/attachments/{attachment_id}", {"attachment": {"connector": said}},
            missing=VolumeAttachmentNotFound(attachment_id), bad=InvalidVolume,
        )
        return connection_of(answer.json()["attachment"].get("connection_info") or {})

    def complete(self, context: RequestContext, attachment_id: str) -> None:
        """The host has the disk in the guest."""
        try:
            self._send(
                context, "POST", f"/attachments/{attachment_id}/action",
                {"os-complete": attachment_id}, missing=VolumeAttachmentNotFound(attachment_id),
            )
        except (BadRequest, Conflict):
            if self.show_attachment(context, attachment_id).status != "attached":
                raise

    def detach(self, context: RequestContext, attachment_id: str) -> None:
        """End an attachment; one that is gone is no error."""
        with contextlib.suppress(NotFound):
            self._send(
                context, "DELETE", f"/attachments/{attachment_id}",
                missing=VolumeAttachmentNotFound(attachment_id),
            )

    def begin_detaching(self, context: RequestContext, volume_id: str) -> None:
        """Mark a volume in use as ``detaching``."""
        self._act(context, volume_id, {"os-begin_detaching": None})

    def roll_detaching(self, context: RequestContext, volume_id: str) -> None:
        """Mark a volume that is ``detaching`` as in use again; others are left as they are."""
        if self.show(context, volume_id).status == "detaching":
            self._act(context, volume_id, {"os-roll_detaching": None})

    def complete_migration(
        self, context: RequestContext, volume_id: str, target_id: str, *, failed: bool
    ) -> None:
        """A guest has the copy of a volume that Cinder migrates, or did not get it."""
        body = {"os-migrate_volume_completion": {"new_volume": target_id, "error": failed}}
        self._act(context, volume_id, body)

    def show_attachment(self, context: RequestContext, attachment_id: str) -> VolumeAttachment:
        """One attachment."""
        missing = VolumeAttachmentNotFound(attachment_id)
        return attachment_of(
            self._get(context, f"/attachments/{attachment_id}", missing)["attachment"]
        )

    def health(self) -> dict[str, Any]:
        """Ask whether the block storage service answers; raises ``ServiceUnavailable``."""
        began = time.perf_counter()
        try:
            address = self._address(RequestContext())
            answer = self._session.get(
                address.partition("/v3")[0] + "/", authenticated=False, timeout=3, raise_exc=False,
                verify=self._verify,
            )
        except (auth_errors.ClientException, NovaError) as error:
            raise ServiceUnavailable(str(error)) from None
        if answer.status_code >= 500:
            raise ServiceUnavailable(f"it answers {answer.status_code}")
        return {"latency_ms": round((time.perf_counter() - began) * 1000, 2)}

    # --- requests ----------------------------------------------------------------------------------

    def _attachments(self, context: RequestContext, volume_id: str) -> list[VolumeAttachment]:
        """All attachments of a volume, in whatever step."""
        query: dict[str, Any] = {"volume_id": volume_id}
        if not context.token:
            query["all_tenants"] = 1
        return [
            attachment_of(each)
            for each in self._pages(context, "/attachments/detail", "attachments", query)
        ]

    def _pages(
        self, context: RequestContext, path: str, key: str, query: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        params = {**(query or {}), "limit": _PAGE}
        while True:
            answer = self._send(context, "GET", path, params=params).json()
            page = answer[key]
            found += page
            if not page or not answer.get(f"{key}_links"):
                return found
            params["marker"] = page[-1]["id"]

    def _get(self, context: RequestContext, path: str, missing: NovaError) -> Any:
        return self._send(context, "GET", path, missing=missing).json()

    def _act(
        self, context: RequestContext, volume_id: str, body: dict[str, Any], version: str = _VERSION
    ) -> None:
        self._send(
            context, "POST", f"/volumes/{volume_id}/action", body, version=version,
            missing=VolumeNotFound(volume_id), bad=InvalidVolume,
        )

    def _send(
        self,
        context: RequestContext,
        method: str,
        path: str,
        body: Any = None,
        *,
        params: Mapping[str, Any] | None = None,
        version: str = _VERSION,
        missing: NovaError | None = None,
        bad: type[NovaError] = BadRequest,
    ) -> Any:
        """A good answer; other ones as errors of ours: ``missing`` for 404, ``bad`` for 400."""
        headers = {"OpenStack-API-Version": version, "Accept": "application/json"}
        if context.token:
            headers["X-Auth-Token"] = context.token
        if context.request_id:
            headers["X-OpenStack-Request-ID"] = context.request_id
        try:
            answer = self._session.request(
                self._address(context) + path, method, headers=headers, json=body,
                params=dict(params or {}), authenticated=not context.token, raise_exc=False,
                connect_retries=self._section.http_retries, timeout=self._section.timeout,
                verify=self._verify,
            )
        except auth_errors.ClientException as error:
            LOG.warning("block storage service: %s", error)
            raise ServiceUnavailable(f"The block storage service cannot be asked: {error}") from error
        _raise_for(answer, missing, bad)
        return answer

    def _address(self, context: RequestContext) -> str:
        """The address with the project of the token that is used."""
        project = context.project_id if context.token else self._session.get_project_id() or ""
        template = self._section.endpoint_template
        if template:
            return template.rstrip("/").replace("%(tenant_id)s", project).replace(
                "%(project_id)s", project
            )
        found = self._adapter.get_endpoint()
        if not found:
            raise ServiceUnavailable(
                f"The catalogue has no block storage service ([cinder] catalog_info "
                f"{self._section.catalog_info})."
            )
        own = self._session.get_project_id() or ""
        text = str(found).rstrip("/")
        return text.removesuffix(own) + project if own and text.endswith(own) else text


def volume_of(facts: Mapping[str, Any]) -> Volume:
    """A volume of the Block Storage API v3 as compute has it."""
    return Volume(
        uuid=facts["id"], name=facts.get("name") or "", description=facts.get("description") or "",
        status=facts["status"], size_gb=facts.get("size") or 0,
        project_id=facts.get("os-vol-tenant-attr:tenant_id") or "", user_id=facts.get("user_id") or "",
        bootable=str(facts.get("bootable")).lower() == "true",
        multiattach=bool(facts.get("multiattach")), encrypted=bool(facts.get("encrypted")),
        readonly=str((facts.get("metadata") or {}).get("readonly")).lower() == "true",
        volume_type=facts.get("volume_type"),
        availability_zone=facts.get("availability_zone") or "nova",
        snapshot_uuid=facts.get("snapshot_id"), source_uuid=facts.get("source_volid"),
        image_metadata=dict(facts.get("volume_image_metadata") or {}),
        metadata=dict(facts.get("metadata") or {}), created_at=_time(facts.get("created_at")),
        updated_at=_time(facts.get("updated_at")), migration_status=facts.get("migration_status"),
        attachments=tuple(
            VolumeAttachment(
                uuid=each.get("attachment_id") or "", volume_uuid=facts["id"],
                instance_uuid=each.get("server_id"), host=each.get("host_name"),
                mountpoint=each.get("device"), status="attached",
                attached_at=_time(each.get("attached_at")),
            )
            for each in facts.get("attachments") or ()
        ),
    )


def snapshot_of(facts: Mapping[str, Any]) -> VolumeSnapshot:
    """A snapshot of the Block Storage API v3 as compute has it."""
    progress = str(facts.get("os-extended-snapshot-attributes:progress") or "0").rstrip("%")
    return VolumeSnapshot(
        uuid=facts["id"], volume_uuid=facts["volume_id"], name=facts.get("name") or "",
        description=facts.get("description") or "", status=facts["status"],
        progress=int(progress) if progress.isdigit() else 0, size_gb=facts.get("size") or 0,
        project_id=facts.get("os-extended-snapshot-attributes:project_id") or "",
        user_id=facts.get("user_id") or "", metadata=dict(facts.get("metadata") or {}),
        created_at=_time(facts.get("created_at")), updated_at=_time(facts.get("updated_at")),
    )


def attachment_of(facts: Mapping[str, Any]) -> VolumeAttachment:
    """An attachment of the Block Storage API v3 as compute has it."""
    return VolumeAttachment(
        uuid=facts["id"], volume_uuid=facts.get("volume_id") or "", instance_uuid=facts.get("instance"),
        status=facts.get("status") or "reserved", mode=facts.get("attach_mode") or "rw",
        attached_at=_time(facts.get("attached_at")),
    )


def connection_of(info: Mapping[str, Any]) -> dict[str, Any]:
    """A connection as drivers have it; attachments have it flat, with the type among the facts."""
    if isinstance(info.get("data"), Mapping):
        return dict(info)
    facts = {key: value for key, value in info.items() if key not in ("driver_volume_type", "connector")}
    return {"driver_volume_type": info.get("driver_volume_type"), "data": facts}


def _time(text: str | None) -> datetime.datetime | None:
    if not text:
        return None
    with contextlib.suppress(ValueError):
        return datetime.datetime.fromisoformat(text).replace(tzinfo=None)
    return None


def _raise_for(answer: Any, missing: NovaError | None, bad: type[NovaError]) -> None:
    """An answer that is none of success, as an error of ours with Cinder's own words."""
    status = answer.status_code
    if status < 400:
        return
    text = _words(answer)
    if status == 401:
        raise Unauthorized()
    if status == 404 and missing is not None:
        raise missing
    if status == 413 or (status == 403 and "quota" in text.lower()):
        raise QuotaExceeded(text)
    if status == 400:
        raise bad(text)
    kinds: dict[int, type[NovaError]] = {403: Forbidden, 404: NotFound, 409: Conflict}
    kind = kinds.get(status, BadRequest if status < 500 else ServiceUnavailable)
    raise kind(f"The block storage service refuses: {text}")


def _words(answer: Any) -> str:
    """What Cinder says, without its wrapping."""
    with contextlib.suppress(ValueError, AttributeError, KeyError, TypeError):
        for fault in answer.json().values():
            return str(fault["message"])[:255].removeprefix("Invalid volume: ")
    return str(answer.text)[:255] or f"status {answer.status_code}"
