# SPDX-License-Identifier: Apache-2.0
"""Options of the metadata service: [DEFAULT] under Kilo's names, [api] and [neutron] under today's."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "DEFAULT"
API_GROUP = "api"
NEUTRON_GROUP = "neutron"


@dataclasses.dataclass(frozen=True)
class MetadataSection:
    """Where the service listens."""

    metadata_listen: str = option(
        "0.0.0.0", "Address that the metadata service listens on."  # noqa: S104
    )
    metadata_listen_port: int = option(
        8775, "Port of the metadata service.", minimum=1, maximum=65535
    )
    metadata_workers: int = option(
        8, "Metadata requests that one process answers at a time.", minimum=1
    )
    metadata_by_bridge: bool = option(
        True,
        "Listen on every bridge of this host by itself, so that guests of networks with the same range "
        "are told apart; needs CAP_NET_RAW.",
    )
    use_forwarded_for: bool = option(
        False,
        "Take the address of a guest from X-Forwarded-For. Only for a service that nobody but your own "
        "proxy can reach: whoever can, may claim to be any guest.", old=("api.use_forwarded_for",),
    )


@dataclasses.dataclass(frozen=True)
class ApiMetadataSection:
    """What guests are told, and for how long it is remembered."""

    metadata_cache_expiration: int = option(
        15, "Seconds that what a guest is told is remembered; 0 never.", minimum=0,
        old=("DEFAULT.metadata_cache_expiration",),
    )
    config_drive_skip_versions: str = option(
        "1.0 2007-01-19 2007-03-01 2007-08-29 2007-10-10 2007-12-15 2008-02-01 2008-09-01",
        "EC2 versions that config drives have no directory for, separated by blanks.",
        old=("DEFAULT.config_drive_skip_versions",),
    )
    vendordata_providers: tuple[str, ...] = option(
        ("StaticJSON",),
        "Where vendor data comes from: StaticJSON (vendordata_jsonfile_path), DynamicJSON "
        "(vendordata_dynamic_targets).",
    )
    vendordata_jsonfile_path: str | None = option(
        None, "JSON file that every guest is given as vendor data.",
        old=("DEFAULT.vendordata_jsonfile_path",),
    )
    vendordata_dynamic_targets: tuple[str, ...] = option(
        (), "Services that are asked for vendor data of a guest, as NAME@URL."
    )
    vendordata_dynamic_ssl_certfile: str = option(
        "", "Certificates that those services are verified with; the system's where empty."
    )
    vendordata_dynamic_connect_timeout: int = option(
        5, "Seconds that such a service gets to accept a connection.", minimum=3
    )
    vendordata_dynamic_read_timeout: int = option(
        5, "Seconds that such a service gets to answer.", minimum=1
    )
    vendordata_dynamic_failure_fatal: bool = option(
        False, "Answer 503 where such a service fails, instead of leaving its data out."
    )


@dataclasses.dataclass(frozen=True)
class NeutronProxySection:
    """Metadata proxies that name the guest in headers."""

    service_metadata_proxy: bool = option(
        False,
        "Take requests from a metadata proxy, which names and signs the instance in headers, and from "
        "nobody else.", old=("DEFAULT.service_quantum_metadata_proxy",),
    )
    metadata_proxy_shared_secret: str = option(
        "", "The secret that the proxy signs with.", secret=True,
        old=("DEFAULT.quantum_metadata_proxy_shared_secret",),
    )
