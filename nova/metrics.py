# SPDX-License-Identifier: Apache-2.0
"""What a process counts and measures for Prometheus; docs/operators/monitoring.md explains each.

Imports nothing of ours, so that every room can count, hosts included. A process has one registry; the
values belong to the process, and a monitor adds them up over processes. Durations are seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    PlatformCollector,
    ProcessCollector,
    disable_created_metrics,
)
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

REGISTRY = CollectorRegistry()

_FAST = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
_LONG = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0, 1800.0)

BUILD_INFO = Gauge(
    "nova_build_info", "Always 1; the labels name the daemon and its release.",
    ("daemon", "version"), registry=REGISTRY,
)

# --- HTTP ------------------------------------------------------------------------------------------

_REQUESTS = Counter(
    "nova_http_requests", "HTTP requests answered.", ("face", "method", "status"), registry=REGISTRY,
)
_REQUEST_SECONDS = Histogram(
    "nova_http_request_duration_seconds", "From the request's head to the answer's.",
    ("face", "method"), buckets=_FAST, registry=REGISTRY,
)

# --- operations ------------------------------------------------------------------------------------

_OPERATIONS = Counter(
    "nova_operations", "Operations that ended, such as boots and deletes.", ("kind", "result"),
    registry=REGISTRY,
)
_OPERATION_SECONDS = Histogram(
    "nova_operation_duration_seconds", "From an operation's acceptance to its end.",
    ("kind", "result"), buckets=_LONG, registry=REGISTRY,
)
_STEPS = Histogram(
    "nova_step_duration_seconds", "Steps of operations on compute hosts.", ("kind", "step", "result"),
    buckets=_LONG, registry=REGISTRY,
)
OPERATIONS_RECOVERED = Counter(
    "nova_operations_recovered", "Interrupted operations that were brought on.", registry=REGISTRY,
)
OPERATIONS_STRUCK = Counter(
    "nova_operation_errors", "Times that our own code broke on an operation's way.", registry=REGISTRY,
)

# --- queues ----------------------------------------------------------------------------------------

WAITING_PLACEMENTS = Gauge(
    "nova_placements_waiting", "Operations that wait for a host to be chosen.", registry=REGISTRY,
)
WAITING_BUILDS = Gauge(
    "nova_builds_waiting", "Builds that wait on compute hosts for others to end.", registry=REGISTRY,
)

# --- scheduler -------------------------------------------------------------------------------------

_PLACEMENTS = Counter(
    "nova_scheduler_placements", "Choices of a host, by how they ended: placed or no_valid_host.",
    ("result",), registry=REGISTRY,
)
PLACED = _PLACEMENTS.labels("placed")
NO_VALID_HOST = _PLACEMENTS.labels("no_valid_host")
LOST_RACES = Counter(
    "nova_scheduler_lost_races", "Claims refused because another scheduler was first.",
    registry=REGISTRY,
)
BATCH_SECONDS = Histogram(
    "nova_scheduler_batch_duration_seconds", "Placing one batch: choose, claim, addresses, rows.",
    buckets=_FAST, registry=REGISTRY,
)
TABLE_HOSTS = Gauge(
    "nova_scheduler_table_hosts", "Compute nodes in the scheduler's table.", registry=REGISTRY,
)
TABLE_AGE = Gauge(
    "nova_scheduler_table_age_seconds", "Since the table was last compared with the database.",
    registry=REGISTRY,
)
CLAIMS_REPAIRED = Counter(
    "nova_claims_repaired", "What the audit of claims put right; 0 unless there is a bug.", ("what",),
    registry=REGISTRY,
)

# --- hosts, messages, database ------------------------------------------------------------------------

NETWORK_READY = Histogram(
    "nova_network_ready_seconds", "How long guests waited for their host's network.", buckets=_LONG,
    registry=REGISTRY,
)
ADDRESSES_PROBED = Counter(
    "nova_addresses_probed", "Addresses that were looked for on the wire.", registry=REGISTRY
)
ADDRESSES_USED_ELSEWHERE = Counter(
    "nova_addresses_used_elsewhere", "Addresses that somebody else was found to use.", registry=REGISTRY
)
HOST_REPORTS = Counter("nova_host_reports", "Reports of compute hosts.", registry=REGISTRY)
DEAD_LETTERS = Counter(
    "nova_messages_dead_lettered", "Messages that nobody could take, or that broke their taker.",
    ("topic",), registry=REGISTRY,
)
DEAD_LETTER_DEPTH = Gauge(
    "nova_dead_letter_queue_depth", "Messages in the queue of what nobody could take.", registry=REGISTRY,
)
MESSAGES = Counter(
    "nova_messages", "Messages sent.", ("topic", "method", "result"), registry=REGISTRY,
)
PERIODIC_FAILURES = Counter(
    "nova_periodic_task_failures", "Periodic tasks that failed.", ("task",), registry=REGISTRY,
)
LAST_RECOVERY = Gauge(
    "nova_recovery_last_run_timestamp_seconds", "When interrupted operations were last looked for.",
    registry=REGISTRY,
)
POOL_USED = Gauge(
    "nova_db_pool_connections_used", "Connections to the database in use.", registry=REGISTRY,
)
POOL_SIZE = Gauge(
    "nova_db_pool_size", "Connections to the database that are kept open.", registry=REGISTRY,
)
DEADLOCKS = Counter(
    "nova_db_deadlocks", "Transactions that a database server chose to end; most are tried again.",
    registry=REGISTRY,
)

for _what in ("orphan", "sum", "missing", "topology"):
    CLAIMS_REPAIRED.labels(_what)
disable_created_metrics()  # type: ignore[no-untyped-call]
ProcessCollector(registry=REGISTRY)
PlatformCollector(registry=REGISTRY)


class _Request:
    """The children of one face and method, looked up once."""

    __slots__ = ("by_status", "face", "method", "seconds")

    def __init__(self, face: str, method: str) -> None:
        self.face = face
        self.method = method
        self.seconds = _REQUEST_SECONDS.labels(face, method)
        self.by_status: dict[int, Counter] = {}


_requests: dict[tuple[str, str], _Request] = {}
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def request_answered(face: str, method: str, status: int, seconds: float) -> None:
    """Count an HTTP request. Methods that there are not count as OTHER: clients choose them."""
    found = _requests.get((face, method))
    if found is None:
        found = _Request(face, method if method in _METHODS else "OTHER")
        if method in _METHODS:
            _requests[face, method] = found
    counter = found.by_status.get(status)
    if counter is None:
        counter = found.by_status[status] = _REQUESTS.labels(face, found.method, str(status))
    counter.inc()
    found.seconds.observe(seconds)


_ended: dict[tuple[str, bool], tuple[Counter, Histogram]] = {}


def operation_ended(kind: str, failed: bool, seconds: float) -> None:
    """Count an operation that ended."""
    found = _ended.get((kind, failed))
    if found is None:
        result = "error" if failed else "success"
        found = _ended[kind, failed] = (
            _OPERATIONS.labels(kind, result), _OPERATION_SECONDS.labels(kind, result)
        )
    found[0].inc()
    found[1].observe(max(0.0, seconds))


_steps: dict[tuple[str, str, str], Histogram] = {}


def step_ended(kind: str, step: str, result: str, seconds: float) -> None:
    """Count a step that a host did; ``result`` is success, failed or bug."""
    found = _steps.get((kind, step, result))
    if found is None:
        found = _steps[kind, step, result] = _STEPS.labels(kind, step, result)
    found.observe(seconds)


class Age:
    """Seconds since something last happened, read when it is asked for."""

    def __init__(self) -> None:
        self._moment: float | None = None

    def now(self) -> None:
        """It happens now."""
        self._moment = time.monotonic()

    def seconds(self) -> float:
        """How long ago that was; infinity where it never was."""
        return float("inf") if self._moment is None else time.monotonic() - self._moment


def watch(gauge: Gauge, read: Callable[[], float]) -> None:
    """Let a gauge ask ``read`` whenever it is asked itself."""
    gauge.set_function(read)


def exposition() -> tuple[bytes, str]:
    """All values in Prometheus's text format, and its content type."""
    return generate_latest(REGISTRY), CONTENT_TYPE_LATEST
