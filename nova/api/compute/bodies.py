# SPDX-License-Identifier: Apache-2.0
"""Request bodies: a msgspec Struct per body in its newest form, and how older forms are lifted to it.

A field of the Struct may say from when to when it may be sent:

    description: Annotated[str | None, window(since=19)] = None

At v2.1 a key that the version does not have is refused; the legacy v2 drops it, as it always did.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from types import UnionType
from typing import Annotated, Any, Generic, TypeVar, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Meta

from nova.decoding import prepare
from nova.errors import BadRequest, InvalidInput

T = TypeVar("T")

#: Printable text of 1 to 255 characters without blanks at the ends (the strict form of names).
Name = Annotated[str, Meta(min_length=1, max_length=255)]
ShortText = Annotated[str, Meta(max_length=255)]
PositiveInt = Annotated[int, Meta(ge=1, le=2147483647)]
NonNegativeInt = Annotated[int, Meta(ge=0, le=2147483647)]

_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f]")
_MAX_REASON = 200
_WHERE = re.compile(r" - at `(.*)`$")


def window(since: int = 1, until: int | None = None, absent: range = range(0)) -> Meta:
    """The versions at which a field may be sent, as a mark for ``Annotated``.

    ``absent`` are versions in between that lost it.
    """
    return Meta(extra={"since": since, "until": until, "absent": absent})


#: A field that may be left out, but not be sent as null.
FILLED = Meta(extra={"filled": True})


class Shape(dict[str, Any]):
    """The keys a Struct takes at a version: {encoded name: Shape of a nested Struct or None}.

    ``filled`` are those that v2.1 refuses as null, ``truths`` those that are booleans: 0 and 1 are none.
    """

    filled: frozenset[str] = frozenset()
    truths: frozenset[str] = frozenset()


class Body(Generic[T]):
    """How one body is read: its wrapping key (None for none), its Struct, and sibling keys allowed.

    ``siblings`` maps the keys that may stand beside the wrapping key to the Struct field they fill.
    """

    def __init__(
        self,
        key: str | None,
        type_: type[T],
        *,
        siblings: Mapping[str, str] | None = None,
        nullable: bool = False,
        tolerant: bool = False,
    ) -> None:
        self.key = key
        self.type_ = type_
        self.siblings = dict(siblings or {})
        self.nullable = nullable
        self.tolerant = tolerant
        self._shapes: dict[int, Shape] = {}

    def read(self, raw: Any, minor: int, *, legacy: bool = False) -> T:
        """The body as its Struct.

        Raises ``BadRequest`` or ``InvalidInput`` naming the field.
        """
        inner, siblings = self._unwrap(raw, legacy)
        shape = self._shapes.get(minor)
        if shape is None:
            prepare(self.type_)
            shape = self._shapes[minor] = shape_of(self.type_, minor)
        if _is_struct(self.type_):
            inner = _keep_known(inner, shape, legacy or self.tolerant, self.key or "body")
            if not legacy:
                _refuse_odd_values(inner, shape)
        for name, value in siblings.items():
            inner = {**inner, self.siblings[name]: value}
        try:
            value = msgspec.convert(inner, self.type_, strict=False)  # noqa: TID251  prepared above
        except msgspec.ValidationError as error:
            raise _explain(error, inner, self.key) from None
        return value

    def _unwrap(self, raw: Any, legacy: bool) -> tuple[Any, dict[str, Any]]:
        if not isinstance(raw, dict):
            raise BadRequest("Invalid input for field/attribute body. The body must be an object.")
        _refuse_control_characters(raw)
        if self.key is None:
            return raw, {}
        if self.key not in raw:
            raise BadRequest(
                f"Invalid input for field/attribute {self.key}. '{self.key}' is a required property"
            )
        extra = raw.keys() - {self.key} - self.siblings.keys()
        if extra and not legacy and not self.tolerant:
            raise BadRequest(_unexpected(sorted(extra)))
        inner = raw[self.key]
        if inner is None and self.nullable:
            inner = {}
        if not isinstance(inner, dict) and _is_struct(self.type_):
            raise InvalidInput(self.key, "It must be an object.", inner)
        siblings = {key: raw[key] for key in self.siblings.keys() & raw.keys()}
        return inner, siblings


def _is_struct(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def _refuse_control_characters(value: Any) -> None:
    """Control characters (NUL above all) cannot be stored by every database."""
    if isinstance(value, str):
        if _CONTROL.search(value):
            raise BadRequest(
                "Invalid input: the text "
                f"{_CONTROL.sub('?', value)[:60]!r} holds control characters."
            )
    elif isinstance(value, dict):
        for key, item in value.items():
            _refuse_control_characters(key)
            _refuse_control_characters(item)
    elif isinstance(value, list):
        for item in value:
            _refuse_control_characters(item)


def _unexpected(keys: list[str]) -> str:
    names = ", ".join(f"'{key}'" for key in keys)
    verb = "was" if len(keys) == 1 else "were"
    return f"Additional properties are not allowed ({names} {verb} unexpected)"


def shape_of(type_: Any, minor: int) -> Shape:
    """The keys a Struct takes at a version; those of anything else are not looked at."""
    shape = Shape()
    if not _is_struct(type_):
        return shape
    hints = get_type_hints(type_, include_extras=True)
    filled, truths = set(), set()
    for field in msgspec.structs.fields(type_):
        hint = hints[field.name]
        marks = _marks_of(hint)
        if not (
            marks.get("since", 1) <= minor
            and (marks.get("until") is None or minor <= marks["until"])
            and minor not in marks.get("absent", ())
        ):
            continue
        nested = _nested_struct(hint)
        shape[field.encode_name] = shape_of(nested, minor) if nested else None
        if marks.get("filled"):
            filled.add(field.encode_name)
        kinds = _kinds_of(hint)
        if bool in kinds and int not in kinds:
            truths.add(field.encode_name)
    shape.filled, shape.truths = frozenset(filled), frozenset(truths)
    return shape


def _marks_of(hint: Any) -> dict[str, Any]:
    marks: dict[str, Any] = {}
    if get_origin(hint) is Annotated:
        for mark in get_args(hint)[1:]:
            if isinstance(mark, Meta) and mark.extra:
                marks.update(mark.extra)
    return marks


def _kinds_of(hint: Any) -> set[Any]:
    """The types that a hint allows, outermost unions taken apart."""
    if get_origin(hint) is Annotated:
        return _kinds_of(get_args(hint)[0])
    if get_origin(hint) in (Union, UnionType):
        return {kind for part in get_args(hint) for kind in _kinds_of(part)}
    return {hint}


def _nested_struct(hint: Any) -> Any:
    """The Struct inside a hint such as ``Annotated[list[Struct] | str, …]``."""
    if _is_struct(hint):
        return hint
    for part in get_args(hint):
        found = _nested_struct(part)
        if found is not None:
            return found
    return None


def _refuse_odd_values(value: Any, shape: Shape) -> None:
    """Null where a value is wanted, and numbers where a boolean is, nested ones included."""
    if isinstance(value, list):
        for item in value:
            _refuse_odd_values(item, shape)
    if not isinstance(value, dict):
        return
    for key, item in value.items():
        if item is None:
            if key in shape.filled:
                raise InvalidInput(key, "None is not allowed: it may be left out.", item)
        elif key in shape.truths and isinstance(item, int) and not isinstance(item, bool):
            raise InvalidInput(key, f"{item} is not of type 'boolean', 'string'", item)
        elif shape[key] is not None and isinstance(item, dict | list):
            _refuse_odd_values(item, shape[key])


def _keep_known(value: Any, shape: Shape, tolerant: bool, where: str) -> Any:
    """Drop (tolerant) or refuse keys that are not in the shape, nested ones included."""
    if isinstance(value, list):
        return [_keep_known(item, shape, tolerant, where) for item in value]
    if not isinstance(value, dict):
        return value
    unknown = value.keys() - shape.keys()
    if unknown and not tolerant:
        raise BadRequest(
            f"Invalid input for field/attribute {where}. {_unexpected(sorted(map(str, unknown)))}"
        )
    return {
        key: _keep_known(item, shape[key], tolerant, key)
        if shape[key] is not None and isinstance(item, dict | list)
        else item
        for key, item in value.items()
        if key in shape
    }


def _explain(error: msgspec.ValidationError, inner: Any, key: str | None) -> BadRequest:
    """msgspec's message as ours: the field's own name, the value, the reason."""
    text = str(error)
    found = _WHERE.search(text)
    path = found.group(1) if found else "$"
    reason = _WHERE.sub("", text)
    missing = re.match(r"Object missing required field `(.+)`", reason)
    if missing:
        return BadRequest(
            f"Invalid input for field/attribute {missing.group(1)}. "
            f"'{missing.group(1)}' is a required property"
        )
    names = [part for part in re.split(r"[.\[\]]+", path.removeprefix("$")) if part]
    field = names[-1] if names else (key or "body")
    if field.isdigit() or field == "...":
        field = next((n for n in reversed(names) if not n.isdigit() and n != "..."), key or "body")
    # msgspec quotes a value that is none of an enumeration, however long it is.
    shown = reason if len(reason) <= _MAX_REASON else f"{reason[:_MAX_REASON]}…"
    return InvalidInput(field, f"{shown}.", _value_at(inner, names))


def _value_at(value: Any, names: list[str]) -> Any:
    for name in names:
        if isinstance(value, dict) and name in value:
            value = value[name]
        elif isinstance(value, list) and name.isdigit() and int(name) < len(value):
            value = value[int(name)]
        else:
            break
    return value
