# SPDX-License-Identifier: Apache-2.0
"""Reads metadata with cloud-init's own code, under the system's Python; prints what it understood as JSON.

Arguments: the service's address, and optionally a directory with a config drive's files.
"""

from __future__ import annotations

import json
import logging
import sys
from typing import Any

from cloudinit.net import network_state
from cloudinit.sources.helpers import ec2, openstack


def plain(value: Any) -> Any:
    """Bytes as text, for JSON."""
    if isinstance(value, bytes):
        return value.decode("latin-1")
    if isinstance(value, dict):
        return {str(key): plain(each) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(each) for each in value]
    return value


def network(found: dict[str, Any]) -> Any:
    """The network configuration that cloud-init makes of it, parsed to its end."""
    known = {link["ethernet_mac_address"]: f"eth{n}" for n, link in enumerate(found["links"])}
    config = openstack.convert_net_json(found, known_macs=known)
    network_state.parse_net_config_data(config)
    return config


def main() -> None:
    """Read and print."""
    logging.basicConfig(level=logging.ERROR)
    url = sys.argv[1]
    reader = openstack.MetadataReader(url, timeout=20)
    service = reader.read_v2()
    answer = {
        "service": service,
        "network": network(service["networkdata"]),
        "ec2": ec2.get_instance_metadata("latest", url, timeout=20, retries=0),
        "ec2_userdata": ec2.get_instance_userdata("latest", url, timeout=20, retries=0),
    }
    if len(sys.argv) > 2:
        drive = openstack.ConfigDriveReader(sys.argv[2]).read_v2()
        answer["drive"] = drive
        answer["drive_network"] = network(drive["networkdata"])
    print(json.dumps(plain(answer)))


if __name__ == "__main__":
    main()
