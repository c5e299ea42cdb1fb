# SPDX-License-Identifier: Apache-2.0
"""The figures of the network API on an all-in-one cloud: ports made by eight clients, listed, deleted.

The load client shares the machine. ``python benchmarks/network_api.py [ports]``
"""

from __future__ import annotations

import statistics
import sys
import time

from load import PORT_OFFSET, Client, Cloud, cloud, figure, in_parallel

CLIENTS = 8
LISTINGS = 20


def main() -> None:
    """Measure everything once."""
    ports = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with cloud() as running:
        create(running, ports)
        list_ports(running, ports)
        delete(running)


def client_of(running: Cloud) -> Client:
    """A new connection to the network API."""
    return Client(9696 + PORT_OFFSET, running.token)


def create(running: Cloud, ports: int) -> None:
    """So many ports one by one by eight clients, each with an address and a security group."""
    network = client_of(running).json("GET", "/v2.0/networks?name=private")["networks"][0]["id"]
    share = ports // CLIENTS

    def work(number: int) -> None:
        client = client_of(running)
        for index in range(share):
            body = {"port": {"network_id": network, "name": f"bench-{number}-{index}"}}
            client.request("POST", "/v2.0/ports", body)

    figure("network.port_create.clients8.per_s", share * CLIENTS / in_parallel(CLIENTS, work), "1/s")


def list_ports(running: Cloud, ports: int) -> None:
    """The whole list, by one client."""
    client = client_of(running)
    found = client.json("GET", "/v2.0/ports")["ports"]
    assert len(found) == ports // CLIENTS * CLIENTS, len(found)
    times = []
    for _ in range(LISTINGS):
        began = time.monotonic()
        client.request("GET", "/v2.0/ports")
        times.append((time.monotonic() - began) * 1000)
    figure("network.port_list.median_ms", statistics.median(times), "ms")


def delete(running: Cloud) -> None:
    """All of them, by eight clients."""
    found = [each["id"] for each in client_of(running).json("GET", "/v2.0/ports")["ports"]]

    def work(number: int) -> None:
        client = client_of(running)
        for identifier in found[number::CLIENTS]:
            client.request("DELETE", f"/v2.0/ports/{identifier}")

    figure("network.port_delete.clients8.per_s", len(found) / in_parallel(CLIENTS, work), "1/s")


if __name__ == "__main__":
    main()
