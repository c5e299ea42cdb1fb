# SPDX-License-Identifier: Apache-2.0
"""How a compute service asks the network service of its own host for the networks of a guest."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from nova import metrics
from nova.errors import NetworkNotReady, ServiceUnavailable
from nova.objects.instance import Vif
from nova.rpc.calls import NETWORK
from nova.rpc.transport import Transport

#: More than the network service itself waits.
_PATIENCE = 55.0
#: Seconds until the next look for a network service that is away; each time twice as long, up to the last.
_FIRST_PAUSE, _LAST_PAUSE = 0.05, 2.0

#: Returns when the networks stand; raises ``NetworkNotReady``, or ``ServiceUnavailable`` without a service.
Ask = Callable[[Sequence[str]], None]


class HostNetworking:
    """The network service of one host, as its compute service sees it."""

    def __init__(self, host: str, ask: Ask, patience: float = 20.0) -> None:
        self._host = host
        self._ask = ask
        self._patience = patience

    def prepare(self, vifs: Iterable[Vif]) -> None:
        """Return when the host has the networks of these cards; raises ``NetworkNotReady``.

        A network service that is just starting again is waited for. Without one a guest would have its
        cards unfiltered, so it does not start.
        """
        networks = sorted({vif.network_id for vif in vifs})
        if not networks:
            return
        began = time.perf_counter()
        pause = _FIRST_PAUSE
        while True:
            try:
                self._ask(networks)
                break
            except ServiceUnavailable as error:
                if time.perf_counter() - began > self._patience:
                    raise NetworkNotReady(
                        f"The network service of {self._host} does not answer ({error.message}). Start "
                        "nova-network there, or set network_driver=none where others set the networks up."
                    ) from None
            time.sleep(pause)
            pause = min(2 * pause, _LAST_PAUSE)
        metrics.NETWORK_READY.observe(time.perf_counter() - began)


def ask_here(transport: Transport, host: str) -> Ask:
    """For services that share a process."""
    return lambda networks: transport.call(NETWORK, host, "prepare", networks)


def ask_at(path: Path) -> Ask:
    """For services of one host: over the network service's Unix socket, so that no key is needed for it."""

    def ask(networks: Sequence[str]) -> None:
        answer = b""
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
                connection.settimeout(_PATIENCE)
                connection.connect(str(path))
                connection.sendall(f"prepare {' '.join(networks)}\n".encode())
                while piece := connection.recv(4096):
                    answer += piece
        except TimeoutError:
            raise NetworkNotReady(f"The network service behind {path} did not answer in time.") from None
        except OSError as error:
            raise ServiceUnavailable(f"{path}: {error.strerror}") from None
        if answer != b"ready":
            raise NetworkNotReady(answer.decode(errors="replace") or "The network service broke off.")

    return ask
