# SPDX-License-Identifier: Apache-2.0
"""Checks of values that the bodies about servers share.

Each returns the value as it is used on, or raises ``InvalidInput`` naming the field. Source: the
original's ``parameter_types.py``.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from nova.api.compute import texts
from nova.errors import InvalidInput

_METADATA_KEY = re.compile(r"[a-zA-Z0-9-_:. ]{1,255}")
_HOST = re.compile(r"[a-zA-Z0-9._-]{1,255}")
_HOSTNAME = re.compile(r"[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+")
_TAG = re.compile(r"[^,/\x00-\x1f\x7f]{1,60}")
MOST_TAGS = 50
MOST_USER_DATA = 65535


def name(field: str, text: str, *, legacy: bool = False) -> str:
    """Printable text of 1 to 255 characters; blanks at the ends are refused, and cut off in v2."""
    if not 1 <= len(text) <= 255:
        raise InvalidInput(field, "It has to have 1 to 255 characters.", text)
    return texts.check_name(field, text, padded=legacy)


def description(field: str, text: str | None) -> str | None:
    """Printable text of at most 255 characters, or None."""
    if text is not None and len(text) > 255:
        raise InvalidInput(field, "It has to have at most 255 characters.", text)
    return texts.check_description(field, text)


def uuid(field: str, text: str) -> str:
    """A uuid, in its usual form."""
    try:
        return str(UUID(text))
    except ValueError:
        raise InvalidInput(field, f"'{text[:60]}' is not a 'uuid'", text) from None


def is_uuid(text: str) -> bool:
    """Whether the text is a uuid."""
    try:
        UUID(text)
    except ValueError:
        return False
    return True


def last_segment(reference: str) -> str:
    """The id in a reference that may be a whole URL."""
    return reference.rstrip("/").rpartition("/")[2] if "/" in reference else reference


def address(field: str, text: str, *, version: int | None = None, empty: bool = False) -> str:
    """An IP address, of one version where ``version`` says so."""
    if empty and not text:
        return ""
    try:
        found = ipaddress.ip_address(text)
    except ValueError:
        found = None
    if found is None or "%" in text or (version is not None and found.version != version):
        kind = f"ipv{version}" if version else "ip address"
        raise InvalidInput(field, f"'{text[:60]}' is not a '{kind}'", text)
    return str(found)


def encoded(field: str, text: str) -> str:
    """Base64 text."""
    try:
        base64.b64decode(text.encode("ascii"), validate=not re.search(r"\s", text))
    except (binascii.Error, ValueError):
        raise InvalidInput(field, "It is not a 'base64' text.", text) from None
    return text


def user_data(field: str, text: str | None) -> str | None:
    """Base64 text of at most 65535 characters, or None."""
    if text is None:
        return None
    if len(text) > MOST_USER_DATA:
        raise InvalidInput(field, f"It is longer than {MOST_USER_DATA} characters.", text)
    return encoded(field, text)


def metadata(
    field: str, items: Mapping[str, str | None], *, legacy: bool = False
) -> dict[str, Any]:
    """Metadata: keys of letters, digits and ``-_:. ``, values of at most 255 characters.

    The legacy API takes any key.
    """
    for key, value in items.items():
        known = 1 <= len(key) <= 255 if legacy else _METADATA_KEY.fullmatch(key) is not None
        if not known:
            raise InvalidInput(
                field,
                f"Additional properties are not allowed ('{key[:60]}' was unexpected): keys are "
                "1 to 255 letters, digits, blanks, dots, colons, dashes and underscores.",
            )
        if value is not None and len(value) > 255:
            raise InvalidInput(key[:60], "It is longer than 255 characters.", value)
    return dict(items)


def host(field: str, text: str) -> str:
    """The name of a host or node."""
    if _HOST.fullmatch(text) is None:
        raise InvalidInput(field, "It does not match '^[a-zA-Z0-9-._]*$'", text)
    return text


def hostname(field: str, text: str, *, dotted: bool) -> str:
    """The name that a guest gives itself; with dots where ``dotted`` (2.94)."""
    if dotted:
        return host(field, text)
    if len(text) > 63 or _HOSTNAME.fullmatch(text) is None:
        raise InvalidInput(
            field, "It does not match '^[a-zA-Z0-9]+[a-zA-Z0-9-]*[a-zA-Z0-9]+$'", text
        )
    return text


def tag(field: str, text: str) -> str:
    """A tag: 1 to 60 characters without comma and slash."""
    if _TAG.fullmatch(text) is None:
        raise InvalidInput(
            field, "A tag has 1 to 60 characters without ',', '/' and control characters.", text
        )
    return text


def tags(field: str, texts: list[str]) -> tuple[str, ...]:
    """At most 50 tags; repeated ones count once."""
    if len(texts) > MOST_TAGS:
        raise InvalidInput(field, f"It has more than {MOST_TAGS} items.")
    return tuple(dict.fromkeys(tag(field, text) for text in texts))


def certificates(field: str, ids: list[str] | None) -> tuple[str, ...] | None:
    """1 to 50 different ids of certificates, or None."""
    if ids is None:
        return None
    if not 1 <= len(ids) <= 50 or len(set(ids)) != len(ids) or not all(ids):
        raise InvalidInput(field, "It has to hold 1 to 50 different ids.")
    return tuple(ids)


def disk_config(field: str, text: str) -> str:
    """``AUTO`` or ``MANUAL``."""
    if text not in ("AUTO", "MANUAL"):
        raise InvalidInput(field, "It has to be AUTO or MANUAL.", text)
    return text
