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
from nova.rpc.consuming import Consuming
from nova.rpc.ending import Ending
from nova.rpc.envelope import CONTROL, Header, MessageRefused, Sealer
from nova.rpc.link import Link, Retry
from nova.rpc.outgoing import REPLY_QUEUE, Outbox, Outgoing
from nova.rpc.serving import STALE, Delivery, Endpoint, Reception
from nova.rpc.topology import Topology

LOG = logging.getLogger(__name__)

_SERVE_SECONDS = 10.0
#: Calls whose work takes longer than the usual have their own time even when the process ends.
_USUAL_SECONDS = 60.0
_ENDING = "The service is ending."


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
        self._lock = threading.Lock()
        self._flushing = False
        #: Calls that wait, by each message id they went under.
        self._waiting: dict[str, Outgoing] = {}
        self._ready = threading.Event()
        self._closed = threading.Event()
        self._ending = Ending()
        self._reception = Reception(sealer, self, acting, settings.threads)
        self._link = Link(brokers, settings.retry, opened=self._opened, lost=self._lost)
        self._outbox = Outbox(self._link, self._on_a_thread)
        self._consuming = Consuming(
            self._link, self._topology, self._reception.take, prefetch=2 * settings.threads
        )

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

    def dead(self) -> Sequence[str]:
        """The connection's thread, where it should live and does not."""
        return () if self._link.is_alive else ("broker",)

    def serve(self, topic: str, host: str | None, endpoint: object) -> None:
        """Let ``endpoint``'s methods be called; they must say the types of their arguments.

        Returns when the queue is there, so that who hears of the service next can reach it; at once where
        the broker is away.
        """
        made = Endpoint(topic, host, endpoint)
        if self._consuming.add(made):
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

    def _wait(self, message: Outgoing) -> bytes | None:
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

    def _latest(self, message: Outgoing, began: float) -> float:
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

    def _look_again(self) -> None:
        for message in self._askers():
            message.came.put(None)

    def _askers(self) -> list[Outgoing]:
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
        while not self._outbox.is_empty and self._link.is_open and time.monotonic() < deadline:
            time.sleep(0.01)
        self._link.stop()
        self._reception.close()

    def stop_serving(self, timeout: float) -> None:
        """Take no more messages, and let those that run end for at most ``timeout`` seconds."""
        self._consuming.stop()
        self._reception.wait_idle(timeout)

    # --- sending ---------------------------------------------------------------------------------------

    def _message(self, row: Call, host: str | None, args: Sequence[Any]) -> Outgoing:
        sender = CONTROL
        if row.from_host and args and args[0] is not None:
            sender = str(args[0])
        return Outgoing(
            row=row, receiver=host or CONTROL, sender=sender, payload=encode_arguments(args),
            exchange=self._topology.every_exchange if row.every else self._topology.exchange,
            key=row.topic if row.every else self._topology.queue(row.topic, host),
            request_id=log.current_request_id(),
        )

    def _seal(self, message: Outgoing) -> None:
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

    def _send(self, message: Outgoing) -> None:
        self._outbox.put(message)
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
        # Taken first, as the answers to these are in the outbox by now.
        settled = self._consuming.take_settled()
        self._outbox.publish()
        self._consuming.tell(settled)

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

    def _open_answer(self, message: Outgoing, body: bytes) -> bytes | None:
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
        self._consuming.lost()
        self._outbox.lost(reason)
        self._flushing = False

    def _publisher_open(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._returned)

        def ready(_frame: Any) -> None:
            # Taken before anything else is sent: it has aged, and would be refused as it is.
            asked = self._askers()
            aged = {id(message): message for message in (*asked, *self._outbox.open(channel))}
            self._ready.set()
            self._count_dead(channel)
            self._on_a_thread(list(aged.values()))

        def declared() -> None:
            channel.basic_consume(REPLY_QUEUE, self._answered, auto_ack=True, callback=ready)

        channel.confirm_delivery(
            self._outbox.confirmed, callback=lambda _frame: self._topology.declare(channel, declared)
        )

    def _consumer_open(self, channel: Any) -> None:
        channel.add_on_close_callback(self._channel_closed)
        self._consuming.open(channel)

    def _channel_closed(self, channel: Any, reason: Any) -> None:
        if channel.connection.is_open and not self._closed.is_set():
            LOG.error("the broker closed a channel: %s", reason)
            self._link.later(1.0, lambda: self._link.reconnect(str(reason)))

    def _count_dead(self, channel: Any) -> None:
        """Look again and again how much lies where refused messages go. On the connection's thread."""
        seconds = self._settings.count_dead
        if seconds and self._outbox.uses(channel):
            self._topology.count_dead(channel, metrics.DEAD_LETTER_DEPTH.set)
            self._link.later(seconds, lambda: self._count_dead(channel))

    def _on_a_thread(self, aged: Sequence[Outgoing]) -> None:
        """Sealing may look at the database, which the connection's thread must not wait for."""
        threading.Thread(target=self._send_again, args=(aged,), name="send-again", daemon=True).start()

    def _send_again(self, aged: Sequence[Outgoing]) -> None:
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

    # --- answering ------------------------------------------------------------------------------------

    def reply(self, delivery: Delivery, header: Header, answer: bytes) -> None:
        """Send the answer to a message, where one is waited for, and acknowledge it."""
        if delivery.reply_to is not None:
            back = self._sealer.reply_to(header)
            self._send(Outgoing(
                row=None, receiver=back.receiver, sender=back.sender, payload=b"", exchange="",
                key=delivery.reply_to, body=self._sealer.seal(back, answer), message_id=back.message_id,
            ))
        self.settle(delivery, accepted=True)

    def settle(self, delivery: Delivery, *, accepted: bool, again: bool = False) -> None:
        """Acknowledge, or hand back, or let the message go where refused ones are kept."""
        self._consuming.settle((delivery, accepted, again))
        self._wake()


def _row(topic: str, method: str) -> Call:
    row = CALLS.get((topic, method))
    if row is None:
        raise LookupError(f"{topic}.{method} is not in the table of remote calls")
    return row
