# SPDX-License-Identifier: Apache-2.0
"""Who may see and change an image.

Administrators may everything; owners their own; a project that an image is shared with sees it;
public and community images are seen by all. What is not visible does not exist for the caller
(404); what is visible but another's may not be changed (403). The rules are those of Glance's
default policy.
"""

from __future__ import annotations

from collections.abc import Collection

from nova.errors import Forbidden
from nova.objects.context import RequestContext
from nova.objects.image_record import ImageRecord, ImageViewer


def viewer_of(context: RequestContext) -> ImageViewer:
    """Whose list it is."""
    return ImageViewer(context.project_id or None, context.is_admin)


def is_owner(context: RequestContext, owner: str | None) -> bool:
    """Whether the caller acts for the project ``owner``."""
    return bool(owner) and context.project_id == owner


def may_see(context: RequestContext, image: ImageRecord, members: Collection[str]) -> bool:
    """Whether the image exists for the caller; ``members`` are the projects it is shared with."""
    return (
        context.is_admin
        or image.owner is None
        or image.owner == context.project_id
        or image.visibility in ("public", "community")
        or (image.visibility == "shared" and context.project_id in members)
    )


def require_writer(context: RequestContext) -> None:
    """Refuse callers who were given nothing but the reader role."""
    if context.roles and set(context.roles) == {"reader"}:
        raise Forbidden("You are not authorized to complete this action: you may only read.")


def require_owner(context: RequestContext, image: ImageRecord, action: str) -> None:
    """Refuse all but the owner and administrators; ``action`` completes "not permitted to"."""
    if context.is_admin:
        return
    require_writer(context)
    if not is_owner(context, image.owner):
        raise Forbidden(f"You are not permitted to {action} image {image.id}.")


def require_visibility(context: RequestContext, visibility: str) -> None:
    """Only administrators may make an image public."""
    if visibility == "public" and not context.is_admin:
        raise Forbidden("You are not authorized to complete publicize_image action.")
