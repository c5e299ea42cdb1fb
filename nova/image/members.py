# SPDX-License-Identifier: Apache-2.0
"""Sharing images with projects.

The owner adds and removes members, a member alone accepts or rejects, both see the membership. The
refusals are those of Glance (its ``api/v2/image_members.py``).
"""

from __future__ import annotations

from nova.db.engine import Transaction
from nova.errors import Forbidden, InvalidInput, NotFound
from nova.image import rights
from nova.image.fields import check_quota, text
from nova.image.records import ImageRecords
from nova.objects.context import RequestContext
from nova.objects.image_record import ImageMember, ImageRecord

STATUSES = ("pending", "accepted", "rejected")


class ImageMembers:
    """Members of shared images."""

    def __init__(self, records: ImageRecords) -> None:
        self._records = records

    def add(self, context: RequestContext, image_id: str, member: object) -> ImageMember:
        """Share an image with a project, whose answer is pending then.

        Raises ``Forbidden`` for another's or a not shared image, ``AlreadyExists``, ``TooLarge``
        over the quota.
        """
        project_id = text("member", member)
        if not project_id:
            raise InvalidInput("member", "It can't be empty.")
        with self._records.database.write() as tx:
            record = self._shared(tx, context, image_id)
            rights.require_owner(context, record, "create members for")
            check_quota(
                "members", tx.images.members.count(image_id) + 1,
                self._records.section.image_member_quota,
            )
            self._records.announce(tx, image_id)
            return tx.images.members.add(image_id, project_id)

    def answer(
        self, context: RequestContext, image_id: str, project_id: str, status: object
    ) -> ImageMember:
        """Write a member's answer: pending, accepted or rejected. The owner can't give it."""
        if status not in STATUSES:
            raise InvalidInput("status", f"It must be one of: {', '.join(STATUSES)}.", status)
        with self._records.database.write() as tx:
            record = self._shared(tx, context, image_id)
            if not context.is_admin:
                rights.require_writer(context)
                if rights.is_owner(context, record.owner):
                    raise Forbidden(f"Not allowed to update members for image {image_id}.")
            self._require_concerned(context, record, project_id)
            self._records.announce(tx, image_id)
            member = tx.images.members.set_status(image_id, project_id, str(status))
        if member is None:
            raise _missing(image_id, project_id)
        return member

    def list(self, context: RequestContext, image_id: str) -> list[ImageMember]:
        """All members for the owner, its own membership for a member."""
        with self._records.database.read() as tx:
            record = self._shared(tx, context, image_id)
            members = tx.images.members.of_image(image_id)
        if context.is_admin or rights.is_owner(context, record.owner):
            return members
        return [member for member in members if member.member == context.project_id]

    def show(self, context: RequestContext, image_id: str, project_id: str) -> ImageMember:
        """One membership; ``NotFound`` for whom it doesn't concern."""
        with self._records.database.read() as tx:
            try:
                record = self._shared(tx, context, image_id)
            except Forbidden as error:
                raise NotFound(error.message) from None
            self._require_concerned(context, record, project_id)
            member = tx.images.members.get(image_id, project_id)
        if member is None:
            raise _missing(image_id, project_id)
        return member

    def remove(self, context: RequestContext, image_id: str, project_id: str) -> None:
        """End the sharing with a project; the owner's right alone."""
        text("member", project_id)
        with self._records.database.write() as tx:
            record = self._shared(tx, context, image_id)
            rights.require_owner(context, record, "delete members of")
            if not tx.images.members.remove(image_id, project_id):
                raise _missing(image_id, project_id)
            self._records.announce(tx, image_id)

    def _shared(self, tx: Transaction, context: RequestContext, image_id: str) -> ImageRecord:
        record = self._records.find(tx, context, image_id)
        if record.visibility != "shared":
            raise Forbidden("Only shared images have members.")
        return record

    @staticmethod
    def _require_concerned(context: RequestContext, record: ImageRecord, project_id: str) -> None:
        """A membership concerns its project, the image's owner and administrators."""
        text("member", project_id)
        if not (
            context.is_admin
            or rights.is_owner(context, record.owner)
            or context.project_id == project_id
        ):
            raise _missing(record.id, project_id)


def _missing(image_id: str, project_id: str) -> NotFound:
    return NotFound(f"{project_id[:80]} not found in the member list of the image {image_id}.")
