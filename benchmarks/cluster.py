# SPDX-License-Identifier: Apache-2.0
"""Figures of a cluster: MariaDB, RabbitMQ and separate daemons on this machine, fake driver.

    python benchmarks/cluster.py [boots] [servers]      boots by 8 clients, rate and p95, memory of daemons
    python benchmarks/cluster.py idle [hosts] [seconds] processor time with so many hosts that report
"""

from __future__ import annotations

import itertools
import sys
import tempfile
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tests.cluster.cluster import Api, Cluster, free_offset, running
from tests.cluster.faces import look_at_the_faces

_TICKS = 100.0


def _processor_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def _megabytes(pid: int) -> float:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS"):
            return int(line.split()[1]) / 1024
    return 0.0


def _environment(process: Path) -> str:
    try:
        return (process / "environ").read_bytes().decode(errors="replace")
    except OSError:
        return ""


def _servers_of(cluster: Cluster) -> dict[str, int]:
    """The database's and the broker's processes, by their commands."""
    found = {}
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:
            continue
        if "beam.smp" in command and str(cluster.broker.home) in _environment(path.parent):
            found["broker"] = int(path.parent.name)
        if "mariadbd" in command and cluster.database_url.rpartition("/")[0].rpartition(":")[2] in command:
            found["database"] = int(path.parent.name)
    return found


def boots(cluster: Cluster, count: int) -> None:
    """Boot one by one by eight clients; each waits until its server is active."""
    apis = [cluster.api() for _ in range(8)]
    image, flavor = apis[0].image_id(), "1"
    pids = {name: each.process.pid for name, each in cluster.daemons.items() if each.process}
    pids |= _servers_of(cluster)
    numbers, times, failed = itertools.count(1), [], []

    def client(api: Api) -> None:
        while (number := next(numbers)) <= count:
            began = time.perf_counter()
            body = {"server": {
                "name": f"b{number}", "imageRef": image, "flavorRef": flavor, "networks": "auto"}}
            status, answer = api.ask("POST", "/servers", body)
            if status != 202:
                failed.append(answer)
                continue
            uuid = answer["server"]["id"]
            while True:
                state = api.get(f"/servers/{uuid}")["server"]["status"]
                if state != "BUILD":
                    break
                time.sleep(0.02)
            times.append(time.perf_counter() - began)
            if state != "ACTIVE":
                failed.append(state)

    before = {name: _processor_seconds(pid) for name, pid in pids.items()}
    threads = [threading.Thread(target=client, args=(api,)) for api in apis]
    began = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    elapsed = time.perf_counter() - began
    times.sort()
    print(f"figure cluster_boots {count / elapsed:.1f} per_second")
    print(f"figure cluster_boot_p95 {times[int(len(times) * 0.95)]:.2f} seconds")
    print(f"figure cluster_boot_failures {len(failed)} servers {failed[:3] if failed else ''}")
    look_at_the_faces(cluster, apis[0], apis[0].get("/servers/detail?limit=20")["servers"])
    for name, pid in sorted(pids.items()):
        print(f"figure cluster_memory_{name} {_megabytes(pid):.0f} MB")
        used = (_processor_seconds(pid) - before[name]) / count * 1000
        print(f"figure cluster_processor_{name} {used:.2f} ms_per_boot")


def idle(cluster: Cluster, seconds: float) -> None:
    """What conductor, broker and database use while hosts report and nothing else happens."""
    time.sleep(15)
    pids = {name: each.process.pid for name, each in cluster.daemons.items() if each.process}
    pids |= _servers_of(cluster)
    before = {name: _processor_seconds(pid) for name, pid in pids.items()}
    time.sleep(seconds)
    share = {name: (_processor_seconds(pid) - before[name]) / seconds * 100 for name, pid in pids.items()}
    for name, value in sorted(share.items()):
        print(f"figure cluster_idle_{name} {value:.1f} percent_of_a_core")
    kinds = ("conductor", "broker", "database")
    three = sum(value for name, value in share.items() if name.startswith(kinds))
    print(f"figure cluster_idle {three:.1f} percent_of_a_core")


def main() -> None:
    """Measure."""
    arguments = sys.argv[1:]
    with tempfile.TemporaryDirectory() as directory:
        if arguments[:1] == ["idle"]:
            hosts = int(arguments[1]) if len(arguments) > 1 else 1000
            seconds = float(arguments[2]) if len(arguments) > 2 else 60.0
            shape = {"computes": 4, "simulated": hosts // 4}
            with running(Path(directory) / "c", offset=free_offset(), **shape) as cluster:
                idle(cluster, seconds)
        else:
            count = int(arguments[-1]) if arguments else 500
            limits = ["quota.instances = -1", "quota.cores = -1", "quota.ram = -1"]
            with running(
                Path(directory) / "c", offset=free_offset(), computes=4, options=limits, faces=True
            ) as cluster:
                boots(cluster, count)


if __name__ == "__main__":
    main()
