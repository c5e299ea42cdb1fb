# SPDX-License-Identifier: Apache-2.0
"""``limits`` at several versions and on v2."""

from __future__ import annotations

import pytest

from nova.db.engine import Database
from tests.unit.api.conftest import OTHER_PROJECT, PROJECT, Api, same_shape, sample


@pytest.mark.parametrize(
    ("at", "where"),
    [(1, "v2.1/limits"), (35, "v2.1/limits"), (36, "v2.1/limits/v2.36"),
     (39, "v2.1/limits/v2.39"), (56, "v2.1/limits/v2.39"), (57, "v2.1/limits/v2.57"),
     (104, "v2.1/limits/v2.57")],
)
def test_as_in_the_samples(api: Api, at: int, where: str) -> None:
    same_shape(api.get("/limits", at=at).json, sample(f"{where}/limit-get-resp.json"))


def test_v2_shows_kilos_keys_and_no_rates(api: Api) -> None:
    wanted = sample("kilo-v2/os-server-group-quotas/usedlimits-get-resp.json")
    shown = api.get("/limits", at="v2").json
    same_shape(shown["limits"]["absolute"], wanted["limits"]["absolute"])
    assert shown["limits"]["rate"] == []


def test_usage_is_counted(api: Api, db: Database) -> None:
    with db.write() as tx:
        tx.quotas.reserve(PROJECT, {"instances": 2, "ram": 1024, "floating_ips": 1}, {})
        tx.quotas.set(PROJECT, {"ram": 2048})
        tx.quotas.reserve(OTHER_PROJECT, {"instances": 7}, {})
    absolute = api.get("/limits", token="reader").json["limits"]["absolute"]
    assert (absolute["totalInstancesUsed"], absolute["maxTotalRAMSize"]) == (2, 2048)
    assert (absolute["totalRAMUsed"], absolute["totalFloatingIpsUsed"]) == (1024, 1)
    other = api.get(f"/limits?tenant_id={OTHER_PROJECT}").json["limits"]["absolute"]
    assert other["totalInstancesUsed"] == 7


def test_rights_and_queries(api: Api) -> None:
    assert api.get(f"/limits?tenant_id={OTHER_PROJECT}", token="member").status_code == 403
    assert api.get(f"/limits?tenant_id={'p' * 65}").status_code == 400
    assert api.get("/limits?reserved=1", at=74).status_code == 200
    assert api.get("/limits?reserved=1", at=75).status_code == 400
