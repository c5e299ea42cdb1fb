# SPDX-License-Identifier: Apache-2.0
"""Leases of steps: lengthened for many hosts at once, and only by the host that is at the step."""

from __future__ import annotations

import datetime
from pathlib import Path

from nova.db.engine import Database
from nova.db.schema import metadata
from nova.objects.context import RequestContext

USER = RequestContext(user_id="u", project_id="p", roles=("member",), request_id="req-1")
BEFORE = datetime.datetime(2026, 1, 1)
UNTIL = BEFORE + datetime.timedelta(minutes=1)


def test_a_host_lengthens_its_own_leases_only(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path}/n.sqlite")
    metadata.create_all(db.engine)
    with db.write() as tx:
        ids = [
            tx.operations.create(
                USER, f"uuid-{number}", "stop", flow="stop", step="run", payload={},
                host=f"h{number % 2}", lease=("conductor", BEFORE),
            )
            for number in range(1200)
        ]
        tx.operations.renew_many({"h0": ids[0:1000:2], "h1": [*ids[1:1000:2], ids[1100]], "h2": []}, UNTIL)
        leases = {each.id: each.lease_until for each in tx.operations.unfinished()}
    assert [leases[id_] for id_ in ids] == [UNTIL] * 1000 + [BEFORE] * 200
    db.dispose()
