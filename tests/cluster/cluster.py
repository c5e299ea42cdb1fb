# SPDX-License-Identifier: Apache-2.0
"""A whole cluster on one machine without containers: MariaDB, RabbitMQ and daemons as processes.

Everything lies in one directory; passwords are made anew. The database server and the broker come first, as
they choose their ports, then all daemons at once, in no order: each waits for what it needs. That these wait
for a database and a broker as well is what test_postgresql.py tries.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import random
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from nova.console.simulated import SimulatedConsoles
from tests.cluster.proxy import Proxy, proxy_to
from tests.processes import end
from tests.services import servers
from tests.services.broker import Broker, rabbitmq
from tests.services.broker_cluster import BrokerCluster, rabbitmq_cluster

ROOT = Path(__file__).resolve().parents[2]
#: The ports of a cluster, from its first one on.
IDENTITY, IMAGE, COMPUTE, NETWORK, VOLUME = 5000, 9292, 8774, 9696, 8776
METADATA, VNC, SERIAL, SCREENS = 8775, 6080, 6083, 6085
#: The metrics of the first of all daemons; each has one of its own, as far as there are that many.
METRICS, MOST_METRICS = 7500, 20
#: What runs on hosts, with a host's key and without a database.
ON_HOSTS = ("compute", "api_metadata", "novncproxy", "serialproxy")


@dataclasses.dataclass
class Daemon:
    """One daemon of the cluster."""

    name: str
    command: list[str]
    log: Path
    process: subprocess.Popen[bytes] | None = None
    #: Where its metrics and its health are; 0 is anywhere.
    metrics_port: int = 0
    #: Added to the environment at its next start.
    environment: dict[str, str] = dataclasses.field(default_factory=dict)

    def start(self) -> None:
        """Start it in a session of its own."""
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1",
                       **self.environment}
        with self.log.open("ab") as output:
            self.process = subprocess.Popen(
                self.command, env=environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
                start_new_session=True, cwd=self.log.parent,
            )

    def end(self, number: int = signal.SIGTERM, patience: float = 60.0) -> bool:
        """Send it a signal and wait for its end; False where it did not obey and was killed."""
        process, self.process = self.process, None
        if process is None:
            return True
        end(process, patience, number)
        return process.returncode != -signal.SIGKILL or number == signal.SIGKILL

    def lines(self, words: str) -> int:
        """How many lines of its log have these words."""
        return self.log.read_text(errors="replace").count(words) if self.log.exists() else 0

    @property
    def is_alive(self) -> bool:
        """Whether it runs."""
        return self.process is not None and self.process.poll() is None


class Cluster:
    """The daemons over a database and a broker."""

    def __init__(
        self,
        directory: Path,
        database_url: str,
        broker: Broker,
        *,
        offset: int,
        apis: int = 1,
        conductors: int = 1,
        schedulers: int = 1,
        computes: int = 4,
        options: Sequence[str] = (),
        simulated: int = 1,
        links: tuple[Proxy, Proxy] | None = None,
        transport_url: str = "",
        faces: bool = False,
    ) -> None:
        """``links`` are the proxies through which the daemons reach the database and the broker.

        With ``faces`` the first two hosts have metadata services, the first has the proxies of consoles, and
        the simulated guests have screens.
        """
        self.directory, self.broker, self.offset = directory, broker, offset
        self.database_url = database_url
        self.database: DatabaseProcess
        self.brokers: BrokerCluster | None
        self._daemons_database, self._transport_url = database_url, transport_url or broker.url
        if links is not None:
            self.database_link, self.broker_link = links
            self._daemons_database = _through(database_url, self.database_link.port)
            self._transport_url = _through(broker.url, self.broker_link.port)
        self.apis = apis
        self.guests = directory / "hosts" / "guests"
        self.daemons: dict[str, Daemon] = {}
        self._options = options
        self._simulated = simulated
        #: False once its daemons did not come up in time.
        self.is_whole = True
        self._has_screens = False
        directory.mkdir(parents=True, exist_ok=True)
        self.hosts = [f"node{number}" for number in range(1, computes + 1)]
        self.screens = SimulatedConsoles(
            "127.0.0.1", SCREENS + offset, SCREENS + offset + 2
        ) if faces else None
        kinds = [("identity", 1), ("image", 1), ("volume", 1), ("conductor", conductors),
                 ("scheduler", schedulers), ("api", apis)]
        for kind, count in kinds:
            for number in range(1, count + 1):
                self._add(kind, f"{kind}{number}", number)
        for host in self.hosts:
            self._add("compute", host, 1, host)
        if faces:
            for number, host in enumerate(self.hosts[:2], 1):
                self._add("api_metadata", f"metadata{number}", number, host)
            self._add("novncproxy", "vnc1", 1, self.hosts[0])
            self._add("serialproxy", "serial1", 1, self.hosts[0])

    def _add(self, kind: str, name: str, number: int, host: str | None = None) -> None:
        """A daemon and its options; ``host`` is that of one that runs on hosts."""
        state = self.directory / ("hosts" if kind in ON_HOSTS else "control")
        files = self.directory / "conf"
        files.mkdir(exist_ok=True)
        state.mkdir(exist_ok=True)
        shift = self.offset + 10 * (number - 1)
        host = host or f"controller{number}"
        database = "" if kind in ON_HOSTS else f"[database]\nconnection = {self._daemons_database}\n"
        metrics = METRICS + self.offset + len(self.daemons) if len(self.daemons) < MOST_METRICS else 0
        (files / f"{name}.conf").write_text(
            f"[DEFAULT]\nhost = {host}\nmy_ip = 127.0.0.1\nstate_path = {state}\n"
            f"transport_url = {self._transport_url}\ncompute_driver = fake.FakeDriver\nfake_network = True\n"
            f"network_manager = nova.network.manager.FlatDHCPManager\nflat_network_bridge = br100\n"
            f"osapi_compute_listen_port = {COMPUTE + shift}\n"
            + "".join(f"{each}\n" for each in self._options if "." not in each.split("=")[0])
            + f"{database}[host_identity]\ncontrol_key_file = {self.directory}/control/control.key\n"
            f"key_directory = {self.directory}/hosts/keys\n"
            f"[identity]\nlisten_port = {IDENTITY + self.offset}\n"
            f"[image]\nlisten_port = {IMAGE + self.offset}\n"
            f"[volume]\nlisten_port = {VOLUME + self.offset}\n"
            f"[network_api]\nlisten_port = {NETWORK + shift}\n[metrics]\nlisten_port = {metrics}\n"
            f"[fake]\ndaemon_hosts = {self._simulated}\n"
            + (self._face_options(METADATA + shift) if self.screens is not None else "")
            + "".join(_section(each) for each in self._options if "." in each.split("=")[0])
        )
        (files / f"{name}.conf").chmod(0o600)
        command = [sys.executable, "-m", f"nova.cmd.{kind}", "--config-file", str(files / f"{name}.conf")]
        self.daemons[name] = Daemon(
            name, command, self.directory / f"{name}.log", metrics_port=metrics
        )

    def _face_options(self, metadata_port: int) -> str:
        """Where the services of guests listen, and where those who look for them find them."""
        vnc, serial = VNC + self.offset, SERIAL + self.offset
        return (
            f"console_port = {SCREENS + self.offset}\n[DEFAULT]\nmetadata_listen = 127.0.0.1\n"
            f"metadata_listen_port = {metadata_port}\nuse_forwarded_for = True\nmetadata_by_bridge = False\n"
            f"[vnc]\nnovncproxy_host = 127.0.0.1\nnovncproxy_port = {vnc}\n"
            f"novncproxy_base_url = http://127.0.0.1:{vnc}/vnc.html\n"
            f"[serial_console]\nserialproxy_host = 127.0.0.1\nserialproxy_port = {serial}\n"
            f"base_url = ws://127.0.0.1:{serial}/\n"
        )

    def bootstrap(self) -> None:
        """What ``nova-bootstrap`` does, for all hosts of the cluster."""
        names = self.hosts
        if self._simulated > 1:
            names = [f"{host}-{n}" for host in self.hosts for n in range(1, self._simulated + 1)]
        arguments = [part for host in names for part in ("--enrol", host)]
        done = subprocess.run(
            [sys.executable, "-m", "nova.cmd.bootstrap", "--config-file",
             str(self.directory / "conf" / "identity1.conf"), "--credentials", str(self.directory),
             *arguments],
            env={**os.environ, "PYTHONPATH": str(ROOT)}, capture_output=True, text=True, timeout=300,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)

    def start(self, *, shuffled: bool = True) -> None:
        """Start all daemons, in any order."""
        if self.screens is not None and not self._has_screens:
            self.screens.start()
            self._has_screens = True
        daemons = list(self.daemons.values())
        if shuffled:
            random.shuffle(daemons)
        for daemon in daemons:
            daemon.start()

    def wait_ready(self, seconds: float = 120.0) -> Api:
        """A session, once the APIs answer and every host is up; ``TimeoutError`` with the logs' ends."""
        deadline = time.monotonic() + seconds
        self.is_whole = False
        while True:
            with contextlib.suppress(Exception):
                api = self.api()
                found = api.get("/os-services?binary=nova-compute")["services"]
                up = [each for each in found if each["state"] == "up"]
                if len(up) == len(self.hosts) * self._simulated:
                    self.is_whole = True
                    return api
            if time.monotonic() > deadline:
                raise TimeoutError(self.tails())
            for daemon in self.daemons.values():
                if not daemon.is_alive:
                    raise RuntimeError(f"{daemon.name} ended\n{self.tails()}")
            time.sleep(0.2)

    def tails(self) -> str:
        """The ends of all logs."""
        return "\n".join(
            f"--- {each.name}\n{each.log.read_text(errors='replace')[-1500:]}"
            for each in self.daemons.values() if each.log.exists()
        )

    def stop(self) -> None:
        """End all daemons, all at once; raises ``RuntimeError`` naming those that did not obey."""
        if self.screens is not None and self._has_screens:
            self.screens.stop()
            self._has_screens = False
        alive = [daemon for daemon in self.daemons.values() if daemon.is_alive]
        for daemon in alive:
            assert daemon.process is not None
            daemon.process.terminate()
        deaf = [daemon.name for daemon in alive if not daemon.end()]
        if deaf:
            raise RuntimeError(f"SIGTERM did not end {', '.join(deaf)}\n{self.tails()}")

    def api(self, user: str = "admin", *, turn: int | None = None) -> Api:
        """A session with the compute API: with its first process, or with all, beginning at ``turn``."""
        return Api(self, user, turn)


class Api:
    """A small client of the cluster.

    With a ``turn`` it goes to the next process where one refuses the connection, as a balancer does, and
    raises ``ConnectionRefusedError`` where all do.
    """

    def __init__(self, cluster: Cluster, user: str, turn: int | None = None) -> None:
        secrets = json.loads((cluster.directory / "secrets.json").read_text())
        self._port = COMPUTE + cluster.offset
        self._processes = cluster.apis if turn is not None else 1
        self._turn = (turn or 0) % self._processes
        #: The id of the last request.
        self.request_id = ""
        self.image_base = f"http://127.0.0.1:{IMAGE + cluster.offset}/v2"
        self.volume_base = f"http://127.0.0.1:{VOLUME + cluster.offset}/v3"
        body = {"auth": {
            "identity": {"methods": ["password"], "password": {"user": {
                "name": user, "domain": {"id": "default"}, "password": secrets[f"{user}_password"]}}},
            "scope": {"project": {"name": user, "domain": {"id": "default"}}},
        }}
        answer = urllib.request.urlopen(urllib.request.Request(
            f"http://127.0.0.1:{IDENTITY + cluster.offset}/v3/auth/tokens", json.dumps(body).encode(),
            {"Content-Type": "application/json"},
        ), timeout=20)
        #: Sent with each request.
        self.headers = {
            "X-Auth-Token": answer.headers["X-Subject-Token"], "Content-Type": "application/json",
            "OpenStack-API-Version": "compute 2.79",
        }

    @property
    def base(self) -> str:
        """Where it asks first."""
        return f"http://127.0.0.1:{self._port + 10 * self._turn}/v2.1"

    def ask(self, method: str, path: str, body: Any = None, *, base: str | None = None) -> tuple[int, Any]:
        """One request: status and body."""
        if base is not None:
            return self._ask(method, base + path, body)
        for tried in range(1, self._processes + 1):
            try:
                return self._ask(method, self.base + path, body)
            except urllib.error.URLError as error:
                if not isinstance(error.reason, ConnectionRefusedError):
                    raise
                self._turn = (self._turn + 1) % self._processes
                if tried == self._processes:
                    raise error.reason from None
        raise AssertionError("unreachable")

    def _ask(self, method: str, url: str, body: Any) -> tuple[int, Any]:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(url, data, self.headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=60) as answer:
                return self._read(answer.status, answer)
        except urllib.error.HTTPError as error:
            return self._read(error.code, error)

    def _read(self, status: int, answer: Any) -> tuple[int, Any]:
        self.request_id = answer.headers.get("x-openstack-request-id", "")
        text = answer.read()
        return status, json.loads(text) if text else None

    def get(self, path: str) -> Any:
        """The body of a successful answer."""
        status, body = self.ask("GET", path)
        if status != 200:
            raise RuntimeError(f"GET {path}: {status} {body}")
        return body

    def image_id(self) -> str:
        """The test image."""
        return str(self.ask("GET", "/images?name=nova-test", base=self.image_base)[1]["images"][0]["id"])


def _through(url: str, port: int) -> str:
    """A URL with the port in place of its own."""
    return re.sub(r"(@127\.0\.0\.1):\d+", rf"\1:{port}", url)


def _section(option: str) -> str:
    name, _, value = option.partition("=")
    group, _, field = name.strip().partition(".")
    return f"[{group}]\n{field} = {value.strip()}\n"


#: Names of the offsets that this process has taken: whose cluster is slow to start has them all the same.
_TAKEN: list[socket.socket] = []


def free_offset() -> int:
    """A port offset at which nothing listens yet, and which no other process of tests has taken."""
    for _ in range(100):
        offset = random.randrange(21000, 22000, 20)
        name = socket.socket(socket.AF_UNIX)
        try:
            name.bind(f"\0nova-tests-{offset}")
            for base in (IDENTITY, IMAGE, COMPUTE, NETWORK, VOLUME, COMPUTE + 10, NETWORK + 10, METADATA,
                         METADATA + 10, VNC, SERIAL, SCREENS, SCREENS + 2, METRICS):
                with socket.socket() as probe:
                    probe.bind(("127.0.0.1", base + offset))
        except OSError:
            name.close()
        else:
            _TAKEN.append(name)
            return offset
    raise RuntimeError("no ports are free")


def _children(pid: int) -> list[int]:
    """The processes that one has started."""
    found: list[int] = []
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(each) for each in task.read_text().split()]
    return found


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


class DatabaseProcess:
    """A database server that can be killed and started again with its data."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        raw = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        self._command = [part.decode() for part in raw if part]
        self._owner = Path(f"/proc/{pid}").stat().st_uid
        self._again: subprocess.Popen[bytes] | None = None

    def kill(self) -> None:
        """End it and all its processes as a power cut would."""
        pids = [self._pid, *_children(self._pid)]
        for pid in pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        deadline = time.monotonic() + 20
        while any(_runs(pid) for pid in pids) and time.monotonic() < deadline:
            time.sleep(0.05)
        # PostgreSQL takes a process that nobody has waited for as one that runs.
        with contextlib.suppress(ChildProcessError):
            os.waitpid(self._pid, 0)

    def start(self) -> None:
        """Start it again; it takes connections a little later."""
        owner: dict[str, Any] = {}
        if os.geteuid() == 0 and self._owner and "postgres" in self._command[0]:
            owner = {"user": self._owner, "group": self._owner, "extra_groups": []}
        self._again = subprocess.Popen(
            self._command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL, start_new_session=True, **owner,
        )
        self._pid = self._again.pid

    def stop(self) -> None:
        """End what was started again."""
        if self._again is not None and self._again.poll() is None:
            self._again.terminate()
            try:
                self._again.wait(30)
            except subprocess.TimeoutExpired:
                self.kill()


def at_once(closing: contextlib.ExitStack, *parts: contextlib.AbstractContextManager[Any]) -> list[Any]:
    """Start servers side by side; what began is ended with ``closing``, even where another one failed."""
    with ThreadPoolExecutor(len(parts)) as pool:
        begun = [pool.submit(closing.enter_context, each) for each in parts]
    return [each.result() for each in begun]


@contextlib.contextmanager
def running(
    directory: Path, *, offset: int, proxied: bool = False, engine: str = "mariadb", tls_brokers: int = 0,
    **shape: Any,
) -> Iterator[Cluster]:
    """A cluster with its own database server and broker, until the block ends.

    ``proxied`` daemons reach both through proxies, which tests tell what networks do. ``tls_brokers`` are so
    many brokers of one cluster that speak TLS alone; the daemons know another address besides, where there
    is none.
    """
    start = servers.postgresql if engine == "postgresql" else servers.mariadb
    with contextlib.ExitStack() as closing:
        database, served = at_once(
            closing, start(durable=True), rabbitmq_cluster(tls_brokers) if tls_brokers else rabbitmq()
        )
        url = database.url("nova")
        brokers: BrokerCluster | None = None
        if isinstance(served, BrokerCluster):
            brokers, broker = served, served.nodes[0]
            nobody = f"rabbit://nova:nova@127.0.0.1:{servers.free_port()},"
            tls = "oslo_messaging_rabbit.ssl = True", f"oslo_messaging_rabbit.ssl_ca_file = {brokers.ca_file}"
            shape["options"] = (*shape.get("options", ()), *tls)
            shape["transport_url"] = brokers.url.replace("rabbit://", nobody)
        else:
            broker = served
        links = None
        if proxied:
            port = int(re.sub(r".*127\.0\.0\.1:(\d+)/.*", r"\1", url))
            links = closing.enter_context(proxy_to(port)), closing.enter_context(proxy_to(broker.port))
        cluster = Cluster(directory, url, broker, offset=offset, links=links, **shape)
        cluster.database, cluster.brokers = DatabaseProcess(database.pid), brokers
        try:
            cluster.start()
            cluster.bootstrap()
            cluster.wait_ready()
            yield cluster
        finally:
            closing.callback(cluster.database.stop)
            cluster.stop()
