# SPDX-License-Identifier: Apache-2.0
"""Why there is no valid host: how many hosts each filter removed, and why the last ones went."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.table import HostTable, Mask


def explain(
    table: HostTable, filters: Sequence[Filter], spec: RequestSpec, attempt: Attempt
) -> str:
    """The reason as one paragraph.

    ``There are not enough hosts available. Of 4 hosts: ComputeFilter removed 1; RamFilter removed
    the last 3 (wanted 999999 MiB of memory, the most free is 8192).``
    """
    text = "There are not enough hosts available."
    total = len(table)
    if not total:
        return f"{text} There are no compute hosts."
    left = np.ones(total, dtype=bool)
    told: list[str] = []
    for label, mask in _named_hosts(table, spec):
        left = _told(told, label, left, mask, "")
    if left.any() and spec.force_host is None and spec.force_node is None:
        for each in filters:
            if not each.applies(spec):
                continue
            before = left
            mask = each.mask(table, spec, attempt)
            gone = before & ~mask
            last = not (before & mask).any()
            left = _told(
                told, each.name, before, mask, each.reason(table, spec, gone) if last else ""
            )
            if last:
                break
    hosts = "host" if total == 1 else "hosts"
    return f"{text} Of {total} {hosts}: {'; '.join(told)}."


def _told(told: list[str], name: str, left: Mask, mask: Mask, reason: str) -> Mask:
    after: Mask = left & mask
    removed = int(np.count_nonzero(left)) - int(np.count_nonzero(after))
    if removed:
        last = "" if after.any() else "the last "
        told.append(f"{name} removed {last}{removed}" + (f" ({reason})" if reason else ""))
    return after


def _named_hosts(table: HostTable, spec: RequestSpec) -> list[tuple[str, Mask]]:
    named: list[tuple[str, Mask]] = []
    if spec.ignore_hosts:
        ignored = ", ".join(spec.ignore_hosts[:5])
        named.append(
            (f"hosts tried or excluded before ({ignored})", ~table.mask_of_hosts(spec.ignore_hosts))
        )
    for host in (spec.force_host, spec.wanted_host):
        if host is not None:
            named.append((f"the wish for host '{host}'", table.mask_of_hosts((host,))))
    for name in (spec.force_node, spec.wanted_node):
        if name is not None:
            mask = np.array([node.hypervisor_hostname == name for node in table.nodes], dtype=bool)
            named.append((f"the wish for node '{name}'", mask))
    return named
