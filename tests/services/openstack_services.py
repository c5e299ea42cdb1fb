# SPDX-License-Identifier: Apache-2.0
"""The real Keystone and Glance, each a process with its own SQLite file, from an environment of their own.

``make .services/.installed`` installs them; their dependencies must not decide ours.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from tests.processes import end
from tests.services.servers import MissingServer, free_port

ROOT = Path(__file__).resolve().parents[2]
PASSWORD = "größtes-geheimnis"
_START_SECONDS = 60.0

#: What runs in the services' own environment: a WSGI application on waitress.
_SERVE = """
import importlib, sys
name, port = sys.argv[1], int(sys.argv[2])
del sys.argv[1:]
application = importlib.import_module(name + ".wsgi.api").application
import waitress
waitress.serve(application, host="127.0.0.1", port=port, threads=6)
"""

_KEYSTONE = """
[database]
connection = sqlite:///{home}/keystone.sqlite
[fernet_tokens]
key_repository = {home}/tokens
[fernet_receipts]
key_repository = {home}/tokens
[identity]
password_hash_rounds = 4
[token]
expiration = {expiration}
"""

_GLANCE = """
[DEFAULT]
enabled_backends = local:file
worker_self_reference_url = http://127.0.0.1:{port}
[database]
connection = sqlite:///{home}/glance.sqlite
[glance_store]
default_backend = local
[local]
filesystem_store_datadir = {home}/images
[os_glance_tasks_store]
filesystem_store_datadir = {home}/tasks
[os_glance_staging_store]
filesystem_store_datadir = {home}/staging
[keystone_authtoken]
www_authenticate_uri = {keystone}
auth_url = {keystone}
auth_type = password
username = admin
password = {password}
project_name = admin
user_domain_id = default
project_domain_id = default
[paste_deploy]
flavor = keystone
config_file = {environment}/etc/glance/glance-api-paste.ini
"""


def environment() -> Path:
    """The virtual environment of the services; ``MissingServer`` where it is not installed."""
    place = Path(os.environ.get("NOVA_TEST_SERVICES", ROOT / ".services"))
    if not (place / "bin" / "keystone-manage").exists():
        raise MissingServer("Keystone and Glance are not installed (make .services/.installed)")
    return place


@contextlib.contextmanager
def keystone(home: Path, *, expiration: int = 3600) -> Iterator[str]:
    """A Keystone with the user admin (``PASSWORD``); yields its address."""
    place = environment()
    home.mkdir()
    (home / "tokens").mkdir(mode=0o700)
    (home / "keystone.conf").write_text(_KEYSTONE.format(home=home, expiration=expiration))
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    manage = [str(place / "bin" / "keystone-manage"), "--config-file", str(home / "keystone.conf")]
    owner = ["--keystone-user", str(os.getuid()), "--keystone-group", str(os.getgid())]
    _once([*manage, "db_sync"], home)
    _once([*manage, "fernet_setup", *owner], home)
    urls = [
        word for kind in ("admin", "internal", "public")
        for word in (f"--bootstrap-{kind}-url", f"{address}/v3")
    ]
    _once(
        [*manage, "bootstrap", "--bootstrap-password", PASSWORD, "--bootstrap-region-id", "RegionOne", *urls],
        home,
    )
    settings = {
        "OS_KEYSTONE_CONFIG_FILES": str(home / "keystone.conf"), "OS_KEYSTONE_CONFIG_DIR": str(home),
    }
    with _serving("keystone", port, home, settings):
        yield address


@contextlib.contextmanager
def glance(home: Path, keystone_address: str) -> Iterator[str]:
    """A Glance that takes the tokens of a Keystone; yields its address."""
    place = environment()
    home.mkdir()
    for name in ("images", "tasks", "staging"):
        (home / name).mkdir()
    port = free_port()
    (home / "glance-api.conf").write_text(
        _GLANCE.format(
            home=home, port=port, keystone=keystone_address, password=PASSWORD, environment=place
        ),
        encoding="utf-8",
    )
    _once(
        [str(place / "bin" / "glance-manage"), "--config-file", str(home / "glance-api.conf"), "db", "sync"],
        home,
    )
    settings = {"OS_GLANCE_CONFIG_FILES": "glance-api.conf", "OS_GLANCE_CONFIG_DIR": str(home)}
    with _serving("glance", port, home, settings):
        yield f"http://127.0.0.1:{port}"


def _once(command: list[str], home: Path) -> None:
    with (home / "log").open("ab") as log:
        done = subprocess.run(
            command, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, timeout=120, check=False
        )
    assert done.returncode == 0, f"{command}\n{(home / 'log').read_text()[-3000:]}"


@contextlib.contextmanager
def _serving(name: str, port: int, home: Path, settings: dict[str, str]) -> Iterator[None]:
    with (home / "log").open("ab") as log:
        process = subprocess.Popen(
            [str(environment() / "bin" / "python"), "-c", _SERVE, name, str(port)],
            cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=os.environ | settings,
        )
    try:
        _wait(process, f"http://127.0.0.1:{port}/", home)
        yield
    finally:
        end(process)


def _wait(process: subprocess.Popen[bytes], address: str, home: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while True:
        try:
            urllib.request.urlopen(address, timeout=5).close()
            return
        except urllib.error.HTTPError:
            return
        except OSError:
            log = (home / "log").read_text()[-3000:]
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.05)
