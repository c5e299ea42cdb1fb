# SPDX-License-Identifier: Apache-2.0
"""Builds the daemons of the control side, each in a process of its own.

A daemon imports what it is made of and nothing else, which is most of its memory: hence the imports within.
"""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import threading
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nova.conf import Config
from nova.conf.policy import policy_directory
from nova.control_health import make_health, watch_pool
from nova.daemons.connect import control_transport, open_database, transport_health, wait_for_key
from nova.daemons.process import Built, patience_of
from nova.daemons.unit import Unit, Units
from nova.db.engine import Database
from nova.external.build import (
    external_authenticator,
    external_health,
    external_images,
    identity_url_for_users,
)
from nova.health import Health
from nova.rpc.calls import CONDUCTOR, SCHEDULER
from nova.rpc.rabbit import RabbitTransport

if TYPE_CHECKING:
    from nova.compute.images import Images
    from nova.compute.operations import Operations
    from nova.daemons.faces import FaceUnit
    from nova.http.auth import Authenticator
    from nova.identity.service import IdentityService
    from nova.image.tickets import ImageTickets
    from nova.volume.interface import BlockStorage


def build_api(config: Config, ending: threading.Event) -> Built:
    """The compute API, and the network API where it is enabled."""
    from nova import wiring
    from nova.api.compute.app import make_compute_app
    from nova.daemons.faces import PolicyUnit

    db = open_database(config, ending)
    transport = control_transport(config, db, ending)
    images = _images(config, db)
    control = wiring.build_control_side(
        config, db, transport, images, frozenset(), _volumes(config, db, images)
    )
    cloud = wiring.build_cloud(control, wiring.build_policy(config, policy_directory(config)))
    wiring.serve_caches(control, cloud)
    authenticator, identity_url = _authenticator(config, db), _identity_url(config)
    apps = [("compute", make_compute_app(cloud, authenticator, identity_url),
             config.default.osapi_compute_listen_port)]
    if config.network_api.enabled and not config.network.external:
        from nova.api.network.app import make_network_app

        apps.append(("network", make_network_app(cloud, authenticator, identity_url),
                     config.network_api.listen_port))
    built = _built(config, db, transport, [PolicyUnit(cloud.policy)], apps, authenticator)
    # A request that waits for a host may have its answer: the host may be coming back just now.
    hurry = partial(transport.hurry, patience_of(config))
    return dataclasses.replace(built, reload=cloud.policy.reload_if_changed, hurry=hurry)


def build_conductor(config: Config, ending: threading.Event) -> Built:
    """The hosts' way to the database, recovery and upkeep."""
    from nova import wiring
    from nova.conductor.image_access import ImageAccess, OwnImageService
    from nova.daemons.control import ConductorUnit

    db = open_database(config, ending)
    transport = control_transport(config, db, ending)
    images = _images(config, db)
    control = wiring.build_control_side(
        config, db, transport, images, frozenset({CONDUCTOR}), _volumes(config, db, images)
    )
    wiring.serve_caches(control)
    address = config.image.host_url or f"http://{config.default.my_ip}:{config.image.listen_port}"
    control.conductor.image_access = ImageAccess(
        db, images, OwnImageService(_tickets(config, ending), address), (config.libvirt.rescue_image_id,)
    )
    operations = wiring.build_operations(control)
    unit = ConductorUnit(control, operations, config.default.host)
    return _built(config, db, transport, [unit], recovery=control.conductor.recovery.last_run)


def build_scheduler(config: Config, ending: threading.Event) -> Built:
    """The placing of what waits."""
    from nova import wiring
    from nova.daemons.control import SchedulerUnit

    db = open_database(config, ending)
    transport = control_transport(config, db, ending)
    control = wiring.build_control_side(
        config, db, transport, _images(config, db), frozenset({SCHEDULER})
    )
    wiring.serve_caches(control)
    return _built(
        config, db, transport, [SchedulerUnit(control, config.default.host)]
    )


def build_identity(config: Config, ending: threading.Event) -> Built:
    """The built-in identity service."""
    from nova.identity.app import make_identity_app

    db = open_database(config, ending)
    app = make_identity_app(_identity(config, db))
    return _built(config, db, None, [], [("identity", app, config.identity.listen_port)])


def build_image(config: Config, ending: threading.Event) -> Built:
    """The built-in image service; where there is a Glance, what passes its data on to compute hosts."""
    from nova.image.app import make_image_app
    from nova.image.relay import make_image_relay
    from nova.image.service import ImageService

    db = open_database(config, ending)
    glance = external_images(config)
    if glance is not None:
        relay = make_image_relay(glance, _tickets(config, ending))
        return _built(config, db, None, [], [("image", relay, config.image.listen_port)])
    service = ImageService(db, config.image, Path(config.default.state_path) / "images")
    service.recover()
    authenticator = _authenticator(config, db)
    app = make_image_app(service, authenticator, _identity_url(config), _tickets(config, ending))
    return _built(config, db, None, [], [("image", app, config.image.listen_port)], authenticator)


def build_volume(config: Config, ending: threading.Event) -> Built:
    """The built-in block storage service."""
    from nova.daemons.faces import PolicyUnit
    from nova.volume.build import VolumePolicy, build_app, build_service
    from nova.volume.events import ComputeEvents
    from nova.volume.service import VolumeUnit
    from nova.wiring_projects import build_projects

    db = open_database(config, ending)
    images = _images(config, db)
    service = build_service(config, db, images, projects=build_projects(config, db))
    compute = _Compute(config, db, images, ending)
    ComputeEvents(db, compute.operations).connect(service)
    authenticator = _authenticator(config, db)
    policy = VolumePolicy(policy_directory(config) / config.policy.policy_file)
    app = build_app(service, policy, authenticator, _identity_url(config))
    unit = VolumeUnit(service, alone=False)
    built = _built(
        config, db, None, [unit, PolicyUnit(policy)],
        [("volume", app, config.volume.listen_port)], authenticator,
    )

    def drain(seconds: float) -> None:
        built.drain(seconds)
        # Nobody renews the leases of this work any more: others take it up where it was broken off.
        unit.stop()

    def close() -> None:
        compute.close()
        built.close()

    return dataclasses.replace(
        built, drain=drain, close=close, reload=policy.reload_if_changed, hurry=compute.hurry,
        dead=lambda: [*built.dead(), *compute.dead()],
    )


class _Compute:
    """What the block storage service tells compute with: made, with its way to the broker, when needed."""

    def __init__(
        self, config: Config, db: Database, images: Images, ending: threading.Event
    ) -> None:
        self._parts = (config, db, images, ending)
        self._lock = threading.Lock()
        self._transport: RabbitTransport | None = None
        self._operations: Operations | None = None

    def operations(self) -> Operations:
        """What users may ask of compute."""
        from nova import wiring

        config, db, images, ending = self._parts
        with self._lock:
            if self._operations is None:
                self._transport = control_transport(config, db, ending)
                control = wiring.build_control_side(
                    config, db, self._transport, images, frozenset(), _volumes(config, db, images)
                )
                self._operations = wiring.build_operations(control)
                if ending.is_set():
                    self._transport.hurry(patience_of(config))
            return self._operations

    def hurry(self) -> None:
        """The process ends: requests may have their answers, and wait no longer than it has time."""
        with self._lock:
            if self._transport is not None:
                self._transport.hurry(patience_of(self._parts[0]))

    def dead(self) -> Sequence[str]:
        """The connection's thread, where there should be one that lives."""
        return () if self._transport is None else self._transport.dead()

    def close(self) -> None:
        """Let go of the broker."""
        if self._transport is not None:
            self._transport.close(1.0)


def _volumes(config: Config, db: Database, images: Images) -> BlockStorage | None:
    from nova.external.build import external_volumes
    from nova.volume.build import build_block_storage

    return external_volumes(config) or build_block_storage(config, db, images)


def _built(
    config: Config,
    db: Database,
    transport: RabbitTransport | None,
    units: Sequence[Unit],
    apps: Sequence[tuple[str, Any, int]] = (),
    authenticator: Authenticator | None = None,
    **facts: Any,
) -> Built:
    watch_pool(db)
    health = make_health(
        db=db, service_down_time=config.default.service_down_time,
        transport=transport_health(transport) if transport else None,
        recovery_interval=config.conductor.recovery_interval,
        others=external_health(config, None),
        disabled_by_file=config.metrics.healthcheck_disabled_by_file, **facts,
    )
    faces: list[FaceUnit] = []
    if apps:
        checker = authenticator or _authenticator(config, db)
        faces = _faces(config, apps, health, checker)

    def drain(seconds: float) -> None:
        for face in faces:
            face.end()
        if transport is not None:
            transport.stop_serving(seconds)

    def close() -> None:
        if transport is not None:
            transport.close(1.0)
        db.dispose()

    def dead() -> list[str]:
        found = [name for face in faces for name in face.dead()]
        return found if transport is None else [*found, *transport.dead()]

    return Built(
        Units([*units, *faces]), drain, close, health,
        hurry=transport.hurry if transport is not None else lambda: None, dead=dead,
    )


def _faces(
    config: Config, apps: Sequence[tuple[str, Any, int]], health: Health, checker: Authenticator
) -> list[FaceUnit]:
    from nova.daemons.faces import FaceUnit
    from nova.http.health import with_health
    from nova.http.proxies import with_proxy_headers

    listen, patience = config.default.osapi_compute_listen, patience_of(config)
    behind_proxy = config.proxy_headers.enable_proxy_headers_parsing
    return [
        FaceUnit(
            name, with_health(with_proxy_headers(app, behind_proxy), health, checker), listen, port,
            patience,
        )
        for name, app, port in apps
    ]


def _images(config: Config, db: Database) -> Images:
    from nova.image.local import LocalImages
    from nova.image.service import ImageService

    return external_images(config) or LocalImages(
        ImageService(db, config.image, Path(config.default.state_path) / "images")
    )


def _identity(config: Config, db: Database) -> IdentityService:
    from nova.identity.service import IdentityService

    return IdentityService(db, config.identity, Path(config.default.state_path) / "keys")


def _authenticator(config: Config, db: Database) -> Authenticator:
    from nova.identity.authenticator import LocalAuthenticator

    return external_authenticator(config) or LocalAuthenticator(_identity(config, db))


def _identity_url(config: Config) -> str:
    own = f"http://{config.default.my_ip}:{config.identity.listen_port}/v3"
    return identity_url_for_users(config) or own


def _tickets(config: Config, ending: threading.Event) -> ImageTickets:
    from nova.image.tickets import ImageTickets

    control = wait_for_key(Path(config.host_identity.control_key_file), ending)
    return ImageTickets(hmac.digest(control.secret, b"tickets", hashlib.sha256))
