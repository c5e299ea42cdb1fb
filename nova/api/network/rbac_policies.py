# SPDX-License-Identifier: Apache-2.0
"""``/rbac-policies``: networks that are shared with single projects, or with all."""

from __future__ import annotations

import uuid
from typing import Any

from nova.api.network import values as read
from nova.api.network.error_body import typed
from nova.api.network.networks import by_network, owner_of, rows_of
from nova.api.network.quotas import check_room
from nova.api.network.resource import Call, Resource, Shown, keys
from nova.api.network.values import Attribute
from nova.db.engine import Transaction
from nova.errors import Conflict, Forbidden, NetworkNotFound
from nova.objects.network import Network

_ALL = "*"


def shown(first: Network, policy: dict[str, Any]) -> Shown:
    """A policy as clients see it; those of a network are kept with it."""
    owner = owner_of(first) or ""
    return {
        "id": policy["id"], "tenant_id": owner, "project_id": owner, "object_type": "network",
        "object_id": first.uuid, "action": "access_as_shared",
        "target_tenant": policy["target_tenant"],
    }


def list_policies(call: Call, tx: Transaction) -> list[Shown]:
    """The policies of the networks that the caller owns."""
    return [
        shown(rows[0], policy)
        for rows in by_network(tx.networks.every()).values()
        if call.owns(owner_of(rows[0]))
        for policy in (rows[0].facts or {}).get("rbac", ())
    ]


def find(call: Call, tx: Transaction, identifier: str) -> Shown | None:
    """One of them."""
    return next((each for each in list_policies(call, tx) if each["id"] == identifier), None)


def _owned(call: Call, tx: Transaction, identifier: str) -> Network:
    """A network as it is once no other request changes who shares it."""
    tx.quotas.hold(owner_of(_first(call, tx, identifier)) or "")
    return _first(call, tx, identifier)


def _first(call: Call, tx: Transaction, identifier: str) -> Network:
    rows = rows_of(call, tx, identifier)
    if rows is None or not call.owns(owner_of(rows[0])):
        raise NetworkNotFound(identifier)
    assert rows is not None
    return rows[0]


def _refuse_all(call: Call, target: str) -> None:
    if target == _ALL and not call.is_admin:
        raise Forbidden("Only administrators share networks with all projects.")


def create(call: Call, tx: Transaction, values: dict[str, Any]) -> Shown:
    """Share a network with a project: it may have cards in it."""
    target = values["target_tenant"]
    _refuse_all(call, target)
    first = _owned(call, tx, values["object_id"])
    present = list((first.facts or {}).get("rbac", ()))
    check_room(call, tx, "rbac_policy", owner_of(first) or "")
    if any(each["target_tenant"] == target for each in present):
        raise typed(
            Conflict("An RBAC policy already exists with those values."), "DuplicatedExtension"
        )
    policy = {"id": str(uuid.uuid4()), "target_tenant": target}
    _write(call, tx, first, [*present, policy])
    return shown(first, policy)


def update(call: Call, tx: Transaction, current: Shown, values: dict[str, Any]) -> Shown:
    """Share with another project instead."""
    first = _owned(call, tx, current["object_id"])
    target = values["target_tenant"]
    _refuse_all(call, target)
    _refuse_used(tx, current)
    _write(
        call, tx, first,
        [
            {**each, "target_tenant": target} if each["id"] == current["id"] else each
            for each in (first.facts or {}).get("rbac", ())
        ],
    )
    return {**current, "target_tenant": target}


def delete(call: Call, tx: Transaction, current: Shown) -> None:
    """Share no longer; ``Conflict`` while the other project has ports there."""
    first = _owned(call, tx, current["object_id"])
    _refuse_used(tx, current)
    rest = [each for each in (first.facts or {})["rbac"] if each["id"] != current["id"]]
    _write(call, tx, first, rest)


def _refuse_used(tx: Transaction, current: Shown) -> None:
    target, owner = current["target_tenant"], current["tenant_id"]
    for port in tx.ports.matching(network_uuids=[current["object_id"]]):
        if port.card.project_id == target or (target == _ALL and port.card.project_id != owner):
            raise typed(
                Conflict(f"RBAC policy on object {current['object_id']} cannot be removed because "
                         f"other objects depend on it: port {port.card.uuid}."),
                "RbacPolicyInUse",
            )


def _write(
    call: Call, tx: Transaction, first: Network, policies: list[dict[str, Any]]
) -> None:
    tx.networks.change(first.id, {"facts": {**(first.facts or {}), "rbac": policies}})
    tx.after_commit(call.cloud.events.networks_changed)


RBAC_POLICIES = Resource(
    singular="rbac_policy", plural="rbac_policies", error="RbacPolicyNotFound",
    attributes=read.table(
        read.PROJECT,
        Attribute("object_type", read.one_of("network"), put=False, required=True),
        Attribute("object_id", read.uuid, put=False, required=True),
        Attribute("action", read.one_of("access_as_shared"), put=False, required=True),
        Attribute("target_tenant", read.text(64), required=True),
    ),
    keys=keys("object_type object_id action target_tenant", described=False),
    list=list_policies, find=find, create=create, update=update, delete=delete, taggable=False,
    path="rbac-policies",
)
