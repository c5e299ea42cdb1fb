# SPDX-License-Identifier: Apache-2.0
"""A daemon's process: command line, configuration, log, signals, and its units from start to end.

SIGTERM and SIGINT end it: it takes nothing new, and what runs may end within ``graceful_shutdown_timeout``;
what does not is taken up by another when its lease is over. Nothing waits long for a broker, a database or
a peer that is away, and whatever hangs all the same is left. SIGHUP reads the log's options and the policy
file again. Everything else takes a restart.
"""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import dataclasses
import os
import signal
import sys
import threading
from collections.abc import Callable, Sequence

from nova import __version__, log
from nova.collecting import keep_what_is_there, uncollected
from nova.conf import Config
from nova.daemons.notify import notify, reloading, watchdog_seconds
from nova.daemons.signals import follow_signals
from nova.daemons.unit import Units
from nova.errors import NovaError
from nova.health import Health
from nova.service import Service

#: Read where the command line names no file.
DEFAULT_FILES = ("/etc/nova/nova.conf",)
#: How long after its work had its time a daemon may take to end, seconds.
_LAST_SECONDS = 15.0
#: mallopt(3).
_M_ARENA_MAX = -8


@dataclasses.dataclass(frozen=True)
class Built:
    """What a daemon is: its units, how it stops being sent work, what is left to close, its health.

    ``hurry`` is called when it is told to end, be it in the middle of its start: nothing waits long any more.
    ``dead`` names the threads that should live and do not; with one the daemon no longer says that it lives.
    """

    units: Units
    drain: Callable[[float], object]
    close: Callable[[], object]
    health: Health
    reload: Callable[[], object] = lambda: None
    hurry: Callable[[], object] = lambda: None
    dead: Callable[[], Sequence[str]] = tuple


#: Makes a daemon's parts. The event is set when the daemon is to end; who waits looks at it.
Build = Callable[[Config, threading.Event], Built]


def parser(binary: str, purpose: str) -> argparse.ArgumentParser:
    """The command line that every daemon has."""
    made = argparse.ArgumentParser(prog=binary, description=purpose)
    made.add_argument("--version", action="version", version=__version__)
    made.add_argument(
        "--config-file", metavar="FILE", action="append", default=[],
        help="read options from a nova.conf; may be given several times (default: /etc/nova/nova.conf)",
    )
    made.add_argument(
        "--config-dir", metavar="DIR", action="append", default=[],
        help="read all *.conf of a directory as well, in the order of their names",
    )
    log.add_arguments(made)
    return made


def config_files(arguments: argparse.Namespace) -> list[str]:
    """The files that the command line names, or the default ones that are there; then those of directories.

    Raises ``ValueError`` naming a directory that is not there.
    """
    from nova.conf.directories import files_in

    files = list(arguments.config_file) or [path for path in DEFAULT_FILES if os.path.exists(path)]
    return [*files, *files_in(arguments.config_dir)]


def run(binary: str, purpose: str, build: Build, argv: Sequence[str] | None = None) -> int:
    """Run a daemon until a signal; 0 after a clean end, 1 where it cannot start, 2 for bad usage."""
    from oslo_config import cfg

    from nova.conf import check, load

    Service.named(binary)
    _few_arenas()
    arguments = parser(binary, purpose).parse_args(argv)
    overrides = log.overrides_of(arguments)
    try:
        files = config_files(arguments)
        config = load(files, overrides)
        log.configure(config.log, binary)
    except (cfg.Error, ValueError, log.LogRefused) as error:
        print(f"{binary}: in the configuration: {error}", file=sys.stderr)
        return 1
    check.warn(files)
    ending, hangup = threading.Event(), threading.Event()
    wake = threading.Event()
    _handle_signals(ending, hangup, wake)
    try:
        with uncollected():
            built = build(config, ending)
    except Ended:
        return 0
    except (NovaError, OSError) as error:
        print(f"{binary}: {error}", file=sys.stderr)
        return 1
    status = _live(binary, config, built, lambda: load(files, overrides), (ending, hangup, wake))
    _leave(status)
    return status


def _leave(status: int) -> None:
    """End the process. The interpreter's own end would wait for what still hangs on threads of pools."""
    import logging

    logging.shutdown()
    with contextlib.suppress(OSError, ValueError):
        sys.stdout.flush()
        sys.stderr.flush()
    os._exit(status)


def _few_arenas() -> None:
    """Let threads share the C library's heaps: one for each thread keeps tens of MB that nobody uses."""
    with contextlib.suppress(OSError, AttributeError):
        ctypes.CDLL(None).mallopt(_M_ARENA_MAX, 2)


class Ended(Exception):
    """The daemon was told to end before it had all that it needs."""


def _handle_signals(ending: threading.Event, hangup: threading.Event, wake: threading.Event) -> None:
    def came(number: int) -> None:
        (hangup if number == signal.SIGHUP else ending).set()
        wake.set()

    follow_signals((signal.SIGINT, signal.SIGTERM, signal.SIGHUP), came)


def _live(
    binary: str,
    config: Config,
    built: Built,
    load_again: Callable[[], Config],
    events: tuple[threading.Event, threading.Event, threading.Event],
) -> int:
    """From start to end."""
    import logging

    from nova.http.admin_listener import open_admin_listener

    logger = logging.getLogger(__name__)
    ending, hangup, wake = events
    admin = open_admin_listener(config.metrics, binary, built.health)
    threading.Thread(target=_hurry, args=(ending, built), name="hurry", daemon=True).start()
    status = 0
    try:
        with uncollected():
            built.units.start()
        keep_what_is_there()
        if not ending.is_set():
            logger.info("%s is ready", binary)
            notify("READY=1")
        watchdog = watchdog_seconds()
        while not ending.is_set():
            wake.wait(watchdog)
            wake.clear()
            dead = [*built.units.dead(), *built.dead()]
            if not dead:
                notify("WATCHDOG=1")
            elif not ending.is_set():
                logger.critical("these threads should live and do not: %s", ", ".join(dead))
            if hangup.is_set() and not ending.is_set():
                hangup.clear()
                _reload(binary, built, load_again)
    except (NovaError, OSError) as error:
        logger.error("%s cannot start: %s", binary, error)
        print(f"{binary}: {error}", file=sys.stderr)
        status = 1
    finally:
        notify("STOPPING=1")
        logger.info("%s ends", binary)
        built.health.drain()
        patience = patience_of(config)
        _end_at_last(patience + _LAST_SECONDS, binary, status)
        ending.set()
        built.units.end_tasks()
        built.drain(patience)
        built.units.stop()
        built.close()
        if admin is not None:
            admin.stop()
    return status


def patience_of(config: Config) -> float:
    """How long work may go on once the daemon was told to end, seconds; a day is no limit."""
    return float(config.messaging.graceful_shutdown_timeout) or 86400.0


def _hurry(ending: threading.Event, built: Built) -> None:
    ending.wait()
    built.hurry()


def _end_at_last(seconds: float, binary: str, status: int) -> None:
    """Whatever hangs, the process ends by then."""
    import logging

    def end() -> None:
        logging.getLogger(__name__).error("%s leaves what did not end within %.0f seconds", binary, seconds)
        _leave(status)

    timer = threading.Timer(seconds, end)
    timer.daemon = True
    timer.start()


def _reload(binary: str, built: Built, load_again: Callable[[], Config]) -> None:
    """Take up what may change under way; a configuration with a mistake changes nothing."""
    import logging

    logger = logging.getLogger(__name__)
    notify(reloading())
    try:
        log.configure(load_again().log, binary)
        built.reload()
        logger.info("%s has read its log options and its policy again", binary)
    except Exception as error:
        logger.error("%s keeps its options: %s", binary, error)
    notify("READY=1")
