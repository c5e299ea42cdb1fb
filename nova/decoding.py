# SPDX-License-Identifier: Apache-2.0
"""Values out of JSON and MessagePack: the one way to tell msgspec of a type.

msgspec reads a Struct's fields when the Struct is first decoded to, and shows what it has half read to every
other thread (seen in 0.22: two first requests at once end the process by a segmentation fault). So types
are read here, by one thread at a time; afterwards they cost what they cost msgspec.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar, overload

import msgspec

T = TypeVar("T")

_READING = threading.Lock()
_READ: set[Any] = set()


def prepare(type_: Any) -> None:
    """Have a type read, and all that it is made of, before anything is decoded to it."""
    json_decoder(type_)


@overload
def json_decoder(type_: type[T]) -> msgspec.json.Decoder[T]: ...
@overload
def json_decoder(type_: Any = Any) -> msgspec.json.Decoder[Any]: ...
def json_decoder(type_: Any = Any) -> msgspec.json.Decoder[Any]:
    """A decoder from JSON to ``type_``, which any number of threads may use."""
    with _READING:
        return msgspec.json.Decoder(type_)


@overload
def msgpack_decoder(type_: type[T]) -> msgspec.msgpack.Decoder[T]: ...
@overload
def msgpack_decoder(type_: Any = Any) -> msgspec.msgpack.Decoder[Any]: ...
def msgpack_decoder(type_: Any = Any) -> msgspec.msgpack.Decoder[Any]:
    """A decoder from MessagePack to ``type_``, which any number of threads may use."""
    with _READING:
        return msgspec.msgpack.Decoder(type_)


@overload
def convert(value: Any, type_: type[T]) -> T: ...
@overload
def convert(value: Any, type_: Any) -> Any: ...
def convert(value: Any, type_: Any) -> Any:
    """What plain dictionaries and lists say, as ``type_``; raises ``msgspec.ValidationError``."""
    if type_ not in _READ:
        prepare(type_)
        _READ.add(type_)
    return msgspec.convert(value, type_)


#: Plain values out of JSON: dictionaries, lists, text, numbers. Raises ``msgspec.DecodeError``.
decode_json = json_decoder().decode
