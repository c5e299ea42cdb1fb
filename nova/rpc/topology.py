# SPDX-License-Identifier: Apache-2.0
"""The exchanges and queues at the broker: their names and their properties, declared by whoever comes first.

The names begin with ``nova.``, so that an older Nova's queues on the same broker are left alone.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

#: What nobody wanted is kept for a week, and no more than so many.
_DEAD_MILLISECONDS = 7 * 86400 * 1000
_DEAD_MOST = 10_000
#: A message that ended so many processes is not handed to a further one.
_DELIVERIES = 10


@dataclasses.dataclass(frozen=True)
class Topology:
    """``prefix`` keeps clouds on one broker apart; ``expires`` is in seconds."""

    prefix: str = "nova"
    quorum: bool = True
    expires: int = 86400

    @property
    def exchange(self) -> str:
        """The exchange of calls and casts."""
        return f"{self.prefix}.rpc"

    @property
    def every_exchange(self) -> str:
        """The exchange of what goes to every process that serves a topic."""
        return f"{self.prefix}.rpc.every"

    @property
    def dead(self) -> str:
        """The exchange, and the queue, of what nobody wanted."""
        return f"{self.prefix}.dead"

    def queue(self, topic: str, host: str | None) -> str:
        """The queue of an address, which is its routing key as well."""
        return f"{self.exchange}.{topic}.{host}" if host else f"{self.exchange}.{topic}"

    def declare(self, channel: Any, done: Callable[[], object]) -> None:
        """Declare what all share, then call ``done``."""
        channel.exchange_declare(self.exchange, exchange_type="direct", durable=True)
        channel.exchange_declare(self.every_exchange, exchange_type="direct", durable=True)
        channel.exchange_declare(self.dead, exchange_type="fanout", durable=True)
        self.count_dead(channel, lambda _count: None)
        channel.queue_bind(self.dead, self.dead, callback=lambda _frame: done())

    def count_dead(self, channel: Any, told: Callable[[int], object]) -> None:
        """Declare the queue of what nobody wanted, which tells how many messages lie there.

        It lies on several brokers too: one that is on a dead broker alone cannot be declared, and no process
        would come to its other queues.
        """
        arguments: dict[str, Any] = {"x-message-ttl": _DEAD_MILLISECONDS, "x-max-length": _DEAD_MOST}
        if self.quorum:
            arguments["x-queue-type"] = "quorum"
        channel.queue_declare(
            self.dead, durable=True, arguments=arguments,
            callback=lambda frame: told(frame.method.message_count),
        )

    def declare_queue(
        self, channel: Any, topic: str, host: str | None, done: Callable[[str], object]
    ) -> None:
        """Declare the queue of an address, then call ``done`` with its name."""
        name = self.queue(topic, host)
        arguments: dict[str, Any] = {"x-dead-letter-exchange": self.dead}
        if self.quorum:
            arguments |= {"x-queue-type": "quorum", "x-delivery-limit": _DELIVERIES}
        if host:
            arguments["x-expires"] = self.expires * 1000
        channel.queue_declare(name, durable=True, arguments=arguments)
        channel.queue_bind(name, self.exchange, routing_key=name, callback=lambda _frame: done(name))

    def declare_every(self, channel: Any, topic: str, done: Callable[[str], object]) -> None:
        """Declare a queue of this connection's own for what goes to every process."""

        def declared(frame: Any) -> None:
            name = frame.method.queue
            channel.queue_bind(
                name, self.every_exchange, routing_key=topic, callback=lambda _frame: done(name)
            )

        channel.queue_declare("", exclusive=True, auto_delete=True, callback=declared)
