# SPDX-License-Identifier: Apache-2.0
"""Virtual IPs are claimed by projects that may, and never handed out."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nova.db.engine import Database
from nova.errors import AddressInUse, Conflict, InvalidInput, NoMoreAddresses, NotFound
from nova.network.vips import claim_vip, list_vips, release_vip
from nova.objects.network import Network

MakeNetwork = Callable[..., Network]


def test_claims_of_a_network(db: Database, make_network: MakeNetwork) -> None:
    network = make_network("10.0.0.0/26")
    with db.write() as tx:
        assert [each.address for each in list_vips(tx, network)] == [
            f"10.0.0.{last}" for last in range(58, 63)
        ]
        assert claim_vip(tx, "p", " kéepalived ", network).vip_name == "kéepalived"
        with pytest.raises(AddressInUse):
            claim_vip(tx, "q", "mine", network, "10.0.0.58")
        with pytest.raises(NotFound):
            claim_vip(tx, "q", "mine", network, "10.0.0.3")
        for _ in range(4):
            claim_vip(tx, "q", "more", network)
        with pytest.raises(NoMoreAddresses):
            claim_vip(tx, "q", "one too many", network)
        assert len(list_vips(tx, project_id="q")) == 4
        with pytest.raises(NotFound):
            release_vip(tx, "10.0.0.58", project_id="q")
        release_vip(tx, "10.0.0.58")
        assert claim_vip(tx, "q", "again", network).address == "10.0.0.58"


def test_bad_claims(db: Database, make_network: MakeNetwork) -> None:
    network = make_network("10.0.0.0/26", project_id="p")
    with db.write() as tx:
        for name in ("", "  ", "x" * 256):
            with pytest.raises(InvalidInput, match="name"):
                claim_vip(tx, "p", name, network)
        with pytest.raises(InvalidInput, match="project_id"):
            claim_vip(tx, "", "web", network)
        with pytest.raises(Conflict, match="belongs to project p"):
            claim_vip(tx, "q", "web", network)
