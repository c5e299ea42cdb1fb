# SPDX-License-Identifier: Apache-2.0
"""Security groups as the compute API offers them (``os-security-groups`` of Kilo, EC2 groups).

Every project has a group ``default``, made when first needed; it can be neither renamed nor
deleted. What may leave a server is not
this API's subject: it neither shows such rules nor takes them away. The messages of refusals are those
that clients know. Quotas are the caller's to count.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import msgspec

from nova.errors import BadRequest, NotFound
from nova.network.ranges import unscoped
from nova.objects.network import DefaultRule, SecurityGroup, SecurityGroupRule

if TYPE_CHECKING:
    from nova.db.engine import Transaction

DEFAULT = "default"
_PROTOCOLS = ("TCP", "UDP", "ICMP")


class RuleValues(msgspec.Struct, frozen=True, kw_only=True):
    """A checked rule, before it has an id. Either ``cidr`` or ``source_group_id`` is set."""

    protocol: str | None = None
    from_port: int | None = None
    to_port: int | None = None
    cidr: str | None = None
    source_group_id: int | None = None


# -- groups ----------------------------------------------------------------------------------------


def ensure_default(tx: Transaction, project_id: str, user_id: str = "") -> SecurityGroup:
    """The project's ``default`` group, made with the default rules where it is not there yet."""
    found = tx.security_groups.find(project_id, DEFAULT)
    if found is not None:
        return found
    try:
        made = tx.security_groups.create(project_id, user_id, DEFAULT, DEFAULT)
    except BadRequest:
        # A parallel transaction was first.
        found = tx.security_groups.find(project_id, DEFAULT)
        if found is None:
            raise
        return found
    for rule in tx.security_groups.default_rules():
        tx.security_groups.add_rule(
            made.id, protocol=rule.protocol, from_port=rule.from_port, to_port=rule.to_port,
            cidr=rule.cidr, source_group_id=None,
        )
    return tx.security_groups.get(made.id)


def list_groups(tx: Transaction, project_id: str, user_id: str = "") -> list[SecurityGroup]:
    """The groups of a project by name, ``default`` among them."""
    ensure_default(tx, project_id, user_id)
    return tx.security_groups.of_project(project_id)


def get_group(tx: Transaction, project_id: str, group_id: int | str) -> SecurityGroup:
    """A group of a project.

    Raises ``BadRequest`` for an id that is no integer, ``NotFound`` for a group that is not there
    or not the project's.
    """
    number = integer_id(group_id, "Security group id should be integer")
    group = tx.security_groups.get(number)
    if group.project_id != project_id:
        raise NotFound(f"Security group {group_id} not found.")
    return group


def integer_id(value: int | str, message: str) -> int:
    """The id as a number; ``BadRequest`` with ``message`` for what is none."""
    try:
        return int(value)
    except ValueError:
        raise BadRequest(message) from None


def create_group(
    tx: Transaction, project_id: str, user_id: str, name: object, description: object
) -> SecurityGroup:
    """Make a group; ``BadRequest`` for a bad name or description or a name that is taken."""
    checked = _text("name", name, 1), _text("description", description, 0)
    ensure_default(tx, project_id, user_id)
    return tx.security_groups.create(project_id, user_id, *checked)


def update_group(
    tx: Transaction, group: SecurityGroup, name: object, description: object
) -> SecurityGroup:
    """Rename a group; ``BadRequest`` for ``default``, a bad name, or one that is taken."""
    if group.name == DEFAULT:
        raise BadRequest(f"Unable to update system group '{group.name}'")
    return tx.security_groups.update(
        group.id, _text("name", name, 1), _text("description", description, 0)
    )


def delete_group(tx: Transaction, group: SecurityGroup) -> None:
    """Remove a group; ``BadRequest`` for ``default`` and for one that has members."""
    if group.name == DEFAULT:
        raise BadRequest(f"Unable to delete system group '{group.name}'")
    if tx.security_groups.in_use(group.id):
        raise BadRequest("Security group is still in use")
    tx.security_groups.delete(group.id)


def _text(field: str, value: object, shortest: int) -> str:
    if value is None and shortest == 0:
        return ""
    if not isinstance(value, str):
        raise BadRequest(f"Security group {field} is not a string or unicode")
    # Blanks at the ends do not count towards the shortest, but are kept: clients compare names.
    if len(value.strip()) < shortest:
        raise BadRequest(f"{field} has {len(value.strip())} characters, less than {shortest}.")
    if len(value) > 255:
        raise BadRequest(f"{field} has {len(value)} characters, more than 255.")
    return value


# -- rules -----------------------------------------------------------------------------------------


def check_rule(
    *,
    protocol: object,
    from_port: object,
    to_port: object,
    cidr: str | None = None,
    source_group_id: int | None = None,
) -> RuleValues:
    """A rule as it will be stored; ``BadRequest`` for anything wrong with it.

    Without ``source_group_id`` a missing ``cidr`` is 0.0.0.0/0, and protocol and ports must be
    given. With it, missing ports are all ports, and a missing protocol any traffic.
    """
    range_ = None if source_group_id is not None else _cidr(cidr)
    name = str(protocol) if protocol not in (None, "") else None
    if source_group_id is not None and from_port is None and to_port is None and name is not None:
        if name.upper() == "ICMP":
            from_port, to_port = -1, -1
        elif name.upper() in ("TCP", "UDP"):
            from_port, to_port = 1, 65535
    if name is None or from_port is None or to_port is None:
        if source_group_id is None:
            raise BadRequest("Not enough parameters to build a valid rule.")
        return RuleValues(source_group_id=source_group_id)
    first, last = _ports(name, from_port, to_port)
    return RuleValues(
        protocol=name.lower(), from_port=first, to_port=last, cidr=range_,
        source_group_id=source_group_id,
    )


def incoming(group: SecurityGroup) -> list[SecurityGroupRule]:
    """The rules of a group that say what may come in."""
    return [rule for rule in group.rules if rule.direction == "ingress"]


def get_rule(tx: Transaction, number: int) -> SecurityGroupRule:
    """A rule of what may come in; ``NotFound`` without it."""
    rule = tx.security_groups.get_rule(number)
    if rule.direction != "ingress":
        raise NotFound(f"Security group rule {number} not found.")
    return rule


def counted(group: SecurityGroup) -> int:
    """How many of a group's rules count towards the limit: all but those that let everything out."""
    return sum(
        rule.direction == "ingress" or rule.protocol is not None or rule.source_group_id is not None
        or not (rule.facts or {}).get("anywhere")
        for rule in group.rules
    )


def add_rule(tx: Transaction, group: SecurityGroup, values: RuleValues) -> SecurityGroupRule:
    """Add a checked rule to a group.

    Raises ``BadRequest`` where the group has the same one, ``NotFound`` where its source group is
    not there.
    """
    if any(_same(rule, values) for rule in incoming(group)):
        raise BadRequest(f"This rule already exists in group {group.id}")
    if values.source_group_id is not None and values.source_group_id != group.id:
        tx.security_groups.get(values.source_group_id)
    return tx.security_groups.add_rule(
        group.id, protocol=values.protocol, from_port=values.from_port, to_port=values.to_port,
        cidr=values.cidr, source_group_id=values.source_group_id,
    )


def delete_rule(tx: Transaction, project_id: str, rule_id: int | str) -> SecurityGroup:
    """Remove a rule of one of the project's groups; returns the group as it was before.

    Raises ``BadRequest`` for an id that is no integer, ``NotFound`` for a rule that is not there or
    not the project's.
    """
    number = integer_id(rule_id, "Rule id is not integer")
    rule = get_rule(tx, number)
    group = get_group(tx, project_id, rule.group_id)
    tx.security_groups.delete_rule(number)
    return group


def add_default_rule(tx: Transaction, values: RuleValues) -> DefaultRule:
    """Add a rule for ``default`` groups made later; ``BadRequest`` where it is there already."""
    for rule in tx.security_groups.default_rules():
        if _same(rule, values):
            raise BadRequest("This default rule already exists.")
    return tx.security_groups.add_default_rule(
        protocol=values.protocol, from_port=values.from_port, to_port=values.to_port,
        cidr=values.cidr,
    )


def _same(rule: SecurityGroupRule | DefaultRule, values: RuleValues) -> bool:
    source = rule.source_group_id if isinstance(rule, SecurityGroupRule) else None
    return (rule.protocol, rule.from_port, rule.to_port, rule.cidr, source) == (
        values.protocol, values.from_port, values.to_port, values.cidr, values.source_group_id,
    )


def _cidr(text: str | None) -> str:
    if not text:
        return "0.0.0.0/0"
    try:
        network = ipaddress.ip_network(unscoped(text), strict=False)
    except (ValueError, TypeError):
        raise BadRequest(f"{text} is not a valid ip network.") from None
    address = text.partition("/")[0]
    if network.prefixlen == 0 and int(ipaddress.ip_address(address)) != 0:
        raise BadRequest(f"Bad prefix for network in cidr {text}")
    return str(text) if "/" in text else str(network)


def _ports(protocol: str, from_port: object, to_port: object) -> tuple[int, int]:
    kind = protocol.upper()
    try:
        first, last = int(str(from_port)), int(str(to_port))
    except ValueError:
        if kind == "ICMP":
            raise BadRequest(
                "Invalid input received: Type and Code must be integers for ICMP protocol type"
            ) from None
        raise BadRequest("Invalid input received: To and From ports must be integers") from None
    if kind not in _PROTOCOLS:
        raise BadRequest(f"Invalid IP protocol {protocol}.")
    shown = f"Invalid port range {first}:{last}."
    if kind == "ICMP":
        if not (-1 <= first <= 255 and -1 <= last <= 255):
            raise BadRequest(f"{shown} For ICMP, the type:code must be valid")
    elif first > last:
        raise BadRequest(f"{shown} Former value cannot be greater than the later")
    elif first < 1 or last > 65535:
        raise BadRequest(f"{shown} Valid TCP ports should be between 1-65535")
    return first, last


# -- members ---------------------------------------------------------------------------------------


def resolve(
    tx: Transaction, project_id: str, names: Iterable[str], user_id: str = ""
) -> list[int]:
    """The ids of a project's groups, in the order of ``names`` and each once.

    Raises ``BadRequest`` for a name, or an id in its place, that is no group of the project.
    """
    wanted = list(dict.fromkeys(names))
    found = tx.security_groups.ids_of(project_id, wanted)
    if DEFAULT in wanted and DEFAULT not in found:
        found[DEFAULT] = ensure_default(tx, project_id, user_id).id
    for name in wanted:
        if name not in found:
            raise BadRequest(f"Security group {name} not found for project {project_id}.")
    return [found[name] for name in wanted]


def group_names(tx: Transaction, project_id: str, references: Iterable[str]) -> list[str]:
    """The names of groups that are named by name or by uuid; what is neither stays as it is.

    Clients of the network API send uuids where older ones send names.
    """
    given = list(dict.fromkeys(references))
    uuids = [each for each in given if len(each) == 36 and each.count("-") == 4]
    if not uuids:
        return given
    known = {
        group.uuid: group.name for group in tx.security_groups.by_uuids(uuids)
        if group.project_id == project_id
    }
    return list(dict.fromkeys(known.get(each, each) for each in given))


def add_to_instance(
    tx: Transaction, project_id: str, instance_uuid: str, name: str
) -> Sequence[str]:
    """Put an instance into a group; returns the names of all its groups.

    Raises ``NotFound`` for an unknown group, ``BadRequest`` where the instance is in it already.
    """
    group = _named(tx, project_id, name)
    if name in tx.security_groups.names_of([instance_uuid])[instance_uuid]:
        raise BadRequest(
            f"Security group {group.id} is already associated with the instance {instance_uuid}"
        )
    tx.security_groups.add_members([(group.id, instance_uuid)])
    return tx.security_groups.names_of([instance_uuid])[instance_uuid]


def remove_from_instance(
    tx: Transaction, project_id: str, instance_uuid: str, name: str
) -> Sequence[str]:
    """Take an instance out of a group; returns the names of the groups left.

    Raises ``NotFound`` for an unknown group, ``BadRequest`` where the instance is not in it.
    """
    group = _named(tx, project_id, name)
    if not tx.security_groups.remove_member(group.id, instance_uuid):
        raise BadRequest(
            f"Security group {group.id} is not associated with the instance {instance_uuid}"
        )
    return tx.security_groups.names_of([instance_uuid])[instance_uuid]


def _named(tx: Transaction, project_id: str, name: str) -> SecurityGroup:
    if name == DEFAULT:
        return ensure_default(tx, project_id)
    group = tx.security_groups.find(project_id, name)
    if group is None:
        raise NotFound(f"Security group {name} not found for project {project_id}.")
    return group
