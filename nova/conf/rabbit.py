# SPDX-License-Identifier: Apache-2.0
"""[oslo_messaging_rabbit]: the message broker, under the names that operators' files have."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "oslo_messaging_rabbit"


@dataclasses.dataclass(frozen=True)
class RabbitSection:
    """Options of the broker."""

    rabbit_host: str = option("localhost", "The broker, where neither rabbit_hosts nor transport_url is set.",
                              old=("DEFAULT.rabbit_host",))
    rabbit_port: int = option(5672, "Its port.", minimum=1, maximum=65535, old=("DEFAULT.rabbit_port",))
    rabbit_hosts: tuple[str, ...] = option(
        (), "All brokers of the cluster as host:port; the next is tried where one does not answer.",
        old=("DEFAULT.rabbit_hosts",),
    )
    rabbit_userid: str = option("guest", "User at the broker.", old=("DEFAULT.rabbit_userid",))
    rabbit_password: str = option("guest", "Its password.", secret=True, old=("DEFAULT.rabbit_password",))
    rabbit_virtual_host: str = option("/", "Virtual host at the broker.",
                                      old=("DEFAULT.rabbit_virtual_host",))
    rabbit_retry_interval: int = option(
        1, "Seconds until a lost connection is tried again, the first time.", minimum=1,
        old=("DEFAULT.rabbit_retry_interval",),
    )
    rabbit_retry_backoff: int = option(
        2, "Seconds that each further pause is longer.", minimum=0, old=("DEFAULT.rabbit_retry_backoff",)
    )
    rabbit_interval_max: int = option(10, "Longest pause between two tries, seconds.", minimum=1)
    rabbit_quorum_queue: bool = option(
        True, "Keep queues on several brokers (quorum queues); False makes classic durable ones.",
        old=("oslo_messaging_rabbit.rabbit_ha_queues", "DEFAULT.rabbit_ha_queues"),
    )
    heartbeat_timeout_threshold: int = option(
        10, "Seconds after which a silent broker counts as gone; 0 never.", minimum=0
    )
    rpc_queue_expires: int = option(
        86400, "Seconds after which the broker drops the queue of a host that is not there.", minimum=60
    )
    rpc_threads: int = option(
        16, "Calls that a process answers at a time; the broker keeps the others.", minimum=1
    )
    ssl: bool = option(False, "Speak TLS to the broker.",
                       old=("oslo_messaging_rabbit.rabbit_use_ssl", "DEFAULT.rabbit_use_ssl"))
    ssl_ca_file: str | None = option(
        None, "Certificates that the broker's must be signed by; the system's where not set.",
        old=("oslo_messaging_rabbit.kombu_ssl_ca_certs",),
    )
    ssl_cert_file: str | None = option(
        None, "Our own certificate, where the broker asks for one.",
        old=("oslo_messaging_rabbit.kombu_ssl_certfile",),
    )
    ssl_key_file: str | None = option(
        None, "Its key.", old=("oslo_messaging_rabbit.kombu_ssl_keyfile",)
    )
