# SPDX-License-Identifier: Apache-2.0
"""What quota sets and quota class sets share: their resources, by version, and the bodies.

Network resources and injected files left the views at different versions for the two.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any

import msgspec
from msgspec import UNSET, Meta, UnsetType

from nova.api.compute.bodies import window
from nova.api.compute.fields import Field, View
from nova.api.compute.texts import Boolean

Limit = Annotated[int, Meta(ge=-1, le=2147483647)]
AnyLimit = Limit | UnsetType

NETWORK_RESOURCES = ("floating_ips", "fixed_ips", "security_groups", "security_group_rules")
INJECTED_RESOURCES = ("injected_files", "injected_file_content_bytes", "injected_file_path_bytes")
GROUP_RESOURCES = ("server_groups", "server_group_members")
STEADY_RESOURCES = ("instances", "cores", "ram", "metadata_items", "key_pairs")


def _fields(names: tuple[str, ...], *, since: int = 1, until: int | None = None) -> list[Field]:
    def getter(name: str) -> Any:
        return lambda values, _scene: values[name]

    return [Field(name, getter(name), since=since, until=until) for name in names]


def quota_view(*, networks_until: int, groups_since: int) -> View:
    """The view of a mapping of resources to whatever is shown of each."""
    return View(
        *_fields(STEADY_RESOURCES),
        *_fields(NETWORK_RESOURCES, until=networks_until),
        *_fields(INJECTED_RESOURCES, until=56),
        *_fields(GROUP_RESOURCES, since=groups_since),
    )


class QuotaSetUpdate(msgspec.Struct, kw_only=True):
    """``PUT /os-quota-sets/{project}``; -1 is no limit."""

    instances: AnyLimit = UNSET
    cores: AnyLimit = UNSET
    ram: AnyLimit = UNSET
    metadata_items: AnyLimit = UNSET
    key_pairs: AnyLimit = UNSET
    floating_ips: Annotated[AnyLimit, window(until=35)] = UNSET
    fixed_ips: Annotated[AnyLimit, window(until=35)] = UNSET
    security_groups: Annotated[AnyLimit, window(until=35)] = UNSET
    security_group_rules: Annotated[AnyLimit, window(until=35)] = UNSET
    injected_files: Annotated[AnyLimit, window(until=56)] = UNSET
    injected_file_content_bytes: Annotated[AnyLimit, window(until=56)] = UNSET
    injected_file_path_bytes: Annotated[AnyLimit, window(until=56)] = UNSET
    server_groups: AnyLimit = UNSET
    server_group_members: AnyLimit = UNSET
    force: Boolean = False


class QuotaClassUpdate(msgspec.Struct, kw_only=True):
    """``PUT /os-quota-class-sets/{class}``; -1 is no limit."""

    instances: AnyLimit = UNSET
    cores: AnyLimit = UNSET
    ram: AnyLimit = UNSET
    metadata_items: AnyLimit = UNSET
    key_pairs: AnyLimit = UNSET
    floating_ips: Annotated[AnyLimit, window(until=49)] = UNSET
    fixed_ips: Annotated[AnyLimit, window(until=49)] = UNSET
    security_groups: Annotated[AnyLimit, window(until=49)] = UNSET
    security_group_rules: Annotated[AnyLimit, window(until=49)] = UNSET
    injected_files: Annotated[AnyLimit, window(until=56)] = UNSET
    injected_file_content_bytes: Annotated[AnyLimit, window(until=56)] = UNSET
    injected_file_path_bytes: Annotated[AnyLimit, window(until=56)] = UNSET
    server_groups: AnyLimit = UNSET
    server_group_members: AnyLimit = UNSET


def sent_limits(body: QuotaSetUpdate | QuotaClassUpdate) -> Mapping[str, int]:
    """The limits that a body names."""
    return {
        name: value
        for name in body.__struct_fields__
        if name != "force" and isinstance(value := getattr(body, name), int)
    }
