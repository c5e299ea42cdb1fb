# SPDX-License-Identifier: Apache-2.0
"""The units that serve HTTP."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol

from nova.http.server import HttpServer
from nova.service import PeriodicTask

_POLICY_SECONDS = 5.0
#: What a request that gave up when its time was over has for telling so, seconds.
_LAST_SECONDS = 1.0


class FaceUnit:
    """One HTTP face on one address. Its requests may end within ``patience`` seconds."""

    def __init__(self, name: str, app: Any, host: str, port: int, patience: float) -> None:
        self._server = HttpServer(name, app, host, port)
        self._patience = patience

    def start(self) -> None:
        """Serve; ``OSError`` for a taken port."""
        self._server.start()

    def tasks(self) -> Sequence[PeriodicTask]:
        """Nothing."""
        return ()

    def end(self) -> None:
        """Accept no more."""
        self._server.end()

    def stop(self) -> None:
        """Accept no more, and let requests that run end."""
        self._server.stop(self._patience + _LAST_SECONDS)

    def dead(self) -> Sequence[str]:
        """The server's thread, where it should live and does not."""
        return () if self._server.is_alive else (f"http-{self._server.name}",)


class Reloadable(Protocol):
    """A policy, which may be made later."""

    def reload_if_changed(self) -> None:
        """Read its file again where that changed."""
        ...


class PolicyUnit:
    """Follows the operator's policy file."""

    def __init__(self, policy: Reloadable, name: str = "policy") -> None:
        self._policy = policy
        self._name = name

    def start(self) -> None:
        """It was read when it was built, or is when it is needed."""

    def tasks(self) -> Sequence[PeriodicTask]:
        """Look whether it changed."""
        return [PeriodicTask(self._name, _POLICY_SECONDS, self._policy.reload_if_changed)]

    def stop(self) -> None:
        """Nothing to end."""
