# SPDX-License-Identifier: Apache-2.0
"""What every cloud starts with: the first domain, projects, users, roles, and the catalogue.

Runs at every start. Users, projects, roles and EC2 keys are made once, with the default domain,
and then left alone: what an operator deletes stays deleted. The endpoints follow the ports of this
start.
"""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from nova.db.stores.identity import IdentityStore
from nova.errors import AlreadyExists
from nova.identity.catalog import INTERFACES, check_url
from nova.identity.core import new_id
from nova.identity.credentials import Ec2Key
from nova.identity.passwords import hash_password
from nova.identity.service import IdentityService
from nova.objects.identity import (
    NO_DOMAIN,
    SYSTEM,
    CatalogEndpoint,
    CatalogService,
    Project,
    Role,
    RoleAssignment,
    User,
)

ROLES = ("admin", "manager", "member", "reader", "service")
IMPLICATIONS = (("admin", "manager"), ("manager", "member"), ("member", "reader"))
PROJECTS = ("admin", "demo", "service")


class EndpointSpec(msgspec.Struct, frozen=True):
    """A service and where it is: ``url`` may have %(tenant_id)s or $(project_id)s in it."""

    type: str
    name: str
    url: str
    description: str = ""


class BootstrapResult(msgspec.Struct, frozen=True, kw_only=True):
    """What was made or found; None for what an operator has deleted.

    ``created`` is true at the first start.
    """

    admin_user_id: str | None
    demo_user_id: str | None
    admin_project_id: str | None
    demo_project_id: str | None
    service_project_id: str | None
    admin_ec2: Ec2Key | None
    demo_ec2: Ec2Key | None
    created: bool


def ensure_cloud(
    service: IdentityService,
    *,
    admin_password: str,
    demo_password: str,
    endpoints: Sequence[EndpointSpec],
    without: Sequence[str] = (),
) -> BootstrapResult:
    """Make the first domain with all that belongs to it, and bring the catalogue up to date.

    Services of the types in ``without`` are not served: their endpoints leave the catalogue. The
    passwords are used at the first start only. Several processes may do this at once.
    """
    for spec in endpoints:
        check_url(spec.url, f"{spec.type} endpoint url")
    domain_id = service.core.default_domain_id
    with service.core.read() as stores:
        created = stores.projects.get(domain_id) is None
        right = not created and _catalog_is_right(
            stores, service.section.region, endpoints, without
        )
    if created:
        rounds = service.section.bcrypt_rounds
        # Hashing takes a while and must not hold the writing transaction.
        hashes = {
            "admin": hash_password(admin_password, rounds),
            "demo": hash_password(demo_password, rounds),
        }
        created = _create_first(service, hashes)
    if not right:

        def write(stores: IdentityStore) -> None:
            _write_catalog(stores, service.section.region, endpoints)
            _leave_out(stores, service.section.region, without)

        service.core.run(write)
    return _result(service, created)


def _create_first(service: IdentityService, hashes: dict[str, str]) -> bool:
    """Whether this process made it; of several that start at once, one does."""
    try:
        return service.core.run(lambda stores: _write_unless_there(service, stores, hashes))
    except AlreadyExists:
        return False


def _write_unless_there(
    service: IdentityService, stores: IdentityStore, hashes: dict[str, str]
) -> bool:
    if stores.projects.get(service.core.default_domain_id) is not None:
        return False
    _write(service, stores, hashes)
    return True


def _result(service: IdentityService, created: bool) -> BootstrapResult:
    default = service.core.default_domain_id
    with service.core.read() as stores:
        projects = {
            name: stores.projects.find(domain_id=default, name=name) for name in PROJECTS
        }
        users = {
            name: stores.users.find(domain_id=default, name=name) for name in ("admin", "demo")
        }
        keys = {
            name: _key_for(service, stores, user, projects[name]) for name, user in users.items()
        }
    ids = {name: one.id if one is not None else None for name, one in projects.items()}
    admin, demo = users["admin"], users["demo"]
    return BootstrapResult(
        admin_user_id=admin.id if admin is not None else None,
        demo_user_id=demo.id if demo is not None else None,
        admin_project_id=ids["admin"],
        demo_project_id=ids["demo"],
        service_project_id=ids["service"],
        admin_ec2=keys["admin"],
        demo_ec2=keys["demo"],
        created=created,
    )


def _key_for(
    service: IdentityService, stores: IdentityStore, user: User | None, project: Project | None
) -> Ec2Key | None:
    if user is None or project is None:
        return None
    keys = service.credentials.stored_ec2(stores, user.id)
    return next((key for key in keys if key.project_id == project.id), None)


def _write(service: IdentityService, stores: IdentityStore, hashes: dict[str, str]) -> None:
    domain_id = service.core.default_domain_id
    stores.projects.create(_project_row(domain_id, "Default", NO_DOMAIN))
    projects = {
        name: stores.projects.create(_project_row(new_id(), name, domain_id)) for name in PROJECTS
    }
    roles = {name: _create_role(stores, name) for name in ROLES}
    for prior, one in IMPLICATIONS:
        stores.roles.imply(roles[prior].id, roles[one].id)
    admin_id = _create_user(stores, domain_id, "admin", hashes["admin"], projects["admin"].id).id
    demo_id = _create_user(stores, domain_id, "demo", hashes["demo"], projects["demo"].id).id
    for user_id, kind, target_id, role in (
        (admin_id, "project", projects["admin"].id, "admin"),
        (admin_id, "domain", domain_id, "admin"),
        (admin_id, SYSTEM, SYSTEM, "admin"),
        (demo_id, "project", projects["demo"].id, "member"),
    ):
        stores.assignments.add(RoleAssignment("user", user_id, kind, target_id, roles[role].id))
    service.credentials.store_ec2(stores, admin_id, projects["admin"].id)
    service.credentials.store_ec2(stores, demo_id, projects["demo"].id)


def _project_row(project_id: str, name: str, domain_id: str) -> dict[str, object]:
    return {
        "id": project_id,
        "name": name,
        "domain_id": domain_id,
        "parent_id": domain_id or None,
        "is_domain": not domain_id,
        "enabled": True,
        "description": "The default domain" if not domain_id else "",
        "options": {},
        "extra": {},
    }


def _create_role(stores: IdentityStore, name: str) -> Role:
    return stores.roles.create(
        {
            "id": new_id(),
            "name": name,
            "domain_id": NO_DOMAIN,
            "description": None,
            "options": {},
            "extra": {},
        }
    )


def _create_user(
    stores: IdentityStore, domain_id: str, name: str, hashed: str, project_id: str
) -> User:
    return stores.users.create(
        {
            "id": new_id(),
            "name": name,
            "domain_id": domain_id,
            "enabled": True,
            "default_project_id": project_id,
            "description": None,
            "email": None,
            "options": {},
            "extra": {},
            "password_hash": hashed,
        }
    )


def _catalog(
    stores: IdentityStore, region: str
) -> tuple[dict[str, CatalogService], dict[tuple[str, str], CatalogEndpoint]]:
    """The first service of each type, and the endpoints of the region by service and interface."""
    services: dict[str, CatalogService] = {}
    for one in stores.services.list():
        services.setdefault(one.type, one)
    endpoints = {
        (one.service_id, one.interface): one
        for one in stores.endpoints.list()
        if one.region_id == region
    }
    return services, endpoints


def _catalog_is_right(
    stores: IdentityStore, region: str, specs: Sequence[EndpointSpec], without: Sequence[str]
) -> bool:
    if stores.regions.get(region) is None:
        return False
    services, endpoints = _catalog(stores, region)
    for type_ in without:
        absent = services.get(type_)
        if absent is not None and any(key[0] == absent.id for key in endpoints):
            return False
    for spec in specs:
        service = services.get(spec.type)
        if service is None:
            return False
        for interface in INTERFACES:
            endpoint = endpoints.get((service.id, interface))
            if endpoint is None or endpoint.url != spec.url:
                return False
    return True


def _write_catalog(
    stores: IdentityStore, region: str, specs: Sequence[EndpointSpec]
) -> None:
    if stores.regions.get(region) is None:
        stores.regions.create(
            {"id": region, "parent_region_id": None, "description": "", "extra": {}}
        )
    services, endpoints = _catalog(stores, region)
    for spec in specs:
        service = services.get(spec.type)
        if service is None:
            service = stores.services.create(
                {
                    "id": new_id(),
                    "type": spec.type,
                    "name": spec.name,
                    "description": spec.description,
                    "enabled": True,
                    "extra": {},
                }
            )
        for interface in INTERFACES:
            endpoint = endpoints.get((service.id, interface))
            if endpoint is None:
                stores.endpoints.create(
                    {
                        "id": new_id(),
                        "interface": interface,
                        "service_id": service.id,
                        "region_id": region,
                        "url": spec.url,
                        "enabled": True,
                        "extra": {},
                    }
                )
            elif endpoint.url != spec.url:
                stores.endpoints.update(endpoint.id, {"url": spec.url})


def _leave_out(stores: IdentityStore, region: str, types: Sequence[str]) -> None:
    """Take the region's endpoints of services that are not served off the catalogue."""
    services, endpoints = _catalog(stores, region)
    for type_ in types:
        service = services.get(type_)
        if service is None:
            continue
        for (service_id, _interface), endpoint in endpoints.items():
            if service_id == service.id:
                stores.endpoints.delete(endpoint.id)
