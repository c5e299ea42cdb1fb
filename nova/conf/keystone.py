# SPDX-License-Identifier: Apache-2.0
"""[keystone_authtoken]: an identity service of its own, under keystonemiddleware's names and Kilo's."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "keystone_authtoken"


@dataclasses.dataclass(frozen=True)
class AuthStrategySection:
    """How callers prove who they are; in [DEFAULT]."""

    auth_strategy: str = option(
        "keystone", "Callers show tokens: of the identity service in [keystone_authtoken], or of the "
        "built-in one where that names none.", choices=("keystone",), old=("api.auth_strategy",),
    )


@dataclasses.dataclass(frozen=True)
class KeystoneAuthtokenSection:
    """Where an external Keystone is and who asks it. Without auth_url the built-in one is used."""

    auth_url: str | None = option(
        None, "Address of the identity service, such as http://keystone:5000/v3.",
        old=("keystone_authtoken.identity_uri",),
    )
    www_authenticate_uri: str | None = option(
        None, "Address of the identity service as users reach it; auth_url where not set.",
        old=("keystone_authtoken.auth_uri",),
    )
    auth_host: str | None = option(None, "Host of the identity service, where auth_url is not set.")
    auth_port: int = option(35357, "Port at auth_host.", minimum=1, maximum=65535)
    auth_protocol: str = option("https", "Protocol at auth_host.", choices=("http", "https"))
    auth_type: str = option(
        "password", "How the service logs in.", choices=("password", "v3password", "v2password"),
        old=("keystone_authtoken.auth_plugin",),
    )
    auth_version: str | None = option(None, "Version of the identity API; found out where not set.")
    username: str | None = option(
        None, "The service's own user.",
        old=("keystone_authtoken.admin_user", "keystone_authtoken.user_name"),
    )
    password: str | None = option(
        None, "Its password.", secret=True, old=("keystone_authtoken.admin_password",)
    )
    project_name: str | None = option(
        None, "Its project.",
        old=(
            "keystone_authtoken.admin_tenant_name", "keystone_authtoken.tenant_name",
        ),
    )
    user_domain_name: str | None = option(None, "Domain of the user; the one with id default.")
    user_domain_id: str = option("default", "The same by id.")
    project_domain_name: str | None = option(None, "Domain of the project; the one with id default.")
    project_domain_id: str = option("default", "The same by id.")
    region_name: str | None = option(None, "Region of the endpoints that are used.")
    interface: str = option(
        "internal", "Which of the identity service's endpoints is used.",
        choices=("internal", "public", "admin"),
    )
    cafile: str | None = option(None, "Authorities that sign its certificate.")
    certfile: str | None = option(None, "Certificate that this service shows.")
    keyfile: str | None = option(None, "Its key.")
    insecure: bool = option(False, "Take any certificate. Only to try things.")
    http_connect_timeout: int | None = option(
        None, "Seconds that a request to it may take; 30 where not set.", minimum=1
    )
    http_request_max_retries: int = option(3, "How often a request is tried again.", minimum=0)
    token_cache_time: int = option(
        300, "Seconds that a token counts as valid after it was checked; -1 checks it each time. A "
        "revoked token may be good for so long.", minimum=-1,
    )
    service_token_roles: tuple[str, ...] = option(
        ("service",), "Roles of services that act for users."
    )
    service_token_roles_required: bool = option(
        True, "Whether a service that acts for a user needs one of them."
    )

    def identity_url(self) -> str | None:
        """The address of the external identity service; None where the built-in one is used."""
        if self.auth_url:
            return self.auth_url
        if self.auth_host:
            return f"{self.auth_protocol}://{self.auth_host}:{self.auth_port}"
        return None
