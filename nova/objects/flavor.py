# SPDX-License-Identifier: Apache-2.0
"""Flavors: the sizes that servers come in."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec


class Flavor(msgspec.Struct, frozen=True):
    """A flavor. ``memory_mb`` and ``swap`` are MiB, ``root_gb`` and ``ephemeral_gb`` GiB.

    ``id`` is internal; users know ``flavorid``. The field order is that of the table's columns.
    """

    id: int
    flavorid: str
    name: str
    description: str | None
    memory_mb: int
    vcpus: int
    root_gb: int
    ephemeral_gb: int
    swap: int
    rxtx_factor: float
    is_public: bool
    disabled: bool
    extra_specs: dict[str, str]
    created_at: datetime.datetime | None = None
    updated_at: datetime.datetime | None = None


class FlavorQuery(msgspec.Struct, frozen=True, kw_only=True):
    """Which flavors a list holds, in which order.

    ``is_public`` None lists both kinds; True also lists the others that ``project_id`` may use.
    ``name`` is a regular expression, searched anywhere in the name. ``marker`` is the flavorid
    after which the page begins. ``limit`` None is all.
    """

    is_public: bool | None = True
    project_id: str | None = None
    disabled: bool | None = None
    min_ram: int | None = None
    min_disk: int | None = None
    name: str | None = None
    sort_key: str = "flavorid"
    descending: bool = False
    marker: str | None = None
    limit: int | None = None


def flavor_columns(flavor: Flavor) -> dict[str, Any]:
    """The fields of an instance that a flavor fills."""
    return {
        "flavor": flavor, "flavorid": flavor.flavorid, "vcpus": flavor.vcpus,
        "memory_mb": flavor.memory_mb, "root_gb": flavor.root_gb,
        "ephemeral_gb": flavor.ephemeral_gb,
    }
