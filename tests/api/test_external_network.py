# SPDX-License-Identifier: Apache-2.0
"""A cloud whose ports are another's: the network service is a second cloud in a process of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.api.cloud_process import BASE_PORTS, Answer, CloudProcess, wait_for

FAST = ["--set", "identity.bcrypt_rounds=4"]


class Pair:
    """Asks both clouds as their administrators; the servers are those of the cloud ``compute``."""

    def __init__(self, network: CloudProcess, compute: CloudProcess) -> None:
        self.network = network
        self.compute = compute
        self.project = compute.login("demo")[1]

    def net(self, method: str, path: str, body: Any = None) -> Any:
        """What the network service answers to its administrator."""
        answer = self.network.call("network", method, f"/v2.0{path}", body, by="admin")
        assert answer.status < 300, answer.body
        return next(iter(answer.json.values())) if answer.body else None

    def make(self, kind: str, **values: Any) -> Any:
        """Make a thing there for the member of the other cloud."""
        return self.net("POST", f"/{kind}s", {kind: {"tenant_id": self.project, **values}})

    def ports(self, server: str) -> list[Any]:
        """The ports of a server."""
        found: list[Any] = self.net("GET", f"/ports?device_id={server}")
        return found

    def try_boot(self, networks: Any, **values: Any) -> Answer:
        """Ask for a server."""
        images = self.compute.call("compute", "GET", "/v2.1/images").json["images"]
        return self.compute.compute("POST", "/servers", {"server": {
            "name": "extern", "imageRef": images[0]["id"], "flavorRef": "1", "networks": networks,
            **values}})

    def boot(self, networks: Any, **values: Any) -> Any:
        """An active server."""
        answer = self.try_boot(networks, **values)
        assert answer.status == 202, answer.body
        return self.compute.until(answer.json["server"]["id"], "ACTIVE")

    def delete(self, server: str) -> None:
        """Delete a server; returns when the network service has its ports back."""
        assert self.compute.compute("DELETE", f"/servers/{server}").status == 204
        self.compute.until_gone(server)
        wait_for(lambda: self.ports(server) == [], lambda: f"left: {self.ports(server)}")


def addresses(server: Any) -> set[str]:
    return {each["addr"] for group in server["addresses"].values() for each in group}


def fixed(ports: list[Any]) -> set[str]:
    return {each["ip_address"] for port in ports for each in port["fixed_ips"]}


@pytest.fixture(scope="module")
def network_cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[CloudProcess]:
    running = CloudProcess(tmp_path_factory.mktemp("network") / "state", arguments=FAST).start()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def pair(
    tmp_path_factory: pytest.TempPathFactory, network_cloud: CloudProcess
) -> Iterator[Pair]:
    facts = network_cloud.environment("admin")
    settings = {
        "DEFAULT.network_api_class": "nova.network.neutronv2.api.API",
        "neutron.auth_url": f"http://127.0.0.1:{BASE_PORTS['identity'] + network_cloud.offset}/v3",
        "neutron.username": facts["OS_USERNAME"], "neutron.password": facts["OS_PASSWORD"],
        "neutron.project_name": facts["OS_PROJECT_NAME"], "neutron.timeout": "5",
    }
    arguments = [word for name, value in settings.items() for word in ("--set", f"{name}={value}")]
    state = tmp_path_factory.mktemp("compute") / "state"
    running = CloudProcess(state, arguments=[*FAST, *arguments]).start()
    yield Pair(network_cloud, running)
    assert running.stop() == 0, running.log
    assert "Traceback" not in running.log, running.log


@pytest.fixture(scope="module")
def net(pair: Pair) -> Any:
    """A network of the member's, with a range."""
    made = pair.make("network", name="größe")
    pair.make("subnet", network_id=made["id"], cidr="192.168.60.0/24", ip_version=4)
    pair.make("network", name="empty")
    return made


def _group(pair: Pair, name: str) -> str:
    body = {"security_group": {"name": name, "tenant_id": pair.project}}
    return str(pair.net("POST", "/security-groups", body)["id"])


def test_a_server_gets_a_bound_port_and_gives_it_back(pair: Pair, net: Any) -> None:
    group = _group(pair, "web")
    server = pair.boot(
        [{"uuid": net["id"], "fixed_ip": "192.168.60.77"}], security_groups=[{"name": "web"}]
    )
    (port,) = pair.ports(server["id"])
    assert port["tenant_id"] == pair.project
    assert port["device_owner"].startswith("compute:")
    assert port["binding:host_id"] == server["OS-EXT-SRV-ATTR:host"]
    assert port["security_groups"] == [group]
    assert fixed([port]) == addresses(server) == {"192.168.60.77"}
    assert list(server["addresses"]) == ["größe"]
    assert server["security_groups"] == [{"name": "web"}]
    (card,) = pair.compute.compute("GET", f"/servers/{server['id']}/os-interface").json[
        "interfaceAttachments"]
    assert (card["port_id"], card["net_id"]) == (port["id"], net["id"])
    pair.delete(server["id"])
    pair.net("DELETE", f"/security-groups/{group}")


def test_a_port_that_was_there_before_stays(pair: Pair, net: Any) -> None:
    port = pair.make("port", network_id=net["id"], name="keep")
    server = pair.boot([{"port": port["id"]}, {"uuid": net["id"]}])
    assert len(pair.ports(server["id"])) == 2
    assert addresses(server) == fixed(pair.ports(server["id"]))
    refused = pair.try_boot([{"port": port["id"]}])
    assert refused.status == 409, refused.body
    pair.delete(server["id"])
    kept = pair.net("GET", f"/ports/{port['id']}")
    assert (kept["device_id"], kept["device_owner"], kept["binding:host_id"]) == ("", "", "")
    assert kept["fixed_ips"] == port["fixed_ips"]
    pair.net("DELETE", f"/ports/{port['id']}")


def test_cards_are_attached_and_detached(pair: Pair, net: Any) -> None:
    port = pair.make("port", network_id=net["id"])
    server = pair.boot("none")
    path = f"/servers/{server['id']}/os-interface"
    for body in ({"port_id": port["id"]}, {"net_id": net["id"]}):
        answer = pair.compute.compute("POST", path, {"interfaceAttachment": body})
        assert answer.status == 200, answer.body
        assert answer.json["interfaceAttachment"]["net_id"] == net["id"]
    ports = pair.ports(server["id"])
    assert len(ports) == 2
    assert addresses(pair.compute.server(server["id"])) == fixed(ports)
    for each in ports:
        assert pair.compute.compute("DELETE", f"{path}/{each['id']}").status == 202
    wait_for(lambda: pair.ports(server["id"]) == [], lambda: str(pair.ports(server["id"])))
    assert addresses(pair.compute.server(server["id"])) == set()
    assert pair.net("GET", f"/ports?id={port['id']}")[0]["device_id"] == ""
    pair.delete(server["id"])
    pair.net("DELETE", f"/ports/{port['id']}")


def test_what_changes_there_is_shown_here_after_an_event(pair: Pair, net: Any) -> None:
    server = pair.boot([{"uuid": net["id"]}])
    (port,) = pair.ports(server["id"])
    pair.net("PUT", f"/ports/{port['id']}", {"port": {
        "fixed_ips": [{"ip_address": "192.168.60.99"}]}})

    def tell(name: str) -> None:
        event = {"name": name, "server_uuid": server["id"], "tag": port["id"]}
        answer = pair.compute.compute(
            "POST", "/os-server-external-events", {"events": [event]}, by="admin"
        )
        assert answer.status == 200, answer.body

    tell("network-changed")
    assert addresses(pair.compute.server(server["id"])) == {"192.168.60.99"}
    pair.net("DELETE", f"/ports/{port['id']}")
    tell("network-vif-deleted")
    assert addresses(pair.compute.server(server["id"])) == set()
    pair.delete(server["id"])


def _waiting(pair: Pair, net: Any) -> tuple[str, str]:
    """A server that is to wait for its port, which the network service does not carry yet; both ids."""
    port = pair.make("port", network_id=net["id"], admin_state_up=False)
    answer = pair.try_boot([{"port": port["id"]}])
    assert answer.status == 202, answer.body
    server = answer.json["server"]["id"]

    def events() -> list[str]:
        actions = f"/servers/{server}/os-instance-actions"
        (create,) = pair.compute.compute("GET", actions, by="admin").json["instanceActions"]
        shown = pair.compute.compute("GET", f"{actions}/{create['request_id']}", by="admin").json
        return [each["event"] for each in shown["instanceAction"]["events"]]

    wait_for(lambda: "compute__do_build_and_run_instance" in events(), lambda: str(events()))
    found = pair.compute.server(server)
    assert (found["status"], found["OS-EXT-STS:power_state"]) != ("ACTIVE", 1), "its port is not plugged"
    assert pair.net("GET", f"/ports/{port['id']}")["status"] == "DOWN"
    return server, port["id"]


def _say(pair: Pair, server: str, port: str, status: str) -> None:
    event = {"name": "network-vif-plugged", "server_uuid": server, "tag": port, "status": status}
    answer = pair.compute.compute(
        "POST", "/os-server-external-events", {"events": [event]}, by="admin"
    )
    assert answer.status == 200, answer.body


def test_a_server_runs_once_the_service_has_plugged_its_port(pair: Pair, net: Any) -> None:
    server, port = _waiting(pair, net)
    _say(pair, server, port, "completed")
    assert pair.compute.until(server, "ACTIVE")["OS-EXT-STS:power_state"] == 1
    pair.delete(server)
    pair.net("DELETE", f"/ports/{port}")


def test_a_server_whose_port_cannot_be_plugged_fails(pair: Pair, net: Any) -> None:
    server, port = _waiting(pair, net)
    _say(pair, server, port, "failed")
    found = pair.compute.until(server, "ERROR")
    assert "Virtual Interface creation failed" in found["fault"]["message"]
    wait_for(lambda: pair.ports(server) == [], lambda: str(pair.ports(server)))
    pair.delete(server)
    pair.net("DELETE", f"/ports/{port}")


def test_groups_and_addresses_are_changed_there(pair: Pair, net: Any) -> None:
    group = _group(pair, "late")
    server = pair.boot([{"uuid": net["id"]}])
    path = f"/servers/{server['id']}/action"
    for action, there in (("addSecurityGroup", True), ("removeSecurityGroup", False)):
        answer = pair.compute.compute("POST", path, {action: {"name": "late"}})
        assert answer.status == 202, answer.body
        assert (group in pair.ports(server["id"])[0]["security_groups"]) is there
        names = [each["name"] for each in pair.compute.server(server["id"])["security_groups"]]
        assert ("late" in names) is there
    answer = pair.compute.compute(
        "POST", path, {"addFixedIp": {"networkId": net["id"]}}, version="2.43"
    )
    assert answer.status == 202, answer.body
    held = addresses(pair.compute.server(server["id"]))
    assert len(held) == 2
    assert held == fixed(pair.ports(server["id"]))
    gone = sorted(held)[0]
    answer = pair.compute.compute(
        "POST", path, {"removeFixedIp": {"address": gone}}, version="2.43"
    )
    assert answer.status == 202, answer.body
    assert addresses(pair.compute.server(server["id"])) == held - {gone}
    pair.delete(server["id"])
    pair.net("DELETE", f"/security-groups/{group}")


def test_floating_addresses_are_led_there(pair: Pair, net: Any) -> None:
    external = pair.net("POST", "/networks", {"network": {"name": "ext", "router:external": True}})
    pair.net("POST", "/subnets", {"subnet": {
        "network_id": external["id"], "cidr": "203.0.113.0/29", "ip_version": 4}})
    taken = pair.make("floatingip", floating_network_id=external["id"])
    address = taken["floating_ip_address"]
    server = pair.boot([{"uuid": net["id"]}])
    path = f"/servers/{server['id']}/action"
    for action, there in (("addFloatingIp", True), ("removeFloatingIp", False)):
        body = {action: {"address": address}}
        answer = pair.compute.compute("POST", path, body, version="2.43")
        assert answer.status == 202, answer.body
        assert (address in addresses(pair.compute.server(server["id"]))) is there
        led = pair.net("GET", f"/floatingips/{taken['id']}")
        assert (led["port_id"] is not None) is there
    pair.delete(server["id"])
    pair.net("DELETE", f"/networks/{external['id']}")


@pytest.mark.parametrize("name", ["os-networks", "os-floating-ips", "os-security-groups"])
def test_what_is_the_network_service_s_is_not_shown_as_ours(pair: Pair, name: str) -> None:
    answer = pair.compute.compute("GET", f"/{name}", version="2.1")
    assert answer.status == 404
    assert "network service" in answer.body.decode()


def test_ports_follow_a_server_to_its_new_host(pair: Pair, net: Any) -> None:
    server = pair.boot([{"uuid": net["id"]}])
    body = {"os-migrateLive": {"host": None, "block_migration": "auto"}}
    answer = pair.compute.compute("POST", f"/servers/{server['id']}/action", body, by="admin")
    assert answer.status == 202, answer.body
    moved = pair.compute.until(server["id"], "ACTIVE")
    assert moved["OS-EXT-SRV-ATTR:host"] != server["OS-EXT-SRV-ATTR:host"]
    wait_for(
        lambda: pair.ports(server["id"])[0]["binding:host_id"] == moved["OS-EXT-SRV-ATTR:host"],
        lambda: str(pair.ports(server["id"])),
    )
    pair.delete(server["id"])


@pytest.mark.parametrize(
    ("networks", "status", "words"),
    [
        ([{"uuid": "6e6f7661-0000-4000-8000-000000000009"}], 400, "could not be found"),
        ([{"port": "6e6f7661-0000-4000-8000-000000000009"}], 400, "could not be found"),
        ("empty", 400, "requires a subnet"),
        ("auto", 409, "Multiple possible networks"),
    ],
)
def test_what_cannot_be_is_refused_at_once(
    pair: Pair, net: Any, networks: Any, status: int, words: str
) -> None:
    if networks == "empty":
        (empty,) = pair.net("GET", f"/networks?name=empty&tenant_id={pair.project}")
        networks = [{"uuid": empty["id"]}]
    answer = pair.try_boot(networks)
    assert answer.status == status, answer.body
    assert words in answer.body.decode()


def test_a_refused_port_is_an_error_with_its_reason_and_leaves_nothing(
    pair: Pair, net: Any
) -> None:
    taken = pair.make("port", network_id=net["id"], fixed_ips=[{"ip_address": "192.168.60.50"}])
    answer = pair.try_boot([{"uuid": net["id"]}, {"uuid": net["id"], "fixed_ip": "192.168.60.50"}])
    if answer.status == 202:
        server = pair.compute.until(answer.json["server"]["id"], "ERROR")
        assert "192.168.60.50" in server["fault"]["message"]
        assert server["addresses"] == {}
        wait_for(lambda: pair.ports(server["id"]) == [], lambda: str(pair.ports(server["id"])))
        pair.delete(server["id"])
    else:
        assert answer.status in (400, 409), answer.body
    pair.net("DELETE", f"/ports/{taken['id']}")


def test_a_service_that_is_away_is_told_when_it_is_back(
    pair: Pair, net: Any, network_cloud: CloudProcess
) -> None:
    kept = pair.make("port", network_id=net["id"])
    server = pair.boot([{"uuid": net["id"]}, {"port": kept["id"]}])
    waiting = pair.boot([{"uuid": net["id"]}])
    (spare,) = pair.ports(waiting["id"])
    assert network_cloud.stop() == 0
    try:
        assert pair.try_boot([{"uuid": net["id"]}]).status == 503
        attach = pair.compute.compute(
            "POST", f"/servers/{waiting['id']}/os-interface",
            {"interfaceAttachment": {"net_id": net["id"]}},
        )
        assert attach.status == 503, attach.body
        detach = pair.compute.compute(
            "DELETE", f"/servers/{waiting['id']}/os-interface/{spare['id']}"
        )
        assert detach.status == 202, detach.body
        assert pair.compute.compute("DELETE", f"/servers/{server['id']}").status == 204
        pair.compute.until_gone(server["id"])
    finally:
        network_cloud.start()
    wait_for(
        lambda: pair.ports(server["id"]) == pair.ports(waiting["id"]) == [],
        lambda: f"{pair.ports(server['id'])} {pair.ports(waiting['id'])}", timeout=40,
    )
    assert pair.net("GET", f"/ports/{kept['id']}")["device_id"] == ""
    pair.net("DELETE", f"/ports/{kept['id']}")
    pair.delete(waiting["id"])


def test_no_port_is_left_at_the_end(pair: Pair, net: Any) -> None:
    assert pair.net("GET", f"/ports?tenant_id={pair.project}") == []


def test_a_service_that_comes_back_in_time_is_waited_for(
    pair: Pair, net: Any, network_cloud: CloudProcess, monkeypatch: Any
) -> None:
    """Between the check and the ports: the boot is accepted, then the service goes away for a moment."""
    until: Callable[..., Any] = pair.compute.until
    answers = [pair.try_boot([{"uuid": net["id"]}]) for _ in range(3)]
    network_cloud.stop()
    network_cloud.start()
    for answer in answers:
        assert answer.status == 202, answer.body
        server = until(answer.json["server"]["id"], "ACTIVE")
        assert addresses(server) == fixed(pair.ports(server["id"]))
        pair.delete(server["id"])
