# SPDX-License-Identifier: Apache-2.0
"""The administrator's commands of the unmodified ``openstack`` command line, and that a member is
refused them."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.api.cloud_process import CloudProcess, wait_for
from tests.api.public_clients import Commands

Boot = Callable[..., str]


def test_a_private_flavor_is_for_whom_it_is_given(
    cloud: CloudProcess, demo: Commands, admin: Commands, boot: Boot
) -> None:
    made = admin.json(
        "flavor", "create", "--ram", "96", "--disk", "2", "--vcpus", "1", "--private",
        "--property", "hw:cpu_policy=shared", "--description", "小", "f.私",
    )
    try:
        assert made["os-flavor-access:is_public"] is False
        assert made["properties"] == {"hw:cpu_policy": "shared"}
        assert "f.私" not in demo("flavor", "list", "-f", "value", "-c", "Name")
        assert "No Flavor found for f.私" in demo.refused("flavor", "show", "f.私")
        admin("flavor", "set", "--project", "demo", "--property", "trait:X=required", "f.私")
        admin("flavor", "unset", "--property", "trait:X", "f.私")
        shown = admin.json("flavor", "show", "f.私")
        assert shown["access_project_ids"] == [cloud.login("demo")[1]]
        assert shown["description"] == "小"
        assert shown["properties"] == {"hw:cpu_policy": "shared"}
        assert demo.json("flavor", "show", "f.私")["ram"] == 96
        uuid = boot("small", "--flavor", made["id"])
        assert cloud.server(uuid)["flavor"]["original_name"] == "f.私"
        admin("flavor", "unset", "--project", "demo", "f.私")
        assert "f.私" not in demo("flavor", "list", "-f", "value", "-c", "Name")
    finally:
        admin("flavor", "delete", made["id"])
    # The server keeps the flavor it was made with.
    assert demo.json("server", "show", uuid)["flavor"]["original_name"] == "f.私"
    assert "409" in admin.refused(
        "flavor", "create", "--id", "1", "--ram", "1", "--disk", "1", "--vcpus", "1", "twice"
    )


def test_quotas_are_set_shown_enforced_and_reset(
    cloud: CloudProcess, demo: Commands, admin: Commands, boot: Boot
) -> None:
    def limits(*arguments: str) -> dict[str, int]:
        rows = admin.json("quota", "show", "--compute", *arguments, "demo")
        return {each["Resource"]: each["Limit"] for each in rows}

    defaults = limits("--default")
    admin("quota", "set", "--instances", "1", "--key-pairs", "2", "demo")
    try:
        assert limits()["instances"] == 1
        boot("the-only-one")
        complaint = demo.refused(
            "server", "create", "--flavor", "m1.tiny", "--image", "nova-test", "--nic", "none",
            "one-more",
        )
        assert "403" in complaint
        assert "Quota exceeded for instances: Requested 1, but already used 1 of 1 instances" \
            in complaint
        usage = {
            each["Resource"]: each["In Use"]
            for each in admin.json("quota", "show", "--compute", "--usage", "demo")
        }
        assert (usage["instances"], usage["cores"], usage["ram"]) == (1, 1, 512)
        assert cloud.login("demo")[1] in admin(
            "quota", "list", "--compute", "-f", "value", "-c", "Project ID"
        )
    finally:
        admin("quota", "delete", "--compute", "demo")
    assert limits() == defaults
    assert "403" in demo.refused("quota", "set", "--instances", "99", "demo")


def test_hypervisors_and_services(cloud: CloudProcess, admin: Commands, boot: Boot) -> None:
    names = admin("hypervisor", "list", "-f", "value", "-c", "Hypervisor Hostname").split()
    assert names == ["fake-1", "fake-2", "fake-3", "fake-4"]
    host = cloud.server(boot("somewhere"))["OS-EXT-SRV-ATTR:host"]
    shown = admin.json("hypervisor", "show", host)
    assert (shown["state"], shown["status"], shown["service_host"]) == ("up", "enabled", host)
    statistics = admin.json("hypervisor", "stats", "show")
    assert statistics["count"] == 4
    assert statistics["memory_mb_used"] >= 512

    def service() -> dict[str, str]:
        (row,) = admin.json("compute", "service", "list", "--long", "--host", "fake-3")
        found: dict[str, str] = row
        return found

    admin("compute", "service", "set", "--disable", "--disable-reason", "维护", "fake-3",
          "nova-compute")
    assert (service()["Status"], service()["Disabled Reason"]) == ("disabled", "维护")
    assert admin.json("hypervisor", "show", "fake-3")["status"] == "disabled"
    admin("compute", "service", "set", "--enable", "fake-3", "nova-compute")
    admin("compute", "service", "set", "--down", "fake-3", "nova-compute")
    assert (service()["Status"], service()["State"]) == ("enabled", "down")
    admin("compute", "service", "set", "--up", "fake-3", "nova-compute")
    assert service()["State"] == "up"
    binaries = admin("compute", "service", "list", "-f", "value", "-c", "Binary").split()
    assert {"nova-compute", "nova-conductor", "nova-scheduler"} == set(binaries)


def test_no_server_lands_on_a_disabled_host(
    cloud: CloudProcess, admin: Commands, boot: Boot
) -> None:
    for host in ("fake-1", "fake-2", "fake-3"):
        admin("compute", "service", "set", "--disable", host, "nova-compute")
    try:
        hosts = {cloud.server(boot(f"left-{n}"))["OS-EXT-SRV-ATTR:host"] for n in range(3)}
        assert hosts == {"fake-4"}
    finally:
        for host in ("fake-1", "fake-2", "fake-3"):
            admin("compute", "service", "set", "--enable", host, "nova-compute")


def test_an_aggregate_makes_a_zone_to_boot_in(
    cloud: CloudProcess, demo: Commands, admin: Commands, boot: Boot
) -> None:
    admin("aggregate", "create", "--zone", "东区", "--property", "ssd=true", "agg")
    try:
        admin("aggregate", "add", "host", "agg", "fake-2")
        admin("aggregate", "set", "--property", "rack=r1", "--name", "agg 二", "agg")
        admin("aggregate", "unset", "--property", "ssd", "agg 二")
        shown = admin.json("aggregate", "show", "agg 二")
        assert shown["hosts"] == ["fake-2"]
        assert shown["properties"] == {"rack": "r1"}
        assert shown["availability_zone"] == "东区"
        zones = demo("availability", "zone", "list", "--compute", "-f", "value", "-c", "Zone Name")
        assert set(zones.split()) >= {"nova", "东区"}
        uuid = boot("eastern", "--availability-zone", "东区")
        assert cloud.server(uuid)["OS-EXT-SRV-ATTR:host"] == "fake-2"
        assert demo.json("server", "show", uuid)["OS-EXT-AZ:availability_zone"] == "东区"
        assert "400" in demo.refused(
            "server", "create", "--flavor", "m1.tiny", "--image", "nova-test", "--nic", "none",
            "--availability-zone", "nirgends", "lost",
        )
        demo("server", "delete", uuid)
        cloud.until_gone(uuid)
        admin("aggregate", "remove", "host", "agg 二", "fake-2")
    finally:
        (row,) = [each for each in admin.json("aggregate", "list") if "agg" in each["Name"]]
        admin("aggregate", "delete", str(row["ID"]))
    assert admin.json("aggregate", "list") == []


def test_a_server_is_moved(
    cloud: CloudProcess, demo: Commands, admin: Commands, boot: Boot
) -> None:
    uuid = boot("moved", nic="auto")

    def host() -> str:
        found: str = cloud.server(uuid)["OS-EXT-SRV-ATTR:host"]
        return found

    addresses = demo.json("server", "show", uuid)["addresses"]
    first = host()
    admin("server", "migrate", uuid)
    cloud.until(uuid, "VERIFY_RESIZE")
    second = host()
    assert second != first
    admin("server", "migration", "confirm", uuid)
    cloud.until(uuid, "ACTIVE")
    admin("server", "migrate", "--live-migration", uuid)
    wait_for(lambda: host() != second, lambda: f"still on {second}")
    cloud.until(uuid, "ACTIVE")
    third = host()
    target = next(name for name in ("fake-1", "fake-2", "fake-3") if name != third)
    admin("server", "migrate", "--live-migration", "--host", target, uuid)
    wait_for(lambda: host() == target, lambda: f"not on {target}")
    cloud.until(uuid, "ACTIVE")
    rows = admin.json("server", "migration", "list", "--server", uuid)
    assert sorted(each["Type"] for each in rows) == [
        "live-migration", "live-migration", "migration",
    ]
    assert {each["Status"] for each in rows} <= {"completed", "confirmed"}

    assert "400" in admin.refused("server", "evacuate", uuid)
    assert demo.json("server", "show", uuid)["addresses"] == addresses


def test_the_administrator_sees_and_repairs_servers_of_others(
    cloud: CloudProcess, demo: Commands, admin: Commands, boot: Boot
) -> None:
    uuid = boot("theirs")
    assert uuid in admin("server", "list", "--all-projects", "-f", "value", "-c", "ID")
    assert uuid not in admin("server", "list", "-f", "value", "-c", "ID")
    shown = admin.json("server", "show", uuid)
    assert shown["OS-EXT-SRV-ATTR:host"].startswith("fake-")
    assert shown["OS-EXT-SRV-ATTR:instance_name"]
    admin("server", "set", "--auto-approve", "--state", "error", uuid)
    assert demo.value("server", "show", uuid, column="status") == "ERROR"
    admin("server", "set", "--auto-approve", "--state", "active", uuid)
    demo("server", "reboot", "--hard", uuid)
    cloud.until(uuid, "ACTIVE")
    admin("server", "shelve", "--offload", uuid)
    cloud.until(uuid, "SHELVED_OFFLOADED")
    usage = admin.json("usage", "show", "--project", "demo")
    assert float(usage["CPU Hours"]) >= 0
    assert admin.json("usage", "list")


@pytest.mark.parametrize("arguments", [
    ("hypervisor", "list"), ("compute", "service", "list"), ("aggregate", "list"),
    ("compute", "service", "set", "--disable", "fake-1", "nova-compute"),
    ("aggregate", "create", "no"), ("server", "list", "--all-projects"),
    ("flavor", "create", "--ram", "1", "--disk", "1", "--vcpus", "1", "no"),
    ("flavor", "delete", "m1.tiny"), ("server", "migration", "list"),
    ("user", "list"), ("domain", "list"), ("role", "list"),
    ("project", "create", "no"), ("user", "create", "no"), ("service", "create", "no"),
    ("usage", "list"), ("image", "create", "--public", "no"), ("quota", "list", "--compute"),
], ids=" ".join)
def test_a_member_is_refused(demo: Commands, arguments: tuple[str, ...]) -> None:
    assert "403" in demo.refused(*arguments)


def test_a_member_is_refused_to_move_a_server(
    cloud: CloudProcess, demo: Commands, boot: Boot
) -> None:
    uuid = boot("stays")
    for command in (["migrate"], ["migrate", "--live-migration"], ["evacuate"],
                    ["set", "--auto-approve", "--state", "error"]):
        assert "403" in demo.refused("server", *command, uuid), command
    offload = cloud.compute("POST", f"/servers/{uuid}/action", {"shelveOffload": None})
    assert offload.status == 403, offload.body


def test_what_is_not_there_or_not_the_members_is_not_found(
    cloud: CloudProcess, demo: Commands, admin: Commands
) -> None:
    hidden = admin.value(
        "server", "create", "--flavor", "m1.tiny", "--image", "nova-test", "--nic", "none",
        "hidden",
    )
    cloud.until(hidden, "ACTIVE")
    try:
        for name in (hidden, "hidden", "nirgends", "00000000-0000-4000-8000-000000000000"):
            for command in ("show", "stop", "delete", "event list"):
                refusal = demo.refused("server", *command.split(), name)
                assert "No Server found" in refusal or "could not be found" in refusal
    finally:
        admin("server", "delete", hidden)
    for arguments, complaint in [
        (("flavor", "show", "无"), "No Flavor found"), (("image", "show", "无"), "No Image found"),
        (("keypair", "show", "无"), "No Keypair found"),
        (("server", "group", "show", "无"), "No ServerGroup"),
    ]:
        assert complaint in demo.refused(*arguments)
    for arguments in [
        ("--image", "无", "--flavor", "m1.tiny", "--nic", "none"),
        ("--image", "nova-test", "--flavor", "无", "--nic", "none"),
        ("--image", "nova-test", "--flavor", "m1.tiny", "--network", "无"),
        ("--image", "nova-test", "--flavor", "m1.tiny", "--nic", "none", "--key-name", "无"),
    ]:
        demo.refused("server", "create", *arguments, "never")
    assert demo.json("server", "list", "--name", "never") == []
