# SPDX-License-Identifier: Apache-2.0
"""DNS domains of the cloud, and the names in them."""

from __future__ import annotations

import msgspec

PUBLIC = "public"
PRIVATE = "private"


class DnsDomain(msgspec.Struct, frozen=True):
    """A domain. The field order is that of the table's columns.

    Hosts everywhere answer the names of a public one, which a project may have for itself; those of a
    private one are answered in its availability zone, or everywhere where it has none.
    """

    domain: str
    scope: str
    project_id: str | None = None
    availability_zone: str | None = None


class DnsEntry(msgspec.Struct, frozen=True):
    """A name of a domain and its address. ``instance_uuid`` is the server that it came with, if any."""

    domain: str
    name: str
    address: str
    type: str = "A"
    instance_uuid: str | None = None
