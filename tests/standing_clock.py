# SPDX-License-Identifier: Apache-2.0
"""Time that a test sets."""

from __future__ import annotations


class Clock:
    """Stands for the module ``time``: a clock that stands until it is moved."""

    def __init__(self) -> None:
        self.now = 1000.0

    def monotonic(self) -> float:
        return self.now
