# SPDX-License-Identifier: Apache-2.0
"""The network managers: what distinguishes flat, flat with DHCP, and VLAN networks.

``network_manager`` in the configuration names one of the three by its dotted path, as operators'
files have it. Each is a description only: creation, allocation and the hosts read it.
"""

from __future__ import annotations

import dataclasses

from nova.errors import InvalidInput


@dataclasses.dataclass(frozen=True)
class NetworkManager:
    """How a kind of network is made, owned and served.

    ``bottom_reserved`` and ``top_reserved`` count the addresses at both ends of a range that no
    guest is given (network, gateway, VPN; broadcast).
    """

    name: str
    vlan: bool
    dhcp: bool
    binds_to_project: bool
    bottom_reserved: int
    top_reserved: int = 1


FlatManager = NetworkManager(
    name="FlatManager", vlan=False, dhcp=False, binds_to_project=False, bottom_reserved=2
)
FlatDHCPManager = NetworkManager(
    name="FlatDHCPManager", vlan=False, dhcp=True, binds_to_project=False, bottom_reserved=2
)
VlanManager = NetworkManager(
    name="VlanManager", vlan=True, dhcp=True, binds_to_project=True, bottom_reserved=3
)

_MANAGERS = {each.name: each for each in (FlatManager, FlatDHCPManager, VlanManager)}


def manager_named(path: str) -> NetworkManager:
    """The manager of a dotted path such as ``nova.network.manager.VlanManager``.

    Raises ``InvalidInput`` for one that does not exist.
    """
    package, _, name = path.rpartition(".")
    found = _MANAGERS.get(name)
    if found is None or package not in ("", "nova.network.manager"):
        known = ", ".join(f"nova.network.manager.{each}" for each in _MANAGERS)
        raise InvalidInput("network_manager", f"It must be one of {known}.", path)
    return found
