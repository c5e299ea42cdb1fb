# SPDX-License-Identifier: Apache-2.0
"""What daemons wait for at their start: the database, the broker, their keys. The log says for what."""

from __future__ import annotations

import logging
import os
import socket
import sys
import threading
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova.conf import Config
from nova.daemons.process import Ended
from nova.errors import NovaError
from nova.health import Unwell
from nova.rpc.brokers import brokers_of, connection_parameters
from nova.rpc.envelope import CONTROL, Clock, Envelope, Key, Sealer
from nova.rpc.keys import HostKeys, KeyFileInvalid, read_key
from nova.rpc.link import Retry
from nova.rpc.rabbit import RabbitSettings, RabbitTransport
from nova.rpc.topology import Topology

if TYPE_CHECKING:
    from nova.db.engine import Database

LOG = logging.getLogger(__name__)

_PAUSE = 2.0
#: No statement of a daemon takes so long, in seconds, unless its answer is lost.
_ANSWER = 20
#: How often daemons of the control side look how many messages nobody could take, seconds.
_COUNT_DEAD = 15.0


def open_database(config: Config, ending: threading.Event) -> Database:
    """The database, once it answers and has this release's schema; raises ``Ended``."""
    from sqlalchemy.exc import DBAPIError

    from nova.db import migrate
    from nova.db.connections import Patience
    from nova.db.engine import Database

    url = config.database.connection or f"sqlite:///{config.default.state_path}/nova.sqlite"
    patience = Patience(answer=_ANSWER)
    db = Database(url, pool_size=config.database.max_pool_size, patience=patience)
    while True:
        try:
            migrate.require_current(db)
            return db
        except (DBAPIError, NovaError) as error:
            text = str(getattr(error, "orig", None) or error).splitlines()[0]
            LOG.warning("waiting for the database: %s", text)
        if ending.wait(_PAUSE):
            raise Ended


def control_transport(config: Config, db: Database, ending: threading.Event) -> RabbitTransport:
    """The transport of a daemon of the control side, once there is its key; raises ``Ended``."""
    from nova.conductor.enrolment import key_ring
    from nova.db.engine import acting_on

    control = wait_for_key(Path(config.host_identity.control_key_file), ending)
    sealer = Envelope(key_ring(db, control), frozenset({CONTROL}), Clock())
    return _transport(config, sealer, acting_on, count_dead=_COUNT_DEAD)


def host_transport(
    config: Config, hosts: Sequence[str], ending: threading.Event
) -> RabbitTransport:
    """The transport of a daemon on these hosts, once they have their keys; raises ``Ended``."""
    directory = Path(config.host_identity.key_directory)
    ring = HostKeys([wait_for_key(directory / f"{host}.key", ending) for host in hosts])
    return _transport(config, Envelope(ring, ring.names, Clock()))


def wait_for_key(path: Path, ending: threading.Event) -> Key:
    """The key of a file, once it is there and nobody else can read it; raises ``Ended``."""
    while True:
        try:
            return read_key(path)
        except KeyFileInvalid as error:
            LOG.warning("waiting for a key: %s", error.message)
        if ending.wait(_PAUSE):
            raise Ended


def _transport(
    config: Config,
    sealer: Sealer,
    acting: Callable[[str], AbstractContextManager[None]] | None = None,
    *,
    count_dead: float = 0.0,
) -> RabbitTransport:
    rabbit = config.rabbit
    name = f"{Path(sys.argv[0]).name}@{socket.gethostname()}:{os.getpid()}"
    parameters = [
        connection_parameters(each, rabbit, name) for each in brokers_of(config.messaging, rabbit)
    ]
    settings = RabbitSettings(
        retry=Retry(rabbit.rabbit_retry_interval, rabbit.rabbit_retry_backoff, rabbit.rabbit_interval_max),
        topology=Topology(quorum=rabbit.rabbit_quorum_queue, expires=rabbit.rpc_queue_expires),
        threads=rabbit.rpc_threads, response_timeout=config.messaging.rpc_response_timeout,
        count_dead=count_dead,
    )
    more: dict[str, Any] = {} if acting is None else {"acting": acting}
    transport = RabbitTransport(parameters, sealer, settings, **more)
    transport.start()
    return transport


def transport_health(transport: RabbitTransport) -> Callable[[], dict[str, Any]]:
    """What ``make_health`` asks of the broker's connection."""

    def ask() -> dict[str, Any]:
        if not transport.is_connected:
            raise Unwell("the message broker is not connected")
        return {"kind": "rabbit"}

    return ask
