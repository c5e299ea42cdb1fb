# SPDX-License-Identifier: Apache-2.0
"""``/subnetpools``: ranges that subnets are cut from, so that nobody has to choose one."""

from __future__ import annotations

import ipaddress
import uuid
from typing import Any

from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.quotas import check_room
from nova.api.network.resource import Call, Resource, Shown, keys, merged, standard
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import BadRequest, Conflict, NotFound, NovaError, QuotaExceeded
from nova.network.ranges import RangeTaken, carve
from nova.objects.network import Network, SubnetPool

Range = ipaddress.IPv4Network | ipaddress.IPv6Network

_FACTS = (
    "description", "tags", "prefixes", "default_prefixlen", "min_prefixlen", "max_prefixlen",
    "shared", "is_default", "default_quota",
)
#: Where a pool says nothing (Networking API, "Subnet pools").
_SMALLEST = {4: 8, 6: 64}
_LARGEST = {4: 32, 6: 128}


def version_of(pool: SubnetPool) -> int:
    """The IP version of a pool's ranges."""
    return ipaddress.ip_network((pool.facts or {})["prefixes"][0]).version


def shown(pool: SubnetPool) -> Shown:
    """A pool as clients see it."""
    facts = pool.facts or {}
    version = version_of(pool)
    smallest = facts.get("min_prefixlen") or _SMALLEST[version]
    return {
        "id": pool.uuid, "name": pool.name,
        **standard(facts, pool.project_id, pool.revision, pool.created_at, pool.updated_at),
        "prefixes": facts["prefixes"], "ip_version": version, "min_prefixlen": smallest,
        "max_prefixlen": facts.get("max_prefixlen") or _LARGEST[version],
        "default_prefixlen": facts.get("default_prefixlen") or smallest,
        "shared": facts.get("shared", False), "is_default": facts.get("is_default", False),
        "default_quota": facts.get("default_quota"), "address_scope_id": None,
    }


def _sees(call: Call, pool: SubnetPool) -> bool:
    return call.owns(pool.project_id) or bool((pool.facts or {}).get("shared"))


def list_pools(call: Call, tx: Transaction) -> list[Shown]:
    """The pools of the caller's project, and all shared ones."""
    return [shown(each) for each in tx.subnet_pools.every() if _sees(call, each)]


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    pool = tx.subnet_pools.find(identifier)
    return shown(pool) if pool is not None and _sees(call, pool) else None


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Make a pool."""
    project = call.project_of(values)
    check_room(call, tx, "subnetpool", project)
    facts = merged(None, values, _FACTS)
    facts["prefixes"] = _prefixes(facts["prefixes"])
    _check_lengths(facts)
    _check_default(tx, facts, None)
    identifier = str(uuid.uuid4())
    tx.subnet_pools.create(identifier, project, values["name"], facts)
    made = tx.subnet_pools.find(identifier)
    assert made is not None
    return shown(made)


def _prefixes(given: list[str]) -> list[str]:
    """Ranges of one version, joined where they touch."""
    ranges = [ipaddress.ip_network(each) for each in given]
    if not ranges:
        raise BadRequest("Invalid input for prefixes. Reason: A pool has one range at least.")
    if len({each.version for each in ranges}) > 1:
        raise typed(
            BadRequest("Illegal subnetpool prefixes: they have to be of one IP version."),
            "SubnetPoolMixedVersions",
        )
    return [str(each) for each in ipaddress.collapse_addresses(ranges)]  # type: ignore[type-var]


def _check_lengths(facts: dict[str, Any]) -> None:
    version = ipaddress.ip_network(facts["prefixes"][0]).version
    low = facts.get("min_prefixlen") or _SMALLEST[version]
    high = facts.get("max_prefixlen") or _LARGEST[version]
    usual = facts.get("default_prefixlen") or low
    if max(low, high, usual) > _LARGEST[version]:
        raise BadRequest(f"A prefix of IPv{version} has at most {_LARGEST[version]} bits.")
    if low > high:
        raise typed(
            BadRequest(f"Illegal prefix bounds: min_prefixlen={low}, max_prefixlen={high}."),
            "IllegalSubnetPoolPrefixBounds",
        )
    if not low <= usual <= high:
        raise typed(
            BadRequest(f"Illegal prefix bounds: default_prefixlen={usual} lies outside {low}-{high}."),
            "IllegalSubnetPoolPrefixBounds",
        )


def _check_default(tx: Transaction, facts: dict[str, Any], present: str | None) -> None:
    """There is one default pool of each version."""
    if not facts.get("is_default"):
        return
    version = ipaddress.ip_network(facts["prefixes"][0]).version
    for each in tx.subnet_pools.every():
        if each.uuid != present and (each.facts or {}).get("is_default") and (
            version_of(each) == version
        ):
            raise typed(
                BadRequest(f"A default subnetpool for this IP family has already been set: {each.uuid}."),
                "InvalidInput",
            )


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Change a pool; its ranges may only grow."""
    pool = tx.subnet_pools.find(current["id"], lock=True)
    assert pool is not None
    facts = merged(pool.facts, values, _FACTS)
    if "prefixes" in values:
        facts["prefixes"] = _prefixes(values["prefixes"])
        if not all(
            any(_within(old, new) for new in facts["prefixes"])
            for old in (pool.facts or {})["prefixes"]
        ):
            raise typed(
                BadRequest("Illegal update to prefixes: Existing prefixes must be a subset of the new "
                           "prefixes."),
                "IllegalSubnetPoolPrefixUpdate",
            )
    _check_lengths(facts)
    _check_default(tx, facts, pool.uuid)
    columns: dict[str, Any] = {"facts": facts}
    if "name" in values:
        columns["name"] = values["name"]
    tx.subnet_pools.update(pool.uuid, columns)
    changed = tx.subnet_pools.find(pool.uuid)
    assert changed is not None
    return shown(changed)


def _within(inner: str, outer: str) -> bool:
    small, large = ipaddress.ip_network(inner), ipaddress.ip_network(outer)
    return small.version == large.version and small.subnet_of(large)  # type: ignore[arg-type]


def delete(_call: Call, tx: Transaction, current: Shown) -> None:
    """Remove a pool that no subnet is from."""
    if _cut(tx, current["id"]):
        raise typed(
            Conflict("Unable to delete subnet pool: Subnet pool has existing allocations."),
            "SubnetPoolDeleteError",
        )
    tx.subnet_pools.delete(current["id"])


def _cut(tx: Transaction, pool: str) -> list[tuple[Network, Range]]:
    """The subnets that are from a pool."""
    found: list[tuple[Network, Range]] = []
    for row in tx.networks.every():
        for part, text in (("subnet4", row.cidr), ("subnet6", row.cidr_v6)):
            if text is not None and (row.facts or {}).get(part, {}).get("subnetpool_id") == pool:
                found.append((row, ipaddress.ip_network(text)))
    return found


# -- subnets from pools ----------------------------------------------------------------------------


def cut(call: Call, tx: Transaction, values: dict[str, Any]) -> dict[str, Any]:
    """The values of a subnet that is to come from a pool, with the range that it gets.

    Raises ``NotFound`` for a pool that the caller does not see or where there is no default one,
    ``BadRequest`` for a length outside the pool's bounds, ``Conflict`` where the pool is used up.
    """
    pool = _named(call, tx, values)
    version = version_of(pool)
    facts = shown(pool)
    if values["ip_version"] != version:
        raise typed(
            BadRequest(f"Bad subnets request: Cannot allocate IPv{values['ip_version']} subnet from "
                       f"IPv{version} subnet pool."),
            "BadRequest",
        )
    given = values.get("cidr")
    if given and values.get("prefixlen") is not None:
        raise typed(
            BadRequest("Bad subnets request: cidr and prefixlen must not be supplied together."), "BadRequest"
        )
    if given and ipaddress.ip_network(given).version != version:
        raise BadRequest(f"The pool has ranges of IPv{version}.")
    length = ipaddress.ip_network(given).prefixlen if given else (
        values.get("prefixlen") or facts["default_prefixlen"]
    )
    if not facts["min_prefixlen"] <= length <= facts["max_prefixlen"]:
        raise typed(
            BadRequest(
                f"Unable to allocate subnet with prefix length {length}, the pool allows "
                f"{facts['min_prefixlen']} to {facts['max_prefixlen']}."
            ),
            "MinPrefixSubnetAllocationError" if length < facts["min_prefixlen"]
            else "MaxPrefixSubnetAllocationError",
        )
    _check_quota(tx, pool, facts, length, version)
    chosen = given or _free(tx, facts["prefixes"], length, version)
    if given and not any(_within(given, each) for each in facts["prefixes"]):
        raise typed(BadRequest(f"{given} is not in the pool."), "SubnetAllocationError")
    return {**values, "cidr": chosen, "subnetpool_id": pool.uuid}


def _named(call: Call, tx: Transaction, values: dict[str, Any]) -> SubnetPool:
    wanted = values.get("subnetpool_id")
    if wanted is None:
        version = values.get("ip_version", 4)
        found = next(
            (
                each for each in tx.subnet_pools.every()
                if (each.facts or {}).get("is_default") and version_of(each) == version
                and _sees(call, each)
            ),
            None,
        )
        if found is None:
            raise NotFound(f"No default subnetpool for IPv{version} was found.")
        wanted = found.uuid
    pool = tx.subnet_pools.find(wanted, lock=True)
    if pool is None or not _sees(call, pool):
        raise SUBNET_POOLS.missing(wanted)
    return pool


def _check_quota(
    tx: Transaction, pool: SubnetPool, facts: Shown, length: int, version: int
) -> None:
    """``default_quota`` counts addresses of IPv4, and ranges of 64 bits of IPv6, of each project."""
    most = facts["default_quota"]
    if most is None:
        return
    whole = 32 if version == 4 else 64
    used = sum(
        max(1, 2 ** (whole - range_.prefixlen)) if range_.prefixlen <= whole else 1
        for row, range_ in _cut(tx, pool.uuid) if row.project_id == pool.project_id
    )
    wanted = 2 ** (whole - length) if length <= whole else 1
    if used + wanted > most:
        raise QuotaExceeded("Per-project subnet pool prefix quota exceeded.")


def _free(tx: Transaction, prefixes: list[str], length: int, version: int) -> str:
    """The first range of that length that no network of the cloud overlaps."""
    used = [
        ipaddress.ip_network(text) for row in tx.networks.every()
        for text in ((row.cidr,) if version == 4 else (row.cidr_v6,)) if text is not None
    ]
    for prefix in prefixes:
        whole = ipaddress.ip_network(prefix)
        if whole.prefixlen > length:
            continue
        try:
            if isinstance(whole, ipaddress.IPv4Network):
                four = [each for each in used if isinstance(each, ipaddress.IPv4Network)]
                return str(carve(whole, length, 1, four)[0])
            six = [each for each in used if isinstance(each, ipaddress.IPv6Network)]
            return str(carve(whole, length, 1, six)[0])
        except RangeTaken:
            continue
    raise _used_up(length)


def _used_up(length: int) -> NovaError:
    return typed(
        Conflict(f"Failed to allocate subnet: Insufficient prefix space to allocate subnet size /{length}."),
        "SubnetAllocationError",
    )


_LENGTH = read.integer(0, 128)

SUBNET_POOLS = Resource(
    singular="subnetpool", plural="subnetpools", error="SubnetPoolNotFound",
    attributes=read.table(
        read.NAME, read.DESCRIPTION, read.PROJECT, read.TAGS,
        Attribute("prefixes", read.list_of(read.cidr), required=True),
        Attribute("default_prefixlen", _LENGTH), Attribute("min_prefixlen", _LENGTH),
        Attribute("max_prefixlen", _LENGTH),
        Attribute("shared", read.boolean, put=False, rule=True),
        Attribute("is_default", read.boolean, rule=True),
        Attribute("default_quota", read.integer(0, 2**31 - 1, nullable=True)),
        Attribute("address_scope_id", read.nullable(read.one_of())),
    ),
    keys=keys(
        "name prefixes ip_version min_prefixlen max_prefixlen default_prefixlen shared is_default "
        "default_quota address_scope_id"
    ),
    list=list_pools, find=find, create=create, update=update, delete=delete,
)
