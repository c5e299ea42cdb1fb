# SPDX-License-Identifier: Apache-2.0
"""The database: engines, and the one form of a transaction.

    with db.write() as tx:
        tx.instances.transition(...)

Stores never open a transaction of their own and return frozen values, never rows. On SQLite a process
has one writer at a time, kept in order by a lock here instead of SQLite's busy loop.
"""

from __future__ import annotations

import contextlib
import contextvars
import dataclasses
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DBAPIError
from sqlalchemy.exc import TimeoutError as NoConnection

from nova import metrics
from nova.db.connections import Patience, watch_connections
from nova.errors import DatabaseAway, DatabaseBusy

if TYPE_CHECKING:
    from nova.db.stores.aggregates import AggregateStore
    from nova.db.stores.block_devices import BlockDeviceStore
    from nova.db.stores.claims import ClaimStore
    from nova.db.stores.console_tokens import ConsoleTokenStore
    from nova.db.stores.deleted_servers import DeletedServersStore
    from nova.db.stores.dns import DnsStore
    from nova.db.stores.fixed_ips import FixedIPStore
    from nova.db.stores.flavors import FlavorStore
    from nova.db.stores.floating_ips import FloatingIPStore
    from nova.db.stores.floating_pools import FloatingPoolStore
    from nova.db.stores.guest_addresses import GuestAddresses
    from nova.db.stores.host_filters import HostFilterStore
    from nova.db.stores.host_identity import HostIdentityStore
    from nova.db.stores.host_networks import HostNetworkStore
    from nova.db.stores.identity import IdentityStore
    from nova.db.stores.images import ImageStore
    from nova.db.stores.instance_listing import InstanceListing
    from nova.db.stores.instances import InstanceStore
    from nova.db.stores.keypairs import KeypairStore
    from nova.db.stores.migrations import MigrationStore
    from nova.db.stores.network_tasks import NetworkTaskStore
    from nova.db.stores.networks import NetworkStore
    from nova.db.stores.nodes import NodeStore
    from nova.db.stores.operations import OperationStore
    from nova.db.stores.ports import PortStore
    from nova.db.stores.probes import ProbeStore
    from nova.db.stores.quotas import QuotaStore
    from nova.db.stores.routers import RouterStore
    from nova.db.stores.security_groups import SecurityGroupStore
    from nova.db.stores.server_groups import ServerGroupStore
    from nova.db.stores.services import ServiceStore
    from nova.db.stores.subnet_pools import SubnetPoolStore
    from nova.db.stores.usage import UsageStore
    from nova.db.stores.usage_audits import UsageAuditStore
    from nova.db.stores.virtual_ips import VirtualIPStore
    from nova.db.stores.volumes import VolumeStore

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: How often ``run`` tries, and its longest first pause in seconds; each further one is twice as long.
_ATTEMPTS = 8
_PAUSE = 0.01
#: MariaDB: "Deadlock found when trying to get lock"; a Galera node answers the same at the commit. The other
#: is "Lock wait timeout exceeded": somebody who hangs has the row.
_MARIADB_DEADLOCKS = frozenset({1213, 1205})
#: MariaDB: shutdown in progress, server going down, and the client's own: cannot connect, gone, lost, no
#: packet (pymysql: InterfaceError 0); and connections that were ended, as by idle_transaction_timeout.
_MARIADB_AWAY = frozenset({0, 1053, 1077, 1080, 1927, 2002, 2003, 2006, 2013, 2014, 2055, 4031})
#: PostgreSQL, appendix A: serialization_failure, deadlock_detected, lock_not_available.
_POSTGRESQL_DEADLOCKS = frozenset({"40001", "40P01", "55P03"})

_WAL_ATTEMPTS = 200
_WAL_WAIT = 0.02


class Transaction:
    """One database transaction; its attributes are the stores, made when first used.

    The import of a store is inside its property so that a service loads only the stores that it uses.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        self._after_commit: list[Callable[[], object]] = []

    def after_commit(self, action: Callable[[], object]) -> None:
        """Run ``action`` once the transaction is committed; never if it is rolled back."""
        self._after_commit.append(action)

    @cached_property
    def instances(self) -> InstanceStore:
        """Servers."""
        from nova.db.stores.instances import InstanceStore

        return InstanceStore(self.connection)

    @cached_property
    def block_devices(self) -> BlockDeviceStore:
        """The disks of servers, where they are volumes."""
        from nova.db.stores.block_devices import BlockDeviceStore

        return BlockDeviceStore(self.connection)

    @cached_property
    def listing(self) -> InstanceListing:
        """Lists of servers."""
        from nova.db.stores.instance_listing import InstanceListing

        return InstanceListing(self.connection)

    @cached_property
    def operations(self) -> OperationStore:
        """Durable operations and their events."""
        from nova.db.stores.operations import OperationStore

        return OperationStore(self.connection)

    @cached_property
    def migrations(self) -> MigrationStore:
        """Moves of servers between hosts."""
        from nova.db.stores.migrations import MigrationStore

        return MigrationStore(self.connection)

    @cached_property
    def flavors(self) -> FlavorStore:
        """Flavors, their extra specs and access lists."""
        from nova.db.stores.flavors import FlavorStore

        return FlavorStore(self.connection)

    @cached_property
    def console_tokens(self) -> ConsoleTokenStore:
        """Tokens that open consoles."""
        from nova.db.stores.console_tokens import ConsoleTokenStore

        return ConsoleTokenStore(self.connection)

    @cached_property
    def routers(self) -> RouterStore:
        """Routers that projects made."""
        from nova.db.stores.routers import RouterStore

        return RouterStore(self.connection)

    @cached_property
    def subnet_pools(self) -> SubnetPoolStore:
        """Ranges that subnets are cut from."""
        from nova.db.stores.subnet_pools import SubnetPoolStore

        return SubnetPoolStore(self.connection)

    @cached_property
    def network_tasks(self) -> NetworkTaskStore:
        """What an external network service has still to be told."""
        from nova.db.stores.network_tasks import NetworkTaskStore

        return NetworkTaskStore(self.connection)

    @cached_property
    def keypairs(self) -> KeypairStore:
        """Key pairs of users."""
        from nova.db.stores.keypairs import KeypairStore

        return KeypairStore(self.connection)

    @cached_property
    def quotas(self) -> QuotaStore:
        """Limits and usage."""
        from nova.db.stores.quotas import QuotaStore

        return QuotaStore(self.connection)

    @cached_property
    def services(self) -> ServiceStore:
        """Daemons and their heartbeats."""
        from nova.db.stores.services import ServiceStore

        return ServiceStore(self.connection)

    @cached_property
    def usage(self) -> UsageStore:
        """What projects used in a period."""
        from nova.db.stores.usage import UsageStore

        return UsageStore(self.connection)

    @cached_property
    def usage_audits(self) -> UsageAuditStore:
        """Which host's usage was audited for which period."""
        from nova.db.stores.usage_audits import UsageAuditStore

        return UsageAuditStore(self.connection)

    @cached_property
    def deleted_servers(self) -> DeletedServersStore:
        """Servers that were deleted, until an operator purges them."""
        from nova.db.stores.deleted_servers import DeletedServersStore

        return DeletedServersStore(self.connection)

    @cached_property
    def nodes(self) -> NodeStore:
        """Compute nodes."""
        from nova.db.stores.nodes import NodeStore

        return NodeStore(self.connection)

    @cached_property
    def claims(self) -> ClaimStore:
        """What is claimed on compute nodes."""
        from nova.db.stores.claims import ClaimStore

        return ClaimStore(self.connection)

    @cached_property
    def aggregates(self) -> AggregateStore:
        """Host aggregates and availability zones."""
        from nova.db.stores.aggregates import AggregateStore

        return AggregateStore(self.connection)

    @cached_property
    def server_groups(self) -> ServerGroupStore:
        """Server groups."""
        from nova.db.stores.server_groups import ServerGroupStore

        return ServerGroupStore(self.connection)

    @cached_property
    def networks(self) -> NetworkStore:
        """Networks (subnets)."""
        from nova.db.stores.networks import NetworkStore

        return NetworkStore(self.connection)

    @cached_property
    def fixed_ips(self) -> FixedIPStore:
        """Fixed addresses, virtual interfaces and virtual IPs."""
        from nova.db.stores.fixed_ips import FixedIPStore

        return FixedIPStore(self.connection)

    @cached_property
    def virtual_ips(self) -> VirtualIPStore:
        """The servers that virtual IPs are meant for."""
        from nova.db.stores.virtual_ips import VirtualIPStore

        return VirtualIPStore(self.connection)

    @cached_property
    def host_networks(self) -> HostNetworkStore:
        """The networks of a host."""
        from nova.db.stores.host_networks import HostNetworkStore

        return HostNetworkStore(self.connection)

    @cached_property
    def host_filters(self) -> HostFilterStore:
        """What hosts filter, and the floating addresses that they carry."""
        from nova.db.stores.host_filters import HostFilterStore

        return HostFilterStore(self.connection)

    @cached_property
    def dns(self) -> DnsStore:
        """DNS domains and the names in them."""
        from nova.db.stores.dns import DnsStore

        return DnsStore(self.connection)

    @cached_property
    def probes(self) -> ProbeStore:
        """Addresses that are looked for on the wire."""
        from nova.db.stores.probes import ProbeStore

        return ProbeStore(self.connection)

    @cached_property
    def ports(self) -> PortStore:
        """Network cards as ports."""
        from nova.db.stores.ports import PortStore

        return PortStore(self.connection)

    @cached_property
    def floating_pools(self) -> FloatingPoolStore:
        """Pools of floating addresses made as external networks."""
        from nova.db.stores.floating_pools import FloatingPoolStore

        return FloatingPoolStore(self.connection)

    @cached_property
    def floating_ips(self) -> FloatingIPStore:
        """Floating addresses."""
        from nova.db.stores.floating_ips import FloatingIPStore

        return FloatingIPStore(self.connection)

    @cached_property
    def guest_addresses(self) -> GuestAddresses:
        """Which server speaks from an address."""
        from nova.db.stores.guest_addresses import GuestAddresses

        return GuestAddresses(self.connection)

    @cached_property
    def security_groups(self) -> SecurityGroupStore:
        """Security groups and their rules."""
        from nova.db.stores.security_groups import SecurityGroupStore

        return SecurityGroupStore(self.connection)

    @cached_property
    def host_identity(self) -> HostIdentityStore:
        """Keys of enrolled hosts, and the messages of theirs that were acted on."""
        from nova.db.stores.host_identity import HostIdentityStore

        return HostIdentityStore(self.connection)

    @cached_property
    def identity(self) -> IdentityStore:
        """Domains, projects, users, roles, catalogue: for the built-in identity service alone."""
        from nova.db.stores.identity import IdentityStore

        return IdentityStore(self.connection)

    @cached_property
    def images(self) -> ImageStore:
        """Image records: for the built-in image service alone."""
        from nova.db.stores.images import ImageStore

        return ImageStore(self.connection)

    @cached_property
    def volumes(self) -> VolumeStore:
        """Volumes: for the built-in block storage service alone."""
        from nova.db.stores.volumes import VolumeStore

        return VolumeStore(self.connection)


@dataclasses.dataclass
class _Message:
    """What is being acted on, and whether a committed transaction says so."""

    message_id: str
    noted: bool = False


_message: contextvars.ContextVar[_Message | None] = contextvars.ContextVar("message", default=None)


@contextlib.contextmanager
def acting_on(message_id: str) -> Iterator[None]:
    """Within, the first transaction that writes also notes the host's message that it acts on.

    So a message takes effect once, whichever process it comes to again; one that took none may come again.
    That transaction raises ``MessageRepeated`` for a message that was acted on before.
    """
    token = _message.set(_Message(message_id))
    try:
        yield
    finally:
        _message.reset(token)


class Database:
    """Connections to one database, by SQLAlchemy URL (SQLite, MariaDB, PostgreSQL)."""

    def __init__(
        self, url: str, *, pool_size: int = 10, patience: Patience | None = None
    ) -> None:
        self.url = make_url(url)
        self.dialect = self.url.get_backend_name()
        #: Whether writing transactions follow one another (SQLite) instead of meeting (servers).
        self.single_writer = self.dialect == "sqlite"
        options: dict[str, Any] = {"pool_size": pool_size, "max_overflow": 32}
        if self.single_writer:
            options["connect_args"] = {"check_same_thread": False, "timeout": 30}
        else:
            options["pool_pre_ping"] = True
            options["isolation_level"] = "READ COMMITTED"
            patience = patience or Patience()
            options["connect_args"] = patience.connect_arguments(self.url.get_driver_name())
        self.engine = create_engine(self.url, **options)
        if self.single_writer:
            _prepare_sqlite(self.engine)
        else:
            watch_connections(self.engine, patience or Patience())
        self._writing = self.engine.execution_options(nova_write=True)
        # More writers than kept connections would open and close one each; waiting here is faster, and
        # fewer of them meet on the same rows.
        self._writer_gate: Any = (
            threading.Lock() if self.single_writer else threading.BoundedSemaphore(pool_size)
        )

    @contextlib.contextmanager
    def read(self) -> Iterator[Transaction]:
        """A transaction that only reads; it sees one consistent state."""
        try:
            with self.engine.connect() as connection:
                yield Transaction(connection)
        except NoConnection as error:
            raise DatabaseAway from error
        except DBAPIError as error:
            if not self.single_writer and _is_away(error):
                raise DatabaseAway from error
            raise

    @contextlib.contextmanager
    def write(self) -> Iterator[Transaction]:
        """A transaction that writes; commits at the end of the block, rolls back on any exception.

        Raises ``DatabaseBusy`` where a server chose it as the victim of a deadlock; nothing was
        written then. So what users and daemons change goes through ``run``.
        """
        try:
            with self._writer_gate, self._writing.begin() as connection:
                tx = Transaction(connection)
                message = _message.get()
                if message is not None and not message.noted:
                    tx.host_identity.act_on(message.message_id)
                yield tx
        except NoConnection as error:
            raise DatabaseAway from error
        except DBAPIError as error:
            if not self.single_writer and _is_deadlock(error):
                metrics.DEADLOCKS.inc()
                raise DatabaseBusy from error
            if not self.single_writer and _is_away(error):
                raise DatabaseAway from error
            raise
        if message is not None:
            message.noted = True
        for action in tx._after_commit:
            try:
                action()
            except Exception:
                # What is committed stands; these are wake-ups and views, which come again by themselves.
                LOG.exception("after a commit, %r failed", action)

    def run(self, function: Callable[[Transaction], T]) -> T:
        """What ``function`` answers in a transaction that writes, tried again after a deadlock.

        ``function`` may thus run several times: beyond the transaction it changes nothing but what it
        makes anew each time; the rest goes through ``after_commit``. Raises ``DatabaseBusy`` after
        the last try.
        """
        for attempt in range(_ATTEMPTS):
            try:
                with self.write() as tx:
                    return function(tx)
            except DatabaseBusy:
                if attempt == _ATTEMPTS - 1:
                    raise
                time.sleep(random.uniform(0, _PAUSE * 2**attempt))  # noqa: S311
        raise AssertionError("unreachable")

    def ping(self) -> None:
        """Return once the database has answered; raises what the driver raises where it does not."""
        with self.engine.connect() as connection:
            connection.exec_driver_sql("SELECT 1")

    def dispose(self) -> None:
        """Close all pooled connections."""
        self.engine.dispose()


def _is_away(error: DBAPIError) -> bool:
    """Whether the server cannot be reached, ends, or went while the transaction ran."""
    if error.connection_invalidated:
        return True
    cause = error.orig
    state = getattr(cause, "sqlstate", None)
    if state is not None:
        return str(state)[:2] in ("08", "57") or str(state) == "25P03"
    if type(cause).__module__.startswith("psycopg"):
        return type(cause).__name__ == "OperationalError"
    return bool(cause is not None and cause.args and cause.args[0] in _MARIADB_AWAY)


def _is_deadlock(error: BaseException | None) -> bool:
    """Whether a deadlock is at the root.

    The server drops the savepoints with the transaction, so that an error about a missing savepoint may
    hide it.
    """
    while error is not None:
        cause = getattr(error, "orig", None)
        if getattr(cause, "sqlstate", None) in _POSTGRESQL_DEADLOCKS:
            return True
        if cause is not None and cause.args and cause.args[0] in _MARIADB_DEADLOCKS:
            return True
        error = error.__context__
    return False


def _prepare_sqlite(engine: Engine) -> None:
    """Set SQLite up for many readers and one writer.

    WAL with synchronous=NORMAL keeps every committed transaction through the death of the process at
    any moment; only a power cut may take the last ones, never the file's consistency
    (https://www.sqlite.org/pragma.html#pragma_synchronous).
    """

    @event.listens_for(engine, "connect")
    def on_connect(raw: Any, _record: object) -> None:
        raw.isolation_level = None
        cursor = raw.cursor()
        _use_wal(cursor)
        for pragma in (
            "synchronous=NORMAL",
            "foreign_keys=ON",
            "temp_store=MEMORY",
            "cache_size=-2000",
        ):
            cursor.execute(f"PRAGMA {pragma}")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("nova_write")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _use_wal(cursor: Any) -> None:
    """Switch a database file to WAL, which lasts.

    Where several processes open a new file at once, SQLite answers "locked" at once instead of
    waiting (https://www.sqlite.org/wal.html, "Sometimes Queries Return SQLITE_BUSY"), so wait here.
    """
    import sqlite3  # only here: who has another database need not load it

    for attempt in range(_WAL_ATTEMPTS):
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
            return
        except sqlite3.OperationalError:
            if attempt == _WAL_ATTEMPTS - 1:
                raise
            time.sleep(_WAL_WAIT)
