# SPDX-License-Identifier: Apache-2.0
"""A metadata service with a guest on each bridge named, in a process of its own."""

from __future__ import annotations

import signal
import sys
import threading

from nova.api.metadata.app import make_metadata_app
from nova.api.metadata.callers import Callers
from nova.api.metadata.service import MetadataService
from nova.conf import load
from nova.wiring_host import build_metadata
from tests.unit.api_metadata.known_guests import KnownGuests, guest


def main() -> None:
    """Arguments: an address, then BRIDGE=UUID."""
    address, *guests = sys.argv[1:]
    config = load()
    source = KnownGuests()
    for text in guests:
        bridge, _, uuid = text.partition("=")
        source.guests[bridge, address] = guest(uuid=uuid)
    _service, remembered = build_metadata(config, source)
    service = MetadataService(config, make_metadata_app(Callers(config, remembered), remembered))
    service.start()
    print("ready", flush=True)
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    stop.wait()
    service.stop()


if __name__ == "__main__":
    main()
