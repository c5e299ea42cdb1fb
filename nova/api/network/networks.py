# SPDX-License-Identifier: Apache-2.0
"""``/networks``: the segments of nova-network, and pools of floating addresses as external networks."""

from __future__ import annotations

import uuid
from typing import Any

from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.pools import Pool, pool_named, pools, shown_network
from nova.api.network.quotas import check_room
from nova.api.network.resource import Call, Resource, Shown, keys, merged, standard
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import Conflict, InvalidInput
from nova.network.cards import may_see
from nova.network.creation import NetworkRequest
from nova.network.manager import manager_named
from nova.network.segments import create_segment
from nova.objects.network import Network

_FACTS = ("description", "tags", "admin_state_up", "port_security_enabled", "dns_domain",
          "availability_zone_hints")
_DEFAULT_MTU = 1500


def by_network(rows: list[Network]) -> dict[str, list[Network]]:
    """The rows of each network by its uuid, its first row first."""
    found: dict[str, list[Network]] = {}
    for row in rows:
        if row.segment_uuid is None:
            found.setdefault(row.uuid, []).insert(0, row)
        else:
            found.setdefault(row.segment_uuid, []).append(row)
    return {
        identifier: group for identifier, group in found.items() if group[0].uuid == identifier
    }


def sees(call: Call, first: Network) -> bool:
    """Whether the caller sees a network."""
    return call.is_admin or may_see(first, call.caller.project_id)


def rows_of(call: Call, tx: Transaction, identifier: str) -> list[Network] | None:
    """The rows of a network that the caller sees, its first row first."""
    rows = tx.networks.of_segment(identifier)
    if not rows or rows[-1].uuid != identifier or rows[-1].segment_uuid is not None:
        return None
    return [rows[-1], *rows[:-1]] if sees(call, rows[-1]) else None


def owner_of(first: Network) -> str | None:
    """Whose a network is, also while it is shared with all."""
    if first.project_id is not None:
        return first.project_id
    return (first.facts or {}).get("owner")


def is_shared(first: Network) -> bool:
    """Whether all projects may use a network."""
    policies = (first.facts or {}).get("rbac", ())
    return first.project_id is None or any(each["target_tenant"] == "*" for each in policies)


def shown(call: Call, rows: list[Network]) -> Shown:
    """A network as clients see it."""
    first = rows[0]
    facts = first.facts or {}
    up = facts.get("admin_state_up", True)
    view: Shown = {
        "id": first.uuid, "name": first.label,
        **standard(facts, owner_of(first), first.revision, first.created_at, first.updated_at),
        "admin_state_up": up, "status": "ACTIVE" if up else "DOWN", "shared": is_shared(first),
        "router:external": False, "is_default": None,
        "subnets": [each for row in rows for each in (row.subnet_uuid, row.subnet_uuid_v6) if each],
        "mtu": first.mtu or _DEFAULT_MTU, "availability_zones": ["nova"],
        "availability_zone_hints": facts.get("availability_zone_hints", []),
        "ipv4_address_scope": None, "ipv6_address_scope": None,
        "port_security_enabled": facts.get("port_security_enabled", True),
        "dns_domain": facts.get("dns_domain", ""),
    }
    if call.is_admin:
        view["provider:network_type"] = "flat" if first.vlan is None else "vlan"
        view["provider:physical_network"] = first.bridge_interface or first.bridge
        view["provider:segmentation_id"] = first.vlan
    return view


def _external(call: Call, pool: Pool) -> Shown:
    view = shown_network(pool)
    if not call.is_admin:
        view = {name: value for name, value in view.items() if not name.startswith("provider:")}
    return view


def list_networks(call: Call, tx: Transaction) -> list[Shown]:
    """The networks that the caller may use, and all external ones."""
    found = [
        shown(call, rows) for rows in by_network(tx.networks.every()).values()
        if sees(call, rows[0])
    ]
    return found + [_external(call, pool) for pool in pools(tx)]


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    rows = rows_of(call, tx, identifier)
    if rows is not None:
        return shown(call, rows)
    pool = pool_named(tx, identifier)
    return None if pool is None else _external(call, pool)


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Make a network without subnets, or an external one: a pool of floating addresses."""
    project = call.project_of(values)
    if values.get("router:external"):
        return _create_pool(call, tx, values, project)
    check_room(call, tx, "network", project)
    shared = values.get("shared", False)
    kind = values.get("provider:network_type")
    section = call.cloud.config.network
    manager = manager_named(section.network_manager)
    if kind is not None and kind != ("vlan" if manager.vlan else "flat"):
        raise InvalidInput(
            "provider:network_type",
            f"{manager.name} makes networks of type {'vlan' if manager.vlan else 'flat'} only.", kind,
        )
    physical = values.get("provider:physical_network")
    facts = merged(None, values, _FACTS)
    facts["owner"] = project
    if shared:
        facts["shared"] = True
    network = create_segment(
        tx,
        NetworkRequest(
            uuid=str(uuid.uuid4()), label=values.get("name", ""),
            project_id=None if shared else project, mtu=values.get("mtu"),
            vlan=values.get("provider:segmentation_id"),
            bridge_interface=physical if manager.vlan else None,
        ),
        section,
    )
    tx.networks.change(network.id, {"facts": facts, "revision": 1})
    tx.after_commit(call.cloud.events.networks_changed)
    return shown(call, [tx.networks.get(network.uuid)])


def _create_pool(
    call: Call,
    tx: Transaction,
    values: dict[str, Any],
    project: str,
    identifier: str | None = None,
) -> Shown:
    identifier = identifier or str(uuid.uuid4())
    # Its name is that of its pool, and pools have one.
    name = values.get("name", "").strip() or f"external-{identifier[:8]}"
    facts = merged({"project_id": project, "subnets": []}, values, (*_FACTS, "is_default"))
    row = tx.floating_pools.create(identifier, name, facts)
    found = pool_named(tx, row.uuid)
    assert found is not None
    return _external(call, found)


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Change a network."""
    identifier = current["id"]
    if values.get("router:external", current["router:external"]) != current["router:external"]:
        current = _turned(call, tx, current, external=values["router:external"])
    if current["router:external"]:
        return _update_pool(call, tx, identifier, values)
    rows = rows_of(call, tx, identifier)
    assert rows is not None
    first = rows[0]
    columns: dict[str, Any] = {}
    if "name" in values:
        columns["label"] = values["name"]
    if "mtu" in values:
        columns["mtu"] = values["mtu"]
    facts = merged(first.facts, values, _FACTS)
    if "shared" in values and values["shared"] != (first.project_id is None):
        owner = owner_of(first) or call.caller.project_id
        facts |= {"owner": owner, "shared": values["shared"]}
        columns["project_id"] = None if values["shared"] else owner
    if columns:
        tx.networks.change_segment(identifier, columns)
        tx.networks.change(first.id, {"facts": facts, "revision": first.revision + 1})
    else:
        tx.networks.change(first.id, {"facts": facts})
    tx.after_commit(call.cloud.events.networks_changed)
    changed = rows_of(call, tx, identifier)
    assert changed is not None
    return shown(call, changed)


def _turned(call: Call, tx: Transaction, current: Shown, *, external: bool) -> Shown:
    """An empty network made a pool of floating addresses, or a pool without any made a network.

    It keeps its id, name and owner. Raises ``Conflict`` where something is in it.
    """
    identifier = current["id"]
    if current["subnets"]:
        raise typed(
            Conflict(
                "External networks are pools of floating addresses: remove the subnets of network "
                f"{identifier} before it becomes one or ceases to be one."
            ),
            "NetworkInUse",
        )
    facts = {name: current[name] for name in ("description", "tags", "admin_state_up")}
    if external:
        _delete_network(call, tx, identifier)
        _create_pool(
            call, tx, {"name": current["name"], **facts}, current["project_id"], identifier
        )
    else:
        tx.floating_pools.delete(identifier)
        network = create_segment(
            tx,
            NetworkRequest(
                uuid=identifier, label=current["name"], project_id=current["project_id"] or None
            ),
            call.cloud.config.network,
        )
        tx.networks.change(
            network.id, {"facts": {**facts, "owner": current["project_id"] or None}, "revision": 1}
        )
        tx.after_commit(call.cloud.events.networks_changed)
    found = find(call, tx, identifier)
    assert found is not None
    return found


def _update_pool(
    call: Call, tx: Transaction, identifier: str, values: dict[str, Any]
) -> Shown:
    pool = pool_named(tx, identifier)
    assert pool is not None
    if values.get("name", pool.name) != pool.name:
        raise Conflict("The name of an external network is the name of its pool and stays as it is.")
    if values.get("shared"):
        raise Conflict("An external network is there for all projects already; none has cards in it.")
    facts = merged(pool.row.facts if pool.row else {"subnets": list(pool.subnets)}, values,
                   (*_FACTS, "is_default"))
    if pool.row is None:
        tx.floating_pools.adopt(identifier, pool.name, facts)
    else:
        tx.floating_pools.update(identifier, facts)
    changed = pool_named(tx, identifier)
    assert changed is not None
    return _external(call, changed)


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Remove a network with its subnets; ``Conflict`` while an address or a port is in use."""
    identifier = current["id"]
    if current["router:external"]:
        pool = pool_named(tx, identifier)
        assert pool is not None
        held = [each for each in tx.floating_ips.every() if each.pool == pool.name]
        if any(each.fixed_ip_id is not None for each in held):
            raise typed(
                Conflict(f"Unable to complete operation on network {identifier}. There are one or "
                         "more floating IPs in use on the network."),
                "NetworkInUse",
            )
        for project, count in tx.floating_ips.delete_many([each.address for each in held]).items():
            tx.quotas.release(project, {"floating_ips": count})
        tx.floating_pools.delete(identifier)
        return
    _delete_network(call, tx, identifier)


def _delete_network(call: Call, tx: Transaction, identifier: str) -> None:
    try:
        tx.networks.delete(identifier, require_disassociated=False)
    except Conflict as error:
        raise typed(
            Conflict(f"Unable to complete operation on network {identifier}. There are one or more "
                     f"ports still in use on the network. {error.message}"),
            "NetworkInUse",
        ) from None
    tx.after_commit(call.cloud.events.networks_changed)


ATTRIBUTES = read.table(
    read.NAME, read.DESCRIPTION, read.PROJECT, read.TAGS,
    Attribute("admin_state_up", read.boolean),
    Attribute("shared", read.boolean, rule=True),
    Attribute("router:external", read.boolean, rule=True),
    Attribute("is_default", read.boolean, rule=True),
    Attribute("provider:network_type", read.nullable(read.one_of("flat", "vlan")), put=False,
              rule=True),
    Attribute("provider:physical_network", read.nullable(read.text(15)), put=False, rule=True),
    Attribute("provider:segmentation_id", read.integer(1, 4094, nullable=True), put=False,
              rule=True),
    Attribute("mtu", read.integer(68, 65535, nullable=True)),
    Attribute("availability_zone_hints", read.list_of(read.one_of("nova")), put=False),
    Attribute("port_security_enabled", read.boolean),
    Attribute("dns_domain", read.text()),
)

NETWORKS = Resource(
    singular="network", plural="networks", error="NetworkNotFound", attributes=ATTRIBUTES,
    keys=keys(
        "name admin_state_up status shared router:external is_default subnets mtu "
        "availability_zones availability_zone_hints ipv4_address_scope ipv6_address_scope "
        "port_security_enabled dns_domain provider:network_type provider:physical_network "
        "provider:segmentation_id"
    ),
    list=list_networks, find=find, create=create, update=update, delete=delete,
)
