# SPDX-License-Identifier: Apache-2.0
"""Who may do what in the identity service: one literal table.

Source: the defaults of the original's policies (`keystone.common.policies`). What is not in the
table is for administrators.
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from nova.errors import Forbidden
from nova.identity.validation import ValidatedToken


class Target(msgspec.Struct, frozen=True):
    """What a request is about, as far as a rule may look at it."""

    user_id: str | None = None
    project_id: str | None = None
    domain_id: str | None = None


Check = Callable[[ValidatedToken, Target], bool]


def admin(caller: ValidatedToken, target: Target) -> bool:
    """Has the role admin."""
    return caller.context.is_admin


def service(caller: ValidatedToken, target: Target) -> bool:
    """Has the role service."""
    return "service" in caller.context.roles


def system_reader(caller: ValidatedToken, target: Target) -> bool:
    """Reads the whole system."""
    return caller.is_system and "reader" in caller.context.roles


def domain_reader(caller: ValidatedToken, target: Target) -> bool:
    """Reads the domain that the target is in."""
    return (
        caller.domain is not None
        and caller.domain.id == target.domain_id
        and "reader" in caller.context.roles
    )


def owner(caller: ValidatedToken, target: Target) -> bool:
    """Is the user that the target is or belongs to."""
    return target.user_id is not None and caller.user.id == target.user_id


def member_owner(caller: ValidatedToken, target: Target) -> bool:
    """The same, with the role member."""
    return owner(caller, target) and "member" in caller.context.roles


def project_user(caller: ValidatedToken, target: Target) -> bool:
    """Has a token for the target project."""
    return caller.project is not None and caller.project.id == target.project_id


def domain_user(caller: ValidatedToken, target: Target) -> bool:
    """Has a token for the target domain or for a project in it."""
    places = (caller.domain, caller.project_domain)
    return any(place is not None and place.id == target.domain_id for place in places)


def anyone(caller: ValidatedToken, target: Target) -> bool:
    """Has a valid token."""
    return True


_READERS: tuple[Check, ...] = (admin, system_reader)
_DOMAIN_READERS: tuple[Check, ...] = (admin, system_reader, domain_reader)

POLICY: dict[str, tuple[Check, ...]] = {
    "identity:validate_token": (admin, service, system_reader, owner),
    "identity:revoke_token": (admin, owner),
    "identity:get_domain": (admin, system_reader, domain_user),
    "identity:list_domains": _DOMAIN_READERS,
    "identity:get_project": (*_DOMAIN_READERS, project_user),
    "identity:list_projects": _DOMAIN_READERS,
    "identity:list_user_projects": (*_DOMAIN_READERS, owner),
    "identity:get_user": (*_DOMAIN_READERS, owner),
    "identity:list_users": _DOMAIN_READERS,
    "identity:get_group": _DOMAIN_READERS,
    "identity:list_groups": _DOMAIN_READERS,
    "identity:list_groups_for_user": (*_DOMAIN_READERS, owner),
    "identity:list_users_in_group": _DOMAIN_READERS,
    "identity:check_user_in_group": _DOMAIN_READERS,
    "identity:get_role": _READERS,
    "identity:list_roles": _READERS,
    "identity:get_implied_role": _READERS,
    "identity:list_role_inference_rules": _READERS,
    "identity:list_grants": _DOMAIN_READERS,
    "identity:check_grant": _DOMAIN_READERS,
    "identity:list_role_assignments": _DOMAIN_READERS,
    "identity:get_service": _READERS,
    "identity:list_services": _READERS,
    "identity:get_endpoint": _READERS,
    "identity:list_endpoints": _READERS,
    "identity:get_region": (anyone,),
    "identity:list_regions": (anyone,),
    "identity:get_credential": (*_READERS, owner),
    "identity:list_credentials": (anyone,),  # each sees what get_credential lets it see
    "identity:create_credential": (admin, owner),
    "identity:update_credential": (admin, owner),
    "identity:delete_credential": (admin, owner),
    "identity:ec2_get_credential": (*_READERS, owner),
    "identity:ec2_list_credentials": (*_READERS, owner),
    "identity:ec2_create_credential": (admin, member_owner),
    "identity:ec2_delete_credential": (admin, member_owner),
    "identity:get_application_credential": (*_READERS, owner),
    "identity:list_application_credentials": (*_READERS, owner),
    "identity:create_application_credential": (owner,),
    "identity:delete_application_credential": (admin, owner),
    "identity:get_access_rule": (*_READERS, owner),
    "identity:list_access_rules": (*_READERS, owner),
    "identity:delete_access_rule": (admin, owner),
}

_NOBODY_IN_PARTICULAR = Target()


def may(caller: ValidatedToken, rule: str, target: Target = _NOBODY_IN_PARTICULAR) -> bool:
    """Whether the policy lets ``caller`` do what ``rule`` names."""
    return any(check(caller, target) for check in POLICY.get(rule, (admin,)))


def require(caller: ValidatedToken, rule: str, target: Target = _NOBODY_IN_PARTICULAR) -> None:
    """``Forbidden`` where the policy does not let ``caller`` do what ``rule`` names."""
    if not may(caller, rule, target):
        raise Forbidden(f"You are not authorized to perform the requested action: {rule}.")
