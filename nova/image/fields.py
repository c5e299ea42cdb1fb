# SPDX-License-Identifier: Apache-2.0
"""The fields of an image as the Image API v2 knows them: which may be set, and what they may hold.

Everything that is not one of these fields is a free property, whose value is a string.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from nova.errors import BadRequest, Forbidden, InvalidInput, TooLarge

CONTAINER_FORMATS = ("ami", "ari", "aki", "bare", "ovf", "ova", "docker", "compressed")
DISK_FORMATS = (
    "ami", "ari", "aki", "vhd", "vhdx", "vmdk", "raw", "qcow2", "vdi", "iso", "ploop",
)
STATUSES = (
    "queued", "saving", "active", "killed", "deleted", "uploading", "importing",
    "pending_delete", "deactivated",
)
VISIBILITIES = ("community", "public", "private", "shared")

#: Fields that only the service writes.
READ_ONLY = frozenset({
    "created_at", "updated_at", "status", "checksum", "size", "virtual_size", "direct_url", "self",
    "file", "schema", "stores", "os_hash_algo", "os_hash_value",
})
#: Names that are kept for the service itself, and their common beginning.
RESERVED = frozenset({"location", "locations", "deleted", "deleted_at"})
RESERVED_PREFIX = "os_glance"

#: Greatest value of an integer column.
MAX_INTEGER = 2**31 - 1
_UUID = re.compile(
    r"[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}", re.ASCII
)


def is_image_id(value: str) -> bool:
    """Whether the text has the form of an image id: a UUID with hyphens."""
    return _UUID.fullmatch(value) is not None


def text(field: str, value: object, maximum: int | None = 255) -> str:
    """A string of at most ``maximum`` characters that every database can keep."""
    if not isinstance(value, str):
        raise InvalidInput(field, "It must be a string.", value)
    if maximum is not None and len(value) > maximum:
        raise InvalidInput(field, f"It must have at most {maximum} characters.", value)
    if "\0" in value:
        raise InvalidInput(field, "It must not hold a NUL character.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise InvalidInput(field, "It must be valid Unicode.") from None
    return value


def _text_or_null(field: str, value: object) -> str | None:
    return None if value is None else text(field, value)


def _identifier(field: str, value: object) -> str:
    if not is_image_id(text(field, value)):
        raise InvalidInput(field, "It must be a UUID with hyphens.", value)
    return str(value)


def _count(field: str, value: object) -> int:
    if not isinstance(value, int) or isinstance(value, bool):
        raise InvalidInput(field, "It must be an integer.", value)
    if not 0 <= value <= MAX_INTEGER:
        raise InvalidInput(field, f"It must be between 0 and {MAX_INTEGER}.", value)
    return value


def _boolean(field: str, value: object) -> bool:
    if not isinstance(value, bool):
        raise InvalidInput(field, "It must be true or false.", value)
    return value


def _one_of(*choices: str | None) -> Callable[[str, object], str | None]:
    def check(field: str, value: object) -> str | None:
        if not (value is None or isinstance(value, str)) or value not in choices:
            shown = ", ".join("null" if choice is None else choice for choice in choices)
            raise InvalidInput(field, f"It must be one of: {shown}.", value)
        return value

    return check


def _tags(field: str, value: object) -> list[str]:
    if not isinstance(value, list):
        raise InvalidInput(field, "It must be a list of strings.", value)
    return list(dict.fromkeys(text(field, tag) for tag in value))


#: Fields that a user may set, with the check of each: (name, value) to the value, or
#: ``InvalidInput``.
SETTABLE: dict[str, Callable[[str, object], Any]] = {
    "id": _identifier,
    "name": _text_or_null,
    "visibility": _one_of(*VISIBILITIES),
    "owner": _text_or_null,
    "disk_format": _one_of(None, *DISK_FORMATS),
    "container_format": _one_of(None, *CONTAINER_FORMATS),
    "min_disk": _count,
    "min_ram": _count,
    "protected": _boolean,
    "os_hidden": _boolean,
    "tags": _tags,
}


def check_name(name: str) -> None:
    """Refuse a field that users don't write: ``Forbidden``."""
    if name in READ_ONLY:
        raise Forbidden(f"Attribute '{name}' is read-only.")
    if name in RESERVED or name.startswith(RESERVED_PREFIX):
        raise Forbidden(f"Attribute '{name}' is reserved.")


def check_property(name: str, value: object) -> str:
    """The value of a free property; ``BadRequest`` names the property."""
    if not name:
        raise BadRequest("The name of a property must not be empty.")
    text("property name", name)
    return text(name, value, None)


def split_body(body: object) -> tuple[dict[str, Any], dict[str, str]]:
    """A create body as (fields, free properties), both checked.

    Raises ``BadRequest`` naming the field, ``Forbidden`` for fields that users don't write.
    """
    if not isinstance(body, dict):
        raise BadRequest("The body of an image create must be a JSON object.")
    fields: dict[str, Any] = {}
    properties: dict[str, str] = {}
    for name, value in body.items():
        check_name(name)
        check = SETTABLE.get(name)
        if check is not None:
            fields[name] = check(name, value)
        else:
            properties[name] = check_property(name, value)
    return fields, properties


def check_quota(what: str, count: int, limit: int) -> None:
    """``TooLarge`` where an image has more ``what`` than the operator allows."""
    if 0 <= limit < count:
        raise TooLarge(f"The limit has been exceeded on the number of allowed image {what}. "
                       f"Attempted: {count}, Maximum: {limit}")
