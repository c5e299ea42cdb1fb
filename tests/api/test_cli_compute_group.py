# SPDX-License-Identifier: Apache-2.0
"""Every command of the ``openstack`` client's compute group, driven once at least, as who may do it.

``IMPOSSIBLE`` names those that cannot succeed here, each with its reason and what is answered instead.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.api.cloud_process import CloudProcess, wait_for
from tests.api.public_clients import Commands

GROUP = "openstack.compute.v2"
VOLUME = "a26887c6-c47b-4654-abb5-dfadf7d3f803"

#: command -> (why it cannot succeed, its arguments, what the client says then). ``{server}`` is a server.
IMPOSSIBLE: dict[str, tuple[str, tuple[str, ...], str]] = {
    "compute agent create": (
        "the original removed the API", ("a", "b", "c", "d", "e", "f"), "410",
    ),
    "compute agent delete": ("the original removed the API", ("1",), "1 of 1 agents failed"),
    "compute agent list": ("the original removed the API", (), "410"),
    "compute agent set": ("the original removed the API", ("1",), "410"),
    "server add share": ("needs Manila", ("{server}", VOLUME), ""),
    "server remove share": ("needs Manila", ("{server}", VOLUME), ""),
    "server share show": ("needs Manila", ("{server}", VOLUME), ""),
    "server migration show": (
        "this client exchanges the two ids; the SDK's tour shows one", ("{server}", "1"),
        "No ServerMigration found for",
    ),
    "server ssh": ("needs a guest that answers SSH", ("{server}", "--login", "x"), ""),
}


class Driven:
    """Commands of one user; ``seen`` collects those that succeeded, ``tried`` those that were refused."""

    def __init__(self, commands: Commands, seen: set[tuple[str, ...]]) -> None:
        self.commands = commands
        self.seen = seen

    def __call__(self, *arguments: str) -> str:
        output = self.commands(*arguments)
        self.seen.add(arguments)
        return output

    def at(self, version: str, *arguments: str) -> None:
        """The same at an older version, by a client of its own."""
        done = self.commands.program(
            "openstack", "--os-compute-api-version", version, *arguments
        )
        assert done.status == 0, done.errors
        self.seen.add(arguments)

    def value(self, *arguments: str, column: str = "id") -> str:
        return self(*arguments, "-f", "value", "-c", column).strip()


@pytest.fixture(scope="module")
def slow_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    """A cloud in which live migrations last, and deleted servers can be restored."""
    cloud = CloudProcess(
        tmp_path_factory.mktemp("compute-group") / "state",
        arguments=[
            "--set", "identity.bcrypt_rounds=4", "--set", "fake.migrate_latency=3",
            "--set", "DEFAULT.reclaim_instance_interval=3600",
        ],
    )
    yield cloud.start()
    assert cloud.stop() == 0, cloud.log
    assert "Traceback" not in cloud.log


def test_every_command_of_the_compute_group(slow_cloud: CloudProcess, tmp_path: Path) -> None:
    seen: set[tuple[str, ...]] = set()
    with Commands(slow_cloud, "demo") as demo, Commands(slow_cloud, "admin") as admin:
        tour = Tour(slow_cloud, Driven(demo, seen), Driven(admin, seen), tmp_path)
        (group,) = admin.json("command", "list", "--group", GROUP)
        commands = set(group["Commands"])
        server = tour.run()
        for command, (_reason, arguments, complaint) in IMPOSSIBLE.items():
            who = admin if "migration" in command or not command.startswith("server") else demo
            words = [each.format(server=server) for each in arguments]
            said = who.refused(*command.split(), *words)
            assert complaint in said, (command, said)
    driven = {command for command in commands if any(_is(command, each) for each in seen)}
    assert commands - driven == set(IMPOSSIBLE)


def _is(command: str, arguments: tuple[str, ...]) -> bool:
    words = tuple(command.split())
    return arguments[: len(words)] == words


class Tour:
    """The commands, in an order in which each finds what it needs."""

    def __init__(
        self, cloud: CloudProcess, demo: Driven, admin: Driven, directory: Path
    ) -> None:
        self.cloud = cloud
        self.demo = demo
        self.admin = admin
        self.directory = directory

    def run(self) -> str:
        """All of it; returns a server that is left."""
        self.flavors_and_keys()
        self.hosts()
        servers = {
            name: self.boot(name) for name in ("one", "two", "three", "four", "five", "six")
        }
        one = servers["one"]
        self.moves(servers)
        self.one_server(one)
        self.addresses(one)
        self.images(one)
        self.ends(servers)
        return one

    def boot(self, name: str, *arguments: str) -> str:
        uuid = self.demo.value(
            "server", "create", "--flavor", "m1.tiny", "--image", "nova-test", "--network",
            "private", *arguments, name,
        )
        self.cloud.until(uuid, "ACTIVE")
        return uuid

    def flavors_and_keys(self) -> None:
        admin, demo = self.admin, self.demo
        admin("flavor", "create", "--ram", "64", "--disk", "1", "--vcpus", "1", "tour")
        admin("flavor", "set", "--property", "a:b=c", "tour")
        admin("flavor", "unset", "--property", "a:b", "tour")
        admin("flavor", "list")
        admin("flavor", "show", "tour")
        admin("flavor", "delete", "tour")
        key = self.directory / "key.pub"
        key.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAg+vHD56beGq3JROX3Cz4PmI96DCNUT57zL1SYKwkBq x")
        demo("keypair", "create", "--public-key", str(key), "tour")
        demo("keypair", "list")
        demo("keypair", "show", "tour")
        demo("keypair", "delete", "tour")

    def hosts(self) -> None:
        admin = self.admin
        image = self.demo.value("image", "show", "nova-test")
        admin("aggregate", "create", "--zone", "tour-zone", "tour")
        admin("aggregate", "add", "host", "tour", "fake-4")
        admin("aggregate", "cache", "image", "tour", image)
        admin("aggregate", "set", "--property", "x=y", "tour")
        admin("aggregate", "unset", "--property", "x", "tour")
        admin("aggregate", "list")
        admin("aggregate", "show", "tour")
        admin("aggregate", "remove", "host", "tour", "fake-4")
        admin("aggregate", "delete", "tour")
        admin("hypervisor", "list")
        admin("hypervisor", "show", "fake-1")
        admin("hypervisor", "stats", "show")
        admin("host", "list")
        admin("host", "show", "fake-1")
        admin("host", "set", "--disable", "fake-1")
        admin("host", "set", "--enable", "fake-1")

    def moves(self, servers: dict[str, str]) -> None:
        """Moves take their time: they all run at once."""
        admin, demo, until = self.admin, self.demo, self.cloud.until
        cold = {
            servers["one"]: ("server", "resize", "confirm"),
            servers["two"]: ("server", "resize", "revert"),
            servers["three"]: ("server", "migrate", "confirm"),
            servers["four"]: ("server", "migrate", "revert"),
            servers["five"]: ("server", "migration", "confirm"),
            servers["six"]: ("server", "migration", "revert"),
        }
        for uuid, words in cold.items():
            if words[1] == "resize":
                demo("server", "resize", "--flavor", "m1.small", uuid)
            else:
                admin("server", "migrate", uuid)
        for uuid, words in cold.items():
            until(uuid, "VERIFY_RESIZE")
            (admin if words[1] != "resize" else demo)(*words, uuid)
        for uuid in cold:
            until(uuid, "ACTIVE")
        for uuid, verb in ((servers["one"], ("abort",)), (servers["two"], ("force", "complete"))):
            admin("server", "migrate", "--live-migration", uuid)
            rows = admin.commands.json("server", "migration", "list", "--server", uuid)
            number = str(max(row["Id"] for row in rows))
            self.until_running(uuid, number)
            admin("server", "migration", *verb, uuid, number)
        admin("server", "migration", "list")
        for uuid in (servers["one"], servers["two"]):
            until(uuid, "ACTIVE")

    def until_running(self, uuid: str, number: str) -> None:
        """A live migration can be hurried once it runs."""
        path = f"/servers/{uuid}/migrations/{number}"
        wait_for(
            lambda: self.cloud.compute("GET", path, by="admin").json["migration"]["status"]
            == "running",
            lambda: f"the live migration {number} did not begin",
        )

    def one_server(self, uuid: str) -> None:
        demo, admin, until = self.demo, self.admin, self.cloud.until
        for command, status in (
            (("pause",), "PAUSED"), (("unpause",), "ACTIVE"), (("suspend",), "SUSPENDED"),
            (("resume",), "ACTIVE"), (("stop",), "SHUTOFF"), (("start",), "ACTIVE"),
            (("reboot",), "ACTIVE"), (("rescue",), "RESCUE"), (("unrescue",), "ACTIVE"),
            (("rebuild", "--image", "nova-test"), "ACTIVE"), (("shelve",), "SHELVED_OFFLOADED"),
            (("unshelve",), "ACTIVE"), (("lock",), "ACTIVE"), (("unlock",), "ACTIVE"),
        ):
            demo("server", *command, uuid)
            until(uuid, status)
        demo("server", "set", "--property", "p=q", uuid)
        demo("server", "unset", "--property", "p", uuid)
        demo("server", "list")
        demo("server", "show", uuid)
        demo("console", "log", "show", uuid)
        for kind in ("--novnc", "--spice", "--serial"):
            url = demo.value("console", "url", "show", kind, uuid, column="url")
        admin("console", "connection", "show", url.rpartition("token=")[2])
        admin("usage", "list")
        demo("usage", "show")
        event = demo.commands.json("server", "event", "list", uuid)[0]["Request ID"]
        demo("server", "event", "list", uuid)
        demo("server", "event", "show", uuid, event)
        demo("server", "dump", "create", uuid)
        self.volumes(uuid)
        demo("server", "share", "list", uuid)
        demo("server", "group", "create", "--policy", "affinity", "tour")
        demo("server", "group", "list")
        demo("server", "group", "show", "tour")
        demo("server", "group", "delete", "tour")

    def volumes(self, uuid: str) -> None:
        demo = self.demo

        def status() -> str:
            return str(demo.commands.json("volume", "show", "tour")["status"])

        demo.commands("volume", "create", "--size", "1", "tour")
        demo("server", "add", "volume", "--tag", "data", uuid, "tour")
        wait_for(lambda: status() == "in-use", status, 30.0)
        demo("server", "volume", "list", uuid)
        demo("server", "volume", "set", uuid, "tour", "--delete-on-termination")
        demo("server", "volume", "update", uuid, "tour", "--preserve-on-termination")
        demo("server", "remove", "volume", uuid, "tour")
        wait_for(lambda: status() == "available", status, 30.0)
        demo.commands("volume", "delete", "tour")

    def addresses(self, uuid: str) -> None:
        demo, admin = self.demo, self.admin
        demo("server", "add", "security", "group", uuid, self.new_group())
        demo("server", "remove", "security", "group", uuid, "tour")
        demo("server", "add", "network", uuid, "private")
        demo("server", "remove", "network", uuid, "private")
        port = demo.value("port", "create", "--network", "private", "tour")
        demo("server", "add", "port", uuid, port)
        admin("network", "create", "--external", "outside")
        admin("subnet", "create", "--network", "outside", "--subnet-range", "203.0.113.0/24", "o")
        floating = demo.value("floating", "ip", "create", "outside", column="floating_ip_address")
        demo("server", "add", "floating", "ip", uuid, floating)
        assert floating in str(self.cloud.server(uuid)["addresses"])
        demo("server", "remove", "floating", "ip", uuid, floating)
        demo("server", "remove", "port", uuid, port)
        demo("server", "add", "fixed", "ip", uuid, "private")
        added = next(iter(self.cloud.server(uuid)["addresses"].values()))[-1]["addr"]
        demo.at("2.43", "server", "remove", "fixed", "ip", uuid, added)

    def new_group(self) -> str:
        return self.demo.value("security", "group", "create", "tour", column="name")

    def images(self, uuid: str) -> None:
        self.demo("server", "image", "create", "--wait", "--name", "picture", uuid)
        self.demo("server", "backup", "create", "--wait", "--name", "backup", uuid)
        self.cloud.until(uuid, "ACTIVE")

    def ends(self, servers: dict[str, str]) -> None:
        admin, demo, until = self.admin, self.demo, self.cloud.until
        demo("server", "delete", servers["three"])
        until(servers["three"], "SOFT_DELETED")
        admin("server", "restore", servers["three"])
        until(servers["three"], "ACTIVE")
        host = self.cloud.server(servers["four"])["OS-EXT-SRV-ATTR:host"]
        admin("compute", "service", "set", "--down", host, "nova-compute")
        admin("server", "evacuate", servers["four"])
        wait_for(
            lambda: self.cloud.server(servers["four"])["OS-EXT-SRV-ATTR:host"] != host,
            lambda: "the server was not evacuated",
        )
        until(servers["four"], "SHUTOFF")  # from 2.95 on it is left stopped
        rows = admin.commands.json("compute", "service", "list", "--service", "nova-scheduler")
        admin("compute", "service", "list")
        admin("compute", "service", "delete", str(rows[0]["ID"]))
