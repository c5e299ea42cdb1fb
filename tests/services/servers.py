# SPDX-License-Identifier: Apache-2.0
"""Private MariaDB and PostgreSQL servers: own data, own socket, own port on 127.0.0.1.

They are tuned for tests that throw their data away, and end with the process that started them.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

from tests.processes import end

_START_SECONDS = 60.0
_STOP_SECONDS = 20.0
_ELSEWHERE = ("/usr/sbin", "/usr/libexec", "/usr/local/bin")


class MissingServer(Exception):
    """A program or a user that the server needs is not on this machine."""


@dataclasses.dataclass(frozen=True)
class Server:
    """A running server; ``url`` names a database of it, made where it is not there yet."""

    engine: str
    pid: int
    url: Callable[[str], str]


def program(name: str, *, near: str = "") -> str:
    """The path of a server's program; ``MissingServer`` where it is not installed."""
    found = shutil.which(name)
    places = [Path(directory) / name for directory in _ELSEWHERE]
    if near:
        places += sorted(Path("/").glob(f"{near}/{name}"), reverse=True)
    for place in [Path(found)] if found else places:
        if os.access(place, os.X_OK):
            return str(place)
    raise MissingServer(f"{name} is not installed (make system-parts)")


def free_port() -> int:
    """A TCP port of 127.0.0.1 that nothing listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def mariadb(*, durable: bool = False) -> Iterator[Server]:
    """A MariaDB that refuses tables without a primary key, as Galera does.

    ``durable`` keeps what was committed when the server is killed.
    """
    import pymysql

    install, daemon = program("mariadb-install-db"), program("mariadbd")
    with _directory("mariadb", "mysql") as (home, user):
        data, unix = home / "data", home / "socket"
        # A server that starts removes the temporary tables that it finds, those of others in /tmp as well.
        common = ["--no-defaults", f"--datadir={data}", f"--tmpdir={home}"]
        as_user = ["--user=mysql"] if user else []
        _once(
            [install, *common, "--auth-root-authentication-method=normal", "--skip-test-db", *as_user],
            home, {},
        )
        port = free_port()
        command = [
            daemon, *common, *as_user, f"--socket={unix}", f"--port={port}", "--bind-address=127.0.0.1",
            f"--pid-file={home}/pid", "--skip-name-resolve", "--skip-log-bin", "--max-connections=400",
            f"--innodb-flush-log-at-trx-commit={2 if durable else 0}", "--innodb-flush-method=nosync",
            "--innodb-buffer-pool-size=96M",
            "--innodb-force-primary-key=ON", "--innodb-print-all-deadlocks=OFF",
        ]

        def connect() -> Any:
            return pymysql.connect(unix_socket=str(unix), user="root", autocommit=True)

        def url(name: str) -> str:
            with contextlib.closing(connect()) as connection, connection.cursor() as cursor:
                cursor.execute(f"CREATE DATABASE IF NOT EXISTS `{name}`")
                cursor.execute(f"GRANT ALL ON `{name}`.* TO nova@127.0.0.1 IDENTIFIED BY 'nova'")
            return f"mysql+pymysql://nova:nova@127.0.0.1:{port}/{name}"

        with _running(command, home, {}, lambda: connect().close(), signal.SIGTERM) as pid:
            yield Server("mariadb", pid, url)


@contextlib.contextmanager
def postgresql(*, durable: bool = False) -> Iterator[Server]:
    """A PostgreSQL with UTF-8 text; ``durable`` keeps what was committed when the server is killed."""
    import psycopg

    near = "usr/lib/postgresql/*/bin"
    install, daemon = program("initdb", near=near), program("postgres", near=near)
    with _directory("postgresql", "postgres") as (home, user):
        data = home / "data"
        owner = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []} if user else {}
        _once(
            [install, "-D", str(data), "-A", "trust", "-U", "postgres", "-E", "UTF8",
             "--locale=C.UTF-8", "--no-sync"],
            home, owner,
        )
        port = free_port()
        command = [
            daemon, "-D", str(data), "-k", str(home), "-p", str(port), "-c", "listen_addresses=127.0.0.1",
            "-c", "max_connections=400", "-c", "fsync=off",
            "-c", f"synchronous_commit={'on' if durable else 'off'}",
            "-c", "deadlock_timeout=200ms",
        ]
        address = f"host=127.0.0.1 port={port} user=postgres"

        def connect() -> Any:
            return psycopg.connect(f"{address} dbname=postgres", autocommit=True)

        def url(name: str) -> str:
            with contextlib.closing(connect()) as connection:
                there = connection.execute(
                    "SELECT 1 FROM pg_database WHERE datname = %s", [name]
                ).fetchone()
                if there is None:
                    connection.execute(f'CREATE DATABASE "{name}"')
            return f"postgresql+psycopg://postgres@127.0.0.1:{port}/{name}"

        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients.
        with _running(command, home, owner, lambda: connect().close(), signal.SIGINT) as pid:
            yield Server("postgresql", pid, url)


@contextlib.contextmanager
def _directory(name: str, user: str) -> Iterator[tuple[Path, pwd.struct_passwd | None]]:
    """A short path (a Unix socket's has at most 107 bytes) that the server's user owns."""
    account: pwd.struct_passwd | None = None
    if os.geteuid() == 0:
        try:
            account = pwd.getpwnam(user)
        except KeyError:
            raise MissingServer(f"the user {user} of {name} is not there (make system-parts)") from None
    home = Path(tempfile.mkdtemp(prefix=f"nova-{name}-"))
    try:
        if account is not None:
            os.chown(home, account.pw_uid, account.pw_gid)
        yield home, account
    finally:
        shutil.rmtree(home, ignore_errors=True)


def _once(command: list[str], home: Path, owner: dict[str, Any]) -> None:
    done = subprocess.run(
        command, cwd=home, capture_output=True, text=True, timeout=_START_SECONDS, check=False, **owner
    )
    if done.returncode != 0:
        raise RuntimeError(f"{command[0]} failed: {done.stdout[-1000:]}{done.stderr[-1000:]}")


@contextlib.contextmanager
def _running(
    command: list[str], home: Path, owner: dict[str, Any], probe: Callable[[], None], ending: int
) -> Iterator[int]:
    log = home.with_suffix(".log")
    try:
        with log.open("wb") as output:
            process = _start(command, home, owner, output)
        try:
            _wait(process, probe, log)
            yield process.pid
        finally:
            end(process, _STOP_SECONDS, ending)
    finally:
        log.unlink(missing_ok=True)


def _start(
    command: list[str], home: Path, owner: dict[str, Any], output: IO[bytes]
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command, cwd=home, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
        start_new_session=True, **owner,
    )


def _wait(process: subprocess.Popen[bytes], probe: Callable[[], None], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            probe()
            return
        except Exception as error:
            if process.poll() is None and time.monotonic() < deadline:
                time.sleep(0.05)
                continue
            said = log.read_text(errors="replace")[-2000:]
            raise RuntimeError(f"{process.args!r} does not answer: {error}\n{said}") from None
