# SPDX-License-Identifier: Apache-2.0
"""The dated versions of both trees, and the one in which each part first appears.

Sources: OpenStack's "Metadata service" page (https://docs.openstack.org/nova/latest/user/metadata.html) and
the EC2 metadata of those dates. ``latest`` is the newest of either.
"""

from __future__ import annotations

LATEST = "latest"

EC2_VERSIONS = (
    "1.0", "2007-01-19", "2007-03-01", "2007-08-29", "2007-10-10", "2007-12-15", "2008-02-01",
    "2008-09-01", "2009-04-04",
)
OPENSTACK_VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
    "2017-02-22", "2018-08-27", "2020-10-14", "2025-04-04",
)

#: Files of a version's directory, in the order of its listing.
FILES_SINCE = {
    "meta_data.json": "2012-08-10",
    "user_data": "2012-08-10",
    "password": "2013-04-04",
    "vendor_data.json": "2013-10-17",
    "network_data.json": "2015-10-15",
    "vendor_data2.json": "2016-10-06",
}
#: Keys of meta_data.json that are younger than the file.
META_DATA_SINCE = {
    "random_seed": "2013-04-04",
    "project_id": "2015-10-15",
    "devices": "2016-06-30",
    "dedicated_cpus": "2020-10-14",
}
#: NICs in ``devices`` say from then on whether their virtual function is trusted.
VF_TRUSTED_SINCE = "2018-08-27"
#: Keys of the EC2 ``meta-data`` directory that are younger than it.
EC2_SINCE = {
    "local-hostname": "2007-01-19",
    "public-hostname": "2007-01-19",
    "public-ipv4": "2007-01-19",
    "instance-type": "2007-08-29",
    "block-device-mapping": "2007-12-15",
    "kernel-id": "2007-12-15",
    "ramdisk-id": "2007-12-15",
    "placement": "2008-02-01",
    "instance-action": "2008-09-01",
}


def openstack_version(name: str) -> str | None:
    """The date that a version's name stands for; None for one that there is not."""
    if name == LATEST:
        return OPENSTACK_VERSIONS[-1]
    return name if name in OPENSTACK_VERSIONS else None


def ec2_version(name: str) -> str | None:
    """The date that an EC2 version's name stands for; None for one that there is not.

    ``1.0`` sorts before the dates, so that versions compare as text.
    """
    if name == LATEST:
        return EC2_VERSIONS[-1]
    return name if name in EC2_VERSIONS else None
