# SPDX-License-Identifier: Apache-2.0
"""[quota]: limits of projects that have none of their own."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "quota"


def _old(name: str) -> tuple[str, ...]:
    return (f"DEFAULT.quota_{name}",)


@dataclasses.dataclass(frozen=True)
class QuotaSection:
    """Default limits; -1 is none. The defaults are those of the original."""

    instances: int = option(10, "Servers.", minimum=-1, old=_old("instances"))
    cores: int = option(20, "Virtual CPUs.", minimum=-1, old=_old("cores"))
    ram: int = option(51200, "Memory, MiB.", minimum=-1, old=_old("ram"))
    floating_ips: int = option(10, "Floating IPs.", minimum=-1, old=_old("floating_ips"))
    fixed_ips: int = option(-1, "Fixed IPs.", minimum=-1, old=_old("fixed_ips"))
    metadata_items: int = option(
        128, "Metadata items of a server.", minimum=-1, old=_old("metadata_items")
    )
    injected_files: int = option(
        5, "Files injected into a server.", minimum=-1, old=_old("injected_files")
    )
    injected_file_content_bytes: int = option(
        10240, "Bytes of an injected file.", minimum=-1, old=_old("injected_file_content_bytes")
    )
    injected_file_path_length: int = option(
        255, "Length of an injected file's path.", minimum=-1,
        old=_old("injected_file_path_length"),
    )
    security_groups: int = option(10, "Security groups.", minimum=-1, old=_old("security_groups"))
    security_group_rules: int = option(
        20, "Rules of a security group.", minimum=-1, old=_old("security_group_rules")
    )
    key_pairs: int = option(100, "Key pairs of a user.", minimum=-1, old=_old("key_pairs"))
    server_groups: int = option(10, "Server groups.", minimum=-1, old=_old("server_groups"))
    server_group_members: int = option(
        10, "Servers in a server group.", minimum=-1, old=_old("server_group_members")
    )
