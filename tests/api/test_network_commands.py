# SPDX-License-Identifier: Apache-2.0
"""Every command of ``openstack``'s network groups, by a member and by the administrator.

``WALK`` drives each command that can be answered; ``IMPOSSIBLE`` says why the others cannot. A command that a
new client brings and that is in neither fails the test.
"""

from __future__ import annotations

import pytest

from tests.api.public_clients import Commands

#: In the order in which they run; {w} is a word of whoever runs them.
WALK = """
network create --description d --mtu 1400 --tag t {w}-net
network list --name {w}-net
network list --long
network show {w}-net
network set --description e --tag u {w}-net
network unset --tag u {w}-net
network service provider list
network auto allocated topology create --check-resources --or-show
subnet pool create --pool-prefix {range}.0.0/16 --default-prefix-length 26 {w}-pool
subnet pool list
subnet pool show {w}-pool
subnet pool set --default-prefix-length 25 --tag t {w}-pool
subnet pool unset --tag t {w}-pool
subnet create --network {w}-net --subnet-pool {w}-pool {w}-cut
subnet create --network {w}-net --subnet-range {range2}.0.0/24 --dns-nameserver 9.9.9.9 {w}-sub
subnet list --network {w}-net
subnet show {w}-sub
subnet set --description s --host-route destination=10.99.0.0/16,gateway={range2}.0.9 --tag t {w}-sub
subnet unset --tag t --dns-nameserver 9.9.9.9 {w}-sub
security group create --description d {w}-group
security group list
security group show {w}-group
security group set --name {w}-group --description e --tag t {w}-group
security group unset --tag t {w}-group
security group rule create --protocol tcp --dst-port 22 --remote-ip 10.0.0.0/8 {w}-group
security group rule list {w}-group
security group rule show {rule}
security group rule delete {rule}
port create --network {w}-net --fixed-ip subnet={w}-sub --security-group {w}-group {w}-port
port list --network {w}-net
port list --security-group {w}-group
port show {w}-port
port set --description d --allowed-address ip-address=1.2.3.4 --tag t {w}-port
port unset --allowed-address ip-address=1.2.3.4 --tag t {w}-port
port unset --security-group {w}-group {w}-port
floating ip create --description d {ext}
floating ip list --long
floating ip show {floating}
floating ip set --port {w}-port {floating}
floating ip unset --port {floating}
floating ip delete {floating}
router create --external-gateway {ext} {w}-router
router list
router show {w}-router
router set --description d --name {w}-router --tag t {w}-router
router unset --tag t {w}-router
router unset --external-gateway {w}-router
router set --external-gateway {ext} {w}-router
router add subnet {w}-router {w}-sub
router remove subnet {w}-router {w}-sub
router delete {w}-router
network rbac create --type network --action access_as_shared --target-project service {w}-net
network rbac list
network rbac show {rbac}
network rbac set --target-project alt_demo {rbac}
network rbac delete {rbac}
port delete {w}-port
security group delete {w}-group
subnet delete {w}-sub
subnet delete {w}-cut
subnet pool delete {w}-pool
network delete {w}-net
"""

#: What the administrator drives besides; a member is refused.
ADMINISTRATORS = """
network agent list
network agent show {agent}
ip availability list
ip availability show private
"""

_GATEWAY = "a subnet's gateway on its bridge is the router's port; no other port can be"
_ROUTES = "the gateways keep no routes of projects: give a subnet host routes"
_SCHEDULED = "nothing is scheduled to agents: networks are on every host that has guests of them"
_SERVICES = "services are shown as agents; they are switched by `openstack compute service set`"
_ONE_GATEWAY = "the client asks for several gateways; one is set by `router set --external-gateway`"
_NO_POOLS = "networks do not belong to subnet pools"

IMPOSSIBLE = {
    "router add gateway": _ONE_GATEWAY, "router remove gateway": _ONE_GATEWAY,
    "router add port": _GATEWAY, "router remove port": _GATEWAY,
    "router add route": _ROUTES, "router remove route": _ROUTES,
    "network agent add network": _SCHEDULED, "network agent remove network": _SCHEDULED,
    "network agent add router": _SCHEDULED, "network agent remove router": _SCHEDULED,
    "network agent router set": _SCHEDULED,
    "network agent set": _SERVICES, "network agent delete": _SERVICES,
    "network onboard subnet": _NO_POOLS, "subnet pool add network": _NO_POOLS,
    "network auto allocated topology delete": "the network is nobody's to delete by this name",
}

#: Whole groups that have no counterpart, each by its first words, and a command that shows it.
ABSENT = {
    "address group": "address group list", "address scope": "address scope list",
    "bgp": "bgp speaker list", "bgpvpn": "bgpvpn list",
    "default security group rule": "default security group rule list",
    "firewall group": "firewall group list",
    "floating ip port forwarding": "floating ip port forwarding list {floating}",
    "local ip": "local ip list", "network flavor": "network flavor list",
    "network l3 conntrack helper": "network l3 conntrack helper list {router}",
    "network meter": "network meter list", "network qos": "network qos policy list",
    "network segment": "network segment list", "network subport": "network subport list --trunk x",
    "network trunk": "network trunk list", "router ndp proxy": "router ndp proxy list",
    "security group default statefulness": "security group default statefulness list",
    "tap": "tap service list", "vpn": "vpn service list",
}


def commands_of(demo: Commands) -> list[str]:
    """All commands of the client's network groups."""
    rows = demo.json("command", "list", "--group", "openstack.network.v2")
    return [name for row in rows for name in row["Commands"]]


def drives(line: str, name: str) -> bool:
    return (line + " ").startswith(name + " ")


def test_every_command_is_driven_or_has_its_reason(demo: Commands) -> None:
    lines = [line for line in (WALK + ADMINISTRATORS).splitlines() if line]
    unknown = [
        name for name in commands_of(demo)
        if name not in IMPOSSIBLE and not any(drives(line, name) for line in lines)
        and not any(drives(name, group) for group in ABSENT)
    ]
    assert unknown == []


@pytest.mark.parametrize("who", ["demo", "admin"])
def test_the_commands_do_what_they_say(
    request: pytest.FixtureRequest, who: str, admin: Commands
) -> None:
    run: Commands = request.getfixturevalue(who)
    ext = f"ext-{who}"
    admin("network", "create", "--external", ext)
    admin("subnet", "create", "--network", ext, "--subnet-range", "198.51.100.0/28", ext)
    project = admin.value("project", "create", "alt_demo")
    words = {
        "w": f"cmd-{who}", "ext": ext,
        "range": "10.70" if who == "demo" else "10.80", "range2": "10.71" if who == "demo" else "10.81",
    }
    keys = {"security group rule create": "rule", "floating ip create": "floating",
            "network rbac create": "rbac"}
    try:
        for line in WALK.splitlines():
            if not line:
                continue
            arguments = line.format(**words).replace("service {", "{").split()
            if "--target-project" in arguments:
                # Members cannot look projects up by their names.
                arguments[arguments.index("--target-project") + 1] = project
            made = next((key for command, key in keys.items() if drives(line, command)), None)
            if made is not None:
                words[made] = run.value(*arguments)
            else:
                run(*arguments)
        if who == "admin":
            words["agent"] = admin.json("network", "agent", "list")[0]["ID"]
            for line in filter(None, ADMINISTRATORS.splitlines()):
                admin(*line.format(**words).split())
        mine = [each for each in run.json("network", "list") if each["Name"].startswith("cmd-")]
        assert mine == []
    finally:
        admin("project", "delete", project)
        admin("network", "delete", ext)


@pytest.mark.parametrize("line", ["network agent list", "ip availability list"])
def test_what_is_the_administrators_is_empty_or_refused_for_members(
    demo: Commands, line: str
) -> None:
    result = demo.run(*line.split(), "-f", "json")
    assert result.status != 0 or result.json == []


@pytest.mark.parametrize("group", sorted(ABSENT))
def test_what_is_not_there_is_refused_in_one_line(demo: Commands, group: str) -> None:
    router = demo.json("router", "list")[0]["ID"]
    line = ABSENT[group].format(router=router, floating="203.0.113.99")
    complaint = demo.refused(*line.split())
    assert complaint.strip()
    assert "500" not in complaint


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ("router add port {router} nothing", ""),
        ("router add route --route destination=10.0.0.0/8,gateway=10.0.0.9 {router}", ""),
        ("router delete {router}", "409"),
        ("router set --disable {router}", "409"),
    ],
)
def test_what_a_router_cannot_do_is_refused(demo: Commands, line: str, word: str) -> None:
    router = demo.json("router", "list")[0]["ID"]
    assert word in demo.refused(*line.format(router=router).split())
