# SPDX-License-Identifier: Apache-2.0
"""What the transport does with answers, repetitions and its end, without a broker."""

from __future__ import annotations

import queue
import threading
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import pika
import pytest

from nova.conf.rabbit import RabbitSection
from nova.errors import DatabaseAway, InvalidInput, ServiceUnavailable
from nova.rpc.brokers import parse_transport_url
from nova.rpc.calls import COMPUTE, CONDUCTOR
from nova.rpc.codec import encode_result
from nova.rpc.envelope import Header
from nova.rpc.outgoing import Outgoing
from nova.rpc.plain import PlainSealer
from nova.rpc.rabbit import RabbitSettings, RabbitTransport

_WANTED = ("step_wanted", "node1", 7, "spawn")


class _Sealer(PlainSealer):
    """Notes on which thread messages are opened."""

    def __init__(self) -> None:
        self.threads: list[threading.Thread] = []
        self.error: Exception | None = None

    def open(self, data: bytes) -> tuple[Header, bytes]:
        self.threads.append(threading.current_thread())
        if self.error is not None:
            raise self.error
        return super().open(data)


class _Unconnected(RabbitTransport):
    """Keeps what it would send."""

    def __init__(self, timeout: float = 60.0) -> None:
        self.sealer = _Sealer()
        super().__init__([pika.ConnectionParameters()], self.sealer, RabbitSettings(response_timeout=timeout))
        self.sent: queue.SimpleQueue[Outgoing] = queue.SimpleQueue()

    def _send(self, message: Outgoing) -> None:
        self.sent.put(message)

    def answer(self, message: Outgoing, payload: bytes) -> None:
        """As the connection's thread hands an answer over."""
        request, _ = PlainSealer().open(message.body)
        back = self.sealer.reply_to(request)
        self._answered(
            None, None, pika.BasicProperties(message_id=back.message_id), self.sealer.seal(back, payload)
        )


def _asked(pool: ThreadPoolExecutor, transport: _Unconnected) -> tuple[Future[Any], Outgoing]:
    asked = pool.submit(transport.call, CONDUCTOR, None, *_WANTED)
    return asked, transport.sent.get(timeout=30)


def test_an_answer_is_opened_by_who_waits_and_not_by_the_connection() -> None:
    transport = _Unconnected()
    with ThreadPoolExecutor(1) as pool:
        asked, message = _asked(pool, transport)
        transport.answer(message, encode_result(True))
        assert asked.result(30) is True
    assert threading.current_thread() not in transport.sealer.threads


def test_a_database_that_is_away_fails_the_call_and_not_the_connection() -> None:
    transport = _Unconnected()
    transport.sealer.error = DatabaseAway()
    with ThreadPoolExecutor(1) as pool:
        asked, message = _asked(pool, transport)
        transport.answer(message, encode_result(True))
        with pytest.raises(ServiceUnavailable):
            asked.result(30)


def test_a_stale_message_is_sealed_and_sent_again() -> None:
    transport = _Unconnected()
    with ThreadPoolExecutor(1) as pool:
        asked, message = _asked(pool, transport)
        first = message.message_id
        transport.answer(message, b"stale")
        again = transport.sent.get(timeout=30)
        assert again is message
        assert again.message_id != first
        transport.answer(again, encode_result(False))
        assert asked.result(30) is False
    assert not transport._waiting


def test_a_call_that_was_given_up_is_not_kept_when_it_is_sealed_again() -> None:
    transport = _Unconnected(timeout=0.01)
    with pytest.raises(ServiceUnavailable):
        transport.call(CONDUCTOR, None, *_WANTED)
    transport._seal(transport.sent.get(timeout=30))
    assert not transport._waiting


def test_a_call_after_the_end_does_not_wait() -> None:
    transport = _Unconnected()
    with ThreadPoolExecutor(1) as pool:
        asked, _message = _asked(pool, transport)
        transport.close(0)
        with pytest.raises(ServiceUnavailable, match="ending"):
            asked.result(30)
        with pytest.raises(ServiceUnavailable, match="ending"):
            transport.call(CONDUCTOR, None, *_WANTED)
    assert not transport._waiting


def test_who_waits_when_the_process_ends_waits_no_longer_than_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nova.rpc.ending._LAST_SECONDS", 0.2)
    transport = _Unconnected(timeout=600.0)
    with ThreadPoolExecutor(3) as pool:
        waits, _ = _asked(pool, transport)
        works = pool.submit(transport.call, CONDUCTOR, None, "connect_volumes", "node1", 7, {})
        working = transport.sent.get(timeout=30)
        transport.hurry()
        with pytest.raises(ServiceUnavailable, match="ending"):
            waits.result(timeout=30)
        later, _ = _asked(pool, transport)
        with pytest.raises(ServiceUnavailable, match="ending"):
            later.result(timeout=30)
        # What takes its time by nature still has it, and an answer is one.
        assert not works.done()
        monkeypatch.setattr("nova.rpc.ending._LAST_SECONDS", 60.0)
        answered, message = _asked(pool, transport)
        transport.answer(message, encode_result(True))
        assert answered.result(timeout=30) is True
        transport.answer(working, encode_result([]))
        assert works.result(timeout=30) == []


def test_who_has_patience_waits_on_for_a_peer_that_comes_back_while_there_is_a_broker(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("nova.rpc.ending._LAST_SECONDS", 0.2)
    transport = _Unconnected(timeout=600.0)
    with ThreadPoolExecutor(2) as pool:
        transport._ready.set()
        before, message = _asked(pool, transport)
        transport.hurry(600.0)
        after, later = _asked(pool, transport)
        with pytest.raises(TimeoutError):
            before.result(timeout=0.6)
        transport.answer(message, encode_result(True))
        assert before.result(timeout=30) is True
        # A broker that comes back at once keeps the wait up, one that stays away ends it.
        monkeypatch.setattr("nova.rpc.ending._LAST_SECONDS", 1.0)
        transport._lost("EOF")
        transport._ready.set()
        with pytest.raises(TimeoutError):
            after.result(timeout=1.5)
        transport._lost("EOF")
        with pytest.raises(ServiceUnavailable, match="ending"):
            after.result(timeout=30)
    assert later.over


def test_what_has_aged_is_sealed_anew_and_what_nobody_waits_for_is_dropped() -> None:
    transport = _Unconnected(timeout=0.01)
    with pytest.raises(ServiceUnavailable):
        transport.call(CONDUCTOR, None, *_WANTED)
    given_up = transport.sent.get(timeout=30)
    transport.cast(COMPUTE, "one", "cache_images", [])
    message = transport.sent.get(timeout=30)
    first, message.refused = message.message_id, 1.0
    transport._send_again([given_up, message])
    assert transport.sent.get(timeout=30) is message
    assert message.message_id != first
    assert message.refused == 0.0
    assert transport.sent.empty()


def test_a_password_that_is_not_quoted_is_not_shown() -> None:
    with pytest.raises(InvalidInput) as raised:
        parse_transport_url("rabbit://nova:pass/word@one:5672/", RabbitSection())
    assert "pass" not in str(raised.value)
    assert "pass" not in repr(vars(raised.value))
