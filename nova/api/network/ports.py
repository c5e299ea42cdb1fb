# SPDX-License-Identifier: Apache-2.0
"""``/ports``: network cards of servers, ports that users made, and claimed virtual IPs."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from nova.api.network import router_interfaces, virtual_ips
from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.networks import owner_of, rows_of
from nova.api.network.pools import pool_named
from nova.api.network.port_groups import groups_for, members_of, set_groups
from nova.api.network.quotas import check_room
from nova.api.network.resource import Call, Resource, Shown, keys, merged, moment
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import (
    BadRequest,
    Conflict,
    Forbidden,
    InstanceNotFound,
    InvalidInput,
    MacInUse,
    NetworkNotFound,
    NotFound,
)
from nova.network.addresses import slaac_address
from nova.network.card_limits import check_cards
from nova.network.cards import may_use
from nova.network.catalog import NetworkSnapshot
from nova.network.ports import WantedAddress, change_addresses, create_port
from nova.objects.network import Network, PortRecord
from nova.objects.states import RUNNING

_FACTS = (
    "name", "description", "tags", "admin_state_up", "device_id", "device_owner", "allowed_address_pairs",
    "extra_dhcp_opts", "port_security_enabled", "dns_name", "binding:host_id", "binding:profile",
)
_EMPTY: dict[str, Any] = {}
_NO_CARDS = frozenset({virtual_ips.DEVICE_OWNER, router_interfaces.DEVICE_OWNER})


class Scene:
    """What rendering many ports needs, read once."""

    def __init__(self, call: Call, snapshot: NetworkSnapshot, groups: dict[str, list[str]]) -> None:
        self.is_admin = call.is_admin
        self.networks = snapshot.by_id
        self.groups = groups


def _scene(call: Call, tx: Transaction, records: Sequence[PortRecord]) -> Scene:
    snapshot = call.cloud.networks.networks(tx)
    if any(each.card.network_id not in snapshot.by_id for each in records):
        snapshot = call.cloud.networks.networks(tx, fresh=True)
    return Scene(
        call, snapshot, tx.ports.groups_of([members_of(each) for each in records])
    )


def shown(scene: Scene, port: PortRecord) -> Shown:
    """A card as clients see it."""
    card, server = port.card, port.server
    facts = card.facts or _EMPTY
    row = scene.networks[card.network_id]
    owner = card.project_id or ""
    if server is not None:
        active = server.power_state == RUNNING
    else:
        # A server of another cloud on a host: there is nothing left to do before its bridge carries it.
        active = bool(
            facts.get("binding:host_id") and facts.get("device_id") and facts.get("admin_state_up", True)
        )
    view: Shown = {
        "id": card.uuid, "name": facts.get("name", ""), "network_id": row.segment_uuid or row.uuid,
        "tenant_id": owner, "project_id": owner, "description": facts.get("description", ""),
        "tags": facts.get("tags", []), "created_at": moment(card.created_at),
        "updated_at": moment(card.updated_at or card.created_at),
        "revision_number": card.revision, "mac_address": card.address,
        "admin_state_up": facts.get("admin_state_up", True),
        "status": "ACTIVE" if active else "DOWN",
        "device_id": card.instance_uuid or facts.get("device_id", ""),
        "device_owner": (
            facts.get("device_owner", "") if server is None
            else f"compute:{server.availability_zone or 'nova'}"
        ),
        "fixed_ips": _fixed_ips(scene, row, port),
        "security_groups": scene.groups.get(card.instance_uuid or card.uuid, []),
        "allowed_address_pairs": facts.get("allowed_address_pairs", []),
        "extra_dhcp_opts": facts.get("extra_dhcp_opts", []),
        "port_security_enabled": facts.get(
            "port_security_enabled", (row.facts or _EMPTY).get("port_security_enabled", True)
        ),
        "binding:vnic_type": "normal", "ip_allocation": "immediate",
    }
    if scene.is_admin:
        view["binding:host_id"] = (
            facts.get("binding:host_id", "") if server is None else server.host or ""
        )
        bound = bool(view["binding:host_id"])
        view["binding:vif_type"] = "bridge" if bound else "unbound"
        view["binding:vif_details"] = (
            {"port_filter": True, "bridge_name": row.bridge} if bound else {}
        )
        view["binding:profile"] = facts.get("binding:profile", {})
    return view


def _fixed_ips(scene: Scene, row: Network, port: PortRecord) -> list[dict[str, Any]]:
    networks = scene.networks
    found: list[dict[str, Any]] = [
        {"subnet_id": networks[network].subnet_uuid, "ip_address": address}
        for _row, address, network in port.addresses
    ]
    if row.cidr_v6 is not None:
        found.append(
            {
                "subnet_id": row.subnet_uuid_v6,
                "ip_address": slaac_address(row.cidr_v6, port.card.address),
            }
        )
    return found


def list_ports(call: Call, tx: Transaction) -> list[Shown]:
    """The ports of the caller's project and of its networks; all for administrators."""
    project = None if call.is_admin else call.caller.project_id
    owners = call.values_of("device_owner")
    found: list[Shown] = []
    if owners is None or not _NO_CARDS.issuperset(owners):
        records = tx.ports.matching(
            project_id=project, uuids=call.values_of("id"),
            instance_uuids=_devices(tx, call), network_uuids=call.values_of("network_id"),
        )
        scene = _scene(call, tx, records)
        found = [shown(scene, each) for each in records]
    return found + virtual_ips.list_ports(call, tx) + router_interfaces.list_ports(call, tx)


def _devices(tx: Transaction, call: Call) -> list[str] | None:
    """Narrow the query to servers; a device that is no server is found by the filter later."""
    wanted = call.values_of("device_id")
    if wanted is None or not all(tx.instances.get(each) for each in wanted):
        return None
    return wanted


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    port = tx.ports.find(identifier)
    if port is None:
        return virtual_ips.find_port(call, tx, identifier) or router_interfaces.find_port(
            call, tx, identifier
        )
    scene = _scene(call, tx, [port])
    row = scene.networks[port.card.network_id]
    if not call.owns(port.card.project_id) and not call.owns(row.project_id):
        return None
    return shown(scene, port)


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Make a port, or claim a virtual IP."""
    project = call.project_of(values)
    rows = _rows(call, tx, values["network_id"], project, values.get("fixed_ips") or ())
    if values.get("device_owner") == virtual_ips.DEVICE_OWNER:
        return virtual_ips.claim(call, tx, rows, project, values)
    check_room(call, tx, "port", project)
    check_cards(
        tx, project, {"fixed_ips": call.cloud.limits.get(project, "")["fixed_ips"]}, 1,
        lambda: len(call.cloud.networks.check(tx, project, None)),
    )
    _check_honoured(values)
    if "mac_address" in values and not call.owns(owner_of(rows[0])):
        raise Forbidden("The MAC of a port is chosen by the owner of its network.")
    if "extra_dhcp_opts" in values:
        values = {**values, "extra_dhcp_opts": _options([], values["extra_dhcp_opts"])}
    secure = values.get("port_security_enabled", True)
    inherited: bool = (rows[0].facts or {}).get("port_security_enabled", True)
    if "port_security_enabled" in values:
        inherited = values["port_security_enabled"]
    _refuse_pairs(values, secure=inherited or bool(values.get("security_groups")))
    groups = groups_for(call, tx, project, values.get("security_groups"), secure=secure)
    identifier = create_port(
        tx, rows, project, wanted=_wanted(values), mac=values.get("mac_address"),
        facts=merged(None, values, _FACTS) or None,
    )
    if groups:
        tx.security_groups.add_members([(each, identifier) for each in groups])
    found = find(call, tx, identifier)
    if found is None:
        scene = _scene(call, tx, [tx.ports.get(identifier)])
        found = shown(scene, tx.ports.get(identifier))
    return found


def _rows(
    call: Call, tx: Transaction, network: str, project: str, fixed_ips: Sequence[dict[str, Any]] = ()
) -> list[Network]:
    """The rows of a network that a project may have ports in."""
    snapshot = call.cloud.networks.networks(tx)
    first = snapshot.by_uuid.get(network)
    if first is None:
        snapshot = call.cloud.networks.networks(tx, fresh=True)
        first = snapshot.by_uuid.get(network)
    if first is not None and first.segment_uuid is None:
        rows = snapshot.rows_of(first)
        ordered = rows if rows and rows[0].uuid == first.uuid else [first, *rows]
        if may_use(first, project) or (call.is_admin and rows_of(call, tx, network)):
            return ordered
    pool = pool_named(tx, network)
    if pool is not None:
        named = {each.get("ip_address") for each in fixed_ips}
        for held in tx.floating_ips.every() if named else ():
            if held.pool == pool.name and held.address in named and held.project_id is not None:
                raise typed(
                    Conflict(f"IP address {held.address} already allocated in subnet of network {network}"),
                    "IpAddressAlreadyAllocated",
                )
        raise BadRequest(
            "An external network has no ports here: take a floating IP, and lead it to a port."
        )
    raise NetworkNotFound(network)


def _wanted(values: dict[str, Any]) -> list[WantedAddress] | None:
    given = values.get("fixed_ips")
    if given is None:
        return None
    for each in given:
        if not each:
            raise InvalidInput("fixed_ips", "Each names a subnet_id, an ip_address, or both.")
    return [WantedAddress(each.get("subnet_id"), each.get("ip_address")) for each in given]


def _check_honoured(values: dict[str, Any], *, bound: bool = False) -> None:
    """Refuse what bridges do not do. A port that is switched off gets no server."""
    if values.get("admin_state_up") is False and bound:
        raise InvalidInput(
            "admin_state_up", "The card of a server cannot be switched off here; detach the port."
        )
    if values.get("binding:vnic_type", "normal") != "normal":
        raise InvalidInput("binding:vnic_type", "Cards are connected to bridges: normal alone.")
    if values.get("port_security_enabled") is False and values.get("security_groups"):
        raise typed(
            BadRequest("Port security must be enabled and port must have an IP address in order to use "
                       "security groups."),
            "PortSecurityAndIPRequiredForSecurityGroups",
        )


def _refuse_pairs(values: dict[str, Any], *, secure: bool, present: Sequence[Any] = ()) -> None:
    """Pairs are exceptions from what port security refuses (neutron, ``plugins/ml2/plugin``)."""
    if not secure and values.get("allowed_address_pairs", present):
        raise typed(
            Conflict("Port Security must be enabled in order to have allowed address pairs on a port."),
            "AddressPairAndPortSecurityRequired",
        )


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Change a port. Changed addresses and groups are its server's at once."""
    if current["device_owner"] == virtual_ips.DEVICE_OWNER:
        return virtual_ips.update(call, tx, current, values)
    _refuse_gateway(current)
    identifier = current["id"]
    port = tx.ports.get(identifier)
    bound = port.card.instance_uuid is not None
    _check_honoured(values, bound=bound)
    for name in ("device_id", "device_owner", "mac_address", "binding:host_id"):
        if bound and values.get(name, current.get(name)) != current.get(name):
            raise typed(
                Conflict(f"Port {identifier} is in use by server {port.card.instance_uuid}: {name} "
                         "changes when it is taken off."),
                "PortInUse",
            )
    if {"allowed_address_pairs", "port_security_enabled"} & values.keys():
        _refuse_pairs(
            values, secure={**current, **values}["port_security_enabled"],
            present=current["allowed_address_pairs"],
        )
    if values.get("mac_address", port.card.address) != port.card.address and tx.ports.mac_taken(
        values["mac_address"]
    ):
        raise MacInUse(values["mac_address"])
    if "security_groups" in values or values.get("port_security_enabled") is False:
        if values.get("port_security_enabled") is False and current["security_groups"] and (
            values.get("security_groups") is None
        ):
            raise typed(
                Conflict("Port has security group associated. Cannot disable port security."),
                "PortSecurityPortHasSecurityGroup",
            )
        set_groups(call, tx, port, values.get("security_groups") or [])
    wanted = _wanted(values)
    if wanted is not None:
        network = current["network_id"]
        rows = _rows(call, tx, network, port.card.project_id or "")
        change_addresses(tx, rows, port, wanted)
    if "extra_dhcp_opts" in values:
        values = {**values, "extra_dhcp_opts": _options(
            current["extra_dhcp_opts"], values["extra_dhcp_opts"]
        )}
    columns: dict[str, Any] = {"facts": merged(port.card.facts, values, _FACTS)}
    if "mac_address" in values and not bound:
        columns["address"] = values["mac_address"]
    tx.ports.update(identifier, columns)
    filtered = {"allowed_address_pairs", "port_security_enabled", "extra_dhcp_opts"} & values.keys()
    if (wanted is not None or filtered) and port.card.instance_uuid is not None:
        call.cloud.operations.refresh_addresses(tx, [port.card.instance_uuid])
    found = find(call, tx, identifier)
    assert found is not None
    return found


def _refuse_gateway(current: Shown) -> None:
    if current["device_owner"] == router_interfaces.DEVICE_OWNER:
        raise typed(
            Conflict(f"Port {current['id']} cannot be deleted directly via the port API: it has device "
                     f"owner {router_interfaces.DEVICE_OWNER}; take the subnet off its router."),
            "ServicePortInUse",
        )


def remove_outside(call: Call, current: Shown) -> bool:
    """Detach a port from its server first: its host has to unplug it."""
    if not current["device_owner"].startswith("compute:"):
        return False
    with call.cloud.db.read() as tx:
        instance = tx.instances.get(current["device_id"])
    if instance is None:
        return False
    if not any(vif.id == current["id"] for vif in instance.network_info):
        raise typed(
            Conflict(f"Unable to complete operation on port {current['id']} for network "
                     f"{current['network_id']}. Its server is being made or removed."),
            "PortInUse",
        )
    try:
        call.cloud.operations.detach_interface(
            call.caller, instance, current["id"], keep=False
        )
    except (InstanceNotFound, NotFound):
        return False
    return True


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Remove a port; its addresses are free again."""
    if current["device_owner"] == virtual_ips.DEVICE_OWNER:
        virtual_ips.release(call, tx, current)
        return
    _refuse_gateway(current)
    port = tx.ports.get(current["id"])
    if port.card.instance_uuid is not None:
        raise typed(Conflict(f"Port {port.card.uuid} is in use."), "PortInUse")
    rows = [row for row, _address, _network in port.addresses]
    if rows:
        tx.ports.let_go(rows)
    tx.ports.delete(port.card.uuid)


def _fixed_matches(thing: Shown, values: Sequence[str]) -> bool:
    """``fixed_ips=ip_address=A`` and ``fixed_ips=subnet_id=S``: all kinds named, any value each."""
    wanted: dict[str, list[str]] = {}
    for value in values:
        name, _, text = value.partition("=")
        wanted.setdefault(name, []).append(text)
    if wanted.keys() - {"ip_address", "subnet_id", "ip_address_substr"}:
        raise BadRequest("fixed_ips is filtered by ip_address, ip_address_substr or subnet_id.")
    return any(
        all(
            any(text in each["ip_address"] for text in texts)
            if name == "ip_address_substr" else each[name] in texts
            for name, texts in wanted.items()
        )
        for each in thing["fixed_ips"]
    )


_FIXED = read.structure(subnet_id=read.uuid, ip_address=read.address)


def _pair(name: str, value: Any) -> dict[str, Any]:
    found: dict[str, Any] = read.structure(
        ip_address=_address_or_range, mac_address=read.mac
    )(name, value)
    if "ip_address" not in found:
        raise typed(
            BadRequest("AllowedAddressPair must contain ip_address."), "AllowedAddressPairsMissingIP"
        )
    return found


def _pairs(name: str, value: Any) -> list[dict[str, Any]]:
    """Pairs, each once (neutron-lib, ``api/validators/allowedaddresspairs``)."""
    found: list[dict[str, Any]] = read.list_of(_pair)(name, value)
    seen = set()
    for each in found:
        mac, address = each.get("mac_address"), each["ip_address"]
        if (mac, address) in seen:
            raise typed(
                BadRequest(f"Request contains duplicate address pair: mac_address {mac} ip_address "
                           f"{address}."),
                "DuplicateAddressPairInRequest",
            )
        seen.add((mac, address))
    return found


def _address_or_range(name: str, value: Any) -> str:
    if isinstance(value, str) and "/" in value:
        return str(read.cidr(name, value))
    return read.address(name, value)


def _options(present: list[dict[str, Any]], given: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """A port's options once some are set anew; those with the value null are gone (Neutron's way)."""
    found = {(each["opt_name"], int(each.get("ip_version", 4))): each for each in present}
    found |= {(each["opt_name"], int(each.get("ip_version", 4))): each for each in given}
    return [each for each in found.values() if each.get("opt_value") is not None]


def _option_name(name: str, value: Any) -> str:
    """A name or number of dnsmasq's; nothing that could begin another option."""
    if not isinstance(value, str) or not _OPTION_NAME.fullmatch(value):
        raise read.wrong(name, f"{str(value)[:64]!r} is no name or number of a DHCP option.")
    return value


def _option_value(name: str, value: Any) -> str:
    found: str = read.text()(name, value)
    if not found.isprintable() or not found.strip():
        raise read.wrong(name, "The value of a DHCP option is one line of text.")
    return found


_OPTION_NAME = re.compile(r"[A-Za-z0-9-]{1,64}", re.ASCII)
_OPTION = read.structure(
    opt_name=_option_name, opt_value=read.nullable(_option_value),
    ip_version=read.one_of(4, 6, "4", "6"),
)


def _option(name: str, value: Any) -> dict[str, Any]:
    found: dict[str, Any] = _OPTION(name, value)
    if "opt_name" not in found:
        raise InvalidInput(name, "A DHCP option has an opt_name.")
    return {"opt_value": None, **found}


ATTRIBUTES = read.table(
    read.NAME, read.DESCRIPTION, read.PROJECT, read.TAGS,
    Attribute("network_id", read.uuid, put=False, required=True),
    Attribute("admin_state_up", read.boolean),
    Attribute("mac_address", read.mac),
    Attribute("fixed_ips", read.list_of(_FIXED)),
    Attribute("device_id", read.text()),
    Attribute("device_owner", read.text()),
    Attribute("security_groups", read.list_of(read.uuid)),
    Attribute("allowed_address_pairs", _pairs),
    Attribute("extra_dhcp_opts", read.list_of(_option)),
    Attribute("port_security_enabled", read.boolean),
    Attribute("dns_name", read.text()),
    Attribute("binding:host_id", read.text(), rule=True),
    Attribute("binding:profile", read.document, rule=True),
    Attribute("binding:vnic_type", read.text(64)),
)

PORTS = Resource(
    singular="port", plural="ports", error="PortNotFound", attributes=ATTRIBUTES,
    keys=keys(
        "name network_id mac_address admin_state_up status device_id device_owner fixed_ips "
        "security_groups allowed_address_pairs extra_dhcp_opts port_security_enabled "
        "binding:vnic_type binding:host_id binding:vif_type binding:vif_details binding:profile "
        "ip_allocation dns_name"
    ),
    list=list_ports, find=find, create=create, update=update, delete=delete,
    remove_outside=remove_outside,
    matchers={
        "fixed_ips": _fixed_matches,
        "ip_address": lambda thing, values: any(
            each["ip_address"] in values for each in thing["fixed_ips"]
        ),
    },
)
