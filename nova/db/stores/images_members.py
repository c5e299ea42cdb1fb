# SPDX-License-Identifier: Apache-2.0
"""The projects that images are shared with."""

from __future__ import annotations

from sqlalchemy import Connection, bindparam, delete, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from nova.db.schema.base import now
from nova.db.schema.image import image_members
from nova.errors import AlreadyExists
from nova.objects.image_record import ImageMember

_ONE = select(image_members).where(
    image_members.c.image_id == bindparam("the_image"),
    image_members.c.member == bindparam("the_member"),
)
_ALL = (
    select(image_members)
    .where(image_members.c.image_id == bindparam("the_image"))
    .order_by(image_members.c.created_at, image_members.c.member)
)


class ImageMemberStore:
    """Rows of ``image_members``."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def get(self, image_id: str, member: str) -> ImageMember | None:
        """The membership of one project."""
        row = self._connection.execute(
            _ONE, {"the_image": image_id, "the_member": member}
        ).first()
        return None if row is None else ImageMember(*row)

    def of_image(self, image_id: str) -> list[ImageMember]:
        """Every project that the image is shared with, oldest first."""
        rows = self._connection.execute(_ALL, {"the_image": image_id})
        return [ImageMember(*row) for row in rows]

    def count(self, image_id: str) -> int:
        """How many projects the image is shared with."""
        statement = select(func.count()).where(image_members.c.image_id == image_id)
        return self._connection.execute(statement).scalar_one()

    def add(self, image_id: str, member: str) -> ImageMember:
        """Share with one project more, its status pending; ``AlreadyExists`` if it is shared."""
        moment = now()
        added = ImageMember(image_id, member, "pending", moment, moment)
        values = {
            "image_id": image_id, "member": member, "status": added.status,
            "created_at": moment, "updated_at": moment,
        }
        try:
            self._connection.execute(insert(image_members).values(values))
        except IntegrityError:
            raise AlreadyExists(
                f"Member {member} is duplicated for image {image_id}"
            ) from None
        return added

    def set_status(self, image_id: str, member: str, status: str) -> ImageMember | None:
        """Write a member's answer; None where there is no such member."""
        self._connection.execute(
            update(image_members)
            .where(image_members.c.image_id == image_id, image_members.c.member == member)
            .values(status=status, updated_at=now())
        )
        return self.get(image_id, member)

    def remove(self, image_id: str, member: str) -> bool:
        """End the sharing with one project; whether there was any."""
        result = self._connection.execute(
            delete(image_members).where(
                image_members.c.image_id == image_id, image_members.c.member == member
            )
        )
        return result.rowcount == 1
