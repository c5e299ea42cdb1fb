# SPDX-License-Identifier: Apache-2.0
"""The table of calls says of every method what the method itself says."""

from __future__ import annotations

import difflib
import logging
from typing import get_type_hints

import msgspec
import pytest

from nova.errors import InvalidInput, NotFound, NovaError, QuotaExceeded
from nova.objects.operation import StepFailure, StepResult
from nova.rpc import calls
from nova.rpc.calls import CALLS, Call
from nova.rpc.codec import Arguments, Results, Undecodable, encode_arguments, encode_error, encode_result
from nova.rpc.envelope import Header
from tests.unit.rpc import wire_format


@pytest.mark.parametrize("row", CALLS.values(), ids=lambda row: f"{row.topic}.{row.method}")
def test_every_call_has_a_method_whose_types_are_told(row: Call) -> None:
    method = getattr(wire_format.ENDPOINTS[row.topic], row.method)
    hints = get_type_hints(method)
    names = list(method.__code__.co_varnames[1 : method.__code__.co_argcount])
    assert all(name in hints for name in names)
    wanted = hints["return"]
    assert row.result == (None if wanted is type(None) else wanted)
    Results(row)
    if row.from_host:
        assert names[0] == "host"


class _Endpoint:
    def method(self, name: str, count: int, more: list[str] | None = None) -> dict[str, int]:
        return {name: count}


def test_arguments_come_out_as_they_are_declared() -> None:
    decode = Arguments(_Endpoint().method).decode
    assert decode(encode_arguments(("größe", 1))) == ["größe", 1]
    assert decode(encode_arguments(("a", 1, ["b"]))) == ["a", 1, ["b"]]
    for wrong in (("a",), ("a", "b"), (None, 1), ("a", 1, [2], 3), ()):
        with pytest.raises(Undecodable):
            decode(encode_arguments(wrong))


def test_an_argument_of_the_next_release_is_passed_over(caplog: pytest.LogCaptureFixture) -> None:
    decode = Arguments(_Endpoint().method).decode
    with caplog.at_level(logging.DEBUG, logger="nova.rpc.codec"):
        for _ in range(3):
            assert decode(encode_arguments(("a", 1, ["b"], {"new": 1}, 2))) == ["a", 1, ["b"]]
    assert [record.levelname for record in caplog.records] == ["DEBUG"]
    assert "_Endpoint.method" in caplog.text


class _Reports:
    def report(self, host: str, result: StepResult, failure: StepFailure) -> None: ...


def test_a_field_of_the_next_release_is_passed_over_and_one_that_is_not_there_yet_has_its_default() -> None:
    decode = Arguments(_Reports().report).decode
    newer = {"power_state": 4, "data": {"a": 1}, "größe": [1]}
    failure = {"message": "no", "code": 409, "retriable": True, "hint": None}
    assert decode(encode_arguments(("node1", newer, failure))) == [
        "node1", StepResult(power_state=4, data={"a": 1}), StepFailure("no", code=409, retriable=True)
    ]
    assert decode(encode_arguments(("node1", {}, {"message": "no"}))) == [
        "node1", StepResult(), StepFailure("no")
    ]
    answered = encode_result([{"power_state": 1, "new": 1}])
    assert Results(Call("t", "m", result=list[StepResult])).decode(answered) == [StepResult(power_state=1)]


@pytest.mark.parametrize("kind", wire_format.structs(), ids=lambda kind: kind.__name__)
def test_no_struct_that_is_sent_refuses_a_field_of_the_next_release(kind: type[msgspec.Struct]) -> None:
    config = kind.__struct_config__
    assert not config.forbid_unknown_fields
    # With a tag, an old receiver would refuse what a new sender may name.
    assert config.tag is None


def test_what_wraps_a_message_may_grow_at_its_end() -> None:
    header = Header("call", "node1", "", "conductor", "step_wanted", "id", 1.0)
    longer = msgspec.msgpack.encode([*msgspec.structs.astuple(header), "new"])
    assert msgspec.msgpack.decode(longer, type=Header) == header
    assert Results(Call("t", "m", result=int)).decode(msgspec.msgpack.encode([7, None, "new"])) == 7


def test_what_goes_between_daemons_is_what_was_agreed_on() -> None:
    agreed = wire_format.AGREED.read_text().splitlines()
    changes = [
        line for line in difflib.unified_diff(agreed, wire_format.lines(), "agreed", "now", n=0, lineterm="")
        if not line.startswith("@@")
    ]
    assert changes == [], (
        "\n".join(changes)
        + "\n\nDaemons of this release and of the last one work together. The rule:\n\n"
        + (calls.__doc__ or "").partition("\n\n")[2].partition("Daemons of two")[2]
        + "\nWhere the change keeps to it, write it down: python -m tests.unit.rpc.wire_format"
    )


@pytest.mark.parametrize("error", [NotFound("不在"), InvalidInput("name", "Bad."), QuotaExceeded("Full")])
def test_errors_come_out_as_their_own_class(error: NovaError) -> None:
    results = Results(Call("t", "m", result=str))
    with pytest.raises(type(error)) as caught:
        results.decode(encode_error(error))
    assert caught.value.message == error.message
    assert vars(caught.value) == vars(error)


def test_a_class_of_another_room_comes_out_as_its_base() -> None:
    class Special(NotFound):
        """Special."""

    with pytest.raises(NotFound, match="gone"):
        Results(Call("t", "m")).decode(encode_error(Special("gone")))


def test_results_come_out_typed() -> None:
    assert Results(Call("t", "m", result=dict[str, int])).decode(encode_result({"a": 1})) == {"a": 1}
    assert Results(Call("t", "m")).decode(encode_result(None)) is None
