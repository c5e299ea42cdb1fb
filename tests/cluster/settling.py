# SPDX-License-Identifier: Apache-2.0
"""What has to be true after a fault: all that was accepted came to its end, nothing is lost or left over."""

from __future__ import annotations

import time

from sqlalchemy import create_engine, text

from tests.cluster.cluster import Cluster
from tests.cluster.load import Load, wait_until
from tests.leaks import Snapshot, leaks

#: How long after a fault has ended all has to be right again. The aim is a minute; what this machine does
#: beside that is allowed for.
REPAIR_SECONDS = 60.0
_FOUND_OUT = 30.0


def settle(cluster: Cluster, load: Load, ended_at: float, fault: str) -> None:
    """Wait until all is quiet and count losses; ``ended_at`` is the monotonic time at the fault's end."""
    quiet = wait_until(lambda: _look(cluster).is_quiet, REPAIR_SECONDS + _FOUND_OUT)
    repaired = time.monotonic() - ended_at
    found: list[str] = []

    def clean() -> bool:
        found[:] = leaks(cluster.database_url, cluster.guests)
        return not found

    # Guests that nobody wants any more go with a host's next comparison.
    wait_until(clean, _FOUND_OUT)
    lost = losses(cluster, load)
    print(
        f"\nfault {fault}: {len(load.requests)} requests accepted, {len(lost)} lost, {len(found)} leaks, "
        f"quiet {repaired:.1f} s and clean {time.monotonic() - ended_at:.1f} s after its end; "
        + ", ".join(f"{count} {how}" for (kind, how), count in sorted(load.answers.items(), key=str)
                    if kind == "connection")
    )
    print("   ", dict(sorted(((f"{kind} {how}", count) for (kind, how), count in load.answers.items()))))
    assert not found, f"quiet: {quiet}\n" + "\n".join(found) + "\n" + cluster.tails()
    assert not lost, "\n".join(lost)
    assert not load.surprises, load.surprises[:5]
    assert repaired < REPAIR_SECONDS, f"quiet only {repaired:.0f} s after the fault"


def losses(cluster: Cluster, load: Load) -> list[str]:
    """Accepted requests that came to no end, or whose server is not what they made it; a line each."""
    seen = _look(cluster)
    lost = [
        f"server {uuid} was accepted and is not there"
        for uuid in load.accepted - load.deleted - load.doubtful - seen.instances.keys()
    ]
    lost += [
        f"server {uuid} was deleted and is {seen.instances[uuid]['vm_state']}"
        for uuid in load.deleted & seen.instances.keys() if seen.instances[uuid]["vm_state"] != "error"
    ]
    rows = _operations(cluster)
    for each in load.requests:
        row = rows.get((each.server, each.request_id))
        if row is None:
            # What was deleted already, or could be done without a host, leaves no operation.
            if each.kind != "delete" or each.server in seen.instances:
                lost.append(f"{each.kind} of {each.server} ({each.request_id}) left no record")
        elif row[0] not in ("done", "failed"):
            lost.append(f"{each.kind} of {each.server} ({each.request_id}) is {row[0]}")
        elif row[0] == "failed" and not row[1]:
            lost.append(f"{each.kind} of {each.server} ({each.request_id}) failed without a word")
    return lost


def _look(cluster: Cluster) -> Snapshot:
    return Snapshot(cluster.database_url, cluster.guests)


def _operations(cluster: Cluster) -> dict[tuple[str, str], tuple[str, str | None]]:
    engine = create_engine(cluster.database_url)
    with engine.connect() as connection:
        rows = connection.execute(
            text("SELECT instance_uuid, request_id, state, message FROM operations")
        ).fetchall()
    engine.dispose()
    return {(row[0], row[1]): (row[2], row[3]) for row in rows}
