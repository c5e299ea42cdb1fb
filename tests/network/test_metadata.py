# SPDX-License-Identifier: Apache-2.0
"""169.254.169.254 as guests see it: the service of their own host, without a word in the options."""

from __future__ import annotations

import http.client
import json
import socket

import pytest

from nova.api.metadata.app import make_metadata_app
from nova.api.metadata.callers import Callers
from nova.api.metadata.service import MetadataService
from nova.conf import load
from nova.conf.network import NetworkSection
from nova.wiring_host import build_metadata
from tests.network.namespaces import Host, needs_root
from tests.network.test_floating_addresses import part, state
from tests.unit.api_metadata.known_guests import UUID, KnownGuests, guest

pytest.importorskip("pyroute2")
pytestmark = [needs_root, pytest.mark.timeout(120)]


def test_a_guest_is_told_by_its_host(host: Host) -> None:
    asking = host.guest(2)
    asking.ip("route", "add", "default", "via", "10.9.0.1")
    source = KnownGuests()
    source.guests["br100", asking.address] = guest()
    config = load()
    _unused, guests = build_metadata(config, source)
    # /sys shows the interfaces of who mounted it, not of this namespace.
    service = MetadataService(
        config, make_metadata_app(Callers(config, guests), guests), bridges=lambda: {"br100"}
    )
    with host:
        part(NetworkSection()).apply(state(), {"n1"})
        service.start()
    try:
        connection = asking.connect("169.254.169.254", 80)
        assert connection is not None
        assert json.loads(_get(connection, "/openstack/latest/meta_data.json"))["uuid"] == UUID
        connection.close()
    finally:
        service.stop()


def _get(connection: socket.socket, path: str) -> bytes:
    connection.settimeout(20)
    connection.sendall(f"GET {path} HTTP/1.0\r\nHost: metadata\r\n\r\n".encode())
    answer = http.client.HTTPResponse(connection)
    answer.begin()
    assert answer.status == 200
    return answer.read()
