# SPDX-License-Identifier: Apache-2.0
"""What sealing costs: seconds of one core for a message of the size of a boot step, and back."""

from __future__ import annotations

import os
import time

from nova.rpc.envelope import CONTROL, Clock, Envelope
from nova.rpc.keys import ControlKeys, HostKeys, new_key

ROUNDS = 20_000


def main() -> None:
    """Print one line a figure."""
    key = new_key("node1")
    control = Envelope(
        ControlKeys(new_key(CONTROL), lambda _host: [key]), frozenset({CONTROL}), Clock()
    )
    host = Envelope(HostKeys([key]), frozenset({"node1"}), Clock())
    payload = os.urandom(4096)
    begun = time.process_time()
    messages = [
        control.seal(control.header("cast", CONTROL, "node1", "compute", "run_step"), payload)
        for _ in range(ROUNDS)
    ]
    sealed = time.process_time()
    for message in messages:
        host.open(message)
    opened = time.process_time()
    print(f"figure envelope.seal_us {(sealed - begun) / ROUNDS * 1e6:.1f} us")
    print(f"figure envelope.open_us {(opened - sealed) / ROUNDS * 1e6:.1f} us")


if __name__ == "__main__":
    main()
