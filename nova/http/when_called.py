# SPDX-License-Identifier: Apache-2.0
"""An application that is made when it is first called."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any


class WhenCalled:
    """A WSGI application that costs nothing, memory included, until somebody asks it something."""

    def __init__(self, make: Callable[[], Any]) -> None:
        self._make = make
        self._app: Any = None
        self._lock = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        """Answer a request."""
        if self._app is None:
            with self._lock:
                if self._app is None:
                    self._app = self._make()
        return self._app(environ, start_response)
