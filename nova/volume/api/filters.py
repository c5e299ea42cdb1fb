# SPDX-License-Identifier: Apache-2.0
"""The filters that the lists have, and the refusal of others.

Facts: cinder/api/common.py (``reject_invalid_filters``), etc/cinder/resource_filters.json. An operator of
Cinder writes the lists into a file; these are that file's defaults, and what else is served here.
"""

from __future__ import annotations

from collections.abc import Iterable

from nova.errors import BadRequest
from nova.volume.api import versions
from nova.volume.api.request import Request

#: resource -> the filters that users may give.
FILTERS: dict[str, tuple[str, ...]] = {
    "volume": (
        "name", "name~", "status", "metadata", "bootable", "migration_status", "availability_zone",
        "group_id", "size", "created_at", "updated_at", "consumes_quota", "glance_metadata",
    ),
    "snapshot": (
        "name", "name~", "status", "volume_id", "metadata", "availability_zone", "consumes_quota",
    ),
    "attachment": ("volume_id", "status", "instance_id", "attach_status"),
    "message": ("resource_uuid", "resource_type", "event_id", "request_id", "message_level"),
    "volume_type": ("is_public", "extra_specs"),
}
_PAGING = frozenset({"limit", "marker", "offset", "sort", "sort_key", "sort_dir"})
_COUNTED = frozenset({"volume", "snapshot"})


def refuse_unknown_filters(
    request: Request, resource: str, given: Iterable[str], *, since: int = versions.STRICT_FILTERS
) -> None:
    """``BadRequest`` for filters that the list has not, from the version 3.``since`` on.

    Administrators may give any. ``all_tenants`` is passed over: clients give it for everybody.
    """
    if request.version < since:
        return
    names = [name for name in given if name not in _PAGING]
    if not all(name.isascii() for name in names):
        raise BadRequest("Filter keys can only contain ASCII characters.")
    if request.caller.is_admin:
        return
    known = {*FILTERS[resource], "all_tenants"}
    if request.version < versions.LIKE_FILTERS:
        known = {name for name in known if not name.endswith("~")}
    if resource in _COUNTED and request.version >= versions.COUNT:
        known.add("with_count")
    wrong = [name for name in names if name not in known]
    if wrong:
        raise BadRequest(f"Invalid filters {','.join(wrong)[:200]} are found in query options.")
