# SPDX-License-Identifier: Apache-2.0
"""[neutron]: a network service of its own, for clouds that have one (Kilo's names are read too)."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "neutron"


@dataclasses.dataclass(frozen=True)
class NeutronSection:
    """How the external network service is reached."""

    endpoint_override: str | None = option(
        None, "URL of the network service; without it the catalogue of auth_url says it.",
        old=("neutron.url",),
    )
    auth_url: str | None = option(
        None, "URL of the identity service that gives tokens for the network service.",
        old=("neutron.admin_auth_url",),
    )
    username: str = option(
        "nova", "User with the administrator's role there.", old=("neutron.admin_username",)
    )
    password: str = option(
        "", "Password of that user.", secret=True, old=("neutron.admin_password",)
    )
    project_name: str = option(
        "service", "Project of that user.", old=("neutron.admin_tenant_name", "neutron.tenant_name")
    )
    user_domain_name: str = option("Default", "Domain of that user.")
    project_domain_name: str = option("Default", "Domain of that project.")
    region_name: str | None = option(None, "Region of the network service in the catalogue.")
    timeout: int = option(
        30, "Longest wait for one answer, in seconds.", minimum=1, old=("neutron.url_timeout",)
    )
    cafile: str | None = option(None, "Certificates that sign the service's own.")
    insecure: bool = option(
        False, "Do not check certificates.", old=("neutron.api_insecure",)
    )
    ovs_bridge: str = option(
        "br-int", "Bridge of ports that the network service binds to Open vSwitch and names none for."
    )
