# SPDX-License-Identifier: Apache-2.0
"""``/subnets``: the ranges of nova-network's networks, and those of pools of floating addresses."""

from __future__ import annotations

import ipaddress
import uuid
from collections.abc import Sequence
from typing import Any

from nova.api.network import router_interfaces, subnet_pools
from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.networks import by_network, owner_of, rows_of, sees
from nova.api.network.pools import Pool, pool_named, pools, runs, shown_subnet
from nova.api.network.quotas import check_room
from nova.api.network.resource import Call, Resource, Shown, keys, merged, standard
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, Forbidden, InvalidInput, NetworkNotFound
from nova.network.creation import vip_count
from nova.network.gateways import move_gateway
from nova.network.pool_ranges import check_pools, numbers_in
from nova.network.ranges import RangeTaken
from nova.network.segments import SubnetRequest, add_subnet
from nova.objects.network import Network

_FACTS = ("name", "description", "tags", "host_routes", "service_types")
#: What an IPv6 range has among its facts, while an IPv4 range has columns for it.
_FACTS_6 = ("dns_nameservers",)
#: As many as Neutron takes unless it is told otherwise (neutron, ``conf/common``, max_dns_nameservers).
_MOST_DNS = 5
#: The same of routes (max_subnet_host_routes).
_MOST_ROUTES = 20
_OWN = frozenset({"dhcp", "vpn"})
#: What is kept of an external network's subnet besides its range.
_FACTS_EXTERNAL = (*_FACTS, "dns_nameservers")


def facts_of(row: Network, version: int) -> dict[str, Any]:
    """What was written about a subnet: it has a part of its row's facts."""
    found = (row.facts or {}).get(f"subnet{version}")
    return dict(found) if found else {}


def shown(first: Network, row: Network, version: int, given_pools: list[dict[str, str]]) -> Shown:
    """A range of a network as clients see it."""
    facts = facts_of(row, version)
    four = version == 4
    return {
        "id": row.subnet_uuid if four else row.subnet_uuid_v6,
        "name": facts.get("name", row.label), "network_id": first.uuid,
        **standard(facts, owner_of(first), row.revision, row.created_at, row.updated_at),
        "cidr": row.cidr if four else row.cidr_v6, "ip_version": version,
        "gateway_ip": row.gateway if four else row.gateway_v6,
        "enable_dhcp": row.enable_dhcp if four else True,
        "allocation_pools": facts.get("allocation_pools") or given_pools,
        "dns_nameservers": [
            each for each in row.dns if ipaddress.ip_address(each).version == version
        ],
        "host_routes": facts.get("host_routes", []),
        "ipv6_address_mode": None if four else "slaac", "ipv6_ra_mode": None if four else "slaac",
        "subnetpool_id": facts.get("subnetpool_id"), "service_types": facts.get("service_types", []),
        "segment_id": None, "router:external": False,
    }


def allocation_pools(tx: Transaction, rows: Sequence[Network]) -> dict[int, list[dict[str, str]]]:
    """The ranges that servers' addresses come from, by row: virtual IPs and the gateway are cut out.

    So are the network's own addresses, but where it has no gateway: there they are in use within the range.
    """
    wanted = [row.id for row in rows if row.cidr is not None]
    unrouted = {row.id for row in rows if row.cidr is not None and not _has_gateway(row)}
    kept: dict[int, set[int]] = {}
    for network_id, address, role in tx.fixed_ips.reserved_roles(wanted):
        if role in _OWN and network_id in unrouted:
            continue
        kept.setdefault(network_id, set()).add(int(ipaddress.IPv4Address(address)))
    found = {}
    for network_id, (first, last) in tx.fixed_ips.spans(wanted).items():
        found[network_id] = _gaps(
            int(ipaddress.IPv4Address(first)), int(ipaddress.IPv4Address(last)),
            kept.get(network_id, set()),
        )
    return found


def _has_gateway(row: Network) -> bool:
    return row.gateway is not None and (
        ipaddress.ip_address(row.gateway) in ipaddress.ip_network(str(row.cidr))
    )


def _gaps(first: int, last: int, kept: set[int]) -> list[dict[str, str]]:
    ranges = []
    start = first
    for number in sorted(each for each in kept if first <= each <= last):
        if start < number:
            ranges.append((start, number - 1))
        start = number + 1
    if start <= last:
        ranges.append((start, last))
    return [
        {"start": str(ipaddress.IPv4Address(a)), "end": str(ipaddress.IPv4Address(z))}
        for a, z in ranges
    ]


def _pools6(row: Network) -> list[dict[str, str]]:
    """Guests form their addresses from the whole prefix, whatever pools were named (as Neutron has it)."""
    whole = ipaddress.IPv6Network(str(row.cidr_v6))
    return [{"start": str(whole[2]), "end": str(whole[-1])}]


def _of_rows(tx: Transaction, groups: Sequence[list[Network]]) -> list[Shown]:
    rows = [row for group in groups for row in group]
    given = allocation_pools(tx, rows)
    found = []
    for group in groups:
        for row in group:
            if row.cidr is not None:
                found.append(shown(group[0], row, 4, given.get(row.id, [])))
            if row.cidr_v6 is not None:
                found.append(shown(group[0], row, 6, _pools6(row)))
    return found


def list_subnets(call: Call, tx: Transaction) -> list[Shown]:
    """The subnets of all networks that the caller sees; those of pools are the administrators'."""
    groups = [rows for rows in by_network(tx.networks.every()).values() if sees(call, rows[0])]
    wanted = call.values_of("network_id")
    if wanted is not None:
        groups = [rows for rows in groups if rows[0].uuid in wanted]
    found = _of_rows(tx, groups)
    if call.is_admin:
        found += [shown_subnet(pool, each) for pool in pools(tx) for each in pool.subnets]
    return found


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    place = place_of(tx, identifier)
    if place is not None:
        first, row, version = place
        if not sees(call, first):
            return None
        given = _pools6(row) if version == 6 else allocation_pools(tx, [row]).get(row.id, [])
        return shown(first, row, version, given)
    for pool in pools(tx) if call.is_admin else ():
        for each in pool.subnets:
            if each["id"] == identifier:
                return shown_subnet(pool, each)
    return None


def place_of(tx: Transaction, identifier: str) -> tuple[Network, Network, int] | None:
    """A subnet's network, row and IP version."""
    for rows in by_network(tx.networks.every()).values():
        for row in rows:
            if row.subnet_uuid == identifier:
                return rows[0], row, 4
            if row.subnet_uuid_v6 == identifier:
                return rows[0], row, 6
    return None


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Make a subnet of a network, or of a pool of floating addresses."""
    if values.get("subnetpool_id") or values.get("use_default_subnetpool"):
        values = subnet_pools.cut(call, tx, values)
    range_ = ipaddress.ip_network(_cidr(values))
    version = values["ip_version"]
    _check_version("cidr", range_, version)
    _check_told(values, version)
    pool = pool_named(tx, values["network_id"])
    if pool is not None:
        if not call.is_admin:
            raise Forbidden("Only administrators add addresses to external networks.")
        return _create_in_pool(call, tx, pool, values)
    owner = _owner(call, tx, values["network_id"])
    # Subnets of one network that come together must not fill the same row.
    tx.quotas.hold(owner)
    rows = _rows(call, tx, values["network_id"])
    first = rows[0]
    check_room(call, tx, "subnet", owner)
    _check_modes(values, version)
    try:
        made = add_subnet(
            tx, [*rows[1:], first],
            SubnetRequest(
                cidr=str(range_), gateway=values.get("gateway_ip"),
                routed=values.get("gateway_ip", True) is not None,
                pools=_pools_of(values), dns=tuple(values.get("dns_nameservers", ())),
                enable_dhcp=values.get("enable_dhcp", True),
            ),
            call.cloud.config.network,
        )
    except RangeTaken as error:
        raise typed(
            BadRequest(f"Invalid input for operation: Requested subnet with cidr: {range_} for network: "
                       f"{first.uuid} overlaps with another subnet. {error.message}"),
            "InvalidInput",
        ) from None
    part = merged({"name": ""}, values, (*_FACTS, "subnetpool_id"))
    part = _named_here(part, values, version)
    if version == 6 and "allocation_pools" in part:
        check_pools(_pools_of(part) or (), str(range_), values.get("gateway_ip"))
    tx.networks.change(made.id, {"facts": {**(made.facts or {}), f"subnet{version}": part}})
    tx.after_commit(call.cloud.events.networks_changed)
    fresh = tx.networks.get(made.uuid)
    identifier = fresh.subnet_uuid if version == 4 else fresh.subnet_uuid_v6
    found = find(call, tx, identifier or "")
    assert found is not None
    return found


def _rows(call: Call, tx: Transaction, network_id: str) -> list[Network]:
    rows = rows_of(call, tx, network_id)
    if rows is None:
        raise NetworkNotFound(network_id)
    return rows


def _owner(call: Call, tx: Transaction, network_id: str) -> str:
    owner = owner_of(_rows(call, tx, network_id)[0])
    if not call.owns(owner):
        raise typed(Forbidden("rule:create_subnet is disallowed by policy"), "PolicyNotAuthorized")
    return owner or ""


def _cidr(values: dict[str, Any]) -> str:
    if not values.get("cidr"):
        raise typed(
            BadRequest("Bad subnets request: a subnetpool must be specified in the absence of a cidr."),
            "BadRequest",
        )
    return str(values["cidr"])


def _check_version(name: str, value: object, version: int) -> None:
    address = str(value).partition("/")[0]
    if ipaddress.ip_address(address).version != version:
        raise typed(
            BadRequest(f"Invalid input for operation: {name} '{value}' does not match the ip_version "
                       f"'{version}'."),
            "InvalidInput",
        )


def _check_told(values: dict[str, Any], version: int) -> None:
    """Refuse what guests cannot be told: too much, and addresses of the other IP version."""
    gateway = values.get("gateway_ip")
    if gateway is not None:
        _check_version("gateway_ip", gateway, version)
    servers = values.get("dns_nameservers", ())
    if len(servers) > _MOST_DNS:
        raise typed(
            BadRequest("Unable to complete operation for the subnet. The number of DNS nameservers exceeds "
                       f"the limit {_MOST_DNS}."),
            "DNSNameServersExhausted",
        )
    for each in servers:
        _check_version("dns_nameserver", each, version)
    routes = values.get("host_routes", ())
    if len(routes) > _MOST_ROUTES:
        raise typed(
            BadRequest("Unable to complete operation for the subnet. The number of host routes exceeds the "
                       f"limit {_MOST_ROUTES}."),
            "HostRoutesExhausted",
        )
    for each in routes:
        for name in ("nexthop", "destination"):
            _check_version(name, each[name], version)


def _check_modes(values: dict[str, Any], version: int) -> None:
    """Refuse what a bridge with its DHCP server cannot do."""
    if version == 6:
        for name in ("ipv6_address_mode", "ipv6_ra_mode"):
            if values.get(name) not in (None, "slaac"):
                raise InvalidInput(name, "Addresses of IPv6 are formed by the guests: slaac alone.")


def _pools_of(values: dict[str, Any]) -> tuple[tuple[str, str], ...] | None:
    given = values.get("allocation_pools")
    if not given:
        return None
    for each in given:
        if each.keys() != {"start", "end"}:
            raise InvalidInput("allocation_pools", "Each has a start and an end.")
    return tuple((each["start"], each["end"]) for each in given)


def _named_here(part: dict[str, Any], values: dict[str, Any], version: int) -> dict[str, Any]:
    """A subnet's facts with the pools that are named, and the DNS servers that have no column."""
    named = _pools_of(values)
    if named is not None:
        part = {**part, "allocation_pools": [{"start": a, "end": z} for a, z in named]}
    if version == 6:
        return merged(part, values, _FACTS_6)
    if "dns_nameservers" in values:
        part = {**part, "further_dns": values["dns_nameservers"][2:]}
    return part


def _create_in_pool(
    call: Call, tx: Transaction, pool: Pool, values: dict[str, Any]
) -> Shown:
    """Fill a pool with the addresses of a range, but the gateway's."""
    whole = ipaddress.ip_network(values["cidr"])
    given = _pools_of(values)
    # A single address is handed out rather than kept for a gateway.
    first = str(next(iter(whole.hosts()))) if whole.num_addresses > 1 else None
    gateway = values.get("gateway_ip", first)
    if given is None:
        if whole.num_addresses > 65536:
            raise InvalidInput("cidr", "Without allocation_pools it has at most 65536 addresses.")
        members = list(whole.hosts())
    else:
        check_pools(given, str(whole), gateway)
        members = [each for start, end in given for each in _span(start, end)]
    addresses = [each for each in members if str(each) != gateway]
    interface = call.cloud.config.network.public_interface
    tx.floating_ips.create_many([str(each) for each in addresses], pool.name, interface)
    subnet = {
        "id": str(uuid.uuid4()), "cidr": str(whole), "gateway_ip": gateway,
        "allocation_pools": runs(addresses), **merged({"name": ""}, values, _FACTS_EXTERNAL),
    }
    _write_pool(tx, pool, [*pool.subnets, subnet])
    changed = pool_named(tx, pool.uuid)
    assert changed is not None
    return shown_subnet(changed, subnet)


def _span(start: str, end: str) -> list[Any]:
    first, last = ipaddress.ip_address(start), ipaddress.ip_address(end)
    if int(last) - int(first) > 65536:
        raise InvalidInput("allocation_pools", "A pool has at most 65536 addresses.")
    return [ipaddress.ip_address(number) for number in range(int(first), int(last) + 1)]


def _write_pool(tx: Transaction, pool: Pool, subnets: list[dict[str, Any]]) -> None:
    facts = {**((pool.row.facts if pool.row else None) or {}), "subnets": subnets}
    if pool.row is None:
        tx.floating_pools.adopt(pool.uuid, pool.name, facts)
    else:
        tx.floating_pools.update(pool.uuid, facts)


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Change a subnet."""
    identifier = current["id"]
    _check_told(values, current["ip_version"])
    if current["router:external"]:
        return _update_in_pool(call, tx, current, values)
    place = place_of(tx, identifier)
    assert place is not None
    _first, row, version = place
    columns: dict[str, Any] = {}
    if "dns_nameservers" in values and version == 4:
        names = [*values["dns_nameservers"], None, None]
        columns |= {"dns1": names[0], "dns2": names[1]}
    if "enable_dhcp" in values:
        columns["enable_dhcp"] = values["enable_dhcp"]
    gateway = values.get("gateway_ip", current["gateway_ip"])
    given = _pools_of(values)
    named = given or _pools_of(facts_of(row, version))
    if named is not None and (given is not None or gateway != current["gateway_ip"]):
        check_pools(named, current["cidr"], gateway)
    if given is not None and version == 4:
        _move_pools(call, tx, row, given)
    if gateway != current["gateway_ip"]:
        _refuse_router_in_use(tx, current)
        if version == 4:
            columns |= move_gateway(tx, row, values["gateway_ip"])
        else:
            columns["gateway_v6"] = values["gateway_ip"]
    part = merged(facts_of(row, version) or {"name": current["name"]}, values, _FACTS)
    part = _named_here(part, values, version)
    columns["facts"] = {**(row.facts or {}), f"subnet{version}": part}
    tx.networks.change(row.id, columns)
    tx.after_commit(call.cloud.events.networks_changed)
    refreshes = call.cloud.networks.refreshes
    if refreshes is not None:
        refreshes.of_networks(tx, [row.uuid])
    found = find(call, tx, identifier)
    assert found is not None
    return found


def _refuse_router_in_use(tx: Transaction, current: Shown) -> None:
    """A router that was made and has an interface on the subnet has its gateway's address."""
    for made in tx.routers.every(current["tenant_id"]):
        if current["id"] in router_interfaces.subnets_of(tx, made):
            raise typed(
                Conflict(f"Current gateway ip {current['gateway_ip']} already in use by port "
                         f"{router_interfaces.gateway_port_uuid(current['id'])}. Unable to update."),
                "GatewayIpInUse",
            )


def _move_pools(
    call: Call, tx: Transaction, row: Network, given: Sequence[tuple[str, str]]
) -> None:
    """Take unused addresses out of the range or into it.

    Virtual IPs that nobody has claimed are kept outside the pools alone, as many as there is room for.
    """
    inside = numbers_in(given)
    rows = tx.fixed_ips.of_network(row.id)
    outside = [
        each for each in rows if each.vip_project_id is None and each.role in ("outside", "vip", None)
        and int(ipaddress.IPv4Address(each.address)) not in inside
    ]
    claimed = sum(each.vip_project_id is not None for each in rows)
    count = max(vip_count(len(rows), call.cloud.config.network) - claimed, 0)
    unused = sorted(
        (each.address for each in outside if not each.allocated),
        key=lambda address: int(ipaddress.IPv4Address(address)),
    )
    vips = set(unused[-count:]) if count else set()
    tx.networks.set_roles(
        row.id,
        [
            each.address for each in rows
            if each.role in ("outside", "vip") and int(ipaddress.IPv4Address(each.address)) in inside
        ],
        None,
    )
    tx.networks.set_roles(
        row.id,
        [each.address for each in outside if each.role != "outside" and each.address not in vips],
        "outside",
    )
    tx.networks.set_roles(row.id, sorted(vips), "vip")


def _update_in_pool(
    call: Call, tx: Transaction, current: Shown, values: dict[str, Any]
) -> Shown:
    beyond = sorted(
        name for name in values.keys() - {*_FACTS_EXTERNAL}
        if name != "tags" and values[name] != current[name]
    )
    if beyond:
        raise Conflict(
            f"{beyond[0]} of an external subnet stays as it was made: remove it and make another."
        )
    pool = pool_named(tx, current["network_id"])
    assert pool is not None
    subnets = [
        {**merged(each, values, _FACTS_EXTERNAL), "revision": each.get("revision", 0) + 1}
        if each["id"] == current["id"] else each
        for each in pool.subnets
    ]
    _write_pool(tx, pool, subnets)
    found = find(call, tx, current["id"])
    assert found is not None
    return found


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Remove a subnet none of whose addresses is in use."""
    if current["router:external"]:
        return _delete_in_pool(tx, current)
    place = place_of(tx, current["id"])
    assert place is not None
    first, row, version = place
    try:
        if row is not first and version == 4 and row.cidr_v6 is None:
            tx.networks.delete(row.uuid, require_disassociated=False)
        else:
            tx.networks.empty(row.id, version=version)
            rest = {
                name: value for name, value in (row.facts or {}).items()
                if name != f"subnet{version}"
            }
            tx.networks.change(row.id, {"facts": rest})
    except Conflict as error:
        raise typed(
            Conflict(f"Unable to complete operation on subnet {current['id']}: One or more ports "
                     f"have an IP allocation from this subnet. {error.message}"),
            "SubnetInUse",
        ) from None
    tx.after_commit(call.cloud.events.networks_changed)
    return None


def _delete_in_pool(tx: Transaction, current: Shown) -> None:
    pool = pool_named(tx, current["network_id"])
    assert pool is not None
    whole = ipaddress.ip_network(current["cidr"])
    members = [
        each for each in tx.floating_ips.every()
        if each.pool == pool.name and ipaddress.ip_address(each.address) in whole
    ]
    if any(each.project_id is not None for each in members):
        raise typed(
            Conflict(f"Unable to complete operation on subnet {current['id']}: One or more "
                     "floating IPs have an address of this subnet."),
            "SubnetInUse",
        )
    tx.floating_ips.delete_many([each.address for each in members])
    _write_pool(tx, pool, [each for each in pool.subnets if each["id"] != current["id"]])


def _version(name: str, value: Any) -> int:
    return int(read.one_of(4, 6, "4", "6")(name, value))


_POOL = read.structure(start=read.address, end=read.address)
_ROUTE = read.structure(destination=read.cidr, nexthop=read.address)


def _route(name: str, value: Any) -> dict[str, str]:
    found: dict[str, str] = _ROUTE(name, value)
    if len(found) < 2:
        raise read.wrong(name, "A route has a destination and a nexthop.")
    return found


def _each_once(reader: read.Reader, what: str) -> read.Reader:
    def read_all(name: str, value: Any) -> list[Any]:
        found: list[Any] = read.list_of(reader)(name, value)
        for index, each in enumerate(found):
            if each in found[:index]:
                raise read.wrong(name, f"Duplicate {what} '{each}'.")
        return found

    return read_all



ATTRIBUTES = read.table(
    read.NAME, read.DESCRIPTION, read.PROJECT, read.TAGS,
    Attribute("network_id", read.uuid, put=False, required=True),
    Attribute("ip_version", _version, put=False, required=True, convert=True),
    Attribute("cidr", read.nullable(read.cidr), put=False),
    Attribute("prefixlen", read.integer(0, 128, nullable=True), put=False),
    Attribute("gateway_ip", read.nullable(read.address)),
    Attribute("allocation_pools", read.list_of(_POOL)),
    Attribute("dns_nameservers", _each_once(read.address, "nameserver")),
    Attribute("host_routes", _each_once(_route, "hostroute")),
    Attribute("enable_dhcp", read.boolean),
    Attribute("ipv6_address_mode", read.nullable(read.text(32)), put=False),
    Attribute("ipv6_ra_mode", read.nullable(read.text(32)), put=False),
    Attribute("subnetpool_id", read.nullable(read.text(64)), put=False),
    Attribute("use_default_subnetpool", read.boolean, put=False),
    Attribute("service_types", read.list_of(read.text())),
)

SUBNETS = Resource(
    singular="subnet", plural="subnets", error="SubnetNotFound", attributes=ATTRIBUTES,
    keys=keys(
        "name network_id cidr ip_version gateway_ip enable_dhcp allocation_pools dns_nameservers "
        "host_routes ipv6_address_mode ipv6_ra_mode subnetpool_id service_types segment_id "
        "router:external"
    ),
    list=list_subnets, find=find, create=create, update=update, delete=delete,
)
