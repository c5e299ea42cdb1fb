# SPDX-License-Identifier: Apache-2.0
"""The figures of the all-in-one cloud: boots, deletes, listings, shows, memory, cold start.

The load client shares the machine. ``python benchmarks/cloud.py [servers]``
"""

from __future__ import annotations

import statistics
import sys
import time

from load import Client, Cloud, cloud, figure, in_parallel

CLIENTS = 8
NO_QUOTA = {"instances": -1, "cores": -1, "ram": -1}


def main() -> None:
    """Measure everything once."""
    servers = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    with cloud() as running:
        figure("start.first.ready_s", running.ready_seconds, "s")
        admin = running.client()
        admin.request("PUT", f"/v2.1/os-quota-sets/{running.project}", {"quota_set": NO_QUOTA})
        image = admin.json("GET", "/v2.1/images")["images"][0]["id"]
        boot(running, image, servers)
        list_and_show(running, servers)
        figure("memory.peak_mib", running.peak_memory_mib(), "MiB")
        delete(running)
        boot_batch(running, image)


def body(image: str, name: str, **more: object) -> dict[str, object]:
    """A boot as the simplest client asks for it."""
    return {"server": {"name": name, "imageRef": image, "flavorRef": "1", **more}}


def wait_for_active(client: Client, count: int) -> None:
    """Return when so many servers are ACTIVE, asking for a count only."""
    while True:
        active = client.json("GET", "/v2.1/servers?status=ACTIVE&limit=1000")["servers"]
        if len(active) >= count:
            return
        time.sleep(0.01)


def boot(running: Cloud, image: str, servers: int) -> None:
    """So many boots one by one by eight clients: first POST to last ACTIVE."""
    share = servers // CLIENTS
    done: list[float] = []

    def work(number: int) -> None:
        client = running.client()
        for index in range(share):
            client.request("POST", "/v2.1/servers", body(image, f"bench-{number}-{index}"))
            done.append(time.monotonic())

    began = time.monotonic()
    in_parallel(CLIENTS, work)
    wait_for_active(running.client(), share * CLIENTS)
    figure("boot.one_by_one.rate", share * CLIENTS / (time.monotonic() - began), "servers/s")
    tenth = max(1, len(done) // 10)
    done.sort()
    first = tenth / (done[tenth - 1] - began)
    last = tenth / (done[-1] - done[-tenth - 1])
    figure("boot.accepted.first_tenth", first, "requests/s")
    figure("boot.accepted.last_tenth", last, "requests/s")


def list_and_show(running: Cloud, servers: int) -> None:
    """The two reads that clients make most."""
    medians = []
    for version in ("2.1", "2.104"):
        client = running.client(version)
        times = []
        for _ in range(30):
            began = time.perf_counter()
            client.request("GET", "/v2.1/servers/detail?limit=1000")
            times.append((time.perf_counter() - began) * 1000)
        medians.append(statistics.median(times))
        figure(f"list.{servers}.v{version}.p50_ms", medians[-1], "ms")
    figure(f"list.{servers}.newest_to_oldest", medians[1] / medians[0], "times")
    uuids = [each["id"] for each in running.client().json("GET", "/v2.1/servers")["servers"]]
    share = 600

    def work(number: int) -> None:
        client = running.client()
        for index in range(share):
            client.request("GET", f"/v2.1/servers/{uuids[(number * share + index) % len(uuids)]}")

    seconds = in_parallel(CLIENTS, work)
    figure("show.rate", CLIENTS * share / seconds, "requests/s")


def delete(running: Cloud) -> None:
    """Delete them all by eight clients: first DELETE to none left."""
    uuids = [each["id"] for each in running.client().json("GET", "/v2.1/servers")["servers"]]

    def work(number: int) -> None:
        client = running.client()
        for uuid in uuids[number::CLIENTS]:
            client.request("DELETE", f"/v2.1/servers/{uuid}")

    began = time.monotonic()
    in_parallel(CLIENTS, work)
    client = running.client()
    while client.json("GET", "/v2.1/servers?limit=1")["servers"]:
        time.sleep(0.01)
    figure("delete.rate", len(uuids) / (time.monotonic() - began), "servers/s")


def boot_batch(running: Cloud, image: str) -> None:
    """One request for a hundred servers: to all ACTIVE; the median of five."""
    client = running.client()
    times = []
    for number in range(5):
        began = time.monotonic()
        client.request(
            "POST", "/v2.1/servers", body(image, f"batch-{number}", min_count=100, max_count=100)
        )
        wait_for_active(client, 100 * (number + 1))
        times.append(time.monotonic() - began)
    figure("boot.batch100.s", statistics.median(times), "s")


if __name__ == "__main__":
    main()
