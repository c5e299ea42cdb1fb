# SPDX-License-Identifier: Apache-2.0
"""Consoles on the control side: handing out tokens, and what a console proxy may open with one."""

from __future__ import annotations

import datetime
import uuid
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlencode, urlsplit, urlunsplit

from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import NovaError
from nova.objects.console import (
    NOVNC,
    SERIAL,
    SPICE_DIRECT,
    SPICE_HTML5,
    WEBMKS,
    ConsoleEndpoint,
    ConsoleToken,
)
from nova.rpc.calls import COMPUTE
from nova.rpc.transport import Transport

if TYPE_CHECKING:
    from nova.conf import Config


def base_urls(config: Config) -> dict[str, str]:
    """console type -> the address of its proxy that users are given."""
    return {
        NOVNC: config.vnc.novncproxy_base_url,
        SPICE_HTML5: config.spice.html5proxy_base_url,
        SPICE_DIRECT: config.spice.spice_direct_proxy_base_url,
        SERIAL: config.serial_console.base_url,
        WEBMKS: config.mks.mksproxy_base_url,
    }


def access_url(console_type: str, base: str, token: str) -> str:
    """The address that opens a console once a token stands in it.

    noVNC 1.1 and later reads the token from the query of its ``path`` parameter
    (https://github.com/novnc/noVNC/blob/master/docs/EMBEDDING.md).
    """
    if console_type != NOVNC:
        return f"{base}?token={token}"
    parts = urlsplit(base)
    query = parse_qs(parts.query)
    query["path"] = [f"{query.get('path', [''])[0]}?token={token}"]
    return urlunsplit(parts._replace(query=urlencode(query, doseq=True)))


def new_token(
    db: Database, *, instance_uuid: str, compute_host: str, console_type: str,
    endpoint: ConsoleEndpoint, base: str, seconds: int,
) -> str:
    """Make a token that opens a console for so many seconds; returns it."""
    token = str(uuid.uuid4())
    opened = ConsoleToken(
        instance_uuid=instance_uuid, compute_host=compute_host, console_type=console_type,
        endpoint=endpoint, access_url_base=base,
        expires_at=now() + datetime.timedelta(seconds=seconds),
    )
    db.run(lambda tx: tx.console_tokens.create(token, opened))
    return token


def redeem(db: Database, transport: Transport, token: str) -> ConsoleToken | None:
    """What a console proxy may open for ``token``; None for one that is not (or no longer) valid.

    The guest's host is asked again where the console is: a port is given to another guest when its
    own one stopped, and a token must never open that one's console.
    """
    with db.read() as tx:
        opened = tx.console_tokens.authorize(token)
        instance = None if opened is None else tx.instances.get(opened.instance_uuid)
    if opened is None or instance is None:
        return None
    try:
        present: ConsoleEndpoint = transport.call(
            COMPUTE, opened.compute_host, "console_endpoint", instance, opened.console_type
        )
    except NovaError:
        return None
    return opened if present == opened.endpoint else None


def redeem_once(db: Database, transport: Transport, token: str) -> ConsoleToken | None:
    """As ``redeem``, and the token is void afterwards: it opens one connection."""
    opened = redeem(db, transport, token)
    if opened is None or not db.run(lambda tx: tx.console_tokens.consume(token)):
        return None
    return opened


class ConsoleTokens:
    """Endpoint of the ``consoles`` topic: what console proxies ask of the control side.

    A token is all that a proxy has to show: it says which guest's console is opened, and for how long.
    """

    def __init__(self, db: Database, transport: Transport) -> None:
        self._db = db
        self._transport = transport

    def redeem(self, host: str, token: str) -> ConsoleToken | None:
        """What a token opens, once, for the proxy on a host; None for one that is not valid."""
        return redeem_once(self._db, self._transport, token)


def purge(db: Database) -> int:
    """Drop tokens that are over; returns how many."""
    return db.run(lambda tx: tx.console_tokens.purge(now()))
