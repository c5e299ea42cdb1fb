# SPDX-License-Identifier: Apache-2.0
"""What becomes of messages that the broker cannot take, forgets, or ends a connection for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pika
import pytest

from nova.rpc.calls import CALLS, COMPUTE
from nova.rpc.link import Link, Retry
from nova.rpc.outgoing import Outbox, Outgoing


class _Channel:
    """A channel that cannot send one kind of message."""

    is_open = True

    def __init__(self) -> None:
        self.sent: list[str] = []

    def basic_publish(
        self, _exchange: str, key: str, _body: bytes, _properties: Any, mandatory: bool
    ) -> None:
        if key == "too long":
            raise ValueError("too long")
        self.sent.append(key)


class _Loop:
    """Runs what is to be run later when it is told to."""

    def __init__(self) -> None:
        self.ioloop = self
        self.later: list[Callable[[], None]] = []

    def call_later(self, _seconds: float, work: Callable[[], None]) -> None:
        self.later.append(work)

    def run(self) -> None:
        due, self.later = self.later, []
        for work in due:
            work()


class _Opened:
    """An outbox with a channel; what it wants sealed anew is kept."""

    def __init__(self) -> None:
        self.resent: list[Outgoing] = []
        self.link = Link([pika.ConnectionParameters()], Retry(), opened=lambda _: None, lost=lambda _: None)
        self.loop = self.link._connection = _Loop()
        self.outbox = Outbox(self.link, self.resent.extend)
        self.channel = _Channel()
        assert self.outbox.open(self.channel) == []

    def publish(self, *keys: str) -> None:
        for key in keys:
            self.outbox.put(_cast(key))
        self.outbox.publish()

    def refuse(self, tag: int) -> None:
        self.outbox.confirmed(pika.frame.Method(1, pika.spec.Basic.Nack(delivery_tag=tag)))


def _cast(key: str) -> Outgoing:
    row = CALLS[COMPUTE, "cache_images"]
    return Outgoing(row=row, receiver="", sender="", payload=b"", exchange="", key=key)


def _answer(key: str) -> Outgoing:
    return Outgoing(row=None, receiver="", sender="", payload=b"", exchange="", key=key)


def test_a_message_is_kept_until_there_is_a_channel_and_gone_once_it_is_confirmed() -> None:
    link = Link([pika.ConnectionParameters()], Retry(), opened=lambda _: None, lost=lambda _: None)
    link._connection = _Loop()
    outbox, message = Outbox(link, lambda _: None), _cast("one")
    outbox.put(message)
    outbox.publish()
    assert not outbox.is_empty
    channel = _Channel()
    # It has aged: whoever opens the channel seals it anew and puts it back.
    assert outbox.open(channel) == [message]
    outbox.put(message)
    outbox.publish()
    assert channel.sent == ["one"]
    assert not outbox.is_empty
    outbox.confirmed(pika.frame.Method(1, pika.spec.Basic.Ack(delivery_tag=1, multiple=True)))
    assert outbox.is_empty


def test_a_message_that_cannot_be_published_takes_no_other_with_it() -> None:
    opened = _Opened()
    with pytest.raises(ValueError, match="too long"):
        opened.publish("one", "too long", "three")
    opened.outbox.publish()
    assert opened.channel.sent == ["one", "three"]


def test_a_message_that_the_broker_could_not_take_goes_again_after_a_moment() -> None:
    opened = _Opened()
    opened.publish("one")
    opened.refuse(1)
    assert opened.channel.sent == ["one"]
    opened.loop.run()
    assert opened.channel.sent == ["one", "one"]


def test_a_broker_that_goes_on_refusing_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = _Opened()
    opened.publish("one")
    monkeypatch.setattr("nova.rpc.outgoing._STUBBORN_SECONDS", 0.0)
    why: list[str] = []
    monkeypatch.setattr(opened.link, "reconnect", why.append)
    opened.refuse(1)
    assert why == []
    opened.loop.run()
    opened.refuse(2)
    assert (len(why), opened.channel.sent) == (1, ["one", "one"])
    # It goes over the next connection.
    assert [each.key for each in opened.outbox.open(_Channel())] == ["one"]


def test_a_message_that_the_broker_forgot_goes_again(monkeypatch: pytest.MonkeyPatch) -> None:
    opened = _Opened()
    opened.publish("one")
    opened.loop.run()
    assert opened.resent == []
    monkeypatch.setattr("nova.rpc.outgoing._CONFIRM_SECONDS", 0.0)
    opened.loop.run()
    assert [each.key for each in opened.resent] == ["one"]
    assert opened.outbox.is_empty
    # A channel that is not the present one is looked at no more.
    opened.outbox.lost("EOF")
    opened.loop.run()
    assert opened.loop.later == []


@pytest.mark.parametrize(("reason", "kept"), [("(541, 'INTERNAL_ERROR')", ["two"]), ("EOF", ["one", "two"])])
def test_an_answer_that_ends_the_connection_is_not_sent_over_the_next(reason: str, kept: list[str]) -> None:
    opened = _Opened()
    for key in ("one", "two"):
        opened.outbox.put(_answer(key))
    opened.outbox.publish()
    opened.outbox.lost(reason)
    assert [each.key for each in opened.outbox.open(_Channel())] == kept
