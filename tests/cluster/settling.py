# SPDX-License-Identifier: Apache-2.0
"""What has to be true after a fault: all that was accepted came to its end, nothing is lost or left over."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

from sqlalchemy import create_engine, text

from tests.cluster.cluster import Api, Cluster
from tests.cluster.faces import look_at_the_faces
from tests.cluster.load import Load, wait_until
from tests.leaks import Row, Snapshot, leaks

#: How long after a fault has ended all has to be right again. The aim is a minute; what this machine does
#: beside that is allowed for.
REPAIR_SECONDS = 60.0
_FOUND_OUT = 30.0
#: How long after that one more boot may take.
_BOOT = 60.0
#: What volumes are that nobody works on.
_AT_REST = ("available", "in-use", "reserved", "error")


def settle(cluster: Cluster, load: Load, ended_at: float, fault: str) -> None:
    """Wait until all is quiet and count losses; ``ended_at`` is the monotonic time at the fault's end."""
    quiet = wait_until(lambda: _is_quiet(_look(cluster)), REPAIR_SECONDS + _FOUND_OUT)
    repaired = time.monotonic() - ended_at
    found: list[str] = []
    failed = _failed_deletes(cluster, load)
    # What was coming or going when a delete overtook that, which failed itself, goes with the next delete.
    theirs = _volumes_of(row for uuid, row in _look(cluster).instances.items() if uuid in failed)

    def clean() -> bool:
        found[:] = [
            line for line in (*leaks(cluster.database_url, cluster.guests), *leaked_files(cluster))
            if not any(volume in line for volume in theirs)
        ]
        return not found

    # Guests that nobody wants any more go with a host's next comparison.
    wait_until(clean, _FOUND_OUT)
    if failed and not found:
        api = cluster.api()
        for uuid in failed:
            assert api.ask("DELETE", f"/servers/{uuid}")[0] in (204, 404)
        theirs = set()
        wait_until(lambda: _is_quiet(_look(cluster)) and not _failed_deletes(cluster, load) and clean(), 30)
        found += [f"server {uuid} cannot be deleted" for uuid in _failed_deletes(cluster, load)]
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
    began = time.monotonic()
    serves(cluster)
    print(f"    every host has booted a server again: {time.monotonic() - began:.1f} s")


def serves(cluster: Cluster) -> None:
    """All that is here does its work: each host takes a new server, and what guests speak to answers."""
    api = cluster.wait_ready()
    image = api.image_id()
    booted: dict[str, str] = {}
    for host in cluster.hosts:
        body = {"server": {"name": "after", "imageRef": image, "flavorRef": "1", "networks": "auto",
                           "availability_zone": f"nova:{host}"}}
        status, answer = api.ask("POST", "/servers", body)
        assert status == 202, answer
        booted[host] = answer["server"]["id"]
    for host, uuid in booted.items():
        assert wait_until(lambda u=uuid: _server(api, u)["status"] in ("ACTIVE", "ERROR"), _BOOT, 0.05), (
            host, _server(api, uuid), cluster.tails()
        )
        made = _server(api, uuid)
        assert (made["status"], made["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", host), (made, cluster.tails())
    look_at_the_faces(cluster, api, [_server(api, uuid) for uuid in booted.values()])
    for uuid in booted.values():
        assert api.ask("DELETE", f"/servers/{uuid}")[0] == 204
    # What counts servers afterwards does not find them half gone.
    for uuid in booted.values():
        gone = wait_until(lambda u=uuid: api.ask("GET", f"/servers/{u}")[0] == 404, _BOOT, 0.05)
        assert gone, cluster.tails()


def _server(api: Api, uuid: str) -> dict[str, Any]:
    return dict(api.get(f"/servers/{uuid}")["server"])


def leaked_files(cluster: Cluster) -> list[str]:
    """Files of volumes that there are not, and volumes without their file."""
    volumes = cluster.directory / "control" / "volumes"
    if not volumes.is_dir():
        return []
    there = {path.name for path in volumes.iterdir()}
    wanted = {
        f"volume-{row['id']}" for row in _look(cluster).volumes.values() if row["status"] != "error"
    }
    return [f"{name} is a file or a volume without the other" for name in sorted(there ^ wanted)]


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
    volumes, kept = load.volumes, set(seen.volumes)
    lost += [f"volume {each} was accepted and is not there"
             for each in volumes.accepted - volumes.deleted - volumes.doubtful - kept]
    lost += [f"volume {each} was deleted and is there" for each in volumes.deleted & kept]
    lost += [f"volume {each} is in error" for each in volumes.accepted & kept
             if seen.volumes[each]["status"] == "error"]
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


def _failed_deletes(cluster: Cluster, load: Load) -> set[str]:
    """The servers in ERROR that somebody wanted to be gone."""
    return {
        uuid for uuid, row in _look(cluster).instances.items()
        if row["vm_state"] == "error" and uuid in load.deleted | load.doubtful
    }


def _is_quiet(seen: Snapshot) -> bool:
    """Whether nothing is under way; a server in ERROR keeps the volumes that it had."""
    kept = _volumes_of(row for row in seen.instances.values() if row["vm_state"] == "error")
    return seen.is_quiet and all(
        row["status"] in _AT_REST or volume in kept for volume, row in seen.volumes.items()
    )


def _volumes_of(servers: Iterable[Row]) -> set[str]:
    devices = (each for row in servers for each in json.loads(row["block_devices"]))
    return {each["volume_id"] for each in devices if each.get("volume_id")}


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
