# SPDX-License-Identifier: Apache-2.0
"""Writes a minimal qcow2 disk (QEMU docs/interop/qcow2.rst, version 2) and a boot sector for it.

The file is, cluster by cluster: header, refcount table, refcount block, L1 table, one L2 table, and
the first cluster of the disk. All other clusters of the disk read as zeros.
"""

from __future__ import annotations

import struct

CLUSTER_BITS = 12
CLUSTER = 1 << CLUSTER_BITS
_COPIED = 1 << 63
_CLUSTERS_USED = 6


def boot_sector(message: str) -> bytes:
    """512 bytes that a BIOS boots: they print ``message`` on the screen and COM1, then halt.

    One active partition of type 0x83 begins at sector 1, as disk tools expect one.
    """
    text = message.encode("ascii") + b"\r\n\0"
    code = bytes.fromhex(
        "31c0"      # xor ax, ax
        "8ed8"      # mov ds, ax
        "be197c"    # mov si, 0x7c00 + 25 (the text)
        "ac"        # next: lodsb
        "84c0"      # test al, al
        "740a"      # jz done
        "b40e"      # mov ah, 0x0e
        "cd10"      # int 0x10
        "baf803"    # mov dx, 0x3f8
        "ee"        # out dx, al
        "ebf1"      # jmp next
        "f4"        # done: hlt
        "ebfd"      # jmp done
    )
    program = code + text
    partition = struct.pack("<B3sB3sII", 0x80, b"\0\2\0", 0x83, b"\xff\xff\xff", 1, 2047)
    if len(program) > 446:
        raise ValueError("the message does not fit into the boot sector")
    return program.ljust(446, b"\0") + partition.ljust(64, b"\0") + b"\x55\xaa"


def minimal_qcow2(virtual_size: int, beginning: bytes) -> bytes:
    """A qcow2 file whose disk of ``virtual_size`` bytes begins with ``beginning``, then zeros.

    ``beginning`` is at most one cluster (4096 bytes); the disk at most 1 GiB.
    """
    l2_span = CLUSTER // 8 * CLUSTER
    l1_entries = -(-virtual_size // l2_span)
    if len(beginning) > CLUSTER or l1_entries > CLUSTER // 8:
        raise ValueError("a minimal qcow2 holds one cluster of data and 1 GiB of disk at most")
    header = struct.pack(
        ">4sIQIIQIIQQIIQ",
        b"QFI\xfb", 2,
        0, 0,                       # no backing file
        CLUSTER_BITS, virtual_size,
        0,                          # not encrypted
        l1_entries, 3 * CLUSTER,
        CLUSTER, 1,                 # refcount table: where, clusters
        0, 0,                       # no snapshots
    )
    clusters = (
        header,
        struct.pack(">Q", 2 * CLUSTER),
        struct.pack(f">{_CLUSTERS_USED}H", *(1 for _ in range(_CLUSTERS_USED))),
        struct.pack(">Q", 4 * CLUSTER | _COPIED),
        struct.pack(">Q", 5 * CLUSTER | _COPIED),
        beginning,
    )
    return b"".join(cluster.ljust(CLUSTER, b"\0") for cluster in clusters)
