# SPDX-License-Identifier: Apache-2.0
"""One call of the libvirt driver in a process of its own, as it is run in a host's namespaces.

Reads JSON from standard input: options, the method, the instance, its arguments; answers JSON.
"""

from __future__ import annotations

import faulthandler
import sys
from pathlib import Path
from typing import Any

import msgspec

from nova.conf import load
from nova.errors import NovaError
from nova.objects.instance import Instance
from nova.objects.migration import Arrival
from nova.objects.volume_connection import VolumeConnection
from nova.virt.driver import GuestSpec, SourceImage
from nova.virt.libvirt.driver import LibvirtDriver


class Request(msgspec.Struct):
    """What to do. ``image`` is the file that every image is read from."""

    options: dict[str, Any]
    method: str
    instance: Instance
    arguments: list[Any] = []
    image: str = ""
    with_spec: bool = False
    paused: bool = False
    times: int = 1
    abort: bool = False
    hard: bool | None = None
    #: Of a spec; those of an arrival are connected first.
    volumes: list[VolumeConnection] = []
    arrival: Arrival = Arrival()


def main() -> int:
    """Do it; 1 with the error's text where it failed."""
    faulthandler.dump_traceback_later(100, exit=True)
    request = msgspec.json.decode(sys.stdin.buffer.read(), type=Request)
    overrides = {
        (group, name): value for path, value in request.options.items()
        for group, _, name in (path.rpartition("."),)
    }
    driver = LibvirtDriver(load([], overrides))

    def source(image_id: str) -> SourceImage:
        path = Path(request.image)
        return SourceImage(
            id=image_id, read=lambda: iter([path.read_bytes()]),
            disk_format="qcow2" if path.suffix == ".qcow2" else "raw",
        )

    subject: Any = request.instance
    if request.with_spec:
        subject = GuestSpec(
            instance=subject, vifs=subject.network_info, images=source, paused=request.paused,
            volumes=tuple(request.volumes),
        )
    if request.method == "destroy":
        subject = request.instance.uuid
    arguments = list(request.arguments)
    if request.method == "live_migrate":
        arguments.append(lambda done: not (
            request.abort and done.memory_processed + done.disk_processed > 0
        ))
        arguments.append(request.arrival)
    options = {} if request.hard is None else {"hard": request.hard}
    try:
        driver.start()
        if request.method == "arrival":
            driver.connect_volumes(subject, request.volumes)
        for _ in range(request.times - 1):
            getattr(driver, request.method)(subject, *arguments, **options)
        print(msgspec.json.encode(getattr(driver, request.method)(subject, *arguments, **options)).decode())
    except NovaError as error:
        print(error.message, file=sys.stderr)
        return 1
    finally:
        driver.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
