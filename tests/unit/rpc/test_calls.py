# SPDX-License-Identifier: Apache-2.0
"""The table of calls says of every method what the method itself says."""

from __future__ import annotations

from typing import Any, get_type_hints

import pytest

from nova.compute.caches import Caches
from nova.compute.consoles import ConsoleTokens
from nova.compute.manager import ComputeManager
from nova.conductor.manager import Conductor
from nova.errors import InvalidInput, NotFound, NovaError, QuotaExceeded
from nova.network.host_manager import HostNetworkManager
from nova.rpc.calls import CALLS, Call
from nova.rpc.codec import Arguments, Results, Undecodable, encode_arguments, encode_error, encode_result
from nova.scheduler.service import SchedulerService

_ENDPOINTS: dict[str, Any] = {
    "conductor": Conductor, "compute": ComputeManager, "scheduler": SchedulerService, "caches": Caches,
    "network": HostNetworkManager, "consoles": ConsoleTokens,
}


def _rows() -> list[Call]:
    return [row for row in CALLS.values() if row.topic in _ENDPOINTS]


@pytest.mark.parametrize("row", _rows(), ids=lambda row: f"{row.topic}.{row.method}")
def test_every_call_has_a_method_whose_types_are_told(row: Call) -> None:
    method = getattr(_ENDPOINTS[row.topic], row.method)
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
    for wrong in (("a",), ("a", "b"), ("a", 1, ["b"], 2), (None, 1)):
        with pytest.raises(Undecodable):
            decode(encode_arguments(wrong))


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
