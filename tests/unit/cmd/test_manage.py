# SPDX-License-Identifier: Apache-2.0
"""``nova-manage`` as an operator types it."""

from __future__ import annotations

import io
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from nova.cmd.manage import main
from nova.conf.network import NetworkSection
from nova.db import migrate
from nova.db.engine import Database
from nova.db.schema.base import now
from nova.network.allocation import AllocationRequest, NetworkAllocator
from tests.unit.db.service_rows import reported

Run = Callable[..., str]


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = Database(f"sqlite:///{tmp_path}/nova.sqlite")
    migrate.prepare(database)
    yield database
    database.dispose()


@pytest.fixture
def config(tmp_path: Path) -> Path:
    path = tmp_path / "nova.conf"
    path.write_text(
        f"[DEFAULT]\nstate_path = {tmp_path}\nvlan_interface = bond1\nvlan_start = 16\n"
        "network_size = 254\nmulti_host = True\nshare_dhcp_address = True\n"
    )
    return path


@pytest.fixture
def run(db: Database, config: Path) -> Run:
    def command(line: str, status: int = 0) -> str:
        output = io.StringIO()
        assert main([*line.split(), "--config-file", str(config)], output) == status
        return output.getvalue()

    return command


def table(text: str) -> list[list[str]]:
    return [line.split() for line in text.splitlines()]


def test_a_vlan_network_from_creation_to_deletion(run: Run, db: Database) -> None:
    made = run(
        "network create --label blue --fixed_range_v4 10.20.0.0/24 --vlan 401 --project_id p"
    )
    assert "242 addresses free, 10 virtual IPs" in made
    assert "VLAN 401, bridge br401" in made
    with db.read() as tx:
        (network,) = tx.networks.every()
    assert (network.bridge_interface, network.multi_host, network.share_address) == (
        "bond1", True, True,
    )
    _, row = table(run("network list"))
    assert row == [
        "1", "10.20.0.0/24", "-", "10.20.0.3", "8.8.4.4", "-", "401", "p", network.uuid, "blue",
        "242", "0/10",
    ]
    run("network delete --fixed_range 10.20.0.0/24", status=1)
    run("network modify --fixed_range 10.20.0.0/24 --disassociate-project --host net1")
    with db.read() as tx:
        assert (tx.networks.every()[0].project_id, tx.networks.every()[0].host) == (None, "net1")
    run(f"network modify --uuid {network.uuid} --disassociate-host --project q")
    run(f"network modify --uuid {network.uuid} --disassociate-project")
    run(f"network delete --uuid {network.uuid}")
    assert len(table(run("network list"))) == 1


def test_flags_may_be_written_with_hyphens_and_empty_ones_are_dropped(
    run: Run, db: Database
) -> None:
    run("network create --label a --fixed-range-v4 10.0.0.0/16 --num-networks 2 --dns1= --mtu 9000")
    with db.read() as tx:
        networks = tx.networks.every()
    assert [(each.label, each.vlan, each.mtu, each.dns1) for each in networks] == [
        ("a_0", 16, 9000, "8.8.4.4"), ("a_1", 17, 9000, "8.8.4.4"),
    ]


def test_several_subnets_on_one_vlan(run: Run, db: Database) -> None:
    for third in range(3):
        run(f"network create --label s{third} --fixed_range_v4 10.0.{third}.0/26 --vlan 401")
    with db.read() as tx:
        assert {each.bridge for each in tx.networks.on_vlan(401)} == {"br401"}
        assert len(tx.networks.on_vlan(401)) == 3


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("network create --label x --fixed_range_v4 10.0.0.0/40", "--fixed_range_v4:"),
        ("network create --fixed_range_v4 10.0.0.0/24", "--label:"),
        ("network create --label x --fixed_range_v4 10.9.0.0/24 --vlan 4095", "--vlan:"),
        ("network create --label x --fixed_range_v4 10.1.0.0/24", "(10.1.0.0/24) conflicts"),
        ("network delete", "--uuid and --fixed_range"),
        ("network delete --uuid nonsense", "nonsense could not be found"),
        ("network modify --fixed_range 10.1.0.0/24", "nothing to change"),
        ("network modify --fixed_range 10.1.0.0/24 --host a --disassociate-host", "exclude"),
        ("fixed reserve --address 192.0.2.1", "192.0.2.1"),
        ("fixed unreserve --address 10.1.0.1", "gateway"),
        ("floating create --ip_range 192.0.2.0/31", "--ip_range:"),
        ("vip release --address 10.1.0.250", "not claimed"),
        ("vip claim --uuid x --fixed_range y --project p --name n", "give one of"),
        ("service disable --host nowhere --service nova-compute", "nowhere"),
        ("project quota --project p --key nonsense --value 1", "nonsense is not a valid quota key"),
        ("project quota --project p --key cores --value many", "--value many"),
        ("project quota --project p --key cores", "go together"),
        ("network list --db sqlite:////no/such/place/n.sqlite", "database:"),
        ("network list --config-file /no/such/file", "configuration:"),
        ("network list --state-path /no/such/place", "/no/such/place"),
    ],
)
def test_a_refusal_is_one_line_that_names_what_was_wrong(
    run: Run, capsys: pytest.CaptureFixture[str], line: str, said: str
) -> None:
    run("network create --label there --fixed_range_v4 10.1.0.0/24")
    run(line, status=1)
    error = capsys.readouterr().err
    assert error.startswith("nova-manage: ")
    assert said in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "line", ["", "network", "nonsense", "network create --vlan x", "network create --nonsense",
             "fixed reserve", "network create --multi_host maybe"],
)
def test_wrong_usage_leaves_with_status_two(
    line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(line.split()) == 2
    assert "usage: nova-manage" in capsys.readouterr().err


def test_help_teaches_with_examples(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert "nova-manage network create --label blue" in shown
    assert main(["vip", "claim", "--help"]) == 0
    assert "examples:" in capsys.readouterr().out


def test_an_empty_database_is_synced_first(tmp_path: Path) -> None:
    place = ["--state-path", str(tmp_path)]
    output = io.StringIO()
    assert main(["db", "version", *place], output) == 0
    assert main(["network", "list", *place], output) == 1
    assert main(["db", "sync", *place], output) == 0
    assert main([*place, "db", "version"], output) == 0
    assert main(["network", "list", *place], output) == 0
    lines = output.getvalue().splitlines()
    assert lines[:3] == [
        "the database is empty", f"the database is at revision {migrate.HEAD}", migrate.HEAD,
    ]


def test_fixed_addresses_tell_what_each_is_used_for(run: Run, db: Database) -> None:
    run("network create --label net --fixed_range_v4 10.1.0.0/24")
    instance = str(uuid.uuid4())
    with db.write() as tx:
        NetworkAllocator(NetworkSection()).allocate_many(
            tx, [AllocationRequest(instance_uuid=instance, project_id="p")]
        )
        tx.probes.record({tx.fixed_ips.get("10.1.0.4").id: "52:54:00:00:00:01"}, now())
    run("fixed reserve --address 10.1.0.9")
    shown = run("fixed list").splitlines()
    assert len(shown) == 257
    assert "reserved (gateway)" in shown[2]
    assert f"used by {instance}" in shown[4]
    assert "used elsewhere" in shown[5]
    assert "52:54:00:00:00:01" in shown[5]
    assert shown[6].split()[4] == "free"
    assert "reserved (admin)" in shown[10]
    run("fixed unreserve --address 10.1.0.9")
    assert "free" in run("fixed list").splitlines()[10]
    assert len(table(run("fixed list --host nowhere"))) == 1


def test_virtual_ips_are_claimed_and_released(run: Run) -> None:
    run("network create --label net --fixed_range_v4 10.1.0.0/24")
    assert len(table(run("vip list"))) == 11
    network = "--fixed_range 10.1.0.0/24"
    assert run(f"vip claim {network} --project p --name web") == "10.1.0.245\n"
    assert run(f"vip claim {network} --project q --name db --address 10.1.0.250") == "10.1.0.250\n"
    run(f"vip claim {network} --project q --name db --address 10.1.0.250", status=1)
    run(f"vip claim {network} --project q --name db --address 10.1.0.9", status=1)
    assert table(run(f"vip list {network} --project q"))[1:] == [
        ["10.1.0.0/24", "10.1.0.250", "q", "db"]
    ]
    run("vip release --address 10.1.0.250")
    run("vip release --address 10.1.0.250", status=1)
    assert len(table(run("vip list --project q"))) == 1


def test_floating_addresses_are_added_listed_and_removed(run: Run, db: Database) -> None:
    assert "14 floating" in run("floating create --ip_range 192.0.2.0/28 --pool öffentlich")
    run("floating create --ip_range 192.0.2.3", status=1)
    run("floating create --ip_range 192.0.2.77")
    rows = table(run("floating list"))
    assert len(rows) == 16
    assert rows[1] == ["-", "192.0.2.1", "-", "-", "öffentlich", "eth0", "-"]
    assert rows[15][4] == "nova"
    with db.write() as tx:
        tx.quotas.reserve("p", {"floating_ips": 1}, {})
        tx.floating_ips.allocate("p", "öffentlich")
    assert "removed 14" in run("floating delete --ip_range 192.0.2.0/28")
    with db.read() as tx:
        assert tx.quotas.usage("p").floating_ips == 0
    assert len(table(run("floating list --host nowhere"))) == 1


def test_services_are_listed_disabled_and_enabled(run: Run, db: Database) -> None:
    with db.write() as tx:
        reported(tx, "nova-compute", "node1", "compute", now())
        reported(tx, "nova-conductor", "control", "conductor", now().replace(year=2020))
    rows = table(run("service list"))
    assert rows[1][:5] == ["nova-compute", "node1", "nova", "enabled", ":-)"]
    assert rows[2][:5] == ["nova-conductor", "control", "internal", "enabled", "XXX"]
    run("service disable --host node1 --service nova-compute --reason memory")
    assert table(run("service list --host node1"))[1][3] == "disabled"
    run("service enable --host node1 --service nova-compute")
    assert table(run("service list --service nova-compute"))[1][3] == "enabled"
    assert table(run("host list")) == [["host", "zone"], ["node1", "nova"], ["control", "internal"]]
    assert table(run("host list nova")) == [["host", "zone"], ["node1", "nova"]]


def test_limits_are_shown_and_set(run: Run) -> None:
    assert ["cores", "20", "0"] in table(run("project quota --project p"))
    assert ["cores", "200", "0"] in table(run("project quota --project p --key cores --value 200"))
    shown = table(run("project quota --project p --key ram --value unlimited"))
    assert ["ram", "unlimited", "0"] in shown
    run("project quota --project p --user u --key cores --value 5")
    assert ["cores", "5", "0"] in table(run("project quota --project p --user u"))
    assert ["cores", "200", "0"] in table(run("project quota --project p"))


def test_a_host_is_enrolled_and_revoked(run: Run, config: Path, tmp_path: Path) -> None:
    config.write_text(
        config.read_text() + f"[host_identity]\ncontrol_key_file = {tmp_path}/control.key\n"
    )
    run(f"host enrol node7 --output {tmp_path}/node7.key", status=1)
    assert not (tmp_path / "node7.key").exists()
    run("host control_key")
    run("host control-key", status=2)
    run("host control_key", status=1)
    made = run(f"host enrol node7 --output {tmp_path}/node7.key")
    assert f"{tmp_path}/node7.key to /etc/nova/host-keys/node7.key" in made
    run(f"host enrol node7 --output {tmp_path}/node7.key", status=1)
    rows = table(run("host keys node7"))
    assert [row[0] for row in rows[1:]] == ["node7"]
    again = run(f"host enrol node7 --revoke-others --output {tmp_path}/second.key")
    assert "1 former keys are worthless now" in again
    assert "1 keys of node7" in run("host revoke node7")
    run("host revoke node8", status=1)
