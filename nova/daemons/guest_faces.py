# SPDX-License-Identifier: Apache-2.0
"""The units that guests and their users speak to: the metadata service of a host, and console proxies."""

from __future__ import annotations

from collections.abc import Sequence

from nova.api.metadata.guests import ForgetGuest, HostGuests
from nova.conf import Config
from nova.console.build import build_proxy
from nova.objects.console import ConsoleToken
from nova.rpc.calls import CONSOLES, METADATA
from nova.rpc.transport import Transport
from nova.service import PeriodicTask
from nova.wiring_host import build_metadata


class MetadataUnit:
    """The metadata service of one host; what it knows comes from a conductor.

    Raises ``SecretMissing`` where a proxy is to be trusted and has no secret.
    """

    def __init__(self, config: Config, transport: Transport, host: str | None = None) -> None:
        name = host or config.default.host
        self._service, guests = build_metadata(config, HostGuests(transport, name))
        transport.serve(METADATA, name, ForgetGuest(guests))

    def start(self) -> None:
        """Listen; ``OSError`` for a taken port."""
        self._service.start()

    def tasks(self) -> Sequence[PeriodicTask]:
        """Nothing."""
        return ()

    def stop(self) -> None:
        """Stop listening."""
        self._service.stop()


class ConsoleProxyUnit:
    """A console proxy by its name (``nova-novncproxy`` and so on); tokens are checked by a conductor.

    Raises ``InvalidInput`` naming an option that cannot be.
    """

    def __init__(self, config: Config, transport: Transport, name: str) -> None:
        host = config.default.host

        def redeem(token: str) -> ConsoleToken | None:
            opened: ConsoleToken | None = transport.call(CONSOLES, None, "redeem", host, token)
            return opened

        self._proxy = build_proxy(config, name, redeem)

    def start(self) -> None:
        """Listen; ``OSError`` for a taken port."""
        self._proxy.start()

    def tasks(self) -> Sequence[PeriodicTask]:
        """Nothing."""
        return ()

    def stop(self) -> None:
        """Stop listening, and close what is open."""
        self._proxy.stop()
