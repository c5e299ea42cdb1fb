# SPDX-License-Identifier: Apache-2.0
"""The files of a config drive, as a mapping of paths to contents: the tree of the metadata service."""

from __future__ import annotations

from nova.conf.metadata import ApiMetadataSection
from nova.metadata.tree import GuestTree
from nova.metadata.vendor_data import VendorData
from nova.virt.driver import GuestSpec


def drive_files(
    spec: GuestSpec, domain: str, section: ApiMetadataSection | None = None, zone: str = "nova"
) -> dict[str, bytes]:
    """Every file of the drive. ``domain`` is appended to the host name; ``zone`` is that of guests in none.

    Raises ``VendorDataUnavailable`` where a vendor data service fails and that is to be fatal.
    """
    section = section or ApiMetadataSection()
    tree = GuestTree(
        spec.instance, VendorData(section), vifs=spec.vifs, domain=domain, zone=zone,
        admin_password=spec.admin_password, files=spec.files,
    )
    return tree.drive_files(tuple(section.config_drive_skip_versions.split()))
