# SPDX-License-Identifier: Apache-2.0
"""What goes over the broker: nobody but its receiver reads it, nobody but its sender could have made it."""

from __future__ import annotations

import msgspec
import pytest

from nova.rpc.envelope import (
    CONTROL,
    WINDOW,
    Clock,
    Envelope,
    Header,
    MessageRefused,
    MessageStale,
    Sealed,
)
from nova.rpc.keys import ControlKeys, HostKeys, new_key

KEYS = {name: new_key(name) for name in ("node1", "node2")}
CONTROL_KEY = new_key(CONTROL)


class Wall:
    def __init__(self) -> None:
        self.moment = 1_800_000_000.0

    def __call__(self) -> float:
        return self.moment


def control_side(wall: Wall | None = None) -> Envelope:
    ring = ControlKeys(CONTROL_KEY, lambda host: [KEYS[host]] if host in KEYS else [])
    return Envelope(ring, frozenset({CONTROL}), Clock(wall or Wall()))


def host_side(name: str, wall: Wall | None = None) -> Envelope:
    return Envelope(HostKeys([KEYS[name]]), frozenset({name}), Clock(wall or Wall()))


def asked(host: Envelope, name: str, payload: bytes = b"payload") -> bytes:
    return host.seal(host.header("call", name, CONTROL, "conductor", "step_done"), payload)


def test_a_host_and_the_control_side_understand_each_other() -> None:
    host, control = host_side("node1"), control_side()
    header, payload = control.open(asked(host, "node1", "Grüße".encode()))
    assert (header.sender, header.method, payload.decode()) == ("node1", "step_done", "Grüße")
    answer = control.seal(control.reply_to(header), b"yes")
    reply, payload = host.open(answer)
    assert (reply.kind, reply.message_id, payload) == ("reply", header.message_id, b"yes")


def test_control_daemons_understand_each_other() -> None:
    one, other = control_side(), control_side()
    header, payload = other.open(
        one.seal(one.header("cast", CONTROL, CONTROL, "conductor", "wake"), b"[1]")
    )
    assert (header.sender, payload) == (CONTROL, b"[1]")


def test_nothing_of_a_message_can_be_read_on_its_way() -> None:
    assert b"secret words" not in asked(host_side("node1"), "node1", b"secret words")


def test_another_host_cannot_open_what_is_not_for_it() -> None:
    control = control_side()
    to_node1 = control.seal(
        control.header("cast", CONTROL, "node1", "compute", "run_step"), b"user data"
    )
    with pytest.raises(MessageRefused):
        host_side("node2").open(to_node1)
    # Nor when it says that it is the receiver.
    outer = msgspec.msgpack.decode(to_node1, type=Sealed)
    liar = Envelope(HostKeys([KEYS["node2"]]), frozenset({"node1"}), Clock(Wall()))
    with pytest.raises(MessageRefused):
        liar.open(msgspec.msgpack.encode(outer))


def test_a_host_cannot_speak_as_another_one() -> None:
    control = control_side()
    host = host_side("node2")
    with pytest.raises(MessageRefused):
        asked(host, "node1")
    forged = msgspec.msgpack.decode(asked(host, "node2"), type=Sealed)
    header = msgspec.msgpack.decode(forged.header, type=Header)
    renamed = msgspec.structs.replace(
        forged, key_id=KEYS["node1"].key_id,
        header=msgspec.msgpack.encode(msgspec.structs.replace(header, sender="node1")),
    )
    with pytest.raises(MessageRefused, match="not sealed by it"):
        control.open(msgspec.msgpack.encode(renamed))


def test_a_host_cannot_speak_as_the_control_side_to_another_host() -> None:
    host = host_side("node2")
    with pytest.raises(MessageRefused):
        host.seal(host.header("cast", CONTROL, "node1", "compute", "run_step"), b"")
    with pytest.raises(MessageRefused):
        host.seal(host.header("cast", "node2", "node1", "compute", "run_step"), b"")
    made = Envelope(_Stolen(), frozenset({"node2"}), Clock(Wall()))
    message = made.seal(made.header("cast", CONTROL, "node1", "compute", "run_step"), b"")
    with pytest.raises(MessageRefused):
        host_side("node1").open(message)


class _Stolen(HostKeys):
    """Seals everything with the one key that a hijacked host has."""

    def __init__(self) -> None:
        super().__init__([KEYS["node2"]])

    def to_seal(self, sender: str, receiver: str) -> object:  # type: ignore[override]
        return KEYS["node2"]


@pytest.mark.parametrize("field", ["header", "nonce", "sealed", "key_id", "version"])
def test_a_changed_message_is_refused(field: str) -> None:
    outer = msgspec.msgpack.decode(asked(host_side("node1"), "node1"), type=Sealed)
    value = getattr(outer, field)
    if isinstance(value, bytes):
        changed: object = value[:-1] + bytes([value[-1] ^ 1])
    elif isinstance(value, int):
        changed = value + 1
    else:
        changed = "0" * len(value)
    with pytest.raises(MessageRefused):
        control_side().open(msgspec.msgpack.encode(msgspec.structs.replace(outer, **{field: changed})))


@pytest.mark.parametrize("data", [b"", b"\xc1", b"{}", b"\x93\x01\x02\x03", b"x" * 1000])
def test_what_is_no_message_is_refused(data: bytes) -> None:
    with pytest.raises(MessageRefused):
        control_side().open(data)


def test_a_message_is_taken_once() -> None:
    control = control_side()
    message = asked(host_side("node1"), "node1")
    control.open(message)
    with pytest.raises(MessageRefused, match="twice"):
        control.open(message)


def test_an_old_message_is_refused_and_so_is_one_from_the_future() -> None:
    wall = Wall()
    message = asked(host_side("node1", wall), "node1")
    later = Wall()
    later.moment += WINDOW + 1
    with pytest.raises(MessageStale):
        control_side(later).open(message)
    earlier = Wall()
    earlier.moment -= WINDOW + 1
    with pytest.raises(MessageStale):
        control_side(earlier).open(message)


def test_a_host_whose_clock_is_wrong_learns_the_time_from_an_answer() -> None:
    wrong = Wall()
    wrong.moment -= 600
    host, control = host_side("node1", wrong), control_side()
    message = asked(host, "node1")
    with pytest.raises(MessageStale):
        control.open(message)
    request = msgspec.msgpack.decode(
        msgspec.msgpack.decode(message, type=Sealed).header, type=Header
    )
    answer, _payload = host.open(control.seal(control.reply_to(request), b"stale"))
    host.learn(answer)
    control.open(asked(host, "node1"))
    # And its clock may jump from now on.
    wrong.moment += 86_400
    control.open(asked(host, "node1"))


def test_a_control_daemon_takes_the_time_from_nobody() -> None:
    control, far = control_side(), Wall()
    far.moment += 86_400
    other = control_side(far)
    request = control.header("call", CONTROL, CONTROL, "scheduler", "select")
    control.learn(other.reply_to(request))
    assert control.header("cast", CONTROL, CONTROL, "x", "y").sent_at == Wall().moment


def test_a_host_that_is_not_enrolled_is_told_apart() -> None:
    ring = ControlKeys(CONTROL_KEY, lambda _host: [])
    control = Envelope(ring, frozenset({CONTROL}), Clock(Wall()))
    with pytest.raises(MessageRefused, match="nova-manage host enrol node1"):
        control.open(asked(host_side("node1"), "node1"))
