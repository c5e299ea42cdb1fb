# SPDX-License-Identifier: Apache-2.0
"""What becomes of a message that came: opened, judged, carried out on threads, answered."""

from __future__ import annotations

import contextvars
import dataclasses
import logging
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from typing import Any, Protocol

from nova import log, metrics
from nova.errors import HostRefused, MessageRepeated, NovaError
from nova.rpc.calls import CALLS
from nova.rpc.codec import Arguments, Undecodable, encode_error, encode_result
from nova.rpc.envelope import CONTROL, Header, MessageRefused, MessageStale, Sealer, look_at

LOG = logging.getLogger(__name__)

#: The answer that lets the caller seal its message again.
STALE = b"stale"
_CASTS = 64


class Endpoint:
    """An object whose methods are called under a topic."""

    def __init__(self, topic: str, host: str | None, target: object) -> None:
        self.topic, self.host, self.target = topic, host, target
        self.consumed = threading.Event()
        self.arguments: dict[str, Arguments] = {
            row.method: Arguments(getattr(target, row.method))
            for row in CALLS.values()
            if row.topic == topic and hasattr(target, row.method)
        }
        self.every = any(row.every for row in CALLS.values() if row.topic == topic)


@dataclasses.dataclass(frozen=True)
class Delivery:
    """A message that came, and how to answer and acknowledge it."""

    endpoint: Endpoint
    channel: Any
    tag: int
    body: bytes
    reply_to: str | None
    request_id: str | None
    #: Whether somebody may have had it before, whose connection was lost.
    redelivered: bool = False


class Answers(Protocol):
    """The way back to the sender and to the broker."""

    def reply(self, delivery: Delivery, header: Header, answer: bytes) -> None:
        """Send the answer, where one is waited for, and acknowledge the message."""
        ...

    def settle(self, delivery: Delivery, *, accepted: bool, again: bool = False) -> None:
        """Acknowledge, or hand back, or let the message go where refused ones are kept. Once for each."""
        ...


class Reception:
    """Runs what messages ask for. ``acting`` is entered with the id of a host's message around its call."""

    def __init__(
        self,
        sealer: Sealer,
        answers: Answers,
        acting: Callable[[str], AbstractContextManager[None]],
        threads: int,
    ) -> None:
        self._sealer = sealer
        self._answers = answers
        self._acting = acting
        self._running = 0
        self._idle = threading.Condition()
        self._calls = ThreadPoolExecutor(threads, thread_name_prefix="call")
        self._casts = ThreadPoolExecutor(_CASTS, thread_name_prefix="cast")

    def wait_idle(self, timeout: float) -> None:
        """Return when nothing runs any more, after at most ``timeout`` seconds."""
        with self._idle:
            self._idle.wait_for(lambda: self._running == 0, timeout)

    def close(self) -> None:
        """Begin nothing that has not begun."""
        self._calls.shutdown(wait=False, cancel_futures=True)
        self._casts.shutdown(wait=False, cancel_futures=True)

    def take(self, delivery: Delivery) -> None:
        """Begin with a message; returns at once."""
        with self._idle:
            self._running += 1
        try:
            self._calls.submit(self.handle, delivery)
        except RuntimeError:
            self._ended()

    def _ended(self) -> None:
        with self._idle:
            self._running -= 1
            self._idle.notify_all()

    def handle(self, delivery: Delivery) -> None:
        """Open a message, take it up, answer it."""
        handed_on = False
        log.belongs_to_message(delivery.request_id)
        try:
            try:
                header, payload = self._sealer.open(delivery.body)
                method, arguments = self._understand(delivery.endpoint, header, payload)
            except MessageStale:
                metrics.DEAD_LETTERS.labels(delivery.endpoint.topic).inc()
                self._answer_stale(delivery)
                return
            except (MessageRefused, HostRefused, Undecodable) as error:
                metrics.DEAD_LETTERS.labels(delivery.endpoint.topic).inc()
                LOG.warning("a message for %s was refused: %s", delivery.endpoint.topic, error)
                self._answers.settle(delivery, accepted=False)
                return
            if header.kind == "cast":
                self._answers.settle(delivery, accepted=True)
                context = contextvars.copy_context()
                self._casts.submit(context.run, self._run_cast, header, method, arguments)
                handed_on = True
                return
            answer = self._run_call(header, method, arguments, redelivered=delivery.redelivered)
            self._answers.reply(delivery, header, answer)
        except Exception:
            # Such as the database of keys being away: the broker brings the message again.
            LOG.exception("a message for %s could not be handled", delivery.endpoint.topic)
            time.sleep(1)
            self._answers.settle(delivery, accepted=False, again=True)
        finally:
            if not handed_on:
                self._ended()

    def _understand(
        self, endpoint: Endpoint, header: Header, payload: bytes
    ) -> tuple[Callable[..., Any], list[Any]]:
        """The method and its arguments, if the sender may call it here."""
        row = CALLS.get((header.topic, header.method))
        decoder = endpoint.arguments.get(header.method)
        if row is None or decoder is None or header.topic != endpoint.topic:
            raise Undecodable(f"{header.topic}.{header.method} is not served here")
        if header.receiver != (endpoint.host or CONTROL):
            raise HostRefused(f"It is for {header.receiver or 'the control side'}.")
        if header.kind != ("cast" if row.cast else "call"):
            raise Undecodable(f"{row.method} is no {header.kind}")
        if header.sender != CONTROL and not row.from_host:
            raise HostRefused(f"The host {header.sender} may not call {row.topic}.{row.method}.")
        arguments = decoder.decode(payload)
        if header.sender != CONTROL and arguments[0] != header.sender:
            raise HostRefused(f"The host {header.sender} speaks for {arguments[0]}.")
        return getattr(endpoint.target, header.method), arguments

    def _run_call(
        self, header: Header, method: Callable[..., Any], arguments: list[Any], *, redelivered: bool
    ) -> bytes:
        try:
            if header.sender == CONTROL:
                return encode_result(method(*arguments))
            with self._acting(header.message_id):
                return encode_result(method(*arguments))
        except MessageRepeated as error:
            # Whoever acted on it died before it answered: the host asks again under another id. What
            # comes twice otherwise is somebody else's copy.
            return STALE if redelivered else encode_error(error)
        except HostRefused as error:
            LOG.warning("%s.%s of host %s was refused: %s", header.topic, header.method, header.sender, error)
            return encode_error(error)
        except NovaError as error:
            return encode_error(error)
        except Exception as error:
            LOG.exception("%s.%s failed", header.topic, header.method)
            return encode_error(error)

    def _run_cast(self, header: Header, method: Callable[..., Any], arguments: list[Any]) -> None:
        try:
            method(*arguments)
        except Exception:
            LOG.exception("cast %s.%s failed", header.topic, header.method)
        finally:
            self._ended()

    def _answer_stale(self, delivery: Delivery) -> None:
        """The sender proved who it is, only its clock is wrong: tell it the time."""
        if delivery.reply_to is None:
            self._answers.settle(delivery, accepted=True)
            return
        _sealed, header = look_at(delivery.body)
        self._answers.reply(delivery, header, STALE)
