# SPDX-License-Identifier: Apache-2.0
"""Compute nodes: the sizes that hosts report, and what is claimed of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Text,
    bindparam,
    case,
    delete,
    func,
    insert,
    select,
    type_coerce,
    update,
)

from nova.db.schema.base import Document, now
from nova.db.schema.hosts import claims, compute_nodes, services
from nova.decoding import decode_json
from nova.errors import Conflict, NotFound
from nova.objects.host import ComputeNode, HostReport, NodeStatistics, NodeUsage

_CHUNK = 500

# Inside the class ``list`` is the method.
Nodes = list[ComputeNode]
Usages = list[NodeUsage]

# Documents are read as text: equal texts are decoded once and shared by the nodes that have them,
# so that ten thousand hosts of one kind hold one CPU description.
_SELECT: Select[Any] = select(
    *(
        type_coerce(column, Text).label(column.name)
        if isinstance(column.type, Document)
        else column
        for column in compute_nodes.c
    )
)
_DOCUMENTS = tuple(
    place for place, column in enumerate(compute_nodes.c) if isinstance(column.type, Document)
)
_USAGE = select(
    compute_nodes.c.id,
    compute_nodes.c.vcpus_used,
    compute_nodes.c.memory_mb_used,
    compute_nodes.c.local_gb_used,
    compute_nodes.c.instances_used,
    compute_nodes.c.pcpus_used,
    compute_nodes.c.topology_generation,
)
_USAGE_MEASURED = _USAGE.add_columns(type_coerce(compute_nodes.c.metrics, Text))
_REPORTED = tuple(
    name
    for name in HostReport.__struct_fields__
    if name in compute_nodes.c and name not in ("host", "hypervisor_hostname")
)
_UPDATE = (
    update(compute_nodes)
    .where(compute_nodes.c.id == bindparam("node_id"))
    .values(
        {
            **{name: bindparam(name) for name in (*_REPORTED, "updated_at")},
            # What was fitted to the host as it was does not fit by itself to what it is now.
            "topology_generation": compute_nodes.c.topology_generation
            + case(
                (
                    func.coalesce(compute_nodes.c.topology, "")
                    == func.coalesce(bindparam("as_reported", type_=compute_nodes.c.topology.type), ""),
                    0,
                ),
                else_=1,
            ),
        }
    )
)


def _nodes(rows: Iterable[Sequence[Any]]) -> list[ComputeNode]:
    shared: dict[str, Any] = {}
    found = []
    for row in rows:
        values = list(row)
        for place in _DOCUMENTS:
            text = values[place]
            if text is None:
                continue
            document = shared.get(text)
            if document is None:
                document = shared[text] = decode_json(text)
            values[place] = document
        found.append(ComputeNode(*values))
    return found


class NodeStore:
    """Compute nodes. Only the claim store writes the ``*_used`` columns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def report(self, report: HostReport) -> ComputeNode:
        """Add the node or update its sizes and facts; returns it with what is claimed."""
        self.report_many([report])
        found = self._select(
            compute_nodes.c.host == report.host,
            compute_nodes.c.hypervisor_hostname == report.hypervisor_hostname,
        )
        return found[0]

    def report_many(self, reports: Sequence[HostReport]) -> None:
        """The same for many nodes: three statements for each 500."""
        for start in range(0, len(reports), _CHUNK):
            self._report_chunk(reports[start : start + _CHUNK])

    def _report_chunk(self, reports: Sequence[HostReport]) -> None:
        hosts = list({report.host for report in reports})
        known = {
            (row.host, row.hypervisor_hostname): row.id
            for row in self._connection.execute(
                select(
                    compute_nodes.c.id, compute_nodes.c.host, compute_nodes.c.hypervisor_hostname
                ).where(compute_nodes.c.host.in_(hosts))
            )
        }
        moment = now()
        changed, added = [], {}
        for report in reports:
            values = {name: getattr(report, name) for name in _REPORTED}
            key = (report.host, report.hypervisor_hostname)
            if key in known:
                changed.append(
                    {
                        **values, "node_id": known[key], "updated_at": moment,
                        "as_reported": report.topology,
                    }
                )
            else:
                added[key] = {
                    **values,
                    "uuid": str(uuid.uuid4()),
                    "host": report.host,
                    "hypervisor_hostname": report.hypervisor_hostname,
                    "created_at": moment,
                }
        if changed:
            # One order for all who write several nodes, or two transactions wait for each other.
            changed.sort(key=lambda values: values["node_id"])
            self._connection.execute(_UPDATE, changed)
        if added:
            self._connection.execute(insert(compute_nodes), list(added.values()))

    def list(self) -> Nodes:
        """All nodes by id."""
        return self._select()

    def page(self, limit: int, *, after: int = 0) -> Nodes:
        """At most ``limit`` nodes by id, behind the one of internal id ``after``."""
        query = _SELECT.where(compute_nodes.c.id > after).order_by(compute_nodes.c.id)
        return _nodes(self._connection.execute(query.limit(limit)))

    def usage(self, *, measured: bool = False) -> Usages:
        """What is claimed on every node: the light read that keeps a scheduler's table true.

        With ``measured`` also what the hosts measured last.
        """
        if not measured:
            return [NodeUsage(*row) for row in self._connection.execute(_USAGE)]
        rows = self._connection.execute(_USAGE_MEASURED).all()
        # Simulated hosts all measure the same.
        documents = {text: decode_json(text) for text in {row[7] for row in rows}}
        return [NodeUsage(*(*row[:7], documents[row[7]])) for row in rows]

    def get_many(self, node_ids: Sequence[int]) -> Nodes:
        """Those of the nodes that are there."""
        found: Nodes = []
        for start in range(0, len(node_ids), _CHUNK):
            found += self._select(compute_nodes.c.id.in_(node_ids[start : start + _CHUNK]))
        return found

    def get(self, node_id: int) -> ComputeNode:
        """The node of this internal id, or ``NotFound``."""
        return self._one(compute_nodes.c.id == node_id, node_id)

    def get_by_uuid(self, node_uuid: str) -> ComputeNode:
        """The node of this uuid, or ``NotFound``."""
        return self._one(compute_nodes.c.uuid == node_uuid, node_uuid)

    def by_host(self, host: str) -> Nodes:
        """The nodes of one host; most have one."""
        return self._select(compute_nodes.c.host == host)

    def search(self, pattern: str) -> Nodes:
        """Nodes whose hypervisor host name contains ``pattern``, taken literally."""
        return self._select(compute_nodes.c.hypervisor_hostname.contains(pattern, autoescape=True))

    def delete(self, node_id: int) -> None:
        """Remove a node. Raises ``NotFound``; ``Conflict`` while anything is claimed on it."""
        held = select(claims.c.node_id).where(claims.c.node_id == node_id)
        done = self._connection.execute(
            delete(compute_nodes).where(compute_nodes.c.id == node_id, ~held.exists())
        )
        if not done.rowcount:
            self.get(node_id)
            raise Conflict(f"Compute node {node_id} still holds servers.")

    def statistics(self) -> NodeStatistics:
        """Sums over the nodes whose compute service is not disabled, as the API shows them."""
        node = compute_nodes.c
        memory_used = node.memory_mb_used + node.reserved_memory_mb
        disk_used = node.local_gb_used + node.reserved_disk_gb
        sums = (
            node.vcpus + node.pcpus,
            node.memory_mb,
            node.local_gb,
            node.vcpus_used + node.pcpus_used + node.reserved_vcpus,
            memory_used,
            disk_used,
            node.memory_mb - memory_used,
            node.local_gb - disk_used,
            func.coalesce(node.disk_available_least, 0),
            node.running_vms,
        )
        row = self._connection.execute(
            select(func.count(), *(func.coalesce(func.sum(value), 0) for value in sums))
            .select_from(
                compute_nodes.join(
                    services,
                    (services.c.host == node.host) & (services.c.binary == "nova-compute"),
                )
            )
            .where(services.c.disabled.is_(False))
        ).one()
        return NodeStatistics(*(int(value) for value in row))

    def _select(self, *conditions: ColumnElement[bool]) -> Nodes:
        query = _SELECT.where(*conditions).order_by(compute_nodes.c.id)
        return _nodes(self._connection.execute(query))

    def _one(self, condition: ColumnElement[bool], shown: object) -> ComputeNode:
        found = self._select(condition)
        if not found:
            raise NotFound(f"Compute host {shown} could not be found.")
        return found[0]
