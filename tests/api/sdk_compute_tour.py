# SPDX-License-Identifier: Apache-2.0
"""Runs in the interpreter of the public clients, not in the test's: every public method of
openstacksdk's compute proxy, against a cloud that was started for it (``test_sdk_compute.py``).

Prints a JSON object: for each part of the tour null or the trace of what went wrong (``parts``), and the
methods that no part called (``uncalled``).
"""

from __future__ import annotations

import datetime
import functools
import inspect
import json
import sys
import traceback
from typing import Any

import openstack
from openstack import exceptions, proxy
from openstack.compute.v2 import _proxy

CALLED: set[str] = set()
PARTS: list[Any] = []

NOWHERE = "00000000-0000-4000-8000-000000000000"


def part(function: Any) -> Any:
    """Make the function a part of the tour."""
    PARTS.append(function)
    return function


def public_methods() -> list[str]:
    """What the compute proxy adds to proxies of any service."""
    common = set(dir(proxy.Proxy))
    return [
        name for name, _ in inspect.getmembers(_proxy.Proxy, inspect.isfunction)
        if not name.startswith("_") and name not in common
    ]


def note_calls() -> None:
    """Have every public method note that it was called."""
    for name in public_methods():
        original = getattr(_proxy.Proxy, name)

        def noting(self: Any, *args: Any, _name: str = name, _call: Any = original,
                   **options: Any) -> Any:
            CALLED.add(_name)
            return _call(self, *args, **options)

        setattr(_proxy.Proxy, name, functools.wraps(original)(noting))


class Tour:
    """The compute proxy, and what parts need of it."""

    def __init__(self) -> None:
        self.connection = openstack.connect(cloud="envvars", load_yaml_config=False)
        self.compute = self.connection.compute
        #: For what the newest versions no longer have.
        self.older = openstack.connect(
            cloud="envvars", load_yaml_config=False, compute_default_microversion="2.43"
        ).compute
        self.image = self.compute.find_image("nova-test", ignore_missing=False)
        self.tiny = self.compute.find_flavor("m1.tiny", ignore_missing=False)
        self.small = self.compute.find_flavor("m1.small", ignore_missing=False)

    def boot(self, name: str, networks: Any = "none", **attributes: Any) -> Any:
        """An active server."""
        server = self.compute.create_server(
            name=name, image_id=self.image.id, flavor_id=self.tiny.id, networks=networks,
            **attributes,
        )
        return self.until(server, "ACTIVE")

    def until(self, server: Any, status: str) -> Any:
        """The server as soon as it has the status."""
        return self.compute.wait_for_server(server, status=status, interval=0.1, wait=30)

    def idle(self, server: Any) -> Any:
        """The server as soon as no task runs on it."""
        return self.compute.wait_for_status(
            self.compute.get_server(server), None, failures=["nothing"], interval=0.1, wait=30,
            attribute="task_state",
        )

    def gone(self, *servers: Any) -> None:
        """Remove servers for good."""
        for server in servers:
            self.compute.delete_server(server, force=True)
        for server in servers:
            self.compute.wait_for_delete(server, interval=0.1, wait=30)

    def network_id(self) -> str:
        """The cloud's first network, from compute's own network API."""
        answer = self.compute.get("/os-networks", microversion="2.1")
        return str(answer.json()["networks"][0]["id"])


def refused(kind: Any, call: Any, *args: Any, **options: Any) -> Any:
    """The error of a call that has to be refused."""
    try:
        answer = call(*args, **options)
        if inspect.isgenerator(answer):
            list(answer)
    except kind as error:
        return error
    raise AssertionError(f"{call.__name__} was not refused")


@part
def servers(tour: Tour) -> None:
    compute = tour.compute
    server = tour.boot("erster Sörver", metadata={"a": "1"}, description="für den Anfang")
    assert server.name == "erster Sörver"
    assert compute.get_server(server.id).status == "ACTIVE"
    assert compute.find_server("erster Sörver").id == server.id
    assert compute.find_server("none such") is None
    assert [s.id for s in compute.servers(name="erster")] == [server.id]
    assert [s.id for s in compute.servers(details=False)] == [server.id]
    assert [s.id for s in compute.servers(all_projects=True, limit=1)] == [server.id]
    changed = compute.update_server(server, name="zweiter", description="später")
    assert (changed.name, changed.description) == ("zweiter", "später")
    compute.set_server_metadata(server, b="2")
    assert compute.get_server(server).metadata == {"a": "1", "b": "2"}
    compute.delete_server_metadata(server, ["a"])
    assert compute.get_server_metadata(server).metadata == {"b": "2"}
    assert compute.fetch_server_metadata(server).metadata == {"b": "2"}
    compute.add_tag_to_server(server, "blau")
    compute.add_tag_to_server(server, "rot")
    compute.remove_tag_from_server(server, "blau")
    assert compute.get_server(server).tags == ["rot"]
    compute.remove_tags_from_server(server)
    assert compute.get_server(server).tags == []
    compute.delete_server(server)
    tour.until(server, "SOFT_DELETED")
    compute.restore_server(server)
    tour.until(server, "ACTIVE")
    tour.gone(server)
    refused(exceptions.NotFoundException, compute.get_server, server.id)


@part
def states(tour: Tour) -> None:
    compute = tour.compute
    server = tour.boot("states")
    for act, status in (
        (compute.pause_server, "PAUSED"), (compute.unpause_server, "ACTIVE"),
        (compute.suspend_server, "SUSPENDED"), (compute.resume_server, "ACTIVE"),
        (compute.stop_server, "SHUTOFF"), (compute.start_server, "ACTIVE"),
        (compute.rescue_server, "RESCUE"), (compute.unrescue_server, "ACTIVE"),
        (compute.shelve_server, "SHELVED_OFFLOADED"), (compute.unshelve_server, "ACTIVE"),
    ):
        act(server)
        tour.until(server, status)
    refused(exceptions.ConflictException, compute.shelve_offload_server, server)
    for kind in ("SOFT", "HARD"):
        compute.reboot_server(server, kind)
        tour.idle(server)
    compute.lock_server(server, locked_reason="nicht anfassen")
    assert compute.get_server(server).is_locked is True
    compute.unlock_server(server)
    compute.change_server_password(server, "geheim")
    tour.idle(server)
    compute.trigger_server_crash_dump(server)
    assert "Simulated guest" in compute.get_server_console_output(server)["output"]
    assert compute.get_server_console_output(server, length=1)["output"].count("\n") <= 1
    assert compute.get_server_diagnostics(server).state == "running"
    assert compute.get_server_password(server) == ""
    compute.clear_server_password(server)
    compute.reset_server_state(server, "error")
    assert compute.get_server(server).status == "ERROR"
    compute.reset_server_state(server, "active")
    rebuilt = compute.rebuild_server(server, tour.image.id, name="rebuilt")
    assert rebuilt.name == "rebuilt"
    tour.idle(server)
    newest = next(compute.server_actions(server))
    shown = compute.get_server_action(newest.request_id, server)
    assert (shown.action, shown.events[0].result) == ("rebuild", "Success")
    tour.gone(server)


@part
def moves(tour: Tour) -> None:
    compute = tour.compute
    server = tour.boot("moves")
    for end, flavor in (
        (compute.revert_server_resize, "m1.tiny"), (compute.confirm_server_resize, "m1.small"),
    ):
        compute.resize_server(server, tour.small.id)
        tour.until(server, "VERIFY_RESIZE")
        end(server)
        assert tour.until(server, "ACTIVE").flavor["original_name"] == flavor
        tour.idle(server)
    compute.migrate_server(server)
    tour.until(server, "VERIFY_RESIZE")
    compute.confirm_server_resize(server)
    before = tour.idle(tour.until(server, "ACTIVE")).compute_host
    compute.live_migrate_server(server, block_migration="auto")
    (migration,) = compute.server_migrations(server)
    assert compute.get_server_migration(migration.id, server).source_compute == before
    compute.abort_server_migration(migration.id, server)
    assert tour.idle(server).compute_host == before
    compute.live_migrate_server(server, block_migration="auto")
    (migration,) = compute.server_migrations(server)
    compute.wait_for_status(
        migration, "running", failures=["error"], interval=0.05, wait=30,
    )
    compute.force_complete_server_migration(migration, server)
    after = tour.idle(server).compute_host
    assert after != before
    kinds = {each.migration_type for each in compute.migrations()}
    assert kinds == {"resize", "migration", "live-migration"}
    (service,) = compute.services(host=after, binary="nova-compute")
    assert compute.force_service_down(service).is_forced_down is True
    assert compute.update_service_forced_down(service, forced=False).is_forced_down is False
    compute.force_service_down(service)
    compute.evacuate_server(server)
    tour.idle(server)
    assert compute.get_server(server).compute_host != after
    # The host has to start again before it may be called up: it holds what was evacuated.
    refused(
        exceptions.BadRequestException, compute.update_service_forced_down, service, forced=False
    )
    tour.gone(server)


@part
def addresses(tour: Tour) -> None:
    compute = tour.compute
    server = tour.boot("addresses", networks=[{"uuid": tour.network_id()}])
    (ip,) = compute.server_ips(server)
    assert [each.address for each in compute.server_ips(server, ip.network_label)] == [ip.address]
    (nic,) = compute.server_interfaces(server)
    assert compute.get_server_interface(nic.port_id, server).fixed_ips[0]["ip_address"] == ip.address
    added = compute.create_server_interface(server, net_id=tour.network_id())
    compute.delete_server_interface(added, server)
    for _ in compute.server_interfaces(server):
        tour.idle(server)
    tour.older.add_fixed_ip_to_server(server, tour.network_id())
    tour.idle(server)
    extra = next(a for a in compute.server_ips(server) if a.address != ip.address)
    tour.older.remove_fixed_ip_from_server(server, extra.address)
    compute.post("/os-floating-ips-bulk", json={
        "floating_ips_bulk_create": {"ip_range": "203.0.113.0/29", "pool": "public"},
    }, microversion="2.1")
    made = compute.post("/os-floating-ips", json={"pool": "public"}, microversion="2.1")
    floating = made.json()["floating_ip"]["ip"]
    tour.older.add_floating_ip_to_server(server, floating)
    assert floating in {each.address for each in compute.server_ips(server)}
    tour.older.remove_floating_ip_from_server(server, floating)
    assert floating not in {each.address for each in compute.server_ips(server)}
    compute.post("/os-security-groups", json={
        "security_group": {"name": "tür", "description": ""},
    }, microversion="2.1")
    compute.add_security_group_to_server(server, "tür")
    compute.fetch_server_security_groups(server)
    assert {group["name"] for group in server.security_groups} == {"default", "tür"}
    compute.remove_security_group_from_server(server, "tür")
    (answer,) = compute.create_server_external_events(
        [{"name": "network-changed", "server_uuid": server.id}]
    )
    assert answer.code == 200
    tour.gone(server)


@part
def consoles(tour: Tour) -> None:
    """Addresses of consoles, and what their tokens lead to."""
    compute = tour.compute
    server = tour.boot("consoles")
    plain = exceptions.HttpException
    assert "token" in compute.create_console(server, "novnc")["url"]
    # Its action was replaced by remote consoles in 2.6, and this client asks at the newest version.
    error = refused(plain, compute.get_server_console_url, server, "novnc")
    assert error.status_code == 404
    console = compute.create_server_remote_console(server, protocol="serial", type="serial")
    token = console.url.rpartition("token=")[2]
    assert compute.validate_console_auth_token(token).instance_uuid == server.id
    error = refused(plain, compute.validate_console_auth_token, NOWHERE)
    assert error.status_code == 404
    tour.gone(server)


@part
def images(tour: Tour) -> None:
    compute = tour.compute
    server = tour.boot("pictures")
    image = compute.create_server_image(server, "Bild", metadata={"k": "v"}, wait=True)
    assert compute.find_image("Bild").id == image.id
    assert compute.get_image(image.id).name == "Bild"
    assert image.id in {each.id for each in compute.images()}
    assert image.id in {each.id for each in compute.images(details=False)}
    metadata = compute.get_image_metadata(image.id).metadata
    assert metadata["k"] == "v"
    compute.set_image_metadata(image.id, farbe="grün")
    assert compute.fetch_image_metadata(image.id).metadata["farbe"] == "grün"
    compute.delete_image_metadata(compute.get_image(image.id), ["farbe"])
    assert "farbe" not in compute.get_image_metadata(image.id).metadata
    backup = compute.backup_server(server, "Kopie", "daily", 1, wait=True)
    for made in ("Bild", "Kopie"):
        compute.delete_image(compute.find_image(made))
    assert backup is not None
    tour.gone(server)


@part
def flavors(tour: Tour) -> None:
    compute = tour.compute
    made = compute.create_flavor(name="größe", ram=64, vcpus=1, disk=1, is_public=False)
    assert compute.find_flavor("größe").id == made.id
    assert compute.get_flavor(made.id, get_extra_specs=True).extra_specs == {}
    assert compute.update_flavor(made, description="klein").description == "klein"
    compute.create_flavor_extra_specs(made, {"hw:cpu_policy": "shared"})
    assert compute.fetch_flavor_extra_specs(made).extra_specs == {"hw:cpu_policy": "shared"}
    compute.update_flavor_extra_specs_property(made, "hw:cpu_policy", "dedicated")
    assert compute.get_flavor_extra_specs_property(made, "hw:cpu_policy") == "dedicated"
    compute.delete_flavor_extra_specs_property(made, "hw:cpu_policy")
    project = tour.connection.current_project_id
    compute.flavor_add_tenant_access(made, project)
    assert [each["tenant_id"] for each in compute.get_flavor_access(made)] == [project]
    compute.flavor_remove_tenant_access(made, project)
    assert "m1.tiny" in {each.name for each in compute.flavors(get_extra_specs=True)}
    compute.delete_flavor(made)
    assert compute.find_flavor("größe") is None


@part
def keypairs(tour: Tour) -> None:
    compute = tour.compute
    public = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIOzWxJx3YHHBR8DdaXZSLbdr3dqWXmQ1ns+2bd/0Y2e tür"
    made = compute.create_keypair(name="key", public_key=public)
    assert compute.get_keypair("key").fingerprint == made.fingerprint
    assert compute.find_keypair("key").name == "key"
    assert [each.name for each in compute.keypairs()] == ["key"]
    compute.delete_keypair("key")
    assert compute.find_keypair("key") is None


@part
def groups(tour: Tour) -> None:
    compute = tour.compute
    made = compute.create_server_group(name="nah", policy="soft-affinity")
    assert compute.get_server_group(made.id).policy == "soft-affinity"
    assert compute.find_server_group("nah").id == made.id
    assert [each.id for each in compute.server_groups(all_projects=True)] == [made.id]
    compute.delete_server_group(made)


@part
def aggregates(tour: Tour) -> None:
    compute = tour.compute
    made = compute.create_aggregate(name="gestell", availability_zone="keller")
    assert compute.update_aggregate(made, name="regal").name == "regal"
    host = next(compute.services(binary="nova-compute")).host
    assert compute.add_host_to_aggregate(made, host).hosts == [host]
    assert "keller" in {zone.name for zone in compute.availability_zones(details=True)}
    compute.set_aggregate_metadata(made, ssd="true")
    assert compute.get_aggregate(made.id).metadata["ssd"] == "true"
    assert compute.find_aggregate("regal").id == made.id
    assert [each.id for each in compute.aggregates()] == [made.id]
    compute.aggregate_precache_images(made, [tour.image.id])
    compute.remove_host_from_aggregate(made, host)
    compute.delete_aggregate(made)


@part
def hosts(tour: Tour) -> None:
    compute = tour.compute
    found = [each for each in compute.hypervisors(details=True) if each.state == "up"]
    assert compute.find_hypervisor(found[0].name).id == found[0].id
    assert compute.get_hypervisor(found[0].id).uptime
    (older,) = (each for each in tour.older.hypervisors() if each.name == found[0].name)
    assert " up " in tour.older.get_hypervisor_uptime(older).uptime
    services = list(compute.services(binary="nova-compute"))
    service = compute.find_service(services[-1].id)
    assert compute.disable_service(service, disabled_reason="Umbau").status == "disabled"
    assert compute.enable_service(service).status == "enabled"
    assert compute.update_service(service, status="enabled").status == "enabled"
    compute.delete_service(service)
    assert service.id not in {each.id for each in compute.services()}


@part
def limits(tour: Tour) -> None:
    compute = tour.compute
    assert compute.get_limits().absolute.instances == 10
    project = tour.connection.current_project_id
    assert compute.get_quota_set_defaults(project).instances == 10
    assert compute.update_quota_set(project, instances=12).instances == 12
    assert compute.get_quota_set(project, usage=True).usage["instances"] == 0
    compute.revert_quota_set(project)
    assert compute.get_quota_set(project).instances == 10
    assert compute.get_quota_class_set().instances == 10
    assert compute.update_quota_class_set("default", instances=11).instances == 11
    compute.update_quota_class_set("default", instances=10)
    end = datetime.datetime.now(datetime.UTC).replace(tzinfo=None)
    window = {"start": end - datetime.timedelta(days=1), "end": end}
    server = tour.boot("usage")
    assert compute.get_usage(project, **window).total_hours >= 0
    assert project in {usage.project_id for usage in compute.usages(**window)}
    tour.gone(server)
    names = {each.alias for each in compute.extensions()}
    assert "os-aggregates" in names
    assert compute.find_extension("os-aggregates").alias == "os-aggregates"


@part
def volumes_and_shares(tour: Tour) -> None:
    """Attachments of volumes; there is no share service: its lists are empty, the rest is refused."""
    compute, storage = tour.compute, tour.connection.block_storage
    server = tour.boot("volumes")
    assert list(compute.volume_attachments(server)) == []
    volume = storage.wait_for_status(storage.create_volume(size=1, name="tour"), "available")
    made = compute.create_volume_attachment(server, volume, tag="data")
    storage.wait_for_status(volume, "in-use", interval=1)
    found = compute.get_volume_attachment(server, volume)
    assert (found.volume_id, found.device, found.tag) == (volume.id, "/dev/vdb", "data")
    compute.update_volume_attachment(server, volume.id, volume_id=volume.id, delete_on_termination=True)
    (listed,) = compute.volume_attachments(server)
    assert listed.delete_on_termination is True
    assert made.server_id == server.id
    compute.delete_volume_attachment(server, volume)
    storage.wait_for_status(volume, "available", interval=1)
    storage.delete_volume(volume)
    assert list(compute.share_attachments(server)) == []
    plain = exceptions.HttpException
    for error in (
        refused(plain, compute.create_volume_attachment, server, NOWHERE),
        refused(plain, compute.get_volume_attachment, server, NOWHERE),
        refused(plain, compute.update_volume_attachment, server, NOWHERE, volume_id=NOWHERE),
        refused(plain, compute.delete_volume_attachment, server, NOWHERE, ignore_missing=False),
        refused(plain, compute.create_share_attachment, server, NOWHERE),
        refused(plain, compute.get_share_attachment, server, NOWHERE),
        refused(plain, compute.delete_share_attachment, server, NOWHERE, ignore_missing=False),
    ):
        assert 400 <= error.status_code < 500 or error.status_code == 503, error
    tour.gone(server)


def main() -> None:
    """Run all parts, or those named by the arguments."""
    note_calls()
    tour = Tour()
    wanted = sys.argv[1:]
    outcome: dict[str, str | None] = {}
    for each in PARTS:
        if wanted and each.__name__ not in wanted:
            continue
        try:
            each(tour)
            outcome[each.__name__] = None
        except Exception:
            outcome[each.__name__] = traceback.format_exc()
    uncalled = sorted(set(public_methods()) - CALLED)
    print(json.dumps({"parts": outcome, "uncalled": uncalled}))


if __name__ == "__main__":
    main()
