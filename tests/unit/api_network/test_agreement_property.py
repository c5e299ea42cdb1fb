# SPDX-License-Identifier: Apache-2.0
"""Compute's view of servers' cards and the network API's agree, whatever order things are done in.

The steps are those of ``test_agreement``, and virtual IPs; the order is hypothesis's, which looks for the
shortest one that breaks.
"""

from __future__ import annotations

import os
import random
import tempfile
import uuid
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from nova.errors import NovaError
from nova.objects.instance import RequestedNetwork
from tests.databases import VARIABLE, new_database
from tests.unit.api_network.conftest import NetworkApi, make_api
from tests.unit.api_network.test_agreement import Random, check
from tests.unit.db.instance_rows import instance_row

ACTIONS = (
    "boot", "boot_with_port", "boot_automatically", "reserve", "delete", "attach", "attach_port",
    "detach", "remove_address", "make_port", "delete_port", "move_port", "lead", "lead_nowhere",
    "claim_vip", "release_vip", "describe_port",
)


class World(Random):
    """More that can be done: reserved ports, virtual IPs, changes that do not move anything."""

    def __init__(self, api: NetworkApi, seed: int) -> None:
        super().__init__(api, seed)
        self.wide = api.network("10.3.0.0/26")

    def boot_automatically(self) -> None:
        server, given = self.api.boot()
        if isinstance(given, tuple):
            self.servers.append(server)

    def reserve(self) -> None:
        """The first half of a boot with a port; the second half or the release comes later or never."""
        port = self.any_port()
        if port is None:
            return
        server = str(uuid.uuid4())
        with self.api.cloud.db.write() as tx:
            tx.instances.create([instance_row(server, project_id=port["tenant_id"])])
            instance = tx.instances.get(server)
            assert instance is not None
            vifs = self.api.cloud.networks.reserve_ports(
                tx, instance, [RequestedNetwork(port_id=port["id"])]
            )
            tx.instances.update(server, {"network_info": vifs})
        self.servers.append(server)

    def claim_vip(self) -> None:
        self.api.request("POST", "/ports", {"port": {
            "network_id": self.wide["id"], "device_owner": "nova:virtual_ip"}})

    def release_vip(self) -> None:
        vips = self.api.ok("GET", "/ports?device_owner=nova:virtual_ip")
        if vips:
            self.api.ok("DELETE", f"/ports/{self.chance.choice(vips)['id']}")

    def describe_port(self) -> None:
        port = self.any_port()
        if port is not None:
            self.api.request("PUT", f"/ports/{port['id']}", {"port": {"name": "größe"}})


class Agreement(RuleBasedStateMachine):
    """Any actions in any order; after each, both faces show the same."""

    def __init__(self) -> None:
        super().__init__()
        self._directory = tempfile.TemporaryDirectory()
        self._db = new_database(Path(self._directory.name))
        self.world: World | None = None

    @initialize(seed=st.integers(0, 3))
    def start(self, seed: int) -> None:
        self.world = World(make_api(self._db, "VlanManager"), seed)

    @rule(action=st.sampled_from(ACTIONS), choice=st.integers(0, 99))
    def act(self, action: str, choice: int) -> None:
        assert self.world is not None
        self.world.chance = random.Random(choice)
        try:
            getattr(self.world, action)()
        except NovaError:
            return

    @invariant()
    def agree(self) -> None:
        if self.world is not None:
            check(self.world)

    def teardown(self) -> None:
        self._db.dispose()
        self._directory.cleanup()


TestAgreement: Any = Agreement.TestCase
TestAgreement.settings = settings(
    # A server costs a round trip for each of the many looks of each step.
    max_examples=2 if VARIABLE in os.environ else 12, stateful_step_count=25, deadline=None,
    suppress_health_check=list(HealthCheck),
)
