# SPDX-License-Identifier: Apache-2.0
"""A whole cloud without HTTP: operations, conductor, simulated hosts that fail when told to, SQLite."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, cast

import pytest

from nova import wiring
from nova.conf.load import load
from nova.db.engine import Database
from nova.db.schema import metadata
from nova.errors import ServiceUnavailable, VirtError
from nova.image.bootstrap import ensure_test_image
from nova.image.local import LocalImages
from nova.image.service import ImageService
from nova.network.creation import NetworkRequest, create_networks
from nova.objects.boot import BootRequest
from nova.objects.context import RequestContext
from nova.objects.instance import Instance
from nova.policy import Policy
from nova.rpc.calls import COMPUTE
from nova.virt.fake import FakeDriver, host_names
from nova.volume.build import build_service
from nova.volume.interface import BlockStorage
from nova.volume.local import LocalBlockStorage
from tests.leaks import leaks

USER = RequestContext(
    user_id="u", project_id="p", user_name="u", project_name="p", request_id="req-test",
    roles=("admin", "member", "reader"), is_admin=True,
)
_FAULTY = (
    "spawn", "destroy", "power_on", "power_off", "reboot", "pause", "unpause", "suspend", "resume",
    "rescue", "unrescue", "rebuild", "snapshot", "set_password", "migrate_out", "migrate_in",
    "forget_outgoing", "revert_outgoing", "live_migrate", "live_migrated_in", "attach_volume",
    "detach_volume", "swap_volume", "extend_volume", "connect_volumes", "plug", "unplug",
    "snapshot_volume", "delete_volume_snapshot",
)


class Faults:
    """Which driver methods fail: (host or None, method) -> how often, before or after they worked."""

    def __init__(self) -> None:
        self.times: dict[tuple[str | None, str], int] = {}
        self.after = False
        #: What the block storage service raises.
        self.error: type[Exception] = ServiceUnavailable

    def set(
        self, method: str, *, host: str | None = None, times: int = 10**9, after: bool = False
    ) -> None:
        self.times[host, method] = times
        self.after = after

    def clear(self) -> None:
        self.times.clear()

    def strike(self, host: str, method: str) -> bool:
        for key in ((host, method), (None, method)):
            if self.times.get(key, 0) > 0:
                self.times[key] -= 1
                return True
        return False


def _faulty(driver: FakeDriver, faults: Faults) -> FakeDriver:
    """The driver with its methods wrapped."""

    def wrap(name: str) -> Callable[..., Any]:
        works = getattr(driver, name)

        def method(*args: Any, **options: Any) -> Any:
            if not faults.strike(driver.host, name):
                return works(*args, **options)
            if faults.after:
                works(*args, **options)
            raise VirtError(f"Simulated failure of {name} on {driver.host}")

        return method

    for name in _FAULTY:
        setattr(driver, name, wrap(name))
    return driver


class FaultyVolumes:
    """The block storage service, which fails when told to: as host ``volumes``, by a method's name."""

    def __init__(self, storage: BlockStorage, faults: Faults) -> None:
        self._storage = storage
        self._faults = faults
        self.calls: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        works = getattr(self._storage, name)

        def method(*args: Any, **options: Any) -> Any:
            self.calls.append(name)
            if not self._faults.strike("volumes", name):
                return works(*args, **options)
            if self._faults.after:
                works(*args, **options)
            raise self._faults.error(f"Simulated failure of {name}")

        return method


class SmallCloud:
    """Three hosts and one network; ``options`` are configuration by ``group.option``."""

    def __init__(self, directory: Path, **options: Any) -> None:
        self.directory = directory
        settings: dict[tuple[str, str], Any] = {
            ("DEFAULT", "fake_network"): True, ("fake", "hosts"): 3,
            ("DEFAULT", "network_manager"): "nova.network.manager.FlatDHCPManager",
            ("DEFAULT", "flat_network_bridge"): "br100",
        }
        for name, value in options.items():
            group, _, option = name.partition("__")
            settings[group if option else "DEFAULT", option or group] = value
        self.config = load(overrides=settings)
        self.db = Database(f"sqlite:///{directory}/nova.sqlite")
        metadata.create_all(self.db.engine)
        service = ImageService(self.db, self.config.image, directory / "images")
        ensure_test_image(service, "p")
        with self.db.write() as tx:
            tx.flavors.seed_defaults()
            create_networks(
                tx, NetworkRequest(label="private", cidr="10.0.0.0/22", network_size=1024),
                self.config.network,
            )
        self.images = LocalImages(service)
        self.transport = wiring.in_process_transport()
        self.faults = Faults()
        self.storage = storage = build_service(self.config, self.db, self.images)
        storage.types.ensure_default()
        self.volumes = FaultyVolumes(LocalBlockStorage(storage), self.faults)
        self.control = wiring.build_control_side(
            self.config, self.db, self.transport, self.images, volumes=cast(Any, self.volumes)
        )
        self.managers = {
            name: wiring.build_compute(
                self.config, self.transport, wiring.LocalHostImages(self.images), name,
                _faulty(
                    FakeDriver(name, zone, self.config.fake, directory / "guests"), self.faults
                ),
            )
            for name, zone in host_names(self.config.fake)
        }
        for manager in self.managers.values():
            manager.start()
        self.control.hosts.refresh(force=True)
        self.control.conductor.placer.start()
        self.control.conductor.start()
        self.operations = wiring.build_cloud(
            self.control, Policy((), str(directory / "policy.yaml"))
        ).operations
        self.image = self.images.list(USER, filters={}, limit=1, marker=None)[0].id

    @contextlib.contextmanager
    def calls_fail(
        self, method: str, error: type[BaseException], *, carried_out: bool = False
    ) -> Iterator[None]:
        """Calls of one method to hosts raise ``error``: before they are carried out, or after."""
        call = self.transport.call

        def failing(topic: str, host: str | None, name: str, *args: Any) -> Any:
            if (topic, name) != (COMPUTE, method):
                return call(topic, host, name, *args)
            if carried_out:
                call(topic, host, name, *args)
            raise error(f"Simulated failure of {method}")

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(self.transport, "call", failing)
            yield

    def stop(self) -> None:
        self.transport.close()
        self.control.conductor.placer.stop()
        self.control.conductor.stop()
        for manager in self.managers.values():
            manager.stop()
        self.db.dispose()

    def boot(self, *, flavor: str = "1", **more: Any) -> Instance:
        """A server that was asked for, as it is when nothing is under way any more."""
        uuid = self.ask(flavor=flavor, **more)
        self.settle()
        return self.show(uuid)

    def ask(self, *, flavor: str = "1", count: int = 1, **more: Any) -> str:
        """The first uuid of a boot that was accepted."""
        booted = self.operations.boot(
            USER,
            BootRequest(
                name="test", flavor_ref=flavor, image_ref=more.pop("image_ref", self.image),
                min_count=count, max_count=count, **more,
            ),
        )
        return booted.uuids[0]

    def show(self, uuid: str) -> Instance:
        with self.db.read() as tx:
            found = tx.instances.get(uuid, deleted=True)
        assert found is not None
        return found

    def settle(self, seconds: float = 60.0) -> None:
        """Wait until no operation is open."""
        deadline = time.monotonic() + seconds
        while True:
            with self.db.read() as tx:
                lost = tx.operations.unfinished()
            if not lost:
                return
            assert time.monotonic() < deadline, lost
            time.sleep(0.002)

    @contextlib.contextmanager
    def steps_go_to(self, take: Callable[[Any], object], *hosts: str) -> Iterator[None]:
        """``take`` gets the steps of these hosts, of all where none is named, in place of their managers."""
        with pytest.MonkeyPatch.context() as patch:
            for name in hosts or self.managers:
                patch.setattr(self.managers[name], "run_step", take)
            yield

    def usage(self) -> tuple[int, int, int]:
        """Instances, cores and MiB of memory that the project is counted with."""
        with self.db.read() as tx:
            usage = tx.quotas.usage("p")
        return usage.instances, usage.cores, usage.ram

    def leaks(self) -> list[str]:
        return leaks(self.directory / "nova.sqlite", self.directory / "guests")

    def kill_host(self, host: str) -> None:
        """Let a host's service count as dead."""
        with self.db.write() as tx:
            service = tx.services.get_by_host("nova-compute", host)
            assert service is not None
            tx.services.set_forced_down(service.id, True)
        self.control.hosts.refresh(force=True)

    def revive_host(self, host: str) -> None:
        """The service reports again and compares its guests."""
        with self.db.write() as tx:
            service = tx.services.get_by_host("nova-compute", host)
            assert service is not None
            tx.services.set_forced_down(service.id, False)
        self.control.hosts.refresh(force=True)
        self.managers[host].sync_guests()
