# SPDX-License-Identifier: Apache-2.0
"""DHCP and DNS of a host: several subnets on one bridge, renewals, restarts, guests that come and go."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest

from nova.compute.host_network import ask_at
from nova.errors import NetworkNotReady, ServiceUnavailable
from tests.network.plumbing import (
    ROOT,
    Pinger,
    PlumbedHost,
    lease,
    needs_parts,
    network,
    until,
    with_leases,
)

pytestmark = needs_parts


@pytest.fixture
def plumbed(tmp_path: Path) -> Iterator[PlumbedHost]:
    tmp_path.chmod(0o755)
    host = PlumbedHost(tmp_path)
    try:
        yield host
    finally:
        host.close()


def test_two_subnets_on_one_bridge_are_served_and_renewed_before_and_after_restarts(
    plumbed: PlumbedHost, tmp_path: Path
) -> None:
    first = with_leases(network(1, gateway="10.1.0.1", mtu=1400), [lease(1, 10), lease(1, 11)])
    second = with_leases(network(2), [lease(2, each) for each in (10, 11, 12)])
    plumbed.conductor.set(first, second)
    plumbed.start()
    assert plumbed.addresses("br100") == {"10.1.0.1/24", "10.2.0.1/24"}
    assert set(plumbed.pids()) == {"br100"}, "one process for the bridge"

    guests = {}
    for each in (*first.leases, *second.leases):
        guests[each.address] = client = plumbed.client("br100", each.mac)
        assert client.lease(tmp_path) == each.address
        gateway = f"{each.address.rsplit('.', 2)[0]}.0.1"
        assert f"router={gateway} " in client.answer
        assert "domain=novalocal" in client.answer
        assert plumbed.conductor.hears("add", each.address)
    assert "mtu=1400" in guests["10.1.0.10"].answer

    def all_renew() -> dict[str, str]:
        return {
            address: client.renew(address, f"{address.rsplit('.', 2)[0]}.0.1")
            for address, client in guests.items()
        }

    acknowledged = dict.fromkeys(guests, "ACK")
    assert all_renew() == acknowledged
    # The service ends; DHCP serves on, and the next service takes it over.
    before = plumbed.pids()
    plumbed.stop()
    assert all_renew() == acknowledged
    plumbed.start()
    assert plumbed.pids() == before
    assert all_renew() == acknowledged
    # DHCP itself dies and comes back.
    os.kill(before["br100"], signal.SIGKILL)
    until(lambda: plumbed.pids().get("br100", before["br100"]) != before["br100"])
    assert all_renew() == acknowledged
    # One network goes, the other is served on.
    plumbed.set(second)
    until(lambda: plumbed.addresses("br100") == {"10.2.0.1/24"})
    assert guests["10.2.0.11"].renew("10.2.0.11", "10.2.0.1") == "ACK"
    files = {path.name for path in (tmp_path / "networks").iterdir()}
    assert not any(first.uuid in name for name in files)
    assert f"nova-br100-{second.uuid}.hosts" in files


def test_a_new_guest_is_served_without_a_restart_and_a_deleted_one_loses_its_lease(
    plumbed: PlumbedHost, tmp_path: Path
) -> None:
    base = network(3, "br3")
    old, new = lease(3, 20, "older"), lease(3, 21, "newer")
    plumbed.conductor.set(with_leases(base, [old]))
    plumbed.start()
    pid = plumbed.pids()["br3"]
    first = plumbed.client("br3", old.mac)
    assert first.lease(tmp_path) == old.address
    assert plumbed.conductor.hears("add", old.address)

    plumbed.set(with_leases(base, [old, new]))
    second = plumbed.client("br3", new.mac)
    assert second.lease(tmp_path) == new.address
    read = [line for line in plumbed.log("br3").splitlines() if line.endswith(f".hosts/{old.address}")]
    assert len([line for line in read if ": read " in line]) <= 1, "the others are not read again"
    assert first.resolve("newer.novalocal", "10.3.0.1") == new.address

    # The address of a deleted guest goes to another MAC, which gets it.
    plumbed.set(with_leases(base, [new]))
    until(lambda: old.address not in (tmp_path / "networks" / "nova-br3.leases").read_text())
    heir = lease(3, 20, "heir", mac="fa:16:3e:aa:aa:aa")
    plumbed.set(with_leases(base, [new, heir]))
    third = plumbed.client("br3", heir.mac)
    assert third.lease(tmp_path) == heir.address
    assert plumbed.pids()["br3"] == pid, "nothing was started again"
    stranger = plumbed.client("br3", "fa:16:3e:bb:bb:bb")
    assert stranger.lease(tmp_path, tries=2) is None
    stranger.ip("addr", "add", "10.3.0.99/24", "dev", "eth0")
    assert stranger.renew("10.3.0.99", "10.3.0.1", tries=1) == "silence", "it may be another server's"


def test_another_name_is_known_at_once_and_the_lease_goes_on(tmp_path: Path) -> None:
    host = PlumbedHost(tmp_path, update_dns_entries=True)
    first, second = lease(4, 10, "alpha"), lease(4, 11, "beta")
    base = with_leases(network(4, "br4"), [first, second])
    try:
        host.conductor.set(msgspec.structs.replace(base, neighbours=(("10.4.0.50", "far"),)))
        host.start()
        guest = host.client("br4", first.mac)
        assert guest.lease(tmp_path) == "10.4.0.10"

        def names(*wanted: str) -> list[str | None]:
            return [guest.resolve(f"{each}.novalocal", "10.4.0.1") for each in wanted]

        until(lambda: names("alpha", "beta", "far") == ["10.4.0.10", "10.4.0.11", "10.4.0.50"])
        renamed = msgspec.structs.replace(first, hostname="omega")
        host.set(msgspec.structs.replace(with_leases(base, [renamed]), neighbours=(("10.4.0.51", "near"),)))
        until(lambda: names("omega", "near") == ["10.4.0.10", "10.4.0.51"])
        until(lambda: names("alpha", "beta", "far") == [None, None, None])
        assert guest.renew("10.4.0.10", "10.4.0.1") == "ACK"
        assert not host.conductor.hears("del", "10.4.0.10", timeout=0.1), "its lease was not given up"

        # Names of DNS domains come, change and go by an event alone, and nothing is started again.
        def known(*wanted: str) -> list[str | None]:
            return [guest.resolve(each, "10.4.0.1") for each in wanted]

        def tell(*names: tuple[str, str]) -> None:
            host.conductor.names = names
            assert host.manager is not None
            host.manager.refresh("names", ())

        pid = host.pids()["br4"]
        assert known("www.example.org") == [None]
        tell(("192.0.2.7", "www.example.org"), ("192.0.2.8", "deep.er.example.org"))
        until(lambda: known("www.example.org", "deep.er.example.org") == ["192.0.2.7", "192.0.2.8"])
        tell(("192.0.2.9", "www.example.org"))
        until(lambda: known("www.example.org", "deep.er.example.org") == ["192.0.2.9", None])
        tell()
        until(lambda: known("www.example.org", "omega.novalocal") == [None, "10.4.0.10"])
        assert host.pids()["br4"] == pid
    finally:
        host.close()


def test_a_second_start_changes_nothing_and_no_ping_is_lost(
    plumbed: PlumbedHost, tmp_path: Path
) -> None:
    base = with_leases(network(4, "br4"), [lease(4, 10), lease(4, 11)])
    plumbed.conductor.set(base)
    plumbed.start()
    one, two = (plumbed.client("br4", each.mac) for each in base.leases)
    assert one.lease(tmp_path) == "10.4.0.10"
    assert two.lease(tmp_path) == "10.4.0.11"
    between, outward = Pinger(one, "10.4.0.11"), Pinger(two, "10.4.0.1")
    shown = (plumbed.ip("link"), plumbed.ip("-4", "addr"), plumbed.ip("route"), plumbed.pids())
    with plumbed:
        watch = subprocess.Popen(
            ["ip", "-4", "-o", "monitor", "link", "address", "route"], stdout=subprocess.PIPE, text=True
        )
    plumbed.restart()
    plumbed.restart()
    assert plumbed.pids() == shown[3]
    os.kill(shown[3]["br4"], signal.SIGKILL)
    until(lambda: plumbed.pids().get("br4", shown[3]["br4"]) != shown[3]["br4"])
    assert (plumbed.ip("link"), plumbed.ip("-4", "addr"), plumbed.ip("route")) == shown[:3]
    watch.terminate()
    changes, _ = watch.communicate(timeout=10)
    assert changes == "", "the kernel was told nothing"
    for pinger in (between, outward):
        sent, received = pinger.stop()
        assert sent > 3
        assert sent - received <= 1, "only what was under way at the end may be missing"


def test_what_was_set_up_comes_back_after_the_host_did_while_the_conductor_is_away(
    plumbed: PlumbedHost, tmp_path: Path
) -> None:
    base = with_leases(network(5, "br5"), [lease(5, 10)])
    plumbed.conductor.set(base)
    plumbed.start()
    pid = plumbed.pids()["br5"]
    plumbed.stop()
    # The host starts anew: no device, no process, only the files.
    os.kill(pid, signal.SIGKILL)
    plumbed.ip("link", "del", "br5")
    plumbed.conductor.silent = True
    plumbed.start()
    assert plumbed.addresses("br5") == {"10.5.0.1/24"}
    guest = plumbed.client("br5", base.leases[0].mac)
    assert guest.lease(tmp_path) == "10.5.0.10"


def test_a_guest_that_came_from_another_host_renews_with_a_server_that_never_saw_it(
    plumbed: PlumbedHost,
) -> None:
    base = with_leases(network(9, "br9"), [lease(9, 10)])
    plumbed.conductor.set(base)
    plumbed.start()
    guest = plumbed.client("br9", base.leases[0].mac)
    guest.ip("addr", "add", "10.9.0.10/24", "dev", "eth0")
    assert guest.renew("10.9.0.10", "10.9.0.1") == "ACK"
    assert plumbed.conductor.hears("add", "10.9.0.10")


def test_nova_dhcpbridge_prints_the_leases_at_init_and_refuses_what_it_does_not_know(
    plumbed: PlumbedHost, tmp_path: Path
) -> None:
    base = with_leases(network(6, "br6"), [lease(6, 10, "web")])
    plumbed.conductor.set(base)
    plumbed.start()
    environment = {
        **os.environ, "PYTHONPATH": str(ROOT),
        "NOVA_DHCPBRIDGE_SOCKET": str(tmp_path / "networks" / "nova-dhcpbridge.sock"),
    }

    def bridge(*words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "nova.cmd.dhcpbridge", *words], env=environment, capture_output=True,
            text=True, check=False, timeout=60,
        )

    said = bridge("--config-file", "/etc/nova/nova.conf", "init").stdout.split()
    assert said[1:] == [base.leases[0].mac, "10.6.0.10", "web", "*"]
    assert bridge("add", base.leases[0].mac, "10.6.0.10", "web").returncode == 0
    assert plumbed.conductor.hears("add", "10.6.0.10")
    bridge("del", base.leases[0].mac, "10.6.0.10")
    assert plumbed.conductor.hears("del", "10.6.0.10")
    events = len(plumbed.conductor.events)
    bridge("add", "fa:16:3e:00:00:99", "192.0.2.1")
    assert len(plumbed.conductor.events) == events, "an address of nobody's is no news"
    assert bridge().returncode == 2
    assert bridge("tftp", "1", "2", "3").returncode == 0
    environment["NOVA_DHCPBRIDGE_SOCKET"] = "/nonexistent"
    gone = bridge("old", base.leases[0].mac, "10.6.0.10")
    assert gone.returncode == 0
    assert "does not answer" in gone.stderr


def test_the_compute_service_of_the_host_asks_over_a_socket(plumbed: PlumbedHost) -> None:
    base = with_leases(network(7, "br7"), [lease(7, 10)])
    plumbed.conductor.set(base)
    ask = ask_at(plumbed.directory / "networks" / "nova-network.sock")
    with pytest.raises(ServiceUnavailable):
        ask([base.uuid])
    plumbed.start()
    later = network(8, "br8")
    plumbed.conductor.set(base, later)
    ask([base.uuid, later.uuid])
    assert plumbed.addresses("br8") == {"10.8.0.1/24"}
    with pytest.raises(NetworkNotReady, match="is not one of host one"):
        ask(["not-there"])
    plumbed.conductor.silent = True
    with pytest.raises(NetworkNotReady, match="The conductor is away"):
        ask([base.uuid])
    path = plumbed.directory / "networks" / "nova-network.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    plumbed.stop()
    with pytest.raises(ServiceUnavailable):
        ask([base.uuid])
