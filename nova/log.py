# SPDX-License-Identifier: Apache-2.0
"""The log of every command: configured in one place, each line with the request it belongs to.

What a request is about is set once, where it enters a process, and then every line of that thread carries
it: ``belongs_to`` by the HTTP faces, ``about`` around an operation on the control side and around a step
on a host. Threads do not inherit it from each other.
"""

from __future__ import annotations

import argparse
import contextlib
import logging
import logging.config
import logging.handlers
import re
import sys
import time
from contextvars import ContextVar, Token
from pathlib import Path
from types import TracebackType
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import msgspec

if TYPE_CHECKING:
    from nova.conf.log import LogSection

#: Lines that ``verbose`` adds: one for each HTTP request, and one for each step and operation.
ACCESS = logging.getLogger("nova.access")
OPERATIONS = logging.getLogger("nova.operations")


class LogContext(NamedTuple):
    """What a line belongs to."""

    request_id: str
    user_id: str = ""
    project_id: str = ""
    instance_uuid: str = ""


_REQUEST_ID = re.compile(r"req-[0-9a-zA-Z-]{1,60}")
_context: ContextVar[LogContext | None] = ContextVar("nova_log_context", default=None)


def belongs_to(request_id: str, user_id: str = "", project_id: str = "") -> None:
    """From now on this thread works for a request; until it is told otherwise."""
    _context.set(LogContext(request_id, user_id, project_id))


def belongs_to_nothing() -> None:
    """From now on this thread works for no request."""
    _context.set(None)


def belongs_to_message(request_id: str | None) -> None:
    """From now on this thread works for the request that a message says it is from.

    Whoever sends messages may say anything: what is no request id is not written into the log.
    """
    if request_id is not None and _REQUEST_ID.fullmatch(request_id):
        belongs_to(request_id)
    else:
        belongs_to_nothing()


def current() -> LogContext | None:
    """What this thread works for."""
    return _context.get()


def current_request_id() -> str | None:
    """The id of the request that this thread works for."""
    context = _context.get()
    return None if context is None else context.request_id


class about:  # noqa: N801 - reads as a word in a with statement
    """``with about(request_id, instance_uuid):`` what is logged within belongs to that."""

    __slots__ = ("_given", "_token")

    def __init__(
        self, request_id: str, instance_uuid: str = "", user_id: str = "", project_id: str = ""
    ) -> None:
        self._given = LogContext(request_id, user_id, project_id, instance_uuid)

    def __enter__(self) -> None:
        self._token: Token[LogContext | None] = _context.set(self._given)

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _error: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        _context.reset(self._token)


# --- how lines read --------------------------------------------------------------------------------


class TextFormatter(logging.Formatter):
    """Lines in oslo.log's formats: one for those of a request, one for others."""

    def __init__(self, section: LogSection) -> None:
        super().__init__(datefmt=section.log_date_format)
        self._of_request = section.logging_context_format_string
        self._other = section.logging_default_format_string
        self._debug_suffix = section.logging_debug_format_suffix
        self._trace_prefix = section.logging_exception_prefix
        self._identity = section.logging_user_identity_format
        self._instance = section.instance_format

    def format(self, record: logging.LogRecord) -> str:
        """One line, and a trace below it where there is one, each of its lines with the prefix."""
        context = _context.get()
        record.message = record.getMessage()
        record.asctime = self.formatTime(record, self.datefmt)
        self._fill(record, context)
        text = (self._other if context is None else self._of_request) % record.__dict__
        if record.levelno == logging.DEBUG and self._debug_suffix:
            text = f"{text} {self._debug_suffix % record.__dict__}"
        if record.exc_info:
            prefix = self._trace_prefix % record.__dict__
            trace = self.formatException(record.exc_info)
            text += "".join(f"\n{prefix}{line}" for line in trace.splitlines())
        return text

    def _fill(self, record: logging.LogRecord, context: LogContext | None) -> None:
        """Give the record what the formats name beside Python's own attributes."""
        facts = record.__dict__
        instance = context.instance_uuid if context else ""
        names = {
            "request_id": context.request_id if context else "-",
            "user": (context.user_id if context else "") or "-",
            "project": (context.project_id if context else "") or "-",
            "user_domain": "-", "project_domain": "-", "domain": "-",
            "instance": self._instance % {"uuid": instance} if instance else "",
            "resource": "", "color": "", "error_summary": "",
        }
        # Names of Kilo's formats.
        names["tenant"], names["user_id"], names["project_id"] = (
            names["project"], names["user"], names["project"],
        )
        facts.update(names)
        facts["user_identity"] = self._identity % facts


class _Line(msgspec.Struct, omit_defaults=True):
    """One line as JSON."""

    timestamp: str
    level: str
    logger: str
    message: str
    process: int | None
    thread: str | None
    request_id: str = ""
    user_id: str = ""
    project_id: str = ""
    instance_uuid: str = ""
    traceback: str = ""


class JsonFormatter(logging.Formatter):
    """One JSON object a line; times are UTC."""

    def format(self, record: logging.LogRecord) -> str:
        """The line."""
        context = _context.get() or LogContext("")
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
        line = _Line(
            timestamp=f"{stamp}.{int(record.msecs):03d}Z", level=record.levelname,
            logger=record.name, message=record.getMessage(), process=record.process,
            thread=record.threadName, request_id=context.request_id, user_id=context.user_id,
            project_id=context.project_id, instance_uuid=context.instance_uuid,
            traceback=self.formatException(record.exc_info) if record.exc_info else "",
        )
        return msgspec.json.encode(line).decode()


# --- where lines go --------------------------------------------------------------------------------


class LogRefused(Exception):
    """Why the log cannot be opened as configured, naming the option."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The flags that every daemon has had since before Kilo."""
    group = parser.add_argument_group("log")
    group.add_argument("-d", "--debug", action="store_true", help="log at DEBUG")
    group.add_argument(
        "-v", "--verbose", action="store_true", help="log every request and every step"
    )
    group.add_argument("--log-dir", metavar="DIR", help="directory of the log file")
    group.add_argument("--log-file", metavar="FILE", help="log to this file, in --log-dir")
    group.add_argument("--use-json", action="store_true", help="log one JSON object a line")


def overrides_of(arguments: argparse.Namespace) -> dict[tuple[str, str], Any]:
    """What the flags of ``add_arguments`` set, as ``nova.conf.load`` takes it."""
    given = {
        name: getattr(arguments, name, None)
        for name in ("debug", "verbose", "log_dir", "log_file", "use_json")
    }
    return {("DEFAULT", name): value for name, value in given.items() if value}


def configure(section: LogSection, command: str, *, stream: IO[str] | None = None) -> None:
    """Send the process's log where the options say; ``command`` names a file that only has a directory.

    What was configured before is replaced, so that it may be done again after a reload. Raises
    ``LogRefused`` with nothing changed.
    """
    if section.log_config_append is not None:
        try:
            logging.config.fileConfig(section.log_config_append, disable_existing_loggers=False)
        except Exception as error:
            raise LogRefused(f"log_config_append {section.log_config_append}: {error}") from None
        return
    levels = _levels(section.default_log_levels)
    handlers = _handlers(section, command, stream)
    formatter = _formatter(section)
    root = logging.getLogger()
    for handler in list(root.handlers):
        if getattr(handler, "of_nova", False):
            root.removeHandler(handler)
            handler.close()
    for handler in handlers:
        handler.of_nova = True  # type: ignore[attr-defined]
        handler.setFormatter(formatter)
        root.addHandler(handler)
    root.setLevel(logging.DEBUG if section.debug else logging.WARNING)
    logging.getLogger("nova").setLevel(logging.DEBUG if section.debug else logging.INFO)
    detailed = logging.INFO if section.verbose or section.debug else logging.WARNING
    for logger in (ACCESS, OPERATIONS):
        logger.setLevel(detailed)
    for name, level in levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(True)


def _formatter(section: LogSection) -> logging.Formatter:
    if section.use_json:
        return JsonFormatter()
    formatter = TextFormatter(section)
    record = logging.LogRecord("nova", logging.DEBUG, "", 0, "", (), None)
    for request in (LogContext("req-trial", "user", "project", "instance"), None):
        token = _context.set(request)
        try:
            formatter.format(record)
        except (KeyError, ValueError, TypeError) as error:
            raise LogRefused(
                f"one of the options logging_*_format*, logging_exception_prefix and instance_format: "
                f"{type(error).__name__}: {error}"
            ) from None
        finally:
            _context.reset(token)
    return formatter


def log_path(section: LogSection, command: str) -> Path | None:
    """The file that is logged to."""
    if section.log_file is None and section.log_dir is None:
        return None
    return Path(section.log_dir or ".") / (section.log_file or f"{command}.log")


def _handlers(section: LogSection, command: str, stream: IO[str] | None) -> list[logging.Handler]:
    handlers: list[logging.Handler] = []
    path = log_path(section, command)
    if path is not None:
        try:
            handlers.append(logging.handlers.WatchedFileHandler(path, encoding="utf-8"))
        except OSError as error:
            raise LogRefused(f"log_file {path}: {error.strerror}") from None
    if path is None or section.use_stderr:
        handlers.append(logging.StreamHandler(stream or sys.stderr))
    if section.use_syslog:
        handlers.append(_syslog(section.syslog_log_facility))
    return handlers


def _syslog(facility: str) -> logging.Handler:
    name = facility.removeprefix("LOG_").lower()
    known = logging.handlers.SysLogHandler.facility_names
    if name not in known:
        raise LogRefused(
            f"syslog_log_facility {facility}: there is no such facility; there are "
            f"{', '.join(sorted(known))}"
        )
    try:
        return logging.handlers.SysLogHandler("/dev/log", known[name])
    except OSError as error:
        raise LogRefused(f"use_syslog: /dev/log: {error.strerror}") from None


def _levels(texts: tuple[str, ...]) -> dict[str, int]:
    """``NAME=LEVEL`` as numbers."""
    known = logging.getLevelNamesMapping()
    levels = {}
    for text in texts:
        name, _, level = text.partition("=")
        with contextlib.suppress(KeyError):
            levels[name.strip()] = known[level.strip().upper()]
            continue
        raise LogRefused(f"default_log_levels {text}: write it as NAME=LEVEL")
    return levels
