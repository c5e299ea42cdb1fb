# SPDX-License-Identifier: Apache-2.0
"""A whole cloud in this process, without sockets: wired as the all-in-one, asked through WSGI."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from falcon.testing import TestClient

from nova import errors, wiring
from nova.api.compute.app import make_compute_app
from nova.conf.load import load
from nova.db.schema.base import now
from nova.image.local import LocalImages
from nova.image.service import ImageService
from nova.network.creation import NetworkRequest, create_networks
from nova.objects.context import RequestContext
from nova.volume.build import build_service
from nova.volume.local import LocalBlockStorage
from tests.databases import new_database

#: The image that the samples' requests name.
IMAGE = "70a599e0-31e7-49b7-b260-868f441e862b"
#: The zone that they ask for; all hosts but the last are in it.
ZONE = "us-west"

_ROLES = {
    "admin": ("admin", "manager", "member", "reader"),
    "member": ("member", "reader"),
    "service": ("service", "admin", "member", "reader"),
}


class StageTokens:
    """An authenticator of tokens ``<role>:<project>:<user>``."""

    def authenticate(self, token: str) -> RequestContext:
        role, project, user = token.split(":")
        if role not in _ROLES:
            raise errors.Unauthorized
        return caller(role, project, user)


def caller(role: str, project: str, user: str) -> RequestContext:
    """Who calls."""
    return RequestContext(
        user_id=user, user_name=user, project_id=project, project_name=project,
        roles=_ROLES[role], is_admin=role != "member",
    )


class SampleCloud:
    """Control side and simulated hosts."""

    def __init__(self, directory: Path, options: dict[tuple[str, str], Any]) -> None:
        self.config = load(overrides=options)
        self.db = new_database(directory)
        self.transport = wiring.in_process_transport()
        self.images = LocalImages(
            ImageService(self.db, self.config.image, directory / "images")
        )
        self._seed()
        service = build_service(self.config, self.db, self.images)
        service.types.ensure_default()
        service.types.create("lvm-1", None)
        self.volumes = LocalBlockStorage(service)
        self.control = wiring.build_control_side(
            self.config, self.db, self.transport, self.images, volumes=self.volumes
        )
        self.managers = wiring.build_fake_hosts(
            self.config, self.transport, wiring.LocalHostImages(self.images), directory / "guests"
        )
        for manager in self.managers:
            manager.start()
        with self.db.write() as tx:
            aggregate = tx.aggregates.create("west", availability_zone=ZONE)
            for manager in self.managers[:-1]:
                tx.aggregates.add_host(aggregate.id, manager.name)
        self.control.hosts.refresh(force=True)
        self.control.conductor.placer.start()
        self.control.conductor.start()
        self.cloud = wiring.build_cloud(
            self.control, wiring.build_policy(self.config, directory)
        )
        self.client = TestClient(
            make_compute_app(self.cloud, StageTokens(), "http://identity.example.com/v3")
        )

    def _seed(self) -> None:
        """The image, the flavors and the networks that the samples name."""
        owner = caller("admin", "admin", "admin")
        self.images.create(
            owner, name="fakeimage7", image_id=IMAGE, visibility="public", disk_format="raw",
            container_format="bare",
            properties={"architecture": "x86_64", "auto_disk_config": "True"},
        )
        self.images.upload(owner, IMAGE, [b"no system"])
        self.images.create(
            owner, name="fakeimage123456", visibility="public", disk_format="raw",
            container_format="bare",
            properties={
                "architecture": "x86_64", "kernel_id": "nokernel", "ramdisk_id": "nokernel",
            },
        )
        with self.db.write() as tx:
            tx.flavors.seed_defaults()
            tx.flavors.create(
                "m1.tiny.specs", memory_mb=512, vcpus=1, root_gb=1, flavorid="6",
                description="test description", extra_specs={"hw:numa_nodes": "1"},
            )
            create_networks(
                tx, NetworkRequest(label="private", cidr="10.0.0.0/20", network_size=4096),
                self.config.network,
            )
            for project in ("fake_tenant", "openstack", "t"):
                tx.identity.projects.create({
                    "id": project, "name": project, "domain_id": "default", "is_domain": False,
                    "enabled": True, "description": "", "options": {}, "extra": {},
                })
            host = self.config.default.host
            tx.services.report_many(
                [("nova-conductor", host, "conductor"), ("nova-scheduler", host, "scheduler")],
                now(),
            )

    def stop(self) -> None:
        """End all threads."""
        self.transport.close()
        self.control.conductor.placer.stop()
        self.control.conductor.stop()
        for manager in self.managers:
            manager.stop()
        self.db.dispose()
