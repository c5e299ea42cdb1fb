# SPDX-License-Identifier: Apache-2.0
"""Ending the processes that a test has started."""

from __future__ import annotations

import signal
import subprocess


def end(process: subprocess.Popen[bytes], patience: float = 20.0, number: int = signal.SIGTERM) -> None:
    """Send a process a signal and wait for its end; kill one that takes longer than ``patience`` seconds."""
    process.send_signal(number)
    try:
        process.wait(patience)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
