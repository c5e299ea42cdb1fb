# SPDX-License-Identifier: Apache-2.0
"""nova-bootstrap: make a new cloud ready for its daemons. Safe to repeat.

It makes the database's tables, the control side's key, users, roles, endpoints and flavors, a first network
and a test image, and writes credentials files. The daemons may run already: they wait for this.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
import threading
from collections.abc import Sequence
from pathlib import Path


def parser() -> argparse.ArgumentParser:
    """The command line."""
    from nova.daemons.process import parser as daemon_parser

    made = daemon_parser("nova-bootstrap", __doc__ or "")
    made.add_argument(
        "--credentials", metavar="DIR", type=Path, default=None,
        help="where admin-openrc.sh, clouds.yaml and the passwords are written (default: state_path)",
    )
    made.add_argument(
        "--enrol", metavar="HOST", action="append", default=[],
        help="give this host a key, in key_directory, if it has none there; may be given several times",
    )
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Do it; 1 where it cannot be done."""
    from nova import log
    from nova.conf import load
    from nova.daemons.process import config_files
    from nova.errors import NovaError

    arguments = parser().parse_args(argv)
    try:
        config = load(config_files(arguments), log.overrides_of(arguments))
        log.configure(config.log, "nova-bootstrap")
        _bootstrap(config, arguments)
    except (NovaError, OSError, ValueError) as error:
        print(f"nova-bootstrap: {error}", file=sys.stderr)
        return 1
    return 0


@dataclasses.dataclass(frozen=True)
class _Described:
    """The cloud as the credentials files tell of it."""

    state: Path
    public_host: str
    ports: object
    secrets: object


def _bootstrap(config: object, arguments: argparse.Namespace) -> None:
    from nova.all_in_one import DEFAULT_NETWORK, Ports, load_secrets, make_endpoints, not_served
    from nova.cmd.credentials import write_credentials
    from nova.conductor.enrolment import enrol
    from nova.conf import Config
    from nova.db import migrate
    from nova.db.engine import Database, Transaction
    from nova.identity.bootstrap import ensure_cloud
    from nova.identity.service import IdentityService
    from nova.image.bootstrap import ensure_test_image
    from nova.image.service import ImageService
    from nova.network.creation import create_networks
    from nova.rpc.envelope import CONTROL
    from nova.rpc.keys import new_key, read_key, write_key

    assert isinstance(config, Config)
    os.umask(0o077)
    state = Path(config.default.state_path)
    credentials: Path = arguments.credentials or state
    for directory in (state, credentials, Path(config.host_identity.key_directory)):
        directory.mkdir(parents=True, exist_ok=True)
    control_file = Path(config.host_identity.control_key_file)
    if not control_file.exists():
        write_key(control_file, new_key(CONTROL))
    control = read_key(control_file)
    url = config.database.connection or f"sqlite:///{state}/nova.sqlite"
    db = Database(url, pool_size=2)
    _wait(db)
    migrate.prepare(db)
    secrets, ports = load_secrets(credentials), Ports.of(config, 0)
    external = config.network.external
    network = config.network_api.enabled and not external
    result = ensure_cloud(
        IdentityService(db, config.identity, state / "keys"), admin_password=secrets.admin_password,
        demo_password=secrets.demo_password,
        endpoints=make_endpoints(
            config.default.my_ip, ports, network=network, volume=config.volume.enabled
        ),
        without=not_served(config),
    )
    images = ImageService(db, config.image, state / "images")
    if result.created and result.admin_project_id:
        ensure_test_image(images, result.admin_project_id)
    flat = dataclasses.replace(
        config.network, network_manager="nova.network.manager.FlatDHCPManager",
        flat_network_bridge=config.network.flat_network_bridge or "br100",
    )

    def write(tx: Transaction) -> None:
        tx.flavors.seed_defaults()
        if result.created and not external and not tx.networks.every():
            create_networks(tx, DEFAULT_NETWORK, flat)

    db.run(write)
    for host in arguments.enrol:
        path = Path(config.host_identity.key_directory) / f"{host}.key"
        if not path.exists():
            write_key(path, enrol(db, control, host))
    db.dispose()
    described = _Described(credentials, config.default.my_ip, ports, secrets)
    for path in write_credentials(described, result):  # type: ignore[arg-type]
        print(path)


def _wait(db: object) -> None:
    """Wait for the database to answer, saying so."""
    import logging

    from sqlalchemy.exc import DBAPIError

    pause = threading.Event()
    while True:
        try:
            db.ping()  # type: ignore[attr-defined]
            return
        except DBAPIError as error:
            text = str(getattr(error, "orig", None) or error).splitlines()[0]
            logging.getLogger(__name__).warning("waiting for the database: %s", text)
            pause.wait(2)


if __name__ == "__main__":
    sys.exit(main())
