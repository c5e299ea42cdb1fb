# SPDX-License-Identifier: Apache-2.0
"""The transport over RabbitMQ: quorum queues, answers by direct reply-to, refused messages dead-lettered.

    nova.rpc              the exchange of all calls; an address's queue is nova.rpc.TOPIC[.HOST]
    nova.rpc.every        the exchange of what goes to every process; each has a queue of its own
    nova.dead             where what was refused, expired or could not be delivered often enough ends up

A message is acknowledged when its work is done and answered (a cast: when it was taken up, as the row it is
about is what counts). So a process that dies gives its calls to the next one. A caller whose connection
went asks again over the new one, until its time is over: calls may be carried out twice and are made for it.
"""

from __future__ import annotations

import collections
import contextlib
import dataclasses
import logging
import queue
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from typing import Any

import pika

from nova import log, metrics
from nova.errors import NovaError, ServiceUnavailable
from nova.rpc.calls import CALLS, Call
from nova.rpc.codec import Results, encode_arguments
from nova.rpc.ending import Ending
from nova.rpc.envelope import CONTROL, Header, MessageRefused, Sealer
from nova.rpc.link import Link, Retry
from nova.rpc.serving import STALE, Delivery, Endpoint, Reception
from nova.rpc.topology import Topology

LOG = logging.getLogger(__name__)

#: Casts kept while there is no broker; the oldest go first. Recovery brings their rows back.
_KEPT = 10_000
_SERVE_SECONDS = 10.0
#: How long a broker may take to confirm a message. One whose queue changes its leader may forget a message
#: without a word (seen in RabbitMQ 3.10 after the death of another broker): it goes again then.
_CONFIRM_SECONDS = 5.0
#: How long a message waits that a broker could not take, as while a queue has no leader.
_REFUSED_SECONDS = 0.1
#: How long a broker may refuse a message before another connection is tried: a channel may go on to refuse
#: what its queue could take again (RabbitMQ 3.10).
_STUBBORN_SECONDS = 3.0
#: Calls whose work takes longer than the usual have their own time even when the process ends.
_USUAL_SECONDS = 60.0
_REPLY_QUEUE = "amq.rabbitmq.reply-to"


@dataclasses.dataclass(frozen=True)
class RabbitSettings:
    """How the transport behaves; ``response_timeout`` is for calls that set none of their own.

    Every ``count_dead`` seconds it asks how many messages nobody could take; 0 never.
    """

    retry: Retry = dataclasses.field(default_factory=Retry)
    topology: Topology = dataclasses.field(default_factory=Topology)
    threads: int = 16
    response_timeout: float = 60.0
    count_dead: float = 0.0


@dataclasses.dataclass
class _Outgoing:
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


class RabbitTransport:
    """Carries calls and casts over a RabbitMQ cluster. ``start`` begins; nothing blocks but ``call``.

    ``acting`` is entered with the id of a host's message around the method that it calls.
    """

    def __init__(
        self,
        brokers: Sequence[pika.ConnectionParameters],
        sealer: Sealer,
        settings: RabbitSettings,
        acting: Callable[[str], AbstractContextManager[None]] = lambda _id: contextlib.nullcontext(),
    ) -> None:
        self._sealer = sealer
        self._settings = settings
        self._topology = settings.topology
        self._results = {key: Results(row) for key, row in CALLS.items()}
        self._endpoints: list[Endpoint] = []
        self._lock = threading.Lock()
        self._outbox: collections.deque[_Outgoing] = collections.deque()
        self._flushing = False
        #: What was handled and is not acknowledged yet: accepted, and where not, whether it comes again.
        self._settlements: collections.deque[tuple[Delivery, bool, bool]] = collections.deque()
        #: Calls that wait, by each message id they went under.
        self._waiting: dict[str, _Outgoing] = {}
        #: Published and not confirmed yet, by delivery tag of the present channel.
        self._unconfirmed: dict[int, _Outgoing] = {}
        self._next_tag = 0
        self._publisher: Any = None
        self._consumer: Any = None
        self._consuming: dict[str, Endpoint] = {}
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._ending = Ending()
        self._reception = Reception(sealer, self, acting, settings.threads)
        self._link = Link(brokers, settings.retry, opened=self._opened, lost=self._lost)

    # --- what services use -----------------------------------------------------------------------------

    def start(self) -> None:
        """Begin to connect; what is asked meanwhile waits."""
        self._link.start()

    def wait_ready(self, timeout: float) -> bool:
        """Whether there is a connection within ``timeout`` seconds."""
        return self._ready.wait(timeout)

    @property
    def is_connected(self) -> bool:
        """Whether messages go out now."""
        return self._ready.is_set()

    def serve(self, topic: str, host: str | None, endpoint: object) -> None:
        """Let ``endpoint``'s methods be called; they must say the types of their arguments.

        Returns when the queue is there, so that who hears of the service next can reach it; at once where
        the broker is away.
        """
        made = Endpoint(topic, host, endpoint)
        with self._lock:
            self._endpoints.append(made)
        if self._link.post(lambda: self._consume(made)):
            made.consumed.wait(_SERVE_SECONDS)

    def call(self, topic: str, host: str | None, method: str, /, *args: Any) -> Any:
        """Call and wait; asks again over a new connection where the present one is lost."""
        row = _row(topic, method)
        timeout = self._settings.response_timeout if row.timeout == _USUAL_SECONDS else row.timeout
        message = self._message(row, host, args)
        message.deadline = time.monotonic() + timeout
        try:
            self._seal(message)
            if self._closed.is_set():
                raise ServiceUnavailable(_ENDING)
            self._send(message)
            answer = self._wait(message)
            if answer is None:
                metrics.MESSAGES.labels(topic, method, "timeout").inc()
                raise ServiceUnavailable(self._silence(row, host, timeout))
        finally:
            with self._lock:
                message.over = True
                for message_id in [key for key, each in self._waiting.items() if each is message]:
                    del self._waiting[message_id]
        return self._results[topic, method].decode(answer)

    def _wait(self, message: _Outgoing) -> bytes | None:
        """The answer, opened; None where none came in time."""
        began = time.monotonic()
        while True:
            try:
                came = message.came.get(timeout=max(0.0, self._latest(message, began) - time.monotonic()))
            except queue.Empty:
                if self._latest(message, began) <= time.monotonic():
                    return None
                came = None
            if isinstance(came, NovaError):
                raise came
            answer = None if came is None else self._open_answer(message, came)
            if answer is not None:
                return answer

    def _latest(self, message: _Outgoing, began: float) -> float:
        """Until when an answer is waited for, as things stand now."""
        if message.row is not None and message.row.timeout > _USUAL_SECONDS:
            return message.deadline
        return self._ending.latest(message.deadline, began, connected=self._ready.is_set())

    def cast(self, topic: str, host: str | None, method: str, /, *args: Any) -> None:
        """Wake somebody up; kept for the next connection where there is none now."""
        if self._closed.is_set():
            return
        message = self._message(_row(topic, method), host, args)
        try:
            self._seal(message)
        except MessageRefused as error:
            LOG.warning("cast %s.%s to %s was not sent: %s", topic, method, host or "any", error.message)
            return
        self._send(message)

    def now(self) -> float:
        """The control side's time, whatever this machine's clock says."""
        return self._sealer.now()

    def hurry(self, patience: float = 0.0) -> None:
        """The process ends: nothing waits long any more for a broker or a peer that may be gone.

        An answer may still come for ``patience`` seconds, as long as there is a broker that can bring it.
        """
        self._ending.begin(patience)
        self._look_again()

    @property
    def is_waiting(self) -> bool:
        """Whether a call waits for its answer."""
        return bool(self._waiting)

    def _look_again(self) -> None:
        for message in self._askers():
            message.came.put(None)

    def _askers(self) -> list[_Outgoing]:
        """The calls that wait, each once."""
        with self._lock:
            return list({id(each): each for each in self._waiting.values()}.values())

    def close(self, timeout: float = 10.0) -> None:
        """Take nothing new, let what runs end for at most ``timeout`` seconds, disconnect.

        What was not begun goes to others; what did not end is taken up by them when its time is over.
        """
        self.stop_serving(timeout)
        self._closed.set()
        waiting = self._askers()
        for message in waiting:
            message.came.put(ServiceUnavailable(_ENDING))
        if waiting:
            LOG.debug("%d calls were given up at the end", len(waiting))
        deadline = time.monotonic() + 2.0
        while (self._outbox or self._unconfirmed) and self._link.is_open and time.monotonic() < deadline:
            time.sleep(0.01)
        self._link.stop()
        self._reception.close()

    def stop_serving(self, timeout: float) -> None:
        """Take no more messages, and let those that run end for at most ``timeout`` seconds."""
        with self._lock:
            self._endpoints.clear()
        self._link.post(self._cancel)
        self._reception.wait_idle(timeout)

    # --- sending ---------------------------------------------------------------------------------------

    def _message(self, row: Call, host: str | None, args: Sequence[Any]) -> _Outgoing:
        sender = CONTROL
        if row.from_host and args and args[0] is not None:
            sender = str(args[0])
        return _Outgoing(
            row=row, receiver=host or CONTROL, sender=sender, payload=encode_arguments(args),
            exchange=self._topology.every_exchange if row.every else self._topology.exchange,
            key=row.topic if row.every else self._topology.queue(row.topic, host),
            request_id=log.current_request_id(),
        )

    def _seal(self, message: _Outgoing) -> None:
        """Seal, under a new id."""
        assert message.row is not None
        header = self._sealer.header(
            "cast" if message.row.cast else "call", message.sender, message.receiver,
            message.row.topic, message.row.method,
        )
        message.body = self._sealer.seal(header, message.payload)
        message.message_id = header.message_id
        if message.waits:
            with self._lock:
                if not message.over:
                    self._waiting[header.message_id] = message

    def _send(self, message: _Outgoing) -> None:
        with self._lock:
            self._outbox.append(message)
            if len(self._outbox) > _KEPT:
                dropped = self._outbox.popleft().row
                if dropped is not None:
                    metrics.MESSAGES.labels(dropped.topic, dropped.method, "dropped").inc()
        self._wake()

    def _wake(self) -> None:
        """Let the connection's thread look; one wake-up serves all that comes until it does."""
        with self._lock:
            if self._flushing or not self._link.is_open:
                return
            self._flushing = True
        if not self._link.post(self._flush):
            self._flushing = False

    def _flush(self) -> None:
        """Publish all that waits, then acknowledge what is done. On the connection's thread."""
        with self._lock:
            self._flushing = False
            settlements = list(self._settlements)
            self._settlements.clear()
            messages: list[_Outgoing] = []
            if self._publisher is not None and self._publisher.is_open:
                messages = list(self._outbox)
                self._outbox.clear()
        for place, message in enumerate(messages, 1):
            try:
                self._publish(message)
            except Exception as error:
                # It takes nothing with it: the rest goes over the next connection.
                message.came.put(ServiceUnavailable(f"The message could not be sent: {error}"))
                with self._lock:
                    self._outbox.extendleft(reversed(messages[place:]))
                raise
        for delivery, accepted, again in settlements:
            if delivery.channel.is_open and delivery.channel is self._consumer:
                if accepted:
                    delivery.channel.basic_ack(delivery.tag)
                else:
                    delivery.channel.basic_reject(delivery.tag, requeue=again)

    def _publish(self, message: _Outgoing) -> None:
        left = message.deadline - time.monotonic()
        if message.waits and (left <= 0 or message.over):
            return
        properties = pika.BasicProperties(
            message_id=message.message_id, delivery_mode=2, correlation_id=message.request_id,
            type=f"{message.row.topic}.{message.row.method}" if message.row else None,
            reply_to=_REPLY_QUEUE if message.waits else None,
            expiration=str(int(left * 1000) + 1) if message.waits else None,
        )
        self._publisher.basic_publish(
            message.exchange, message.key, message.body, properties,
            mandatory=message.row is not None and not message.row.every,
        )
        self._next_tag += 1
        message.published = time.monotonic()
        if message.row is not None:
            metrics.MESSAGES.labels(message.row.topic, message.row.method, "sent").inc()
        self._unconfirmed[self._next_tag] = message

    def _confirmed(self, frame: Any) -> None:
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

    def _refused(self, message: _Outgoing) -> None:
        with self._lock:
            self._outbox.append(message)
        message.refused = message.refused or message.published
        if message.published - message.refused > _STUBBORN_SECONDS:
            self._link.reconnect("the broker takes no messages")
        else:
            self._link.later(_REFUSED_SECONDS, self._flush)

    def _look_for_forgotten(self, channel: Any) -> None:
        """Send again, and again, what was not confirmed in time. On the connection's thread."""
        if channel is not self._publisher or not channel.is_open:
            return
        before = time.monotonic() - _CONFIRM_SECONDS
        late = [tag for tag, message in self._unconfirmed.items() if message.published < before]
        if late:
            LOG.warning("the broker did not confirm %d messages; they go again", len(late))
            self._on_a_thread([self._unconfirmed.pop(tag) for tag in late])
        self._link.later(1.0, lambda: self._look_for_forgotten(channel))

    def _returned(self, _channel: Any, _method: Any, properties: Any, _body: bytes) -> None:
        """Nobody has ever served that address."""
        topic, _, method = (properties.type or "").partition(".")
        metrics.MESSAGES.labels(topic, method, "unroutable").inc()
        with self._lock:
            message = self._waiting.get(properties.message_id)
        if message is None:
            LOG.debug("cast %s went to nobody", properties.type)
            return
        message.came.put(ServiceUnavailable(
            f"Nobody serves {message.row.topic if message.row else ''} on "
            f"{'host ' + message.receiver if message.receiver else 'any host'}."
        ))

    def _answered(self, _channel: Any, _method: Any, properties: Any, body: bytes) -> None:
        """An answer came, by what it says of itself; the thread that waits for it finds out."""
        with self._lock:
            message = self._waiting.get(properties.message_id)
        if message is not None:
            message.came.put(body)

    def _open_answer(self, message: _Outgoing, body: bytes) -> bytes | None:
        """What an answer says; None where it is none to this message, or tells to ask again."""
        try:
            header, payload = self._sealer.open(body)
        except MessageRefused as error:
            metrics.DEAD_LETTERS.labels("reply").inc()
            LOG.warning("an answer was refused: %s", error.message)
            return None
        with self._lock:
            asked = self._waiting.get(header.message_id) is message
        if (
            not asked or message.row is None or header.kind != "reply"
            or header.sender != message.receiver
            or (header.topic, header.method) != (message.row.topic, message.row.method)
        ):
            return None
        self._sealer.learn(header)
        if payload == STALE:
            # Our clock was wrong (it has just been set), or whoever had the message went before it answered.
            self._seal(message)
            self._send(message)
            return None
        return payload

    def _silence(self, row: Call, host: str | None, timeout: float) -> str:
        if self._ending.is_near:
            return _ENDING
        if not self._ready.is_set():
            return "The message broker cannot be reached now; try again."
        where = f"on host {host} " if host else ""
        return f"{row.topic} {where}did not answer {row.method} within {timeout:.0f} seconds."

    # --- the connection --------------------------------------------------------------------------------

    def _opened(self, connection: Any) -> None:
        """A new connection: two channels, the topology, the consumers. On the connection's thread."""
        connection.channel(on_open_callback=self._publisher_open)
        connection.channel(on_open_callback=self._consumer_open)

    def _lost(self, reason: str) -> None:
        self._ending.broker_went()
        self._ready.clear()
        self._look_again()
        with self._lock:
            self._publisher = self._consumer = None
            self._consuming.clear()
            self._settlements.clear()
            # Calls that wait are asked again by themselves.
            again = [message for message in self._unconfirmed.values() if not message.waits]
            poison = next((each for each in again if each.row is None), None)
            if poison is not None and _INTERNAL in reason:
                # An answer to a caller whose broker is dead ends a connection: the first that was not
                # confirmed. Its caller has asked again.
                again.remove(poison)
            self._unconfirmed.clear()
            self._outbox.extendleft(reversed(again))
            self._flushing = False

    def _publisher_open(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)
        self._next_tag = 0

        def ready(_frame: Any) -> None:
            with self._lock:
                self._publisher = channel
                # Taken before anything else is sent: it has aged, and would be refused as it is.
                aged = list({id(each): each for each in (*self._waiting.values(), *self._outbox)}.values())
                self._outbox.clear()
            self._ready.set()
            self._count_dead(channel)
            self._on_a_thread(aged)
            self._link.later(1.0, lambda: self._look_for_forgotten(channel))

        def declared() -> None:
            channel.basic_consume(_REPLY_QUEUE, self._answered, auto_ack=True, callback=ready)

        channel.confirm_delivery(
            self._confirmed, callback=lambda _frame: self._topology.declare(channel, declared)
        )

    def _count_dead(self, channel: Any) -> None:
        """Look again and again how much lies where refused messages go. On the connection's thread."""
        seconds = self._settings.count_dead
        if seconds and channel is self._publisher and channel.is_open:
            self._topology.count_dead(channel, metrics.DEAD_LETTER_DEPTH.set)
            self._link.later(seconds, lambda: self._count_dead(channel))

    def _on_a_thread(self, aged: Sequence[_Outgoing]) -> None:
        """Sealing may look at the database, which the connection's thread must not wait for."""
        threading.Thread(target=self._send_again, args=(aged,), name="send-again", daemon=True).start()

    def _send_again(self, aged: Sequence[_Outgoing]) -> None:
        """What a lost connection or a broker has forgotten is sealed anew, as it has aged, and sent."""
        now = time.monotonic()
        for message in aged:
            message.refused = 0.0
            if message.row is None or not message.waits or message.deadline > now:
                try:
                    if message.row is not None:
                        self._seal(message)
                except Exception:
                    LOG.warning("a message could not be sealed again", exc_info=True)
                    continue
                self._send(message)
        self._link.post(self._flush)

    def _consumer_open(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_cancel_callback(self._cancelled)
        channel.basic_qos(prefetch_count=2 * self._settings.threads)
        with self._lock:
            self._consumer = channel
            endpoints = list(self._endpoints)

        def declared() -> None:
            for each in endpoints:
                self._consume(each)

        self._topology.declare(channel, declared)

    def _channel_closed(self, channel: Any, reason: Any) -> None:
        if channel.connection.is_open and not self._closed.is_set():
            LOG.error("the broker closed a channel: %s", reason)
            self._link.later(1.0, lambda: self._link.reconnect(str(reason)))

    def _consume(self, endpoint: Endpoint) -> None:
        channel = self._consumer
        if channel is None or not channel.is_open or endpoint in self._consuming.values():
            return

        def on_message(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            self._reception.take(
                Delivery(
                    endpoint, channel, method.delivery_tag, body, properties.reply_to,
                    properties.correlation_id, method.redelivered,
                )
            )

        def consume(queue: str) -> None:
            if channel.is_open and endpoint not in self._consuming.values():
                tag = channel.basic_consume(
                    queue, on_message, callback=lambda _frame: endpoint.consumed.set()
                )
                self._consuming[tag] = endpoint

        if endpoint.every:
            self._topology.declare_every(channel, endpoint.topic, consume)
        else:
            self._topology.declare_queue(channel, endpoint.topic, endpoint.host, consume)

    def _cancelled(self, frame: Any) -> None:
        """The broker serves a queue no more, as when somebody deleted it: it is made and served anew."""
        endpoint = self._consuming.pop(frame.method.consumer_tag, None)
        if endpoint is not None and endpoint in self._endpoints:
            LOG.warning("the broker ended the queue of %s; it is made anew", endpoint.topic)
            self._link.later(1.0, lambda: self._consume(endpoint))

    def _cancel(self) -> None:
        channel = self._consumer
        if channel is not None and channel.is_open:
            for tag in list(self._consuming):
                channel.basic_cancel(tag)
        self._consuming.clear()

    # --- answering ------------------------------------------------------------------------------------

    def reply(self, delivery: Delivery, header: Header, answer: bytes) -> None:
        """Send the answer to a message, where one is waited for, and acknowledge it."""
        if delivery.reply_to is not None:
            back = self._sealer.reply_to(header)
            self._send(_Outgoing(
                row=None, receiver=back.receiver, sender=back.sender, payload=b"", exchange="",
                key=delivery.reply_to, body=self._sealer.seal(back, answer), message_id=back.message_id,
            ))
        self.settle(delivery, accepted=True)

    def settle(self, delivery: Delivery, *, accepted: bool, again: bool = False) -> None:
        """Acknowledge, or hand back, or let the message go where refused ones are kept."""
        with self._lock:
            self._settlements.append((delivery, accepted, again))
        self._wake()


_ENDING = "The service is ending."
#: What a broker closes a connection with when it stumbles (AMQP 0-9-1, reply code 541).
_INTERNAL = "INTERNAL_ERROR"


def _row(topic: str, method: str) -> Call:
    row = CALLS.get((topic, method))
    if row is None:
        raise LookupError(f"{topic}.{method} is not in the table of remote calls")
    return row
