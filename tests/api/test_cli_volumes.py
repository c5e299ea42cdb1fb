# SPDX-License-Identifier: Apache-2.0
"""Every command of ``openstack``'s block storage groups, by a member and by the administrator.

``WALK`` drives each command that can be answered; ``IMPOSSIBLE`` says why the others cannot. A command that a
new client brings and that is in neither fails the test.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

import pytest

from tests.api.cloud_process import CloudProcess
from tests.api.public_clients import Commands

#: In the order in which they run; {w} is a word of whoever runs them.
WALK = """
volume create --size 1 --description d --property farbe=blau --bootable {w}-one
volume list
volume list --long --name {w}-one --status available --limit 1
volume show {w}-one
volume set --name {w}-one --description e --property größe=xl --image-property hw_disk_bus=scsi {w}-one
volume set --size 2 --non-bootable {w}-one
volume unset --property farbe --image-property hw_disk_bus {w}-one
volume summary
volume snapshot create --volume {w}-one --description d --property a=b {w}-snap
volume snapshot list --long --volume {w}-one
volume snapshot show {w}-snap
volume snapshot set --name {w}-snap --description e --property c=d {w}-snap
volume snapshot unset --property a {w}-snap
volume revert {w}-snap
volume create --snapshot {w}-snap {w}-two
volume create --source {w}-one --size 3 {w}-three
volume create --image nova-test --size 1 {w}-four
volume type list --long
volume type show __DEFAULT__
volume transfer request create --name {w}-offer {w}-two
volume transfer request list
volume transfer request show {w}-offer
volume transfer request delete {offer}
volume attachment list
block storage resource filter list
block storage resource filter show volume
volume backup list
volume group list
volume group type list
volume group snapshot list
volume message list
consistency group list
consistency group snapshot list
volume snapshot delete {w}-snap
volume delete {w}-two {w}-three {w}-four
volume delete --purge {w}-one
"""

#: What the administrator drives besides; a member is refused, or sees nothing.
ADMINISTRATORS = """
volume type create --description d --property multiattach=<is>_True cli-type
volume type set --name cli-type --description e --property x=y cli-type
volume type unset --property x cli-type
volume type delete cli-type
volume type create --private --project demo cli-private
volume type set --project service cli-private
volume type unset --project service cli-private
volume type delete cli-private
volume service list --long
volume backend pool list --long
volume backend capability show nova@builtin
volume qos list
block storage cluster list
"""

#: Driven by tests of their own below.
ELSEWHERE = {
    "volume attachment create", "volume attachment show", "volume attachment set",
    "volume message show", "volume message delete",
    "volume attachment complete", "volume attachment delete", "volume transfer request accept",
}

_ONE = "there is one service with one backend: nothing to migrate, fail over, switch or clean up"
#: The first words of commands that are refused, and why.
IMPOSSIBLE = {
    "block storage cleanup": _ONE, "block storage cluster set": _ONE,
    "block storage cluster show": _ONE, "volume migrate": _ONE, "volume host": _ONE,
    "volume service set": _ONE,
    "block storage log level": "the log is configured in [DEFAULT], as that of all services",
    "block storage snapshot manageable": "volumes of others are not taken over",
    "block storage volume manageable": "volumes of others are not taken over",
    "consistency group": "there are no groups", "volume group": "there are no groups",
    "volume backup": "there is no backup service; upload a volume as an image",
    "volume qos": "files have no quality of service of their own",
}


def newest(cloud: CloudProcess, who: str) -> Commands:
    """Commands at the newest version, which the client does not ask for by itself."""
    commands = Commands(cloud, who)
    commands._environment["OS_VOLUME_API_VERSION"] = "3.70"
    return commands


@pytest.fixture(scope="module")
def member(cloud: CloudProcess) -> Iterator[Commands]:
    with newest(cloud, "demo") as commands:
        yield commands


def lines(text: str) -> list[str]:
    return [line for line in text.splitlines() if line]


def test_every_command_is_driven_or_has_its_reason(demo: Commands) -> None:
    rows = demo.json("command", "list", "--group", "openstack.volume.v3")
    driven = lines(WALK + ADMINISTRATORS)
    unknown = [
        name for row in rows for name in row["Commands"]
        if name not in ELSEWHERE
        and not any((line + " ").startswith(name + " ") for line in driven)
        and not any((name + " ").startswith(group + " ") for group in IMPOSSIBLE)
    ]
    assert unknown == []


def test_a_members_commands_do_what_they_say(member: Commands) -> None:
    offer = ""
    for line in lines(WALK):
        arguments = line.format(w="cli", offer=offer).split()
        if line.startswith("volume transfer request create"):
            # The client takes a name here everywhere but for the deletion.
            offer = member.value(*arguments)
        else:
            member(*arguments)
    left = [each for each in member.json("volume", "list") if each["Name"].startswith("cli-")]
    assert [each for each in left if each["Status"] != "deleting"] == []


def test_an_administrators_commands_do_what_they_say(cloud: CloudProcess) -> None:
    with newest(cloud, "admin") as run:
        for line in lines(ADMINISTRATORS):
            run(*line.replace("<is>_True", "<is>-True").split())


def test_an_attachment_by_commands(member: Commands, boot: Callable[..., str]) -> None:
    run = member
    volume = run.value("volume", "create", "--size", "1", "hängt")
    server = boot("trägt")
    made = run.value("volume", "attachment", "create", "--server", server, volume, column="ID")
    assert run.value("volume", "show", volume, column="status") == "reserved"
    run("volume", "attachment", "set", "--host", "node1", "--mountpoint", "/dev/vdb", made)
    run("volume", "attachment", "complete", made)
    shown = run.json("volume", "show", volume)
    assert shown["status"] == "in-use"
    (one,) = shown["attachments"]
    assert (one["server_id"], one["attachment_id"], one["device"]) == (server, made, "/dev/vdb")
    assert run.json("volume", "attachment", "show", made)["Status"] == "attached"
    assert "400" in run.refused("volume", "delete", volume)
    run("volume", "attachment", "delete", made)
    run("volume", "delete", volume)


def test_a_message_says_why_a_volume_is_in_error(member: Commands, admin: Commands) -> None:
    admin("volume", "type", "create", "--property", "storage_protocol=fern", "cli-fern")
    volume = member.value("volume", "create", "--size", "1", "--type", "cli-fern", "verfehlt")
    assert member.value("volume", "show", volume, column="status") == "error"
    found = member.json("volume", "message", "list")
    (message,) = [each for each in found if each["Resource UUID"] == volume]
    assert "not fern" in message["User Message"]
    member("volume", "message", "show", message["ID"])
    member("volume", "message", "delete", message["ID"])
    assert message["ID"] not in member("volume", "message", "list")
    member("volume", "delete", volume)
    admin("volume", "type", "delete", "cli-fern")


def test_a_volume_changes_its_project(demo: Commands, admin: Commands) -> None:
    volume = demo.value("volume", "create", "--size", "1", "wandert")
    offer = demo.json("volume", "transfer", "request", "create", volume)
    wrong = admin.refused(
        "volume", "transfer", "request", "accept", "--auth-key", "falsch", offer["id"]
    )
    assert "invalid auth key" in wrong
    admin("volume", "transfer", "request", "accept", "--auth-key", offer["auth_key"], offer["id"])
    assert "No Volume found" in demo.refused("volume", "show", volume)
    admin("volume", "delete", volume)


def test_what_is_the_administrators_is_refused_for_members(demo: Commands) -> None:
    volume = demo.value("volume", "create", "--size", "1", "meins")
    for line in (
        f"volume set --state error {volume}", f"volume delete --force {volume}",
        "volume type create neu", "volume service list", "volume backend pool list",
    ):
        assert "403" in demo.refused(*line.split()), line
    assert "413" in demo.refused("volume", "create", "--size", "100000", "zu-groß")
    assert "400" in demo.refused("volume", "create", "--size", "1", "--availability-zone", "fern", "z")
    demo("volume", "delete", volume)


@pytest.mark.parametrize(
    "line",
    ["volume backup create {volume}", "volume migrate --host fern@b#c {volume}",
     "volume group create --volume-group-type x --volume-type __DEFAULT__", "volume qos create q",
     "volume service set --disable nova@builtin cinder-volume"],
)
def test_what_is_not_there_is_refused_in_one_line(admin: Commands, line: str) -> None:
    volume = admin.value("volume", "create", "--size", "1", "steht")
    complaint = admin.refused(*line.format(volume=volume).split())
    assert complaint.strip()
    assert re.search(r"\b50\d\b", complaint) is None
    admin("volume", "delete", volume)


def test_the_quotas_of_volumes(demo: Commands, admin: Commands) -> None:
    admin("quota", "set", "--volumes", "7", "--gigabytes", "77", "demo")
    try:
        shown = {each["Resource"]: each["Limit"] for each in demo.json("quota", "show")}
        assert (shown["volumes"], shown["gigabytes"]) == (7, 77)
        usage = {row["Resource"]: row for row in demo.json("quota", "show", "--usage")}
        assert usage["volumes"]["Limit"] == 7
        names = {row["Name"]: row["Value"] for row in demo.json("limits", "show", "--absolute")}
        assert names["max_total_volumes"] == 7
    finally:
        admin("quota", "delete", "--volume", "demo")
    shown = {each["Resource"]: each["Limit"] for each in demo.json("quota", "show")}
    assert shown["volumes"] == 10


def test_zones_and_extensions(demo: Commands) -> None:
    zones = demo.json("availability", "zone", "list", "--volume")
    assert [(each["Zone Name"], each["Zone Status"]) for each in zones] == [("nova", "available")]
    aliases = {each["Alias"] for each in demo.json("extension", "list", "--volume")}
    assert "os-volume-transfer" in aliases
