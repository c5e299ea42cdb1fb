# SPDX-License-Identifier: Apache-2.0
"""Who makes a request."""

from __future__ import annotations

import msgspec


class RequestContext(msgspec.Struct, frozen=True, kw_only=True):
    """The caller of one request, as the token says.

    ``roles`` are lower-case names with the implied ones included. ``system_scope`` is ``"all"`` for a
    system-scoped token. ``is_admin`` is true where the roles include ``admin``.
    """

    user_id: str = ""
    project_id: str = ""
    user_name: str = ""
    project_name: str = ""
    user_domain_id: str = "default"
    project_domain_id: str = "default"
    domain_id: str | None = None
    system_scope: str | None = None
    roles: tuple[str, ...] = ()
    is_admin: bool = False
    request_id: str = ""
    service_roles: tuple[str, ...] = ()
    token: str = ""


def internal_context(request_id: str = "req-internal") -> RequestContext:
    """The cloud acting for itself: periodic work, recovery, ``nova-manage``."""
    return RequestContext(
        user_id="nova", user_name="nova", roles=("admin", "service"), is_admin=True,
        request_id=request_id,
    )
