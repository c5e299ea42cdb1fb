# SPDX-License-Identifier: Apache-2.0
"""Rules for names, descriptions and booleans in bodies that a pattern alone does not express."""

from __future__ import annotations

import unicodedata
from typing import Annotated, Literal

from msgspec import Meta

from nova.errors import InvalidInput

#: What the API takes for a boolean (API reference: true, "True", "on", "yes", "1" and so on).
BooleanText = Literal[
    "True", "TRUE", "true", "1", "ON", "On", "on", "YES", "Yes", "yes",
    "False", "FALSE", "false", "0", "OFF", "Off", "off", "NO", "No", "no",
]
Boolean = bool | BooleanText
_TRUE = frozenset({"true", "1", "on", "yes"})

LongDescription = Annotated[str, Meta(max_length=65535)]


def truth(value: bool | str) -> bool:
    """The truth of a ``Boolean``."""
    return value if isinstance(value, bool) else value.lower() in _TRUE


def _printable(text: str) -> bool:
    """Letters, marks, digits, punctuation, symbols, blanks; no line ends, no control characters."""
    if text.isascii():
        return text.isprintable()
    categories = {unicodedata.category(character) for character in text}
    return not any(category[0] in "CZ" for category in categories - {"Zs"})


def check_name(field: str, text: str, *, padded: bool = False) -> str:
    """A name without the blanks around it.

    Raises ``InvalidInput`` for unprintable characters, for blanks alone and, unless ``padded``, for
    blanks at the ends (the legacy API takes those off).
    """
    bare = text.strip()
    if not bare or not _printable(text) or not (padded or bare == text):
        raise InvalidInput(
            field,
            "Only printable characters are allowed"
            + ("." if padded else ", and no whitespace at the start or the end."),
            text,
        )
    return bare


def check_description(field: str, text: str | None) -> str | None:
    """A description; ``InvalidInput`` for unprintable characters."""
    if text is not None and not _printable(text):
        raise InvalidInput(field, "Only printable characters are allowed.", text)
    return text
