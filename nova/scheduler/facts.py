# SPDX-License-Identifier: Apache-2.0
"""What hosts are: facts and aggregates, each kept once for all hosts that share them."""

from __future__ import annotations

import hashlib
from typing import Any

import msgspec

from nova.objects.host import Aggregate, ComputeNode


class HostFacts(msgspec.Struct, frozen=True):
    """What a host is, shared by all hosts that are the same; filters judge it once for all of
    them.
    """

    hypervisor_type: str
    hypervisor_version: int
    cpu_info: dict[str, Any]
    supported_instances: list[list[str]]
    capabilities: dict[str, Any]


class AggregateSet(msgspec.Struct, frozen=True):
    """The aggregates that a host is in, shared by all hosts in the same ones."""

    aggregates: tuple[Aggregate, ...] = ()

    def values(self, key: str) -> set[str]:
        """The distinct values of a metadata key over the aggregates."""
        return {each.metadata[key] for each in self.aggregates if key in each.metadata}

    def words(self, key: str) -> set[str]:
        """The comma-separated words of a metadata key over the aggregates."""
        return {word.strip() for value in self.values(key) for word in value.split(",")}

    def keys(self) -> set[str]:
        """All metadata keys over the aggregates."""
        return {key for each in self.aggregates for key in each.metadata}


def host_hash(node: ComputeNode) -> int:
    """64 bits that stand for a node's name, the same in every process."""
    name = f"{node.host}\0{node.hypervisor_hostname}".encode()
    return int.from_bytes(hashlib.blake2b(name, digest_size=8).digest(), "little")


def facts_differ(one: ComputeNode, other: ComputeNode) -> bool:
    """Whether a filter could tell the two apart."""
    return (
        one.hypervisor_type != other.hypervisor_type
        or one.hypervisor_version != other.hypervisor_version
        or one.host_ip != other.host_ip
        or one.cpu_info != other.cpu_info
        or one.supported_instances != other.supported_instances
        or one.capabilities != other.capabilities
    )
