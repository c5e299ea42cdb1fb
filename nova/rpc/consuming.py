# SPDX-License-Identifier: Apache-2.0
"""The queues that this process serves: consumed over each new connection, acknowledged when work is done."""

from __future__ import annotations

import collections
import logging
import threading
from collections.abc import Callable
from typing import Any

from nova.rpc.link import Link
from nova.rpc.serving import Delivery, Endpoint
from nova.rpc.topology import Topology

LOG = logging.getLogger(__name__)

#: A message that was handled: whether it was accepted, and where not, whether it comes again.
Settlement = tuple[Delivery, bool, bool]


class Consuming:
    """What is served, over which channel; ``take`` gets what comes, on the connection's thread."""

    def __init__(
        self, link: Link, topology: Topology, take: Callable[[Delivery], None], prefetch: int
    ) -> None:
        self._link = link
        self._topology = topology
        self._take = take
        self._prefetch = prefetch
        self._lock = threading.Lock()
        self._endpoints: list[Endpoint] = []
        self._settlements: collections.deque[Settlement] = collections.deque()
        self._channel: Any = None
        self._by_tag: dict[str, Endpoint] = {}

    def add(self, endpoint: Endpoint) -> bool:
        """Serve an endpoint, over every connection; whether there is one now."""
        with self._lock:
            self._endpoints.append(endpoint)
        return self._link.post(lambda: self._consume(endpoint))

    def stop(self) -> None:
        """Serve nothing any more."""
        with self._lock:
            self._endpoints.clear()
        self._link.post(self._cancel)

    def settle(self, settlement: Settlement) -> None:
        """Keep what has become of a message until it is told."""
        with self._lock:
            self._settlements.append(settlement)

    def take_settled(self) -> list[Settlement]:
        """What was settled until now; it is not kept any more."""
        with self._lock:
            settled = list(self._settlements)
            self._settlements.clear()
        return settled

    # --- on the connection's thread ------------------------------------------------------------------

    def tell(self, settled: list[Settlement]) -> None:
        """Acknowledge, or hand back, or let go where refused messages are kept."""
        for delivery, accepted, again in settled:
            if delivery.channel.is_open and delivery.channel is self._channel:
                if accepted:
                    delivery.channel.basic_ack(delivery.tag)
                else:
                    delivery.channel.basic_reject(delivery.tag, requeue=again)

    def open(self, channel: Any) -> None:
        """Serve all over a new channel."""
        channel.add_on_cancel_callback(self._cancelled)
        channel.basic_qos(prefetch_count=self._prefetch)
        with self._lock:
            self._channel = channel
            endpoints = list(self._endpoints)

        def declared() -> None:
            for each in endpoints:
                self._consume(each)

        self._topology.declare(channel, declared)

    def lost(self) -> None:
        """The connection went: what was not acknowledged comes again, here or elsewhere."""
        with self._lock:
            self._channel = None
            self._by_tag.clear()
            self._settlements.clear()

    def _consume(self, endpoint: Endpoint) -> None:
        channel = self._channel
        if channel is None or not channel.is_open or endpoint in self._by_tag.values():
            return

        def on_message(_channel: Any, method: Any, properties: Any, body: bytes) -> None:
            self._take(
                Delivery(
                    endpoint, channel, method.delivery_tag, body, properties.reply_to,
                    properties.correlation_id, method.redelivered,
                )
            )

        def consume(queue: str) -> None:
            if channel.is_open and endpoint not in self._by_tag.values():
                tag = channel.basic_consume(
                    queue, on_message, callback=lambda _frame: endpoint.consumed.set()
                )
                self._by_tag[tag] = endpoint

        if endpoint.every:
            self._topology.declare_every(channel, endpoint.topic, consume)
        else:
            self._topology.declare_queue(channel, endpoint.topic, endpoint.host, consume)

    def _cancelled(self, frame: Any) -> None:
        """The broker serves a queue no more, as when somebody deleted it: it is made and served anew."""
        endpoint = self._by_tag.pop(frame.method.consumer_tag, None)
        if endpoint is not None and endpoint in self._endpoints:
            LOG.warning("the broker ended the queue of %s; it is made anew", endpoint.topic)
            self._link.later(1.0, lambda: self._consume(endpoint))

    def _cancel(self) -> None:
        channel = self._channel
        if channel is not None and channel.is_open:
            for tag in list(self._by_tag):
                channel.basic_cancel(tag)
        self._by_tag.clear()
