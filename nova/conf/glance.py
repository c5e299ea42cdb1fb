# SPDX-License-Identifier: Apache-2.0
"""[glance]: an image service of its own, under the original's names."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "glance"


@dataclasses.dataclass(frozen=True)
class GlanceSection:
    """Where an external Glance is. Where nothing here names one the built-in image service is used."""

    host: str | None = option(
        None, "Host of the image service.", old=("DEFAULT.glance_host",)
    )
    port: int = option(
        9292, "Port at host.", minimum=1, maximum=65535, old=("DEFAULT.glance_port",)
    )
    protocol: str = option(
        "http", "Protocol at host.", choices=("http", "https"), old=("DEFAULT.glance_protocol",)
    )
    api_servers: tuple[str, ...] = option(
        (), "Addresses of image services, such as http://glance:9292; the first that answers is asked.",
        old=("DEFAULT.glance_api_servers",),
    )
    endpoint_override: str | None = option(None, "Address of the image service, over all others.")
    use_catalog: bool = option(
        False, "Take the address from the catalogue of the identity service in [keystone_authtoken]."
    )
    region_name: str | None = option(None, "Region of the endpoint in the catalogue.")
    valid_interfaces: tuple[str, ...] = option(
        ("internal", "public"), "Which endpoints of the catalogue are used, the best first."
    )
    num_retries: int = option(
        3, "How often a request that reads is tried again.", minimum=0,
        old=("DEFAULT.glance_num_retries",),
    )
    timeout: int = option(60, "Seconds without a sign of life after which a request fails.", minimum=1)
    insecure: bool = option(
        False, "Take any certificate. Only to try things.",
        old=("DEFAULT.glance_api_insecure", "glance.api_insecure"),
    )
    cafile: str | None = option(
        None, "Authorities that sign its certificate.", old=("glance.ca_certificates_file",)
    )
    cache_seconds: float = option(
        2.0, "How long what is known of an image counts.", minimum=0.0
    )

    def addresses(self) -> tuple[str, ...]:
        """Configured addresses, the best first; empty where the catalogue decides or none is used."""
        if self.endpoint_override:
            return (self.endpoint_override,)
        if self.api_servers:
            return tuple(
                each if "://" in each else f"{self.protocol}://{each}" for each in self.api_servers
            )
        if self.host:
            host = f"[{self.host}]" if ":" in self.host else self.host
            return (f"{self.protocol}://{host}:{self.port}",)
        return ()

    @property
    def external(self) -> bool:
        """Whether images are those of another service than the built-in one."""
        return bool(self.addresses()) or self.use_catalog
