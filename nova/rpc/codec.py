# SPDX-License-Identifier: Apache-2.0
"""Calls, answers and errors as bytes: MessagePack, decoded into the types that the receiver declares.

Arguments are decoded by the signature of the method that is called, the answer by the table of calls. An
error crosses as its class's name, its message and its fields, and comes out as the same class of
``nova.errors``, or as the nearest one of its bases that is there. What a sender of the next release adds
behind is passed over (``nova/rpc/calls.py`` says what may be added).
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Callable, Sequence
from typing import Any, get_type_hints

import msgspec

from nova import errors
from nova.decoding import msgpack_decoder
from nova.errors import NovaError, ServiceUnavailable
from nova.rpc.calls import Call

LOG = logging.getLogger(__name__)


class Undecodable(Exception):
    """A message is not what the receiver's method takes."""


class _Failure(msgspec.Struct, frozen=True, array_like=True):
    """An error on its way. ``names`` are its class and the bases of that, nearest first."""

    names: tuple[str, ...]
    message: str
    fields: dict[str, Any]


class _Answer(msgspec.Struct, frozen=True, array_like=True):
    """What comes back: a result, or a failure."""

    result: msgspec.Raw = msgspec.Raw(b"\xc0")
    failure: _Failure | None = None


_encoder = msgspec.msgpack.Encoder()
_raw_list = msgpack_decoder(list[msgspec.Raw])
_answers = msgpack_decoder(_Answer)


def encode_arguments(arguments: Sequence[Any]) -> bytes:
    """The arguments of a call."""
    return _encoder.encode(arguments)


class Arguments:
    """Decodes the arguments of one method. Raises ``TypeError`` for a method without annotations."""

    def __init__(self, method: Callable[..., Any]) -> None:
        hints = get_type_hints(method)
        parameters = list(inspect.signature(method).parameters.values())
        missing = [each.name for each in parameters if each.name not in hints]
        if missing:
            raise TypeError(f"{method!r} does not say the types of {', '.join(missing)}")
        self._decoders = [msgpack_decoder(hints[each.name]) for each in parameters]
        self._required = sum(each.default is inspect.Parameter.empty for each in parameters)
        self._name = getattr(method, "__qualname__", repr(method))
        self._newer_seen = False

    def decode(self, data: bytes) -> list[Any]:
        """The arguments that the method has; raises ``Undecodable``."""
        try:
            raw = _raw_list.decode(data)
            if len(raw) < self._required:
                raise Undecodable(f"{len(raw)} arguments in place of {self._required}")
            if len(raw) > len(self._decoders) and not self._newer_seen:
                self._newer_seen = True
                LOG.debug("a newer sender tells %s more than it takes", self._name)
            return [
                decoder.decode(each)
                for decoder, each in zip(self._decoders, raw, strict=False)
            ]
        except msgspec.DecodeError as error:
            raise Undecodable(str(error)) from None


class Results:
    """Decodes the answers of one call of the table."""

    def __init__(self, call: Call) -> None:
        self._decoder = msgpack_decoder(call.result)

    def decode(self, data: bytes) -> Any:
        """The result; raises the error that the other side raised."""
        try:
            answer = _answers.decode(data)
            if answer.failure is None:
                return self._decoder.decode(answer.result)
        except msgspec.DecodeError as error:
            raise ServiceUnavailable(f"The answer could not be read: {error}") from None
        raise _revive(answer.failure)


def encode_result(result: Any) -> bytes:
    """An answer."""
    return _encoder.encode(_Answer(result=msgspec.Raw(_encoder.encode(result))))


def encode_error(error: BaseException) -> bytes:
    """An answer that is an error; what is no ``NovaError`` is our own bug and crosses by its kind only."""
    if not isinstance(error, NovaError):
        return _encoder.encode(
            _Answer(failure=_Failure(("NovaError",), f"Unexpected {type(error).__name__}", {}))
        )
    names = tuple(
        kind.__name__ for kind in type(error).__mro__ if issubclass(kind, NovaError)
    )
    fields = {}
    for name, value in vars(error).items():
        try:
            msgspec.to_builtins(value)
        except (TypeError, ValueError):
            continue
        if name != "message":
            fields[name] = value
    return _encoder.encode(_Answer(failure=_Failure(names, error.message, fields)))


def _revive(failure: _Failure) -> NovaError:
    """The error of the other side, without running its constructor."""
    for name in failure.names:
        kind = getattr(errors, name, None)
        if isinstance(kind, type) and issubclass(kind, NovaError):
            break
    else:
        kind = NovaError
    error: NovaError = kind.__new__(kind)
    NovaError.__init__(error, failure.message)
    for name, value in failure.fields.items():
        setattr(error, name, value)
    return error
