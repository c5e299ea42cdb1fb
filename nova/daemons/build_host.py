# SPDX-License-Identifier: Apache-2.0
"""Builds the daemons of hosts. Nothing here leads to the database: hosts have no way to it."""

from __future__ import annotations

import dataclasses
import threading
from pathlib import Path

from nova import wiring_host
from nova.compute.remote_images import RemoteHostImages
from nova.conf import Config
from nova.daemons.connect import host_transport, transport_health
from nova.daemons.guest_faces import ConsoleProxyUnit, MetadataUnit
from nova.daemons.host import ComputeUnit, NetworkUnit
from nova.daemons.process import Built
from nova.daemons.unit import Unit, Units
from nova.health import Health, Part
from nova.rpc.rabbit import RabbitTransport
from nova.virt.fake import FakeDriver


def build_compute(config: Config, ending: threading.Event) -> Built:
    """The compute service of this host, or of all hosts that the fake driver simulates here."""
    host, count = config.default.host, config.fake.daemon_hosts
    fake = wiring_host.is_fake(config)
    names = [f"{host}-{number}" for number in range(1, count + 1)] if fake and count > 1 else [host]
    transport = host_transport(config, names, ending)
    state = Path(config.default.state_path) / "guests"
    zones: tuple[str | None, ...] = config.fake.zones or (None,)
    managers = [
        wiring_host.build_compute(
            config, transport, RemoteHostImages(transport, name), name,
            FakeDriver(name, zones[place % len(zones)], config.fake, state) if fake
            else wiring_host.build_driver(config),
            plumbed=False if fake else None, serves=False,
        )
        for place, name in enumerate(names)
    ]
    unit = ComputeUnit(managers, config.default, ending, transport)

    def hurry() -> None:
        unit.give_up()
        transport.hurry()

    return dataclasses.replace(_built(config, transport, unit), hurry=hurry)


def build_network(config: Config, ending: threading.Event) -> Built:
    """The network service of this host."""
    transport = host_transport(config, [config.default.host], ending)
    manager = wiring_host.build_network_host(config, transport)
    return _built(config, transport, NetworkUnit(manager, config.default.report_interval))


def build_metadata(config: Config, ending: threading.Event) -> Built:
    """The metadata service of this host."""
    transport = host_transport(config, [config.default.host], ending)
    return _built(config, transport, MetadataUnit(config, transport))


def build_console_proxy(name: str, config: Config, ending: threading.Event) -> Built:
    """A console proxy by its name; it has the key of the host that it runs on, and nothing else."""
    transport = host_transport(config, [config.default.host], ending)
    return _built(config, transport, ConsoleProxyUnit(config, transport, name))


def _built(config: Config, transport: RabbitTransport, unit: Unit) -> Built:
    health = Health(
        {"transport": Part(transport_health(transport))},
        disabled_by_file=config.metrics.healthcheck_disabled_by_file,
    )
    return Built(
        Units([unit]), transport.stop_serving, lambda: transport.close(1.0), health, hurry=transport.hurry,
        dead=transport.dead,
    )
