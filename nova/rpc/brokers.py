# SPDX-License-Identifier: Apache-2.0
"""Where the brokers are and how they are spoken to, from the options."""

from __future__ import annotations

import dataclasses
import ssl
from typing import Any
from urllib.parse import unquote

import pika

from nova.conf.messaging import MessagingSection
from nova.conf.rabbit import RabbitSection
from nova.errors import InvalidInput

_PORT = 5672
_TLS_PORT = 5671
_CONNECT_SECONDS = 5.0
#: A network that drops everything without a word is noticed by heartbeats. Before them, where something lies
#: unacknowledged for so long, by the kernel (tcp(7)).
_TCP_OPTIONS = {"TCP_USER_TIMEOUT": 15_000}


@dataclasses.dataclass(frozen=True)
class Broker:
    """One broker of a cluster."""

    host: str
    port: int
    user: str
    password: str = dataclasses.field(repr=False)
    virtual_host: str = "/"


def brokers_of(messaging: MessagingSection, rabbit: RabbitSection) -> list[Broker]:
    """All brokers, of ``transport_url`` where it is set; raises ``InvalidInput`` for one that is none."""
    if messaging.transport_url:
        return parse_transport_url(messaging.transport_url, rabbit)
    default = _TLS_PORT if rabbit.ssl and rabbit.rabbit_port == _PORT else rabbit.rabbit_port
    hosts = rabbit.rabbit_hosts or (f"{rabbit.rabbit_host}:{default}",)
    return [
        Broker(*_host_port(each, default, "rabbit_hosts"), rabbit.rabbit_userid, rabbit.rabbit_password,
               rabbit.rabbit_virtual_host)
        for each in hosts
    ]


def parse_transport_url(text: str, rabbit: RabbitSection) -> list[Broker]:
    """``rabbit://user:password@host:port,user:password@host:port/virtual_host``, as oslo.messaging has it.

    A user that only one of the brokers names is that of all which name none.
    """
    scheme, separator, rest = text.partition("://")
    if not separator or scheme not in ("rabbit", "kombu", "amqp"):
        raise InvalidInput("transport_url", "It must begin with rabbit://.")
    authorities, _, path = rest.partition("?")[0].partition("/")
    virtual_host = unquote(path) if path else "/"
    default = _TLS_PORT if rabbit.ssl else _PORT
    user, password = rabbit.rabbit_userid, rabbit.rabbit_password
    found = []
    for authority in authorities.split(","):
        credentials, at, address = authority.rpartition("@")
        if at:
            name, _, secret = credentials.partition(":")
            user, password = unquote(name), unquote(secret)
        host, port = _host_port(address, default, "transport_url")
        found.append(Broker(host, port, user, password, virtual_host))
    return found


def _host_port(text: str, default: int, field: str) -> tuple[str, int]:
    host, colon, port = text.strip().rpartition(":")
    if not colon or text.strip().endswith("]"):
        host, port = text.strip(), str(default)
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        # Without what was given: a password that is not quoted may look like a broker.
        raise InvalidInput(field, "It must name brokers as host:port.")
    return host.strip("[]"), int(port)


def connection_parameters(broker: Broker, rabbit: RabbitSection, name: str) -> pika.ConnectionParameters:
    """How to connect to a broker; ``name`` shows in its list of connections."""
    tls: dict[str, Any] = {}
    if rabbit.ssl:
        tls["ssl_options"] = _tls(broker, rabbit)
    return pika.ConnectionParameters(
        host=broker.host, port=broker.port, virtual_host=broker.virtual_host,
        credentials=pika.PlainCredentials(broker.user, broker.password),
        heartbeat=rabbit.heartbeat_timeout_threshold, connection_attempts=1,
        socket_timeout=_CONNECT_SECONDS, stack_timeout=3 * _CONNECT_SECONDS,
        tcp_options=_TCP_OPTIONS, client_properties={"connection_name": name}, **tls,
    )


def _tls(broker: Broker, rabbit: RabbitSection) -> pika.SSLOptions:
    context = ssl.create_default_context(cafile=rabbit.ssl_ca_file)
    if rabbit.ssl_cert_file:
        context.load_cert_chain(rabbit.ssl_cert_file, rabbit.ssl_key_file)
    return pika.SSLOptions(context, broker.host)
