# SPDX-License-Identifier: Apache-2.0
"""A private RabbitMQ: own node name, own data, own ports of one address, own Erlang port mapper."""

from __future__ import annotations

import contextlib
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from tests.services.servers import MissingServer, free_port

_PROGRAMS = ("/usr/lib/rabbitmq/bin/rabbitmq-server",)
_START_SECONDS = 90.0


class Broker:
    """A RabbitMQ node that can be killed and started again with its data."""

    def __init__(
        self, home: Path, user: pwd.struct_passwd | None, address: str = "127.0.0.1"
    ) -> None:
        self.home = home
        self.address = address
        self._user = user
        self.port, self._distribution, self._mapper = free_port(), free_port(), free_port()
        self.node = f"nova{self.port}@localhost"
        self._process: subprocess.Popen[bytes] | None = None
        (home / "plugins").write_text("[].\n")
        (home / "conf").write_text(
            f"listeners.tcp.1 = {address}:{self.port}\nloopback_users = none\n"
            "default_user = nova\ndefault_pass = nova\nvm_memory_high_watermark.relative = 0.8\n"
            "disk_free_limit.absolute = 10MB\n"
        )

    @property
    def url(self) -> str:
        """The transport URL."""
        return f"rabbit://nova:nova@{self.address}:{self.port}/"

    def start(self) -> None:
        """Start the node and wait until it takes connections."""
        with (self.home / "out").open("ab") as output:
            self._process = subprocess.Popen(
                [rabbitmq_program()], cwd=self.home, env=self._environment(), stdin=subprocess.DEVNULL,
                stdout=output, stderr=output, start_new_session=True, **self._owner(),
            )
        deadline = time.monotonic() + _START_SECONDS
        while not self._answers():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError((self.home / "out").read_text(errors="replace")[-2000:])
            time.sleep(0.1)

    def kill(self) -> None:
        """End the node as a power cut would."""
        self._end(signal.SIGKILL)

    def stop(self) -> None:
        """End the node and its port mapper."""
        self._end(signal.SIGTERM)
        mapper = shutil.which("epmd")
        if mapper:
            subprocess.run([mapper, "-kill"], env=self._environment(), capture_output=True,
                           check=False, timeout=20)

    def control(self, *arguments: str) -> str:
        """What ``rabbitmqctl`` answers."""
        done = subprocess.run(
            [str(Path(rabbitmq_program()).with_name("rabbitmqctl")), "-n", self.node, "--quiet", *arguments],
            env=self._environment(), capture_output=True, text=True, timeout=60, check=True,
            **self._owner(),
        )
        return done.stdout

    def _end(self, number: int) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, number)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def _answers(self) -> bool:
        with contextlib.suppress(OSError), socket.create_connection((self.address, self.port), 2) as probe:
            probe.sendall(b"AMQP\x00\x00\x09\x01")
            return bool(probe.recv(1))
        return False

    def _owner(self) -> dict[str, object]:
        if self._user is None:
            return {}
        return {"user": self._user.pw_uid, "group": self._user.pw_gid, "extra_groups": []}

    def _environment(self) -> dict[str, str]:
        home = str(self.home)
        return {
            "PATH": os.environ["PATH"] + ":/usr/sbin:/usr/lib/erlang/bin", "HOME": home,
            "RABBITMQ_NODENAME": self.node, "RABBITMQ_MNESIA_BASE": f"{home}/data",
            "RABBITMQ_LOG_BASE": f"{home}/log", "RABBITMQ_CONFIG_FILE": f"{home}/conf",
            "RABBITMQ_ENABLED_PLUGINS_FILE": f"{home}/plugins", "RABBITMQ_CONF_ENV_FILE": f"{home}/none",
            "RABBITMQ_DIST_PORT": str(self._distribution), "ERL_EPMD_PORT": str(self._mapper),
            "ERL_EPMD_ADDRESS": "127.0.0.1", "LANG": "C.UTF-8",
            # An idle Erlang spins for work otherwise.
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none",
        }


def rabbitmq_program() -> str:
    """The server's program; ``MissingServer`` where it is not installed."""
    for place in _PROGRAMS:
        if os.access(place, os.X_OK):
            return place
    raise MissingServer("rabbitmq-server is not installed (make system-parts)")


@contextlib.contextmanager
def rabbitmq(directory: Path | None = None, *, address: str = "127.0.0.1") -> Iterator[Broker]:
    """A running node; its data lies in ``directory``, or goes with it."""
    rabbitmq_program()
    user = None
    if os.geteuid() == 0:
        try:
            user = pwd.getpwnam("rabbitmq")
        except KeyError:
            raise MissingServer("the user rabbitmq is not there (make system-parts)") from None
    home = directory or Path(tempfile.mkdtemp(prefix="nova-rabbitmq-"))
    home.mkdir(exist_ok=True)
    broker = Broker(home, user, address)
    if user is not None:
        for path in (home, *home.iterdir()):
            os.chown(path, user.pw_uid, user.pw_gid)
    try:
        broker.start()
        yield broker
    finally:
        broker.stop()
        if directory is None:
            shutil.rmtree(home, ignore_errors=True)
