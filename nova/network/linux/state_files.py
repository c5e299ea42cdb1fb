# SPDX-License-Identifier: Apache-2.0
"""What a host's network service keeps on disk, so that it goes on after a restart of itself or of the host.

All names carry the bridge, and what belongs to one network its uuid too:

    nova-br401.conf, .pid, .leases, .log          DHCP of the bridge
    nova-br401.options                            DHCP options of single ports, where there are any
    nova-br401-UUID.network                       the network as it was last applied
    nova-br401-UUID.hosts/ADDRESS                 a guest's address
    nova-br401-UUID.names                         names of guests for DNS
    nova-names/hosts                              names of DNS domains, for all bridges
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Collection, Iterable
from pathlib import Path

import msgspec

from nova.decoding import json_decoder
from nova.objects.host_network import HostNetwork

LOG = logging.getLogger(__name__)
_decode = json_decoder(HostNetwork).decode


class StateFiles:
    """The files of one host, in one directory."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def of_bridge(self, bridge: str, kind: str) -> Path:
        """A file of a bridge's DHCP."""
        return self.directory / f"nova-{bridge}.{kind}"

    def of_network(self, network: HostNetwork, kind: str) -> Path:
        """A file or directory of a network."""
        return self.directory / f"nova-{network.bridge}-{network.uuid}.{kind}"

    @property
    def names(self) -> Path:
        """The directory of the names that DNS answers on all bridges."""
        return self.directory / "nova-names"

    @property
    def socket(self) -> Path:
        """Where DHCP's events are told."""
        return self.directory / "nova-dhcpbridge.sock"

    @property
    def door(self) -> Path:
        """Where the compute service of this host asks for networks."""
        return self.directory / "nova-network.sock"

    def prepare(self) -> None:
        """Make the directory."""
        self.directory.mkdir(parents=True, exist_ok=True)

    def networks(self) -> list[HostNetwork]:
        """The networks as they were last applied; a file that cannot be read is as good as none."""
        found = []
        for path in sorted(self.directory.glob("nova-*.network")):
            try:
                found.append(_decode(path.read_bytes()))
            except (OSError, msgspec.DecodeError) as error:
                LOG.warning("%s is not read: %s", path, error)
        return found

    def keep(self, networks: Iterable[HostNetwork], changed: Collection[str]) -> None:
        """Write changed networks down, and forget those that are gone."""
        present = set()
        for network in networks:
            path = self.of_network(network, "network")
            present.add(path.name)
            if network.uuid in changed:
                write(path, msgspec.json.encode(network))
        if not changed:
            return
        for path in self.directory.glob("nova-*.network"):
            if path.name not in present:
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()


def write(path: Path, content: bytes) -> bool:
    """Replace a file's content at one stroke; false where it is that already."""
    with contextlib.suppress(FileNotFoundError):
        if path.read_bytes() == content:
            return False
    fresh = path.with_name(f".{path.name}.new")
    fresh.write_bytes(content)
    os.replace(fresh, path)
    return True
