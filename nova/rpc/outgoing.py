# SPDX-License-Identifier: Apache-2.0
"""What goes to the broker: kept while there is none, sent again where nobody confirms that it was taken."""

from __future__ import annotations

import collections
import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from typing import Any

import pika

from nova import metrics
from nova.errors import NovaError, ServiceUnavailable
from nova.rpc.calls import Call
from nova.rpc.link import Link

LOG = logging.getLogger(__name__)

REPLY_QUEUE = "amq.rabbitmq.reply-to"

#: Casts kept while there is no broker; the oldest go first. Recovery brings their rows back.
_KEPT = 10_000
#: How long a broker may take to confirm a message. One whose queue changes its leader may forget a message
#: without a word (seen in RabbitMQ 3.10 after the death of another broker): it goes again then.
_CONFIRM_SECONDS = 5.0
#: How long a message waits that a broker could not take, as while a queue has no leader.
_REFUSED_SECONDS = 0.1
#: How long a broker may refuse a message before another connection is tried: a channel may go on to refuse
#: what its queue could take again (RabbitMQ 3.10).
_STUBBORN_SECONDS = 3.0
#: What a broker closes a connection with when it stumbles (AMQP 0-9-1, reply code 541).
_INTERNAL = "INTERNAL_ERROR"


@dataclasses.dataclass
class Outgoing:
    """A message under way. ``row`` is None for answers, which are not asked again."""

    row: Call | None
    receiver: str
    sender: str
    payload: bytes
    exchange: str
    key: str
    body: bytes = b""
    message_id: str = ""
    deadline: float = 0.0
    #: When it was given to the broker last, and since when this connection's broker does not take it.
    published: float = 0.0
    refused: float = 0.0
    #: Sealed answers, or why there is none. Whoever waits opens them: that may take a look at the database,
    #: which the connection's thread must not wait for.
    #: None lets it look at the clock again.
    came: queue.SimpleQueue[bytes | NovaError | None] = dataclasses.field(default_factory=queue.SimpleQueue)
    #: Nobody waits any more.
    over: bool = False
    #: The request that it is from, for the logs.
    request_id: str | None = None

    @property
    def waits(self) -> bool:
        """Whether somebody waits for an answer."""
        return self.row is not None and not self.row.cast


class Outbox:
    """Messages on their way to the broker. All but ``put`` and ``is_empty`` is on the connection's thread.

    ``resend`` is given what has aged: it seals it anew and puts it here again, on a thread of its own.
    """

    def __init__(self, link: Link, resend: Callable[[Sequence[Outgoing]], None]) -> None:
        self._link = link
        self._resend = resend
        self._lock = threading.Lock()
        self._kept: collections.deque[Outgoing] = collections.deque()
        #: Published and not confirmed yet, by delivery tag of the present channel.
        self._unconfirmed: dict[int, Outgoing] = {}
        self._next_tag = 0
        self._channel: Any = None

    def put(self, message: Outgoing) -> None:
        """Keep a message until it is published."""
        with self._lock:
            self._kept.append(message)
            if len(self._kept) > _KEPT:
                dropped = self._kept.popleft().row
                if dropped is not None:
                    metrics.MESSAGES.labels(dropped.topic, dropped.method, "dropped").inc()

    @property
    def is_empty(self) -> bool:
        """Whether the broker has confirmed all."""
        return not self._kept and not self._unconfirmed

    def uses(self, channel: Any) -> bool:
        """Whether this is the channel that messages go over now."""
        return channel is self._channel and bool(channel.is_open)

    def open(self, channel: Any) -> list[Outgoing]:
        """Publish over a new channel from now on; answers what was kept, which has aged."""
        with self._lock:
            self._channel = channel
            self._next_tag = 0
            aged = list(self._kept)
            self._kept.clear()
        self._link.later(1.0, lambda: self.look_for_forgotten(channel))
        return aged

    def lost(self, reason: str) -> None:
        """The connection went: what was not confirmed goes over the next."""
        with self._lock:
            self._channel = None
            # Calls that wait are asked again by themselves.
            again = [message for message in self._unconfirmed.values() if not message.waits]
            poison = next((each for each in again if each.row is None), None)
            if poison is not None and _INTERNAL in reason:
                # An answer to a caller whose broker is dead ends a connection: the first that was not
                # confirmed. Its caller has asked again.
                again.remove(poison)
            self._unconfirmed.clear()
            self._kept.extendleft(reversed(again))

    def publish(self) -> None:
        """Publish all that waits; raises what the first message raised that could not be."""
        with self._lock:
            messages: list[Outgoing] = []
            if self._channel is not None and self._channel.is_open:
                messages = list(self._kept)
                self._kept.clear()
        for place, message in enumerate(messages, 1):
            try:
                self._publish(message)
            except Exception as error:
                # It takes nothing with it: the rest goes over the next connection.
                message.came.put(ServiceUnavailable(f"The message could not be sent: {error}"))
                with self._lock:
                    self._kept.extendleft(reversed(messages[place:]))
                raise

    def _publish(self, message: Outgoing) -> None:
        left = message.deadline - time.monotonic()
        if message.waits and (left <= 0 or message.over):
            return
        properties = pika.BasicProperties(
            message_id=message.message_id, delivery_mode=2, correlation_id=message.request_id,
            type=f"{message.row.topic}.{message.row.method}" if message.row else None,
            reply_to=REPLY_QUEUE if message.waits else None,
            expiration=str(int(left * 1000) + 1) if message.waits else None,
        )
        self._channel.basic_publish(
            message.exchange, message.key, message.body, properties,
            mandatory=message.row is not None and not message.row.every,
        )
        self._next_tag += 1
        message.published = time.monotonic()
        if message.row is not None:
            metrics.MESSAGES.labels(message.row.topic, message.row.method, "sent").inc()
        self._unconfirmed[self._next_tag] = message

    def confirmed(self, frame: Any) -> None:
        """The broker has taken messages (or could not: then they go again)."""
        method = frame.method
        tags = (
            [tag for tag in self._unconfirmed if tag <= method.delivery_tag]
            if method.multiple else [method.delivery_tag]
        )
        for tag in tags:
            message = self._unconfirmed.pop(tag, None)
            if message is not None and isinstance(method, pika.spec.Basic.Nack):
                self._refused(message)

    def _refused(self, message: Outgoing) -> None:
        with self._lock:
            self._kept.append(message)
        message.refused = message.refused or message.published
        if message.published - message.refused > _STUBBORN_SECONDS:
            self._link.reconnect("the broker takes no messages")
        else:
            self._link.later(_REFUSED_SECONDS, self.publish)

    def look_for_forgotten(self, channel: Any) -> None:
        """Send again, and again, what was not confirmed in time."""
        if not self.uses(channel):
            return
        before = time.monotonic() - _CONFIRM_SECONDS
        late = [tag for tag, message in self._unconfirmed.items() if message.published < before]
        if late:
            LOG.warning("the broker did not confirm %d messages; they go again", len(late))
            self._resend([self._unconfirmed.pop(tag) for tag in late])
        self._link.later(1.0, lambda: self.look_for_forgotten(channel))
