# SPDX-License-Identifier: Apache-2.0
"""Changes of an image as the API's two JSON patch media types write them.

v2.1 is RFC 6902 cut down to add, remove and replace of one member; v2.0 is an early draft of it in
which the operation's name is the key of the path. The refusals are Glance's.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from nova.errors import BadRequest, Conflict, Forbidden
from nova.image import fields
from nova.objects.image_record import ImageRecord

OPERATIONS = ("add", "remove", "replace")
#: Media type to whether it is the early draft.
MEDIA_TYPES = {
    "application/openstack-images-v2.0-json-patch": True,
    "application/openstack-images-v2.1-json-patch": False,
}


class ImageChange(msgspec.Struct, frozen=True):
    """One operation on one field; ``exclusive`` refuses an add of what is there (early draft)."""

    operation: str
    name: str
    value: Any = None
    exclusive: bool = False


def parse_patch(body: object, early_draft: bool) -> list[ImageChange]:
    """The changes that a patch document asks for.

    Raises ``BadRequest`` for a malformed document, ``Forbidden`` for fields that users don't write.
    """
    if not isinstance(body, list):
        raise BadRequest("Request body must be a JSON array of operation objects.")
    return [_parse_operation(raw, early_draft) for raw in body]


def _parse_operation(raw: object, early_draft: bool) -> ImageChange:
    if not isinstance(raw, dict):
        raise BadRequest("Operations must be JSON objects.")
    operation, pointer = _early_draft(raw) if early_draft else _final_form(raw)
    name = _decode_pointer(pointer)
    if name == "id":
        raise Forbidden("Attribute 'id' is read-only.")
    fields.check_name(name)
    if operation == "remove":
        return ImageChange(operation, name)
    if "value" not in raw:
        raise BadRequest(f'Operation "{operation}" requires a member named "value".')
    check = fields.SETTABLE.get(name, fields.check_property)
    return ImageChange(operation, name, check(name, raw["value"]), early_draft)


def _final_form(raw: dict[str, Any]) -> tuple[str, object]:
    operation = raw.get("op")
    available = ", ".join(OPERATIONS)
    if operation is None:
        raise BadRequest(f"Unable to find `op` in the change. It must be one of: {available}.")
    if operation not in OPERATIONS:
        raise BadRequest(
            f"Invalid operation: `{str(operation)[:80]}`. It must be one of: {available}."
        )
    if "path" not in raw:
        raise BadRequest("Unable to find `path` in the change.")
    return str(operation), raw["path"]


def _early_draft(raw: dict[str, Any]) -> tuple[str, object]:
    named = [operation for operation in OPERATIONS if operation in raw]
    if len(named) != 1:
        raise BadRequest(
            'Operation objects must contain exactly one member named "add", "remove", or "replace".'
        )
    return named[0], raw[named[0]]


def _decode_pointer(pointer: object) -> str:
    """The one member that a JSON pointer (RFC 6901) names."""
    if not isinstance(pointer, str):
        raise BadRequest("A path must be a string.")
    shown = pointer[:120]
    if not pointer.startswith("/"):
        raise BadRequest(f'Pointer `{shown}` does not start with "/".')
    encoded = pointer[1:]
    rest = encoded.replace("~0", "").replace("~1", "")
    if "~" in rest:
        raise BadRequest(
            f'Pointer `{shown}` contains "~" not part of a recognized escape sequence.'
        )
    parts = [part.replace("~1", "/").replace("~0", "~").strip() for part in encoded.split("/")]
    if parts[0] == "locations":
        raise Forbidden("It's not allowed to add, replace or remove locations.")
    if len(parts) != 1 or not parts[0]:
        raise BadRequest(f"Invalid JSON pointer for this resource: '{shown}'")
    return parts[0]


def apply_changes(
    record: ImageRecord, changes: Sequence[ImageChange], *, is_admin: bool
) -> ImageRecord:
    """The image after the changes, in order.

    Raises ``Forbidden`` for a field that may not be changed (now, or by this caller, or removed)
    and ``Conflict`` for a property that is not there.
    """
    values: dict[str, Any] = {}
    properties = dict(record.properties)
    for change in changes:
        if change.name in fields.SETTABLE:
            _require_changeable(record, change, is_admin)
            values[change.name] = change.value
        elif change.operation == "add":
            if change.exclusive and change.name in properties:
                raise Conflict(f"Property {change.name} already present.")
            properties[change.name] = change.value
        elif change.name not in properties:
            raise Conflict(f"Property {change.name} does not exist.")
        elif change.operation == "replace":
            properties[change.name] = change.value
        else:
            del properties[change.name]
    return msgspec.structs.replace(record, properties=properties, **values)


def _require_changeable(record: ImageRecord, change: ImageChange, is_admin: bool) -> None:
    if change.operation == "remove":
        raise Forbidden(f"Property {change.name} may not be removed.")
    if change.operation == "add" and change.exclusive:
        raise Conflict(f"Property {change.name} already present.")
    if change.name == "owner" and not is_admin:
        raise Forbidden("Owner can't be updated by non admin.")
    if change.name in ("disk_format", "container_format") and record.status not in (
        "queued", "importing",
    ):
        raise Forbidden(f"Attribute {change.name} can be only replaced for a queued image.")
