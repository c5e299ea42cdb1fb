# SPDX-License-Identifier: Apache-2.0
"""[cinder]: a block storage service of its own, under the original's names."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "cinder"


@dataclasses.dataclass(frozen=True)
class CinderSection:
    """Where an external Cinder is and who asks it. Where nothing here names one the built-in service is used.
    """

    endpoint_template: str | None = option(
        None, "Address of the block storage service, such as http://cinder:8776/v3/%(project_id)s.",
        old=("DEFAULT.cinder_endpoint_template",),
    )
    use_catalog: bool = option(
        False, "Take the address from the catalogue of the identity service, by catalog_info."
    )
    catalog_info: str = option(
        "volumev3::publicURL",
        "Which endpoint of the catalogue is used: type, name (not looked at), interface.",
        old=("DEFAULT.cinder_catalog_info",),
    )
    os_region_name: str | None = option(
        None, "Region of the endpoint in the catalogue.", old=("DEFAULT.os_region_name",)
    )
    http_retries: int = option(
        3, "How often a request is tried again that could not be sent.", minimum=0,
        old=("DEFAULT.cinder_http_retries",),
    )
    timeout: int = option(60, "Longest wait for one answer, in seconds.", minimum=1)
    auth_url: str | None = option(
        None, "Address of the identity service where compute logs in for what it does of its own accord; "
        "that of [keystone_authtoken], with its login, where not set.",
    )
    username: str = option("nova", "User with the administrator's role there.")
    password: str = option("", "Password of that user.", secret=True)
    project_name: str = option("service", "Project of that user.")
    user_domain_name: str = option("Default", "Domain of that user.")
    project_domain_name: str = option("Default", "Domain of that project.")
    cafile: str | None = option(
        None, "Authorities that sign its certificate.", old=("DEFAULT.cinder_ca_certificates_file",)
    )
    insecure: bool = option(
        False, "Take any certificate. Only to try things.", old=("DEFAULT.cinder_api_insecure",)
    )

    @property
    def external(self) -> bool:
        """Whether volumes are those of another service than the built-in one."""
        return bool(self.endpoint_template) or self.use_catalog
