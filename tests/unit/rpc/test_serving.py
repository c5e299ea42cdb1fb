# SPDX-License-Identifier: Apache-2.0
"""What becomes of messages that came: what is answered, and that each is acknowledged once."""

from __future__ import annotations

import contextlib

import msgspec
import pytest

from nova import metrics
from nova.errors import HostRefused, MessageRepeated
from nova.rpc.calls import CALLS, CONDUCTOR
from nova.rpc.codec import Results, encode_arguments
from nova.rpc.envelope import Header, MessageRefused, MessageStale, Sealed
from nova.rpc.plain import PlainSealer
from nova.rpc.serving import STALE, Delivery, Endpoint, Reception

_WANTED = ("step_wanted", "node1", 7, "spawn")


class _Target:
    def __init__(self, error: Exception | None = None) -> None:
        self.error = error

    def step_wanted(self, host: str, operation_id: int, step: str) -> bool:
        if self.error is not None:
            raise self.error
        return (host, operation_id, step) == _WANTED[1:]


class _Refusing(PlainSealer):
    """Lets nothing pass."""

    def __init__(self, error: Exception) -> None:
        self.error = error

    def open(self, data: bytes) -> tuple[Header, bytes]:
        raise self.error


class _Answers:
    """Notes what goes back."""

    def __init__(self) -> None:
        self.replies: list[tuple[Header, bytes]] = []
        self.settled: list[tuple[bool, bool]] = []

    def reply(self, delivery: Delivery, header: Header, answer: bytes) -> None:
        self.replies.append((header, answer))
        self.settle(delivery, accepted=True)

    def settle(self, delivery: Delivery, *, accepted: bool, again: bool = False) -> None:
        self.settled.append((accepted, again))


def _dead_letters() -> float:
    value = metrics.REGISTRY.get_sample_value("nova_messages_dead_lettered_total", {"topic": CONDUCTOR})
    return value or 0.0


def _handled(
    *, sealer: PlainSealer | None = None, error: Exception | None = None, sender: str = "node1",
    redelivered: bool = False, reply_to: str | None = "way back", sealed: bool = False,
    more: tuple[object, ...] = (),
) -> _Answers:
    plain = PlainSealer()
    method, *arguments = _WANTED
    header = plain.header("call", sender, "", CONDUCTOR, method)
    body = plain.seal(header, encode_arguments([*arguments, *more]))
    if sealed:
        body = msgspec.msgpack.encode(Sealed(1, "key", msgspec.msgpack.encode(header), b"", b""))
    answers = _Answers()
    reception = Reception(sealer or plain, answers, lambda _id: contextlib.nullcontext(), 1)
    reception.handle(
        Delivery(Endpoint(CONDUCTOR, None, _Target(error)), None, 1, body, reply_to, None, redelivered)
    )
    reception.close()
    return answers


def test_a_call_is_answered_and_acknowledged_once() -> None:
    answers = _handled()
    ((_header, answer),) = answers.replies
    assert Results(CALLS[CONDUCTOR, "step_wanted"]).decode(answer) is True
    assert answers.settled == [(True, False)]


def test_a_newer_daemon_that_says_more_is_answered() -> None:
    ((_header, answer),) = _handled(more=("new", {"größe": 1})).replies
    assert Results(CALLS[CONDUCTOR, "step_wanted"]).decode(answer) is True


def test_a_host_that_asks_for_what_is_not_its_own_is_named_in_the_log(
    caplog: pytest.LogCaptureFixture
) -> None:
    ((_header, answer),) = _handled(error=HostRefused("Operation 7 is elsewhere.")).replies
    with pytest.raises(HostRefused, match="elsewhere"):
        Results(CALLS[CONDUCTOR, "step_wanted"]).decode(answer)
    (record,) = caplog.records
    assert record.levelname == "WARNING"
    assert "conductor.step_wanted of host node1 was refused: Operation 7 is elsewhere." in caplog.text


def test_a_host_whose_conductor_died_before_it_answered_asks_again_and_is_not_refused() -> None:
    answers = _handled(error=MessageRepeated("node1 7 spawn"), redelivered=True)
    assert [answer for _header, answer in answers.replies] == [STALE]
    assert answers.settled == [(True, False)]


def test_a_copy_of_a_message_is_refused() -> None:
    ((_header, answer),) = _handled(error=MessageRepeated("node1 7 spawn")).replies
    with pytest.raises(HostRefused):
        Results(CALLS[CONDUCTOR, "step_wanted"]).decode(answer)


@pytest.mark.parametrize("reply_to", ["way back", None])
def test_a_stale_message_is_told_the_time_and_acknowledged_once(reply_to: str | None) -> None:
    """A broker closes the channel of whoever acknowledges a message twice."""
    answers = _handled(sealer=_Refusing(MessageStale("late")), sealed=True, reply_to=reply_to)
    assert [(header.sender, answer) for header, answer in answers.replies] == (
        [("node1", STALE)] if reply_to else []
    )
    assert answers.settled == [(True, False)]


@pytest.mark.parametrize("case", ["not_ours", "speaks_for_another"])
def test_what_is_refused_goes_where_refused_messages_are_kept(case: str) -> None:
    before = _dead_letters()
    answers = (
        _handled(sealer=_Refusing(MessageRefused("whose?"))) if case == "not_ours"
        else _handled(sender="node2")
    )
    assert answers.replies == []
    assert answers.settled == [(False, False)]
    assert _dead_letters() - before == 1


def test_a_message_that_cannot_be_judged_now_comes_again() -> None:
    answers = _handled(sealer=_Refusing(OSError("the keys are away")))
    assert (answers.replies, answers.settled) == ([], [(False, True)])
