# SPDX-License-Identifier: Apache-2.0
"""A cluster for development on this machine: private MariaDB and RabbitMQ, all daemons, N compute hosts."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cluster.cluster import COMPUTE, IDENTITY, running


def main() -> int:
    """Run until Ctrl-C."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--state", type=Path, default=Path("cluster-state"), help="directory of everything")
    parser.add_argument("--computes", type=int, default=4, help="compute hosts")
    parser.add_argument("--conductors", type=int, default=1)
    parser.add_argument("--schedulers", type=int, default=1)
    parser.add_argument("--port-offset", type=int, default=0, help="add this to every port")
    arguments = parser.parse_args()
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    began = time.monotonic()
    print("starting MariaDB, RabbitMQ and the daemons", flush=True)
    with running(
        arguments.state.absolute(), offset=arguments.port_offset, computes=arguments.computes,
        conductors=arguments.conductors, schedulers=arguments.schedulers, faces=True,
    ) as cluster:
        print(f"  identity  http://127.0.0.1:{IDENTITY + arguments.port_offset}/v3")
        print(f"  compute   http://127.0.0.1:{COMPUTE + arguments.port_offset}/v2.1")
        print(f"  hosts     {', '.join(cluster.hosts)}")
        print(f"  logs      {cluster.directory}/*.log")
        print(f"try: . {cluster.directory}/admin-openrc.sh && openstack compute service list")
        print(f"ready after {time.monotonic() - began:.1f} s; Ctrl-C stops it", flush=True)
        stop.wait()
        print("stopping", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
