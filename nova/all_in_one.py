# SPDX-License-Identifier: Apache-2.0
"""The whole cloud in one process: SQLite, in-process messages, simulated hosts unless there is libvirt.

The same services as everywhere else; only the transport and the database URL differ.
"""

from __future__ import annotations

import dataclasses
import fcntl
import logging
import os
import secrets
import time
from pathlib import Path
from typing import IO, Any

import msgspec

from nova import wiring
from nova.conductor.upkeep import upkeep_tasks
from nova.conf import Config
from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.errors import NovaError
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
from nova.service import Periodic, PeriodicTask

LOG = logging.getLogger(__name__)

#: The network of a new cloud: shared by all projects, no host plumbing behind it.
DEFAULT_NETWORK = NetworkRequest(label="private", cidr="10.0.0.0/20", network_size=4096)


class Secrets(msgspec.Struct, frozen=True):
    """Made at first start, kept in a file that only its owner reads."""

    admin_password: str
    demo_password: str


@dataclasses.dataclass(frozen=True)
class Ports:
    """Where the faces listen."""

    identity: int
    image: int
    compute: int
    network: int

    @classmethod
    def of(cls, config: Config, offset: int) -> Ports:
        """The configured ports, each ``offset`` higher."""
        return cls(
            identity=config.identity.listen_port + offset,
            image=config.image.listen_port + offset,
            compute=config.default.osapi_compute_listen_port + offset,
            network=config.network_api.listen_port + offset,
        )


class StateInUse(NovaError):
    """Another cloud runs on this state directory."""


class AllInOne:
    """A cloud with its state in one directory. ``start`` returns when it is healthy."""

    def __init__(self, config: Config, state: Path, *, listen: str, port_offset: int = 0) -> None:
        self.config = config
        self.state = state
        self.listen = listen
        self.ports = Ports.of(config, port_offset)
        self._lock: IO[str] | None = None
        self._servers: list[HttpServer] = []
        self._managers: list[Any] = []
        self._periodic: Periodic | None = None
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
        self.secrets = self._load_secrets()
        self.identity = IdentityService(self.db, self.config.identity, self.state / "keys")
        result = ensure_cloud(
            self.identity, admin_password=self.secrets.admin_password,
            demo_password=self.secrets.demo_password, endpoints=self._endpoints(),
            without=() if self.config.network_api.enabled else ("network",),
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
            server.stop()
        if self._periodic is not None:
            self._periodic.stop()
        self._transport.close()
        if hasattr(self, "control"):
            self.control.conductor.stop()
        for manager in self._managers:
            manager.stop()
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

    def _load_secrets(self) -> Secrets:
        path = self.state / "secrets.json"
        if path.exists():
            return msgspec.json.decode(path.read_bytes(), type=Secrets)
        made = Secrets(secrets.token_urlsafe(15), secrets.token_urlsafe(15))
        path.touch(mode=0o600)
        path.write_bytes(msgspec.json.encode(made))
        return made

    def _endpoints(self) -> list[EndpointSpec]:
        base = f"http://{self.public_host}"
        endpoints = [
            EndpointSpec("identity", "keystone", f"{base}:{self.ports.identity}/v3"),
            EndpointSpec("image", "glance", f"{base}:{self.ports.image}"),
            EndpointSpec("compute", "nova", f"{base}:{self.ports.compute}/v2.1"),
            EndpointSpec(
                "compute_legacy", "nova_legacy",
                f"{base}:{self.ports.compute}/v2/%(tenant_id)s",
            ),
        ]
        if self.config.network_api.enabled:
            endpoints.append(EndpointSpec("network", "neutron", f"{base}:{self.ports.network}"))
        return endpoints

    @property
    def public_host(self) -> str:
        """The address that clients are told."""
        return self.config.default.my_ip if self.listen in ("0.0.0.0", "::") else self.listen  # noqa: S104

    def _seed(self) -> None:
        """Kilo's flavors and one network, where there never were any."""
        with self.db.write() as tx:
            tx.flavors.seed_defaults()
            marker = self.state / "network-made"
            if not marker.exists():
                if not tx.networks.every():
                    create_networks(tx, DEFAULT_NETWORK, self._first_network_section())
                marker.touch()

    def _first_network_section(self) -> Any:
        """The first network is flat, whatever the manager: nothing is plugged for it."""
        return dataclasses.replace(
            self.config.network, network_manager="nova.network.manager.FlatDHCPManager",
            flat_network_bridge=self.config.network.flat_network_bridge or "br100",
        )

    def _start_services(self) -> None:
        images = LocalImages(self.image)
        self.control = wiring.build_control_side(self.config, self.db, self._transport, images)
        if "libvirt" in self.config.default.compute_driver:
            # Guests run as a user of their own, who passes through here to the disks. All else in here
            # stays closed to others by its own mode.
            self.state.chmod(0o711)
        host_images = wiring.LocalHostImages(images, (self.config.libvirt.rescue_image_id,))
        self._managers = wiring.build_hosts(
            self.config, self._transport, host_images, self.state / "guests"
        )
        self._beat()
        for manager in self._managers:
            manager.start()
        self._make_zones()
        self.control.hosts.refresh(force=True)
        self.control.conductor.start()
        resumed = self.control.conductor.recovery.run(everything=True)
        if resumed:
            LOG.info("resumed %d interrupted operations", resumed)
        self.cloud = wiring.build_cloud(
            self.control, wiring.build_policy(self.config, self.state)
        )
        self._periodic = Periodic(self._periodic_tasks())
        self._periodic.start()

    def _make_zones(self) -> None:
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

    def _periodic_tasks(self) -> list[PeriodicTask]:
        default = self.config.default
        tasks = [
            PeriodicTask("heartbeat", default.report_interval, self._beat),
            PeriodicTask(
                "recovery", self.config.conductor.recovery_interval,
                self.control.conductor.recovery.run,
            ),
        ]
        tasks += [
            PeriodicTask(f"report-{manager.name}", default.report_interval, manager.report)
            for manager in self._managers
        ]
        tasks += [
            PeriodicTask(
                f"guests-{manager.name}", default.sync_power_state_interval, manager.sync_guests
            )
            for manager in self._managers
        ]
        tasks.append(PeriodicTask("policy", 5.0, self.cloud.policy.reload_if_changed))
        return tasks + upkeep_tasks(self.control.core, self.cloud.operations)

    def _beat(self) -> None:
        host = self.config.default.host
        with self.db.write() as tx:
            tx.services.report_many(
                [
                    ("nova-conductor", host, "conductor"), ("nova-scheduler", host, "scheduler"),
                ],
                now(),
            )

    def _serve(self) -> None:
        from nova.api.compute.app import make_compute_app

        authenticator = LocalAuthenticator(self.identity)
        identity_url = f"http://{self.public_host}:{self.ports.identity}/v3"
        faces = [
            ("identity", make_identity_app(self.identity), self.ports.identity),
            ("image", make_image_app(self.image, authenticator, identity_url), self.ports.image),
            ("compute", make_compute_app(self.cloud, authenticator, identity_url), self.ports.compute),
        ]
        if self.config.network_api.enabled:
            from nova.api.network.app import make_network_app

            app = make_network_app(self.cloud, authenticator, identity_url)
            faces.append(("network", app, self.ports.network))
        for name, app, port in faces:
            server = HttpServer(name, app, self.listen, port)
            server.start()
            self._servers.append(server)
        for _name, _app, port in faces:
            wait_for_port(self.listen, port)


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
