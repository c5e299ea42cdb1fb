# SPDX-License-Identifier: Apache-2.0
"""How many CPUs of which kind a placed guest counts."""

from __future__ import annotations

from nova.objects.topology import GuestTopology
from nova.topology.usage import floating


def charged(
    vcpus: int, topology: GuestTopology | None, *, kept_apart: bool
) -> tuple[int, int]:
    """(shared CPUs, pinned CPUs) that a claim counts, on a node that keeps pinned ones apart or not.

    An isolated guest's idle siblings are not counted, as in the original; its emulator's CPU is.
    """
    if topology is None or not topology.pinned:
        return vcpus, 0
    pinned = sum(len(cell.pinning) for cell in topology.cells) + len(topology.emulator)
    shared = sum(floating(cell) for cell in topology.cells)
    return (shared, pinned) if kept_apart else (shared + pinned, 0)
