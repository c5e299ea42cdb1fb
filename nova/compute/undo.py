# SPDX-License-Identifier: Apache-2.0
"""The undo stack of a flow: what was done is undone in reverse when a later part fails."""

from __future__ import annotations

import logging
from collections.abc import Callable
from types import TracebackType

LOG = logging.getLogger(__name__)


class Undo:
    """``with Undo() as undo: …; undo.add(driver.destroy, uuid)``."""

    def __init__(self) -> None:
        self._actions: list[tuple[Callable[..., object], tuple[object, ...]]] = []

    def add(self, action: Callable[..., object], *args: object) -> None:
        """Call ``action(*args)`` if the flow fails after this point."""
        self._actions.append((action, args))

    def __enter__(self) -> Undo:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if error is None:
            return
        for action, args in reversed(self._actions):
            try:
                action(*args)
            except Exception:
                LOG.exception("undoing with %s failed; the rest is undone all the same", action)
