# SPDX-License-Identifier: Apache-2.0
"""The figures of the metadata service: a hundred guests that boot at once, and what they cost the database.

The load clients share the machine. ``python benchmarks/metadata.py [guests]``
"""

from __future__ import annotations

import http.client
import json
import sys
import time
from pathlib import Path

from cloud import NO_QUOTA, body, wait_for_active
from load import PORT_OFFSET, cloud, figure, in_parallel
from sqlalchemy import event

from nova.conductor.guest_metadata import CloudGuests, GuestMetadata
from nova.conf import load
from nova.db.engine import Database
from nova.wiring_host import build_metadata

CLIENTS = 8
#: What cloud-init asks for while a guest boots.
PATHS = (
    "/openstack", "/openstack/2018-08-27/meta_data.json", "/openstack/2018-08-27/user_data",
    "/openstack/2018-08-27/vendor_data.json", "/openstack/2018-08-27/vendor_data2.json",
    "/openstack/2018-08-27/network_data.json", "/openstack/latest/meta_data.json",
    "/latest/meta-data/", "/latest/meta-data/instance-id", "/latest/meta-data/local-ipv4",
    "/latest/meta-data/public-keys/", "/latest/user-data",
)


def main() -> None:
    """Measure everything once."""
    guests = int(sys.argv[1]) if len(sys.argv) > 1 else 100
    with cloud("use_forwarded_for=true") as running:
        admin = running.client()
        admin.request("PUT", f"/v2.1/os-quota-sets/{running.project}", {"quota_set": NO_QUOTA})
        image = admin.json("GET", "/v2.1/images")["images"][0]["id"]
        for number in range(guests):
            admin.request(
                "POST", "/v2.1/servers", body(image, f"guest-{number}", user_data="IyEvYmluL3NoCg==")
            )
        wait_for_active(admin, guests)
        listed = admin.json("GET", "/v2.1/servers/detail?limit=1000")["servers"]
        addresses = [each["addresses"]["private"][0]["addr"] for each in listed]
        boot_storm(addresses)
        reads(running.state, addresses)


def boot_storm(addresses: list[str]) -> None:
    """Every guest's requests, by eight connections that take the guests in turn."""

    def work(number: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", 8775 + PORT_OFFSET, timeout=60)
        for path in PATHS:
            for address in addresses[number::CLIENTS]:
                connection.request("GET", path, headers={"X-Forwarded-For": address})
                answer = connection.getresponse()
                content = answer.read()
                assert answer.status in (200, 404), (path, answer.status)
                if path.endswith("meta_data.json"):
                    json.loads(content)
        connection.close()

    began = time.monotonic()
    in_parallel(CLIENTS, work)
    seconds = time.monotonic() - began
    figure("metadata.requests.rate", len(addresses) * len(PATHS) / seconds, "requests/s")


def reads(state: Path, addresses: list[str]) -> None:
    """Statements for each guest, counted beside the running cloud on the same database."""
    db = Database(f"sqlite:///{state}/nova.sqlite")
    seen = 0

    def count(*_: object) -> None:
        nonlocal seen
        seen += 1

    event.listen(db.engine, "before_cursor_execute", count)
    _service, guests = build_metadata(load(), CloudGuests(GuestMetadata(db)))
    guests.at(None, "192.0.2.1")
    event.remove(db.engine, "before_cursor_execute", count)
    seen, began = 0, time.perf_counter()
    event.listen(
        db.engine, "before_cursor_execute",
        lambda _c, _cursor, text, *_: count() if text.startswith("SELECT") else None,
    )
    for path in PATHS:
        for address in addresses:
            tree = guests.at(None, address)
            assert tree is not None, address
            tree.lookup(path)
    seconds = time.perf_counter() - began
    figure("metadata.database.reads_per_guest", seen / len(addresses), "statements")
    figure("metadata.lookup.mean", seconds * 1e6 / len(addresses) / len(PATHS), "us")
    db.dispose()


if __name__ == "__main__":
    main()
