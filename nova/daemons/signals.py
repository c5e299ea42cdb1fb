# SPDX-License-Identifier: Apache-2.0
"""Signals of a process with many threads.

The interpreter's handlers run on the main thread alone. That sleeps on where two signals come at once and
the kernel gives one of them to another thread, so that the process would be deaf; nor may a handler set an
event that the main thread is just looking at. Hence they are read from a pipe, on a thread.
"""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterable


def follow_signals(numbers: Iterable[int], came: Callable[[int], object]) -> None:
    """Call ``came`` with the number of each of these signals, on a thread. On the main thread only."""
    reader, writer = socket.socketpair()
    writer.setblocking(False)
    signal.set_wakeup_fd(writer.detach(), warn_on_full_buffer=False)
    for number in numbers:
        signal.signal(number, lambda _number, _frame: None)

    def follow() -> None:
        while True:
            for number in reader.recv(256):
                came(number)

    threading.Thread(target=follow, name="signals", daemon=True).start()
