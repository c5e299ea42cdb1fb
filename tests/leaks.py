# SPDX-License-Identifier: Apache-2.0
"""What a quiet cloud must not have: work nobody ends, and resources that no server accounts for.

Reads the database (a SQLite file, or a server by its URL) and the journals of the simulated hosts
directly, so that it shares nothing with the code that keeps them in step.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine, text

_FINAL_MIGRATIONS = {
    "accepted", "cancelled", "completed", "confirmed", "done", "error", "failed", "reverted",
}
#: vm state -> the power state that the guest of such a server has.
_POWER = {"active": 1, "stopped": 4, "paused": 3, "suspended": 7, "soft-delete": 4, "rescued": 1}
#: vm states of servers that have no guest.
_WITHOUT_GUEST = {"shelved_offloaded"}

Row = dict[str, Any]


class Snapshot:
    """The rows and guests of a cloud at one moment."""

    def __init__(self, database: Path | str, guests: Path) -> None:
        # Text is read as it lies there, so that documents come alike from every server.
        engine = create_engine(database if isinstance(database, str) else f"sqlite:///{database}")
        connection = engine.connect()
        self._connection = connection
        self.instances = {row["uuid"]: row for row in self._rows("instances", "deleted = 0")}
        self.nodes = {row["id"]: row for row in self._rows("compute_nodes")}
        self.claims = self._rows("claims")
        # Addresses and memberships of ports that have no server belong to the ports.
        ports = "(SELECT uuid FROM virtual_interfaces WHERE instance_uuid IS NULL)"
        self.fixed_ips = self._rows(
            "fixed_ips",
            "instance_uuid IS NOT NULL OR (allocated AND virtual_interface_uuid IS NULL)"
            f" OR (allocated AND virtual_interface_uuid NOT IN {ports})",
        )
        self.cards = self._rows("virtual_interfaces", "instance_uuid IS NOT NULL")
        self.usages = {row["project_id"]: row for row in self._rows("project_usages")}
        self.operations = self._rows("operations", "state IN ('queued', 'running')")
        self.migrations = self._rows("migrations")
        self.images = self._rows("images")
        self.volumes = {row["id"]: row for row in self._rows("volumes")}
        self.attachments = {row["id"]: row for row in self._rows("volume_attachments")}
        self.servers_of_volumes = self._rows("instance_volumes")
        self.memberships = [
            row["instance_uuid"]
            for table in ("server_group_members", "security_group_members")
            for row in self._rows(
                table, "instance_uuid NOT IN (SELECT uuid FROM virtual_interfaces)"
            )
        ]
        connection.close()
        engine.dispose()
        self.guests = {path.stem: _read_journal(path) for path in guests.glob("*.guests")}

    def _rows(self, table: str, condition: str = "1 = 1") -> list[Row]:
        rows = self._connection.execute(text(f"SELECT * FROM {table} WHERE {condition}"))
        return [dict(row) for row in rows.mappings()]

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is under way."""
        return not self.operations and not any(
            row["task_state"] or row["vm_state"] == "building" for row in self.instances.values()
        )


def leaks(database: Path | str, guests: Path) -> list[str]:
    """Every leak in a cloud that ought to be quiet, a line each."""
    seen = Snapshot(database, guests)
    return [
        *_unfinished(seen), *_claims(seen), *_sums(seen), *_topologies(seen), *_addresses(seen),
        *_quota(seen),
        *_guests(seen), *_images(seen), *_migrations(seen), *_volumes(seen),
    ]


def _fits(attachment: Mapping[str, Any], host: str | None) -> bool:
    """Open to the server's host; for a server on none only reserved, or given to it while it was on none."""
    if host is not None:
        return bool(attachment["status"] == "attached")
    return attachment["status"] == "reserved" or (
        attachment["status"] == "attached" and attachment["connector"] is None
    )


def _volumes(seen: Snapshot) -> Iterator[str]:
    """Servers, attachments and volumes say the same; nothing is on its way between two states."""
    held: dict[str, str] = {}
    mapped: set[tuple[str, str]] = set()
    for uuid, row in seen.instances.items():
        for device in json.loads(row["block_devices"]):
            volume = device.get("volume_id")
            if device["destination_type"] != "volume" or not volume:
                continue
            mapped.add((uuid, volume))
            for name in ("state", "next_attachment_id"):
                if device.get(name):
                    yield f"server {uuid} has {name} {device[name]} of volume {volume}"
            attachment = device.get("attachment_id")
            if attachment is None:
                if row["vm_state"] != "error":
                    yield f"server {uuid} has volume {volume} without an attachment"
                continue
            held[attachment] = uuid
            found = seen.attachments.get(attachment)
            if found is None:
                yield f"server {uuid} has the attachment {attachment}, which is not there"
            elif row["vm_state"] != "error" and not _fits(found, row["host"]):
                yield (
                    f"the attachment of volume {volume} to server {uuid} on {row['host']} is "
                    f"{found['status']} on {found['attached_host']}"
                )
    for identifier, attachment in seen.attachments.items():
        if attachment["instance_uuid"] is not None and identifier not in held:
            yield f"attachment {identifier} of volume {attachment['volume_id']} is nobody's"
    for volume_id, known in seen.volumes.items():
        if known["status"] not in ("available", "in-use", "reserved", "error"):
            yield f"volume {volume_id} is {known['status']}"
    indexed = {(row["instance_uuid"], row["volume_id"]) for row in seen.servers_of_volumes}
    for pair in indexed ^ mapped:
        yield f"server and volume {pair} are not found by each other"
    for host, guests in seen.guests.items():
        for uuid, guest in guests.items():
            server = seen.instances.get(uuid)
            if server is None or server["host"] != host or guest["kept"]:
                continue
            wanted_here = {volume for owner, volume in mapped if owner == uuid}
            if server["vm_state"] != "error" and set(guest.get("volumes", ())) != wanted_here:
                yield f"guest {uuid} on {host} has volumes {sorted(guest.get('volumes', ()))}"


def _read_journal(path: Path) -> dict[str, Row]:
    guests: dict[str, Row] = {}
    for line in path.read_bytes().splitlines():
        if line.startswith(b"-"):
            guests.pop(line[1:].decode(), None)
            continue
        try:
            guest = json.loads(line)
        except json.JSONDecodeError:
            continue
        guests[guest["uuid"]] = guest
    return guests


def _unfinished(seen: Snapshot) -> Iterator[str]:
    for row in seen.operations:
        yield f"operation {row['id']} {row['flow']} is open at {row['step']} on {row['host']}"
    for uuid, row in seen.instances.items():
        if row["task_state"] is not None:
            yield f"server {uuid} is {row['vm_state']} with task {row['task_state']}"
        if row["vm_state"] == "building":
            yield f"server {uuid} builds for ever"
        if row["vm_state"] == "error" and row["fault"] is None:
            yield f"server {uuid} is in error without a fault"
    for uuid in seen.memberships:
        if uuid not in seen.instances:
            yield f"deleted server {uuid} is still a member of a group"


def _claims(seen: Snapshot) -> Iterator[str]:
    held: dict[str, dict[str, Row]] = defaultdict(dict)
    for claim in seen.claims:
        held[claim["instance_uuid"]][claim["kind"]] = claim
    for uuid in held.keys() - seen.instances.keys():
        yield f"deleted server {uuid} holds claims {sorted(held[uuid])}"
    for uuid, row in seen.instances.items():
        kinds = {"instance"} if row["host"] else set()
        if row["vm_state"] == "resized":
            kinds.add("outgoing")
        if held[uuid].keys() != kinds:
            yield f"server {uuid} ({row['vm_state']}) holds claims {sorted(held[uuid])}"
            continue
        for kind, claim in held[uuid].items():
            flavor = json.loads(row["flavor"])
            if kind == "outgoing":
                flavor = json.loads(row["system_metadata"])["old_flavor"]
            elif seen.nodes[claim["node_id"]]["host"] != row["host"]:
                yield f"server {uuid} on {row['host']} holds a claim on another host"
            topology = json.loads(claim["topology"] or "{}")
            vcpus = flavor["vcpus"] + len(topology.get("emulator", ()))
            if (claim["vcpus"] + claim["pcpus"], claim["memory_mb"]) != (vcpus, flavor["memory_mb"]):
                yield f"claim {kind} of server {uuid} has not the size of its flavor"


def _sums(seen: Snapshot) -> Iterator[str]:
    for node_id, node in seen.nodes.items():
        claims = [claim for claim in seen.claims if claim["node_id"] == node_id]
        sums = {
            "vcpus_used": sum(claim["vcpus"] for claim in claims),
            "memory_mb_used": sum(claim["memory_mb"] for claim in claims),
            "local_gb_used": sum(claim["disk_gb"] for claim in claims),
            "instances_used": len(claims),
            "pcpus_used": sum(claim["pcpus"] for claim in claims),
        }
        for name, value in sums.items():
            if node[name] != value:
                yield f"{name} of {node['host']} is {node[name]}, its claims sum up to {value}"


def _topologies(seen: Snapshot) -> Iterator[str]:
    """CPUs and devices that two claims hold, and documents that do not agree."""
    held: dict[tuple[int, str], str] = {}
    used: dict[int, set[str]] = defaultdict(set)
    for claim in seen.claims:
        topology = json.loads(claim["topology"] or "{}")
        parts = [f"CPU {cpu}" for cpu in topology.get("pinned", ())]
        parts += [each["address"] for each in topology.get("devices", ())]
        for part in parts:
            other = held.setdefault((claim["node_id"], part), claim["instance_uuid"])
            used[claim["node_id"]].add(part)
            if other != claim["instance_uuid"]:
                yield f"{part} of node {claim['node_id']} is held by {other} and by {claim['instance_uuid']}"
        server = seen.instances.get(claim["instance_uuid"])
        if claim["kind"] == "instance" and server is not None:
            if claim["topology"] != server["topology"]:
                yield f"server {server['uuid']} is not where its claim is: {claim['topology']}"
            guest = seen.guests.get(server["host"], {}).get(server["uuid"])
            if guest is not None and guest.get("topology") != json.loads(server["topology"] or "null"):
                yield f"guest {server['uuid']} is not pinned as its server"
    for node_id, node in seen.nodes.items():
        usage = json.loads(node["topology_used"] or "{}")
        said = {f"CPU {cpu}" for cpu in usage.get("pinned", ())} | set(usage.get("devices", ()))
        if said != used[node_id]:
            yield f"node {node['host']} says that {said} are used, its claims hold {used[node_id]}"


def _addresses(seen: Snapshot) -> Iterator[str]:
    shown = {
        uuid: sorted(
            address["address"]
            for vif in json.loads(row["network_info"])
            for address in vif.get("addresses", ())
            if address.get("version", 4) == 4
        )
        for uuid, row in seen.instances.items()
    }
    held: dict[str, list[str]] = defaultdict(list)
    for row in seen.fixed_ips:
        held[row["instance_uuid"]].append(row["address"])
    for uuid in held.keys() - shown.keys():
        yield f"deleted server {uuid} holds addresses {held[uuid]}"
    for uuid, addresses in shown.items():
        if sorted(held[uuid]) != addresses:
            yield f"server {uuid} shows {addresses} and holds {sorted(held[uuid])}"
    for card in seen.cards:
        if card["instance_uuid"] not in seen.instances:
            yield f"deleted server {card['instance_uuid']} has a card {card['address']}"


def _quota(seen: Snapshot) -> Iterator[str]:
    counted: dict[str, Counter[str]] = defaultdict(Counter)
    for row in seen.instances.values():
        if row["vm_state"] == "soft-delete":
            continue
        old = json.loads(row["system_metadata"]).get("old_flavor") or {}
        counted[row["project_id"]].update(
            instances=1, cores=max(row["vcpus"], old.get("vcpus", 0)),
            ram=max(row["memory_mb"], old.get("memory_mb", 0)),
        )
    for project in counted.keys() | seen.usages.keys():
        usage = seen.usages.get(project, {})
        for name in ("instances", "cores", "ram"):
            if usage.get(name, 0) != counted[project][name]:
                yield (
                    f"project {project} is said to use {usage.get(name, 0)} {name}, it uses "
                    f"{counted[project][name]}"
                )


def _guests(seen: Snapshot) -> Iterator[str]:
    outgoing = {
        claim["instance_uuid"]: seen.nodes[claim["node_id"]]["host"]
        for claim in seen.claims if claim["kind"] == "outgoing"
    }
    for host, guests in seen.guests.items():
        for uuid, guest in guests.items():
            row = seen.instances.get(uuid)
            if row is None:
                yield f"guest {uuid} on {host} is of no server"
            elif row["host"] != host and not (guest["kept"] and outgoing.get(uuid) == host):
                yield f"guest {uuid} is on {host}, its server ({row['vm_state']}) on {row['host']}"
            elif row["host"] == host and guest["kept"] and row["vm_state"] != "error":
                yield f"guest {uuid} on {host} waits for a revert that nobody can ask for"
    for uuid, row in seen.instances.items():
        if row["host"] is None or row["vm_state"] in _WITHOUT_GUEST:
            continue
        present = seen.guests.get(row["host"], {}).get(uuid)
        if present is None:
            if row["vm_state"] != "error":
                yield f"server {uuid} ({row['vm_state']}) has no guest on {row['host']}"
        elif present["power_state"] != _POWER.get(row["vm_state"], present["power_state"]):
            yield f"guest {uuid} has power state {present['power_state']}, it is {row['vm_state']}"
        elif (present["vcpus"], present["memory_mb"]) != (row["vcpus"], row["memory_mb"]):
            yield f"guest {uuid} has not the size of its server"
        elif row["vm_state"] != "error":
            macs = sorted(vif["mac"] for vif in json.loads(row["network_info"]))
            if sorted(present["macs"]) != macs:
                yield f"guest {uuid} has the cards {sorted(present['macs'])}, its server has {macs}"


def _images(seen: Snapshot) -> Iterator[str]:
    shelved = {
        json.loads(row["system_metadata"]).get("shelved_image_id")
        for row in seen.instances.values()
    }
    for row in seen.images:
        if row["status"] not in ("active", "deactivated"):
            yield f"image {row['id']} ({row['name']}) is {row['status']}"
        elif str(row["name"]).endswith("-shelved") and row["id"] not in shelved:
            yield f"image {row['id']} ({row['name']}) is of no shelved server"


def _migrations(seen: Snapshot) -> Iterator[str]:
    for row in seen.migrations:
        waits = (
            row["status"] == "finished"
            and seen.instances.get(row["instance_uuid"], {}).get("vm_state") == "resized"
        )
        if not waits and row["status"] not in _FINAL_MIGRATIONS:
            yield f"migration {row['id']} ({row['migration_type']}) is {row['status']} for ever"
