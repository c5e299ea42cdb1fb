# SPDX-License-Identifier: Apache-2.0
"""Microversions of the Block Storage API, and the version and project that a request names.

Each constant is the first version (3.N) that has what its name says, from Cinder's published version
history. Later versions than ``NEWEST`` are refused, as are those that never were.
"""

from __future__ import annotations

import re

import falcon

from nova.errors import BadRequest, NotAcceptable, NotFound

NEWEST = 70

UPLOAD_VISIBILITY = 1
STRICT_BOOTABLE = 2
MESSAGES = 3
IMAGE_METADATA_FILTER = 4
MESSAGES_PAGED = 5
SUMMARY = 12
GROUPS = 13
PROVIDER_ID = 21
SNAPSHOT_METADATA_FILTER = 22
DELETE_FORCE = 23
ATTACHMENTS = 27
STRICT_FILTERS = 31
RESOURCE_FILTERS = 33
LIKE_FILTERS = 34
SUMMARY_METADATA = 36
LIMITS_OF_PROJECT = 39
REVERT = 40
SNAPSHOT_USER = 41
EXTEND_ATTACHED = 42
ATTACHMENT_COMPLETE = 44
COUNT = 45
IMAGE_OF_SNAPSHOT = 46
SHARED_TARGETS = 48
BACKEND_STATE = 49
TYPE_FILTERS = 52
STRICT_BODIES = 53
ATTACHMENT_MODE = 54
TRANSFERS_WITH_SNAPSHOTS = 55
TRANSFER_PROJECTS = 57
TIME_FILTERS = 60
CLUSTER_NAME = 61
DEFAULT_TYPES = 62
TYPE_ID = 63
CONSUMES_QUOTA = 65
SNAPSHOT_ATTACHED = 66
PROJECT_OPTIONAL = 67
REIMAGE = 68

HEADER = "OpenStack-API-Version"
_VERSION = re.compile(r"([1-9]\d*)\.([1-9]\d*|0)")
#: What a path may have after ``/v3`` where it names no project.
_COLLECTIONS = frozenset(
    {
        "attachments", "backups", "capabilities", "cgsnapshots", "clusters", "consistencygroups",
        "default-types", "extensions", "group_snapshots", "group_types", "groups", "limits",
        "manageable_snapshots", "manageable_volumes", "messages", "os-availability-zone", "os-hosts",
        "os-quota-class-sets", "os-quota-sets", "os-services", "os-volume-transfer", "qos-specs",
        "resource_filters", "scheduler-stats", "snapshots", "types", "volume-transfers", "volumes",
    }
)


def parse(text: str | None) -> int:
    """The minor version that a header asks for; 0 where it says nothing of volumes.

    Raises ``BadRequest`` for what is no version, ``NotAcceptable`` for one that is not spoken here.
    """
    asked = None
    for entry in (text or "").split(","):
        service, _space, version = entry.strip().partition(" ")
        if service.lower() == "volume":
            asked = version.strip()
    if asked is None:
        return 0
    if asked == "latest":
        return NEWEST
    match = _VERSION.fullmatch(asked)
    if match is None:
        raise BadRequest(
            f"API Version String '{asked[:40]}' is of invalid format. Must be of format "
            "MajorNum.MinorNum."
        )
    major, minor = int(match[1]), int(match[2])
    if major != 3 or minor > NEWEST:
        raise NotAcceptable(
            f"Version {asked[:40]} is not supported by the API. Minimum is 3.0 and maximum is "
            f"3.{NEWEST}."
        )
    return minor


class VersionMiddleware:
    """Reads the version, and takes the project off the path, which has to be the caller's."""

    def process_request(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Set ``req.context.version``; ``/v3/{project_id}/volumes`` becomes ``/v3/volumes``."""
        parts = req.path.split("/")
        if len(parts) < 3 or parts[1] != "v3":
            return
        if req.env.get("PATH_INFO", "").endswith("/"):
            # A path that ends in a slash names nothing, whatever Falcon makes of it.
            raise NotFound("The resource could not be found.")
        resp.set_header("Vary", HEADER)
        version = parse(req.get_header(HEADER))
        req.context.version = version
        resp.set_header(HEADER, f"volume 3.{version}")
        # Links name the project as the request did.
        req.context.base = "/v3"
        if parts[2] in _COLLECTIONS or not hasattr(req.context, "caller"):
            return
        if len(parts) > 3:
            caller = req.context.caller
            if parts[2] != caller.project_id and not (caller.is_admin and caller.system_scope):
                raise BadRequest("Malformed request url")
            req.context.base = f"/v3/{parts[2]}"
            req.path = "/v3/" + "/".join(parts[3:])
