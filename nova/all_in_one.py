# SPDX-License-Identifier: Apache-2.0
"""The whole cloud in one process: SQLite, in-process messages, simulated hosts unless there is libvirt.

The same services as everywhere else; only the transport and the database URL differ.
"""

from __future__ import annotations

import dataclasses
import fcntl
import functools
import logging
import os
import secrets
import time
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

import msgspec

from nova import wiring
from nova.api.metadata.service import MetadataService
from nova.compute.consoles import redeem_once
from nova.conductor.guest_metadata import CloudGuests, GuestMetadata
from nova.conf import Config
from nova.console.build import build_proxy, in_one_process, proxies_in_one_process, simulated_here
from nova.console.proxy import ConsoleProxy
from nova.console.simulated import SimulatedConsoles
from nova.control_health import make_health, watch_pool
from nova.daemons.control import ConductorUnit, SchedulerUnit
from nova.daemons.faces import PolicyUnit
from nova.daemons.host import ComputeUnit, NetworkUnit
from nova.daemons.unit import Unit, Units
from nova.db import migrate
from nova.db.engine import Database
from nova.decoding import json_decoder
from nova.errors import NovaError
from nova.external.build import (
    external_authenticator,
    external_health,
    external_images,
    external_volumes,
    identity_url_for_users,
)
from nova.health import Health
from nova.http.admin_listener import AdminListener, open_admin_listener
from nova.http.health import with_health
from nova.http.proxies import with_proxy_headers
from nova.http.server import HttpServer
from nova.identity.app import make_identity_app
from nova.identity.authenticator import LocalAuthenticator
from nova.identity.bootstrap import BootstrapResult, EndpointSpec, ensure_cloud
from nova.identity.service import IdentityService
from nova.image.app import make_image_app
from nova.image.bootstrap import ensure_test_image
from nova.image.local import LocalImages
from nova.image.service import ImageService
from nova.network.creation import NetworkRequest, create_networks
from nova.service import PeriodicTask
from nova.volume.build import VolumePolicy, build_app, build_volumes
from nova.volume.events import ComputeEvents
from nova.volume.local import LocalBlockStorage
from nova.volume.service import VolumeUnit
from nova.wiring_projects import build_projects

LOG = logging.getLogger(__name__)

#: The network of a new cloud: shared by all projects, no host plumbing behind it.
DEFAULT_NETWORK = NetworkRequest(label="private", cidr="10.0.0.0/20", network_size=4096)


class Secrets(msgspec.Struct, frozen=True):
    """Made at first start, kept in a file that only its owner reads."""

    admin_password: str
    demo_password: str


_decode_secrets = json_decoder(Secrets).decode


@dataclasses.dataclass(frozen=True)
class Ports:
    """Where the faces listen."""

    identity: int
    image: int
    compute: int
    network: int
    volume: int
    metadata: int

    @classmethod
    def of(cls, config: Config, offset: int) -> Ports:
        """The configured ports, each ``offset`` higher."""
        return cls(
            identity=config.identity.listen_port + offset,
            image=config.image.listen_port + offset,
            compute=config.default.osapi_compute_listen_port + offset,
            network=config.network_api.listen_port + offset,
            volume=config.volume.listen_port + offset,
            metadata=config.metadata_service.metadata_listen_port + offset,
        )


class StateInUse(NovaError):
    """Another cloud runs on this state directory."""


class AllInOne:
    """A cloud with its state in one directory. ``start`` returns when it is healthy."""

    def __init__(self, config: Config, state: Path, *, listen: str, port_offset: int = 0) -> None:
        if config.network.external:
            # The network service has an endpoint of its own, in a catalogue of its own.
            quiet = dataclasses.replace(config.network_api, enabled=False)
            config = dataclasses.replace(config, network_api=quiet)
        if config.cinder.external:
            # As has the block storage service.
            config = dataclasses.replace(
                config, volume=dataclasses.replace(config.volume, enabled=False)
            )
        self.state = state
        self.listen = listen
        self.config = in_one_process(config, public_host(config, listen), port_offset)
        self.ports = Ports.of(config, port_offset)
        if config.network.metadata_port == config.metadata_service.metadata_listen_port:
            # Guests are led to the metadata service of this very process.
            near = dataclasses.replace(config.network, metadata_port=self.ports.metadata)
            self.config = dataclasses.replace(self.config, network=near)
        self.port_offset = port_offset
        self._lock: IO[str] | None = None
        self._servers: list[HttpServer] = []
        self._admin: AdminListener | None = None
        self._metadata: MetadataService | None = None
        self._consoles: list[ConsoleProxy | SimulatedConsoles] = []
        self._managers: list[Any] = []
        self._units = Units(())
        self._transport = wiring.in_process_transport()

    # --- life ------------------------------------------------------------------------------------

    def start(self) -> BootstrapResult:
        """Open the state, build all services, resume what was interrupted, and serve.

        Raises ``StateInUse`` for a directory that another process holds, ``OSError`` for a taken port.
        """
        self._open_state()
        url = self.config.database.connection or f"sqlite:///{self.state}/nova.sqlite"
        self.db = Database(url, pool_size=self.config.database.max_pool_size)
        migrate.prepare(self.db)
        self.secrets = load_secrets(self.state)
        self.identity = IdentityService(self.db, self.config.identity, self.state / "keys")
        result = ensure_cloud(
            self.identity, admin_password=self.secrets.admin_password,
            demo_password=self.secrets.demo_password, endpoints=make_endpoints(
                self.public_host, self.ports, network=self.config.network_api.enabled,
                volume=self.config.volume.enabled,
            ),
            without=not_served(self.config),
        )
        self.image = ImageService(self.db, self.config.image, self.state / "images")
        self.image.recover()
        if result.created and result.admin_project_id:
            ensure_test_image(self.image, result.admin_project_id)
        self._seed()
        self._start_services()
        self._serve()
        return result

    def stop(self) -> None:
        """Stop serving, finish what runs, close."""
        for server in self._servers:
            server.end()
        for server in self._servers:
            server.stop()
        if self._admin is not None:
            self._admin.stop()
        if self._metadata is not None:
            self._metadata.stop()
        for console in self._consoles:
            console.stop()
        self._units.end_tasks()
        for manager in self._managers:
            manager.give_up()
        self._transport.close()
        self._units.stop()
        if hasattr(self, "db"):
            self.db.dispose()
        if self._lock is not None:
            self._lock.close()

    def hypervisors(self) -> list[str]:
        """What the guests run on, one line for each kind."""
        return sorted({manager.describe() for manager in self._managers})

    # --- parts -----------------------------------------------------------------------------------

    def _open_state(self) -> None:
        self.state.mkdir(mode=0o700, parents=True, exist_ok=True)
        os.umask(0o077)
        self._lock = (self.state / "lock").open("w")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise StateInUse(
                f"Another cloud runs on {self.state}. Stop it, or name another directory with "
                "STATE=DIR and a PORT_OFFSET."
            ) from None

    @property
    def public_host(self) -> str:
        """The address that clients are told."""
        return public_host(self.config, self.listen)

    def _seed(self) -> None:
        """Kilo's flavors and one network, where there never were any."""
        with self.db.write() as tx:
            tx.flavors.seed_defaults()
            marker = self.state / "network-made"
            if not marker.exists():
                if not self.config.network.external and not tx.networks.every():
                    create_networks(tx, DEFAULT_NETWORK, self._first_network_section())
                marker.touch()

    @property
    def identity_url(self) -> str:
        """The identity service's address as callers are told."""
        own = f"http://{self.public_host}:{self.ports.identity}/v3"
        return identity_url_for_users(self.config) or own

    def _first_network_section(self) -> Any:
        """The first network is flat, whatever the manager: nothing is plugged for it."""
        return dataclasses.replace(
            self.config.network, network_manager="nova.network.manager.FlatDHCPManager",
            flat_network_bridge=self.config.network.flat_network_bridge or "br100",
        )

    def _start_services(self) -> None:
        self._glance = external_images(self.config)
        images = self._glance or LocalImages(self.image)
        projects = build_projects(self.config, self.db)
        self.volume = build_volumes(self.config, self.db, images, projects)
        outside = external_volumes(self.config)
        self.control = wiring.build_control_side(
            self.config, self.db, self._transport, images,
            volumes=outside or (LocalBlockStorage(self.volume) if self.volume is not None else None),
        )
        if "libvirt" in self.config.default.compute_driver:
            # Guests run as a user of their own, who passes through here to the disks. All else in here
            # stays closed to others by its own mode.
            self.state.chmod(0o711)
        host_images = wiring.LocalHostImages(images, (self.config.libvirt.rescue_image_id,))
        self._managers = wiring.build_hosts(
            self.config, self._transport, host_images, self.state / "guests"
        )
        self.cloud = wiring.build_cloud(
            self.control, wiring.build_policy(self.config, self.state)
        )
        self._volume_policy = VolumePolicy(self.state / self.config.policy.policy_file)
        if self.volume is not None:
            ComputeEvents(self.db, lambda: self.cloud.operations).connect(self.volume)
        default, name = self.config.default, self.config.default.host
        units: list[Unit] = []
        if self.volume is not None:
            units.append(VolumeUnit(self.volume, alone=True))
        if wiring.plumbs(self.config, default=False):
            network = wiring.build_network_host(self.config, self._transport)
            units.append(NetworkUnit(network, default.report_interval))
        units += [
            ComputeUnit(self._managers, default), _Zones(self),
            SchedulerUnit(self.control, name),
            ConductorUnit(self.control, self.cloud.operations, name, alone=True),
            PolicyUnit(self.cloud.policy), PolicyUnit(self._volume_policy, "volume-policy"),
        ]
        self._units = Units(units)
        self._units.start()

    def make_zones(self) -> None:
        """An aggregate for each zone of the simulated hosts that has none yet."""
        zones: dict[str, list[str]] = {}
        for manager in self._managers:
            for report in manager.reports():
                if report.zone:
                    zones.setdefault(report.zone, []).append(report.host)
        if not zones:
            return
        with self.db.write() as tx:
            present = tx.aggregates.zones_of_hosts()
            for zone, hosts in zones.items():
                missing = [host for host in hosts if host not in present]
                if missing:
                    by_name = {each.name: each for each in tx.aggregates.list()}
                    aggregate = by_name.get(zone) or tx.aggregates.create(
                        zone, availability_zone=zone
                    )
                    for host in missing:
                        tx.aggregates.add_host(aggregate.id, host)

    def _health(self) -> Health:
        watch_pool(self.db)
        return make_health(
            db=self.db, service_down_time=self.config.default.service_down_time,
            recovery=self.control.conductor.recovery.last_run,
            recovery_interval=self.config.conductor.recovery_interval,
            others=external_health(self.config, self._glance),
            disabled_by_file=self.config.metrics.healthcheck_disabled_by_file,
        )

    def _serve(self) -> None:
        from nova.api.compute.app import make_compute_app

        external = external_authenticator(self.config)
        authenticator = external or LocalAuthenticator(self.identity)
        identity_url = self.identity_url
        faces = [
            ("compute", make_compute_app(self.cloud, authenticator, identity_url), self.ports.compute),
        ]
        if external is None:
            faces.append(("identity", make_identity_app(self.identity), self.ports.identity))
        if self._glance is None:
            app = make_image_app(self.image, authenticator, identity_url)
            faces.append(("image", app, self.ports.image))
        if self.config.network_api.enabled:
            from nova.api.network.app import make_network_app

            app = make_network_app(self.cloud, authenticator, identity_url)
            faces.append(("network", app, self.ports.network))
        if self.volume is not None:
            app = build_app(self.volume, self._volume_policy, authenticator, identity_url)
            faces.append(("volume", app, self.ports.volume))
        health = self._health()
        self._admin = open_admin_listener(
            self.config.metrics, "nova-all-in-one", health, port_offset=self.port_offset
        )
        for name, app, port in faces:
            believing = with_proxy_headers(app, self.config.proxy_headers.enable_proxy_headers_parsing)
            served = with_health(believing, health, authenticator)
            server = HttpServer(name, served, self.listen, port)
            server.start()
            self._servers.append(server)
        self._serve_guests()
        self._serve_consoles()
        for name, _app, port in faces:
            if name != "volume":  # which would be made by the first question
                wait_for_port(self.listen, port)

    def _serve_guests(self) -> None:
        """The metadata service. Real guests reach it through the bridges that they are on."""
        config = self.config
        bridged = "libvirt" in config.default.compute_driver and not config.network.fake_network
        self._metadata, guests = wiring.build_metadata(
            config, CloudGuests(GuestMetadata(self.db)), port=self.ports.metadata,
            listen=config.metadata_service.metadata_listen if bridged else self.listen,
            by_bridge=bridged and config.metadata_service.metadata_by_bridge,
        )
        self.control.conductor.step_listeners.append(lambda _host, uuid: guests.forget(uuid))
        self._metadata.start()

    def _serve_consoles(self) -> None:
        """The console proxies that have something to show."""
        config, fake = self.config, self.config.fake
        started: list[ConsoleProxy | SimulatedConsoles] = []
        if simulated_here(config):
            started.append(
                SimulatedConsoles(fake.console_host, fake.console_port, fake.serial_port)
            )
        tokens = functools.partial(redeem_once, self.db, self._transport)
        started += [
            build_proxy(config, name, tokens, host=self.listen)
            for name in proxies_in_one_process(config)
        ]
        for each in started:
            each.start()
            self._consoles.append(each)


def load_secrets(directory: Path) -> Secrets:
    """The passwords of a cloud, made where there are none yet."""
    path = directory / "secrets.json"
    if path.exists():
        return _decode_secrets(path.read_bytes())
    made = Secrets(secrets.token_urlsafe(15), secrets.token_urlsafe(15))
    path.touch(mode=0o600)
    path.write_bytes(msgspec.json.encode(made))
    return made


def not_served(config: Config) -> list[str]:
    """The types of services that the catalogue is to have no endpoints of."""
    found = [] if config.network_api.enabled and not config.network.external else ["network"]
    return found if config.volume.enabled else [*found, "block-storage", "volumev3"]


def make_endpoints(
    host: str, ports: Ports, *, network: bool, volume: bool
) -> list[EndpointSpec]:
    """What the catalogue lists."""
    base = f"http://{host}"
    endpoints = [
        EndpointSpec("identity", "keystone", f"{base}:{ports.identity}/v3"),
        EndpointSpec("image", "glance", f"{base}:{ports.image}"),
        EndpointSpec("compute", "nova", f"{base}:{ports.compute}/v2.1"),
        EndpointSpec("compute_legacy", "nova_legacy", f"{base}:{ports.compute}/v2/%(tenant_id)s"),
    ]
    if network:
        endpoints.append(EndpointSpec("network", "neutron", f"{base}:{ports.network}"))
    if volume:
        endpoints += [
            EndpointSpec("block-storage", "cinder", f"{base}:{ports.volume}/v3"),
            EndpointSpec("volumev3", "cinderv3", f"{base}:{ports.volume}/v3/%(tenant_id)s"),
        ]
    return endpoints


class _Zones:
    """Makes the zones of simulated hosts, once these have reported."""

    def __init__(self, cloud: AllInOne) -> None:
        self._cloud = cloud

    def start(self) -> None:
        """Make those that are missing."""
        self._cloud.make_zones()

    def tasks(self) -> Sequence[PeriodicTask]:
        """Nothing more."""
        return ()

    def stop(self) -> None:
        """Nothing to end."""


def public_host(config: Config, listen: str) -> str:
    """The address that clients are told where a cloud listens on ``listen``."""
    return config.default.my_ip if listen in ("0.0.0.0", "::") else listen  # noqa: S104


def wait_for_port(host: str, port: int, timeout: float = 10.0) -> None:
    """Return when something answers HTTP there; ``TimeoutError`` else."""
    import http.client

    deadline = time.monotonic() + timeout
    target = "127.0.0.1" if host in ("0.0.0.0", "::") else host  # noqa: S104
    while True:
        try:
            connection = http.client.HTTPConnection(target, port, timeout=5)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise TimeoutError(f"nothing answers on {host}:{port}") from None
            time.sleep(0.005)
