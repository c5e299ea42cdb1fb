# SPDX-License-Identifier: Apache-2.0
"""nova-all-in-one: the whole cloud in one process, in the foreground."""

from __future__ import annotations

import argparse
import contextlib
import signal
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from nova import __version__, log
from nova.collecting import keep_what_is_there, uncollected
from nova.daemons.signals import follow_signals

_EPILOG = """\
examples:
  nova-all-in-one                                the cloud with its state in ./state
  nova-all-in-one --state /tmp/b --port-offset 100    a second one beside it
  nova-all-in-one --set fake.hosts=40 --set fake.zones=east,west
                                                 forty simulated hosts in two zones

then, from another shell:
  . state/demo-openrc.sh && openstack server list

Ctrl-C stops it; a second start finds everything again.
"""


def parser() -> argparse.ArgumentParser:
    """The command line."""
    made = argparse.ArgumentParser(
        prog="nova-all-in-one", description=__doc__, epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=__version__)
    made.add_argument(
        "--state", metavar="DIR", type=Path, default=Path("state"),
        help="directory that holds all state (default: ./state)",
    )
    made.add_argument(
        "--port-offset", metavar="N", type=int, default=0, help="add N to every port"
    )
    made.add_argument(
        "--listen", metavar="ADDRESS", default=None,
        help="address to listen on (default: 127.0.0.1)",
    )
    made.add_argument(
        "--config-file", metavar="FILE", action="append", default=[],
        help="read options from a nova.conf; may be given several times",
    )
    made.add_argument(
        "--set", metavar="GROUP.OPTION=VALUE", action="append", default=[], dest="settings",
        help="set one option, over the files",
    )
    made.add_argument(
        "--no-network-endpoint", action="store_true",
        help="serve no network API and leave it out of the catalogue, for older clients",
    )
    log.add_arguments(made)
    return made


def main(argv: Sequence[str] | None = None) -> int:
    """Run until a signal; 0 after a clean stop, 1 where the cloud could not start, 2 for bad usage."""
    began = time.monotonic()
    arguments = parser().parse_args(argv)
    try:
        with contextlib.ExitStack() as starting:
            starting.enter_context(uncollected())
            return _run(arguments, began, starting)
    except _Refusal as error:
        print(f"nova-all-in-one: {error}", file=sys.stderr)
        return 1


class _Refusal(Exception):
    """Why the cloud does not start."""


def _run(arguments: argparse.Namespace, began: float, starting: contextlib.ExitStack) -> int:
    from oslo_config import cfg

    from nova.all_in_one import AllInOne
    from nova.cmd.credentials import summary, write_credentials
    from nova.conf import check, load
    from nova.errors import NovaError

    state: Path = arguments.state.absolute()
    overrides = {**log.overrides_of(arguments), **_settings(arguments.settings)}
    overrides.setdefault(("DEFAULT", "state_path"), str(state))
    if arguments.no_network_endpoint:
        overrides[("network_api", "enabled")] = False
    files = list(arguments.config_file) or [str(first_configuration(state))]
    try:
        config = load(files, overrides)
    except (cfg.Error, ValueError) as error:
        raise _Refusal(f"in the configuration: {error}") from None
    try:
        log.configure(config.log, "nova-all-in-one")
    except log.LogRefused as error:
        raise _Refusal(str(error)) from None
    check.warn(files)
    listen = arguments.listen or config.default.osapi_compute_listen
    cloud = AllInOne(config, state, listen=listen, port_offset=arguments.port_offset)
    stop = threading.Event()
    follow_signals((signal.SIGINT, signal.SIGTERM), lambda _number: stop.set())
    try:
        try:
            result = cloud.start()
        except (NovaError, OSError, TimeoutError) as error:
            raise _Refusal(str(error)) from None
        external = config.keystone.identity_url() is not None
        files_written = [] if external else write_credentials(cloud, result)
        for line in summary(cloud, files_written):
            print(line)
        print(f"ready after {time.monotonic() - began:.2f} s; Ctrl-C stops it", flush=True)
        starting.close()
        keep_what_is_there()
        stop.wait()
        print("stopping", flush=True)
    finally:
        cloud.stop()
    return 0


_FIRST_CONFIGURATION = """\
# The options of this cloud; every option is explained in docs/operators/configuration.md.
# Written at first start and then left alone: change it as you like, and start again.
[DEFAULT]
state_path = {state}
compute_driver = fake.FakeDriver
# Addresses come from the database; no bridge, VLAN or DHCP server is touched on this host.
fake_network = True
network_manager = nova.network.manager.FlatDHCPManager
flat_network_bridge = br100

[fake]
# How many compute hosts are simulated.
hosts = 4
"""


def first_configuration(state: Path) -> Path:
    """The state directory's nova.conf, written where there is none; ``nova-manage`` reads it too."""
    path = state / "nova.conf"
    if not path.exists():
        state.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.write_text(_FIRST_CONFIGURATION.format(state=state))
        path.chmod(0o600)
    return path


def _settings(texts: Sequence[str]) -> dict[tuple[str, str], Any]:
    settings: dict[tuple[str, str], Any] = {}
    for text in texts:
        name, equals, value = text.partition("=")
        group, dot, option = name.rpartition(".")
        if not equals or not option:
            raise _Refusal(f"--set {text}: write it as GROUP.OPTION=VALUE")
        settings[(group if dot else "DEFAULT", option)] = value
    return settings


if __name__ == "__main__":
    sys.exit(main())
