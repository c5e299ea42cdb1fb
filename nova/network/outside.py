# SPDX-License-Identifier: Apache-2.0
"""A network service outside this cloud's database: what compute and the conductor need of one.

Nothing here may be called inside a database transaction: an answer may take seconds. What has to happen
for sure is a row of ``network_tasks`` first (``nova/conductor/network_tasks.py``).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Protocol

import msgspec

from nova.objects.instance import Instance, RequestedNetwork, Vif


class OutsidePlan(msgspec.Struct, frozen=True):
    """What a boot asks for, with every choice made: its cards, and its groups as ids and names."""

    requested: tuple[RequestedNetwork, ...]
    group_ids: tuple[str, ...] = ()
    group_names: tuple[str, ...] = ()

    @property
    def ports(self) -> list[str]:
        """The ports that were there before."""
        return [each.port_id for each in self.requested if each.port_id is not None]


class OutsideNetworks(Protocol):
    """The service. Every method raises ``ServiceUnavailable`` where it does not answer."""

    def check(
        self,
        project_id: str,
        requested: Sequence[RequestedNetwork] | None,
        groups: Sequence[str] | None,
        count: int = 1,
    ) -> OutsidePlan:
        """Choose and check the networks, ports and groups of ``count`` servers; nothing is taken.

        Raises ``BadRequest``, ``NotFound``, ``Conflict``, ``NetworkAmbiguous``, ``QuotaExceeded``.
        """
        ...

    def allocate(self, instance: Instance, plan: OutsidePlan) -> tuple[Vif, ...]:
        """Make and bind the ports of a server on its host; those of an earlier try are taken up."""
        ...

    def attach(self, instance: Instance, wanted: RequestedNetwork) -> Vif:
        """Make or bind one more port."""
        ...

    def detach(self, instance_uuid: str, port_id: str, *, keep: bool) -> None:
        """Take a port from a server: unbound if ``keep``, else deleted. A missing one is no error."""
        ...

    def release(self, instance_uuid: str, kept: Collection[str]) -> None:
        """Take all ports from a server: those named are unbound, the others deleted."""
        ...

    def bind(self, instance_uuid: str, host: str | None) -> None:
        """A server is on another host now: so are its ports."""
        ...

    def cards(self, instance: Instance) -> tuple[Vif, ...]:
        """The cards that a server is known to have, as the service has them now; lost ones missing."""
        ...

    def port_ids(self, instance_uuid: str) -> set[str]:
        """All ports of a server."""
        ...

    def add_address(self, instance: Instance, network_id: str) -> None:
        """Give the server's port in a network one more address; ``NotFound`` without such a port."""
        ...

    def remove_address(self, instance: Instance, address: str) -> None:
        """Take an address from the server's ports; ``NotFound`` where none has it."""
        ...

    def change_groups(
        self, instance: Instance, *, add: str | None = None, remove: str | None = None
    ) -> str:
        """Put all ports of a server into a group, or take them out; returns the group's name."""
        ...

    def lead_floating(self, instance: Instance, address: str, fixed: str | None) -> None:
        """Lead a floating address of the server's project to one of its fixed ones, the first if None.

        Raises ``NotFound`` for an address that is not the project's, ``BadRequest`` without a fixed one.
        """
        ...

    def take_floating(self, instance: Instance, address: str) -> None:
        """Take a floating address off a server; ``Conflict`` where it does not lead to it."""
        ...
