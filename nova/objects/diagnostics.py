# SPDX-License-Identifier: Apache-2.0
"""A guest's counters, as the API shows them (API reference, Server diagnostics)."""

from __future__ import annotations

import msgspec


class NicDiagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one NIC."""

    mac: str
    rx_octets: int = 0
    rx_packets: int = 0
    rx_errors: int = 0
    rx_drop: int = 0
    rx_rate: int | None = None
    tx_octets: int = 0
    tx_packets: int = 0
    tx_errors: int = 0
    tx_drop: int = 0
    tx_rate: int | None = None


class DiskDiagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """Counters of one disk, bytes and requests."""

    read_bytes: int = 0
    read_requests: int = 0
    write_bytes: int = 0
    write_requests: int = 0
    errors_count: int = 0


class Diagnostics(msgspec.Struct, frozen=True, kw_only=True):
    """A guest's counters in one shape for all drivers. Memory MiB, times seconds and nanoseconds."""

    state: str
    driver: str
    hypervisor: str
    hypervisor_os: str
    uptime: int
    config_drive: bool
    num_cpus: int
    cpu_time: tuple[int, ...]
    memory_maximum: int
    memory_used: int
    nics: tuple[NicDiagnostics, ...] = ()
    disks: tuple[DiskDiagnostics, ...] = ()
