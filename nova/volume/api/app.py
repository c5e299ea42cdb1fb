# SPDX-License-Identifier: Apache-2.0
"""The HTTP face of the block storage service: every path in one table."""

from __future__ import annotations

from typing import Any

import falcon
import msgspec

from nova.errors import NovaError
from nova.http.app import make_app
from nova.http.auth import Authenticator, TokenMiddleware
from nova.policy import Policy
from nova.volume.api import (
    attachments,
    cloud,
    default_types,
    limits,
    messages,
    snapshots,
    types,
    volume_actions,
    volumes,
)
from nova.volume.api.discovery import Versions
from nova.volume.api.request import Endpoint, Handler
from nova.volume.api.transfers import Transfers
from nova.volume.api.versions import GROUPS, VersionMiddleware
from nova.volume.service import VolumeService

PUBLIC = frozenset({"", "/v3"})

_NAMES = {
    400: "badRequest", 401: "unauthorized", 403: "forbidden", 404: "itemNotFound",
    405: "badMethod", 409: "conflictingRequest", 413: "overLimit", 415: "badMediaType",
    501: "notImplemented", 503: "serviceUnavailable",
}


def render_error(error: NovaError, _req: falcon.Request) -> bytes:
    """``{"<name>": {"code": …, "message": …}}``, as Cinder has it."""
    body: dict[str, object] = {"code": error.status, "message": error.message}
    if error.status == 413:
        body["retryAfter"] = "0"
    return msgspec.json.encode({_NAMES.get(error.status, "computeFault"): body})


def _storage() -> dict[str, dict[str, Handler]]:
    """Volumes, snapshots, attachments."""
    volume, snapshot, attachment = (
        "/volumes/{volume_id}", "/snapshots/{snapshot_id}", "/attachments/{attachment_id}"
    )
    return {
        "/volumes": {"get": volumes.lines, "post": volumes.create},
        "/volumes/detail": {"get": volumes.details},
        "/volumes/summary": {"get": volumes.summary},
        volume: {"get": volumes.show, "put": volumes.update, "delete": volumes.delete},
        f"{volume}/action": {"post": volume_actions.act},
        f"{volume}/encryption": {"get": volumes.encryption},
        f"{volume}/encryption/{{key}}": {"get": volumes.encryption_item},
        f"{volume}/metadata": {
            "get": volumes.metadata_show, "post": volumes.metadata_add,
            "put": volumes.metadata_replace,
        },
        f"{volume}/metadata/{{key}}": {
            "get": volumes.item_show, "put": volumes.item_set, "delete": volumes.item_delete,
        },
        "/snapshots": {"get": snapshots.lines, "post": snapshots.create},
        "/snapshots/detail": {"get": snapshots.details},
        snapshot: {"get": snapshots.show, "put": snapshots.update, "delete": snapshots.delete},
        f"{snapshot}/action": {"post": snapshots.act},
        f"{snapshot}/metadata": {
            "get": snapshots.metadata_show, "post": snapshots.metadata_add,
            "put": snapshots.metadata_replace,
        },
        f"{snapshot}/metadata/{{key}}": {
            "get": snapshots.item_show, "put": snapshots.item_set, "delete": snapshots.item_delete,
        },
        "/attachments": {"get": attachments.lines, "post": attachments.create},
        "/attachments/detail": {"get": attachments.details},
        attachment: {
            "get": attachments.show, "put": attachments.update, "delete": attachments.delete,
        },
        f"{attachment}/action": {"post": attachments.act},
    }


def _types() -> dict[str, dict[str, Handler]]:
    """Types of volumes."""
    type_ = "/types/{type_id}"
    return {
        "/types": {"get": types.lines, "post": types.create},
        type_: {"get": types.show, "put": types.update, "delete": types.delete},
        f"{type_}/action": {"post": types.act},
        f"{type_}/os-volume-type-access": {"get": types.access},
        f"{type_}/extra_specs": {"get": types.specs_show, "post": types.specs_add},
        f"{type_}/extra_specs/{{key}}": {
            "get": types.spec_show, "put": types.spec_set, "delete": types.spec_delete,
        },
        f"{type_}/encryption": {"get": types.encryption, "post": types.encrypt},
        "/default-types": {"get": default_types.lines},
        "/default-types/{project_id}": {
            "get": default_types.show, "put": default_types.set_, "delete": default_types.unset,
        },
    }


def _transfers() -> dict[str, dict[str, Handler]]:
    """The two paths of transfers."""
    found: dict[str, dict[str, Handler]] = {}
    for path in ("os-volume-transfer", "volume-transfers"):
        transfers = Transfers(path)
        found |= {
            f"/{path}": {"get": transfers.listing(detailed=False), "post": transfers.create},
            f"/{path}/detail": {"get": transfers.listing(detailed=True)},
            f"/{path}/{{transfer_id}}": {"get": transfers.show, "delete": transfers.delete},
            f"/{path}/{{transfer_id}}/accept": {"post": transfers.accept},
        }
    return found


def _cloud() -> dict[str, dict[str, Handler]]:
    """Limits, and what the service tells of itself."""
    return {
        "/messages": {"get": messages.lines},
        "/messages/{message_id}": {"get": messages.show, "delete": messages.delete},
        "/limits": {"get": limits.show},
        "/os-quota-sets/{project_id}": {
            "get": limits.quota_show, "put": limits.quota_update, "delete": limits.quota_delete,
        },
        "/os-quota-sets/{project_id}/defaults": {"get": limits.quota_defaults},
        "/os-quota-class-sets/{class_name}": {
            "get": limits.class_show, "put": limits.class_update,
        },
        "/os-availability-zone": {"get": cloud.zones},
        "/os-services": {"get": cloud.services},
        "/os-services/{action}": {"put": cloud.service_update},
        "/os-hosts": {"get": cloud.hosts},
        "/os-hosts/{host_name}": {"get": cloud.host},
        "/scheduler-stats/get_pools": {"get": cloud.pools},
        "/capabilities/{host_name}": {"get": cloud.capabilities},
        "/extensions": {"get": cloud.extensions},
        "/resource_filters": {"get": cloud.filters},
    }


def _absent() -> dict[str, dict[str, Handler]]:
    """What this service has none of: empty lists, for clients that look."""
    found: dict[str, dict[str, Handler]] = {
        "/clusters": {"get": cloud.nothing("clusters", 7, "clusters:get_all")},
        "/clusters/detail": {"get": cloud.nothing("clusters", 7, "clusters:get_all")},
        "/qos-specs": {
            "get": cloud.nothing("qos_specs", 0, "volume_extension:qos_specs_manage:get_all"),
            "post": cloud.refused("QoS specs", "volume_extension:qos_specs_manage:create"),
        },
        "/qos-specs/{absent_id}": {"get": cloud.missing("QoS Specs")},
    }
    for path, what, since in (
        ("backups", "backups", 0), ("groups", "groups", GROUPS),
        ("group_snapshots", "group snapshots", 14), ("group_types", "group types", 11),
        ("consistencygroups", "consistency groups", 0), ("cgsnapshots", "group snapshots", 0),
    ):
        nothing = {"get": cloud.nothing(path, since), "post": cloud.refused(what)}
        found[f"/{path}"] = nothing
        found[f"/{path}/detail"] = {"get": nothing["get"]}
        found[f"/{path}/{{absent_id}}"] = {
            "get": cloud.missing(what), "delete": cloud.missing(what),
        }
    return found


def routes() -> dict[str, dict[str, Handler]]:
    """Every path below ``/v3``, with what answers it by method."""
    return {**_storage(), **_types(), **_transfers(), **_cloud(), **_absent()}


def make_volume_app(
    service: VolumeService, policy: Policy, authenticator: Authenticator, identity_url: str
) -> Any:
    """The WSGI application; ``identity_url`` is where a caller without a token is sent."""
    app = make_app(
        render_error,
        [TokenMiddleware(authenticator, identity_url, PUBLIC), VersionMiddleware()],
        face="volume",
    )
    app.add_route("/", Versions(300))
    app.add_route("/v3", Versions(200))
    for path, handlers in routes().items():
        app.add_route(f"/v3{path}", Endpoint(service, policy, **handlers))
    return app
