# SPDX-License-Identifier: Apache-2.0
"""A database of its own for every test, and short ways to make networks in it."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from nova.conf.network import NetworkSection
from nova.db.engine import Database
from nova.network.creation import NetworkRequest, create_networks
from nova.objects.network import Network
from tests.databases import new_database

MakeNetwork = Callable[..., Network]

FLAT = dataclasses.replace(
    NetworkSection(), network_manager="nova.network.manager.FlatDHCPManager", fake_network=True
)
VLAN = dataclasses.replace(NetworkSection(), fake_network=True)


@pytest.fixture
def db(tmp_path: Path) -> Iterator[Database]:
    database = new_database(tmp_path)
    yield database
    database.dispose()


@pytest.fixture
def make_network(db: Database) -> MakeNetwork:
    def make(cidr: str = "10.0.0.0/28", section: NetworkSection = FLAT, **fields: Any) -> Network:
        with db.write() as tx:
            request = NetworkRequest(label=fields.pop("label", cidr), cidr=cidr, **fields)
            (network,) = create_networks(tx, request, section)
        return network

    return make
