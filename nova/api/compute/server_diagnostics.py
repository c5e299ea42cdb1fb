# SPDX-License-Identifier: Apache-2.0
"""``/servers/{id}/diagnostics``: flat up to 2.47, one shape for all drivers from 2.48 on."""

from __future__ import annotations

from typing import Any

from nova.api.compute.policies import ADMIN
from nova.api.compute.request import ApiRequest
from nova.api.compute.routing import Route
from nova.policy import Rule
from nova.virt.driver import Diagnostics

_RULE = "os_compute_api:os-server-diagnostics"
RULES: tuple[Rule, ...] = (Rule(_RULE, ADMIN, "See a server's counters."),)


def show(request: ApiRequest) -> Any:
    """The guest's counters."""
    operations = request.cloud.operations
    instance = operations.get(request.caller, request.path["server_id"])
    request.check(_RULE, project_id=instance.project_id)
    found = operations.diagnostics(request.caller, instance)
    return _standard(found) if request.features.standard_diagnostics else _flat(found)


def _standard(found: Diagnostics) -> dict[str, Any]:
    return {
        "state": found.state, "driver": found.driver, "hypervisor": found.hypervisor,
        "hypervisor_os": found.hypervisor_os, "uptime": found.uptime,
        "config_drive": found.config_drive, "num_cpus": found.num_cpus,
        "num_nics": len(found.nics), "num_disks": len(found.disks),
        "cpu_details": [
            {"id": number, "time": spent, "utilisation": None}
            for number, spent in enumerate(found.cpu_time)
        ],
        "nic_details": [
            {
                "mac_address": nic.mac, "rx_octets": nic.rx_octets, "rx_errors": nic.rx_errors,
                "rx_drop": nic.rx_drop, "rx_packets": nic.rx_packets, "rx_rate": nic.rx_rate,
                "tx_octets": nic.tx_octets, "tx_errors": nic.tx_errors, "tx_drop": nic.tx_drop,
                "tx_packets": nic.tx_packets, "tx_rate": nic.tx_rate,
            }
            for nic in found.nics
        ],
        "disk_details": [
            {
                "read_bytes": disk.read_bytes, "read_requests": disk.read_requests,
                "write_bytes": disk.write_bytes, "write_requests": disk.write_requests,
                "errors_count": disk.errors_count,
            }
            for disk in found.disks
        ],
        "memory_details": {"maximum": found.memory_maximum, "used": found.memory_used},
    }


def _flat(found: Diagnostics) -> dict[str, int]:
    """libvirt's names of old, numbered in order; memory in KiB."""
    shown: dict[str, int] = {"memory": found.memory_maximum * 1024}
    for number, spent in enumerate(found.cpu_time):
        shown[f"cpu{number}_time"] = spent
    for number, disk in enumerate(found.disks):
        name = f"vd{chr(ord('a') + number % 26)}"
        shown[f"{name}_read"] = disk.read_bytes
        shown[f"{name}_read_req"] = disk.read_requests
        shown[f"{name}_write"] = disk.write_bytes
        shown[f"{name}_write_req"] = disk.write_requests
        shown[f"{name}_errors"] = disk.errors_count
    for number, nic in enumerate(found.nics):
        name = f"vnet{number}"
        shown[f"{name}_rx"] = nic.rx_octets
        shown[f"{name}_rx_packets"] = nic.rx_packets
        shown[f"{name}_rx_errors"] = nic.rx_errors
        shown[f"{name}_rx_drop"] = nic.rx_drop
        shown[f"{name}_tx"] = nic.tx_octets
        shown[f"{name}_tx_packets"] = nic.tx_packets
        shown[f"{name}_tx_errors"] = nic.tx_errors
        shown[f"{name}_tx_drop"] = nic.tx_drop
    return shown


ROUTES: tuple[Route, ...] = (Route("GET", "/servers/{server_id}/diagnostics", show),)
