# SPDX-License-Identifier: Apache-2.0
"""Types that several threads decode to for the first time: a crash, where each reads them by itself."""

from __future__ import annotations

import subprocess
import sys

import msgspec
import pytest

from nova.decoding import convert, decode_json, json_decoder

_PROGRAM = """
import sys, threading
import msgspec
from nova.api.compute.bodies import Body
from nova.decoding import convert, json_decoder

sys.setswitchinterval(1e-6)
DATA = {"a1": "x", "inner": {"a2": "y"}, "more": [{"a3": "z"}]}
WAYS = {
    "convert": lambda outer: convert(DATA, outer),
    "decoder": lambda outer: json_decoder(outer).decode(msgspec.json.encode(DATA)),
    "body": None,
}

def first_reads(way: str) -> int:
    fields = [(f"a{n}", str | None, None) for n in range(20)]
    inner = msgspec.defstruct("Inner", fields)
    outer = msgspec.defstruct("Outer", [*fields, ("inner", inner | None, None), ("more", list[inner], [])])
    body = Body("it", outer)
    read = WAYS[way] or (lambda _outer: body.read({"it": DATA}, 1))
    barrier, good = threading.Barrier(6), []

    def one() -> None:
        barrier.wait()
        good.append(read(outer).more[0].a3 == "z")

    threads = [threading.Thread(target=one) for _ in range(6)]
    for thread in threads: thread.start()
    for thread in threads: thread.join()
    return sum(good)

print(sum(first_reads(sys.argv[1]) for _ in range(60)))
"""


class Point(msgspec.Struct):
    x: int


@pytest.mark.parametrize("way", ["convert", "decoder", "body"])
def test_first_reads_of_a_type_by_many_threads(way: str) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _PROGRAM, way], capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stdout) == (0, "360\n"), done.stderr[-2000:]


def test_what_does_not_fit_is_refused() -> None:
    assert convert({"x": 1}, Point) == Point(1)
    for wrong in ({"x": "one"}, {}):
        with pytest.raises(msgspec.ValidationError):
            convert(wrong, Point)
    with pytest.raises(msgspec.ValidationError):
        json_decoder(Point).decode(b'{"x": null}')
    with pytest.raises(msgspec.DecodeError):
        decode_json("{")
