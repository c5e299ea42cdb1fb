# SPDX-License-Identifier: Apache-2.0
"""Whatever is done through either face, compute's view of a server's cards and this API's agree."""

from __future__ import annotations

import random
from typing import Any

import pytest

from nova.db.engine import Database
from nova.errors import NovaError
from nova.objects.instance import RequestedNetwork
from tests.unit.api_network.conftest import NetworkApi, make_api

STEPS = 60


class Random:
    """Does one thing after another, chosen by chance, through one face or the other."""

    def __init__(self, api: NetworkApi, seed: int) -> None:
        self.api = api
        self.chance = random.Random(seed)
        self.network = api.network("10.1.0.0/28")
        api.make("subnet", network_id=self.network["id"], cidr="10.2.0.0/28")
        api.make("subnet", network_id=self.network["id"], cidr="fd00:1::/64", ip_version=6)
        self.external = api.external("203.0.113.0/28")
        self.servers: list[str] = []

    def step(self) -> str:
        """One action; refusals are fine, they must change nothing."""
        action = self.chance.choice(
            [self.boot, self.boot_with_port, self.delete, self.attach, self.attach_port, self.detach,
             self.remove_address, self.make_port, self.delete_port, self.move_port, self.lead,
             self.lead_nowhere]
        )
        try:
            action()
        except NovaError:
            return f"{action.__name__} refused"
        return action.__name__

    def boot(self) -> None:
        server, given = self.api.boot(RequestedNetwork(network_id=self.network["id"]))
        if isinstance(given, tuple):
            self.servers.append(server)

    def boot_with_port(self) -> None:
        port = self.any_port()
        if port is not None:
            server, given = self.api.boot(
                RequestedNetwork(network_id=self.network["id"]), RequestedNetwork(port_id=port["id"])
            )
            if isinstance(given, tuple):
                self.servers.append(server)

    def delete(self) -> None:
        server = self.any_server()
        if server is not None:
            self.servers.remove(server)
            with self.api.cloud.db.write() as tx:
                self.api.cloud.networks.release(tx, [server])
                tx.instances.update(server, {"network_info": ()})

    def _change(self, change: Any) -> None:
        server = self.any_server()
        if server is None:
            return
        with self.api.cloud.db.write() as tx:
            instance = tx.instances.get(server)
            tx.instances.update(server, {"network_info": change(tx, instance)})

    def attach(self) -> None:
        self._change(
            lambda tx, instance: self.api.cloud.networks.add_fixed_ip(
                tx, instance, self.network["id"]
            )
        )

    def attach_port(self) -> None:
        port = self.any_port()
        if port is not None:
            self._change(
                lambda tx, instance: self.api.cloud.networks.attach_port(tx, instance, port["id"])
            )

    def detach(self) -> None:
        def change(tx: Any, instance: Any) -> Any:
            cards = instance.network_info
            if not cards:
                return cards
            return self.api.cloud.networks.detach(tx, instance, self.chance.choice(cards).id)

        self._change(change)

    def remove_address(self) -> None:
        def change(tx: Any, instance: Any) -> Any:
            held = [each.address for vif in instance.network_info for each in vif.addresses
                    if each.version == 4]
            if not held:
                return instance.network_info
            return self.api.cloud.networks.remove_fixed_ip(
                tx, instance, self.chance.choice(held)
            )

        self._change(change)

    def make_port(self) -> None:
        self.api.request("POST", "/ports", {"port": {"network_id": self.network["id"]}})

    def delete_port(self) -> None:
        port = self.any_port()
        if port is not None:
            self.api.ok("DELETE", f"/ports/{port['id']}")

    def move_port(self) -> None:
        port = self.any_port()
        if port is not None:
            subnet = self.chance.choice(self.network_subnets())
            wanted = [{"subnet_id": subnet}] * self.chance.randint(0, 2)
            self.api.request("PUT", f"/ports/{port['id']}", {"port": {"fixed_ips": wanted}})

    def lead(self) -> None:
        port = self.any_port()
        if port is not None:
            self.api.request("POST", "/floatingips", {"floatingip": {
                "floating_network_id": self.external["id"], "port_id": port["id"]}})

    def lead_nowhere(self) -> None:
        held = self.api.ok("GET", "/floatingips")
        if held:
            path = f"/floatingips/{self.chance.choice(held)['id']}"
            if self.chance.random() < 0.5:
                self.api.ok("PUT", path, {"floatingip": {"port_id": None}})
            else:
                self.api.ok("DELETE", path)

    def network_subnets(self) -> list[str]:
        return [each["id"] for each in self.api.ok(
            "GET", f"/subnets?network_id={self.network['id']}&ip_version=4"
        )]

    def any_port(self) -> dict[str, Any] | None:
        ports = self.api.ok("GET", "/ports")
        return self.chance.choice(ports) if ports else None

    def any_server(self) -> str | None:
        return self.chance.choice(self.servers) if self.servers else None


def check(world: Random) -> None:
    """Both faces, and the rows below them."""
    ports = world.api.ok("GET", "/ports")
    floating = {
        each["fixed_ip_address"]: each["floating_ip_address"]
        for each in world.api.ok("GET", "/floatingips") if each["port_id"]
    }
    for server in world.servers:
        ours = {
            (vif.id, vif.mac, vif.network_id, tuple(sorted(each.address for each in vif.addresses)))
            for vif in world.api.info(server)
        }
        shown = {
            (port["id"], port["mac_address"], port["network_id"],
             tuple(sorted(each["ip_address"] for each in port["fixed_ips"])))
            for port in ports if port["device_id"] == server
        }
        assert ours == shown
        for vif in world.api.info(server):
            for each in vif.addresses:
                assert set(each.floating) >= {floating[each.address]} if (
                    each.address in floating
                ) else not each.floating
    servers = {port["device_id"] for port in ports} - {""}
    assert servers <= set(world.servers)
    vips = {
        port["fixed_ips"][0]["ip_address"] for port in ports
        if port["device_owner"] == "nova:virtual_ip"
    }
    held = {each["ip_address"] for port in ports for each in port["fixed_ips"]} - vips
    with world.api.cloud.db.read() as tx:
        rows = [row for each in tx.networks.every() for row in tx.fixed_ips.of_network(each.id)]
    assert {row.address for row in rows if row.vip_project_id is not None} == vips
    rows = [row for row in rows if row.vip_project_id is None]
    assert {row.address for row in rows if row.allocated} == {
        each for each in held if ":" not in each
    }
    assert all(row.allocated == (row.virtual_interface_uuid is not None) for row in rows)


@pytest.mark.parametrize("seed", range(4))
def test_both_faces_agree_after_every_step(db: Database, seed: int) -> None:
    world = Random(make_api(db, "VlanManager"), seed)
    done = []
    for _ in range(STEPS):
        done.append(world.step())
        try:
            check(world)
        except AssertionError:
            raise AssertionError(f"after {done}") from None
    assert len({each for each in done if "refused" not in each}) > 8
