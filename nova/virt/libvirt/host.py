# SPDX-License-Identifier: Apache-2.0
"""The connection to libvirt: opened again after libvirtd was restarted, with its events."""

from __future__ import annotations

import contextlib
import logging
import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import libvirt

from nova.errors import GuestNotFound, ServiceUnavailable, VirtError
from nova.objects.states import (
    CRASHED,
    NOSTATE,
    POWER_PAUSED,
    POWER_SUSPENDED,
    RUNNING,
    SHUTDOWN,
)

LOG = logging.getLogger(__name__)

_POWER = {
    libvirt.VIR_DOMAIN_NOSTATE: NOSTATE, libvirt.VIR_DOMAIN_RUNNING: RUNNING,
    libvirt.VIR_DOMAIN_BLOCKED: RUNNING, libvirt.VIR_DOMAIN_PAUSED: POWER_PAUSED,
    libvirt.VIR_DOMAIN_SHUTDOWN: SHUTDOWN, libvirt.VIR_DOMAIN_SHUTOFF: SHUTDOWN,
    libvirt.VIR_DOMAIN_CRASHED: CRASHED, libvirt.VIR_DOMAIN_PMSUSPENDED: POWER_SUSPENDED,
}
_GONE = frozenset(
    {
        libvirt.VIR_ERR_SYSTEM_ERROR, libvirt.VIR_ERR_INTERNAL_ERROR, libvirt.VIR_ERR_RPC,
        libvirt.VIR_ERR_NO_CONNECT,
    }
)
_EVENTS = frozenset(
    {
        libvirt.VIR_DOMAIN_EVENT_STARTED, libvirt.VIR_DOMAIN_EVENT_SUSPENDED,
        libvirt.VIR_DOMAIN_EVENT_RESUMED, libvirt.VIR_DOMAIN_EVENT_STOPPED,
        libvirt.VIR_DOMAIN_EVENT_CRASHED,
    }
)
_RETRY = 5.0

Changed = Callable[[str | None, int], None]


class HypervisorUnreachable(ServiceUnavailable):
    """The hypervisor cannot be reached."""


class _EventLoop:
    """libvirt's event loop: one thread for the whole process, as libvirt has it."""

    _lock = threading.Lock()
    _running = False

    @classmethod
    def ensure(cls) -> None:
        """Start it unless it runs. It has to be there before a connection is opened."""
        with cls._lock:
            if cls._running:
                return
            libvirt.registerErrorHandler(lambda _context, _error: None, None)
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=cls._loop, name="libvirt-events", daemon=True).start()
            cls._running = True

    @staticmethod
    def _loop() -> None:
        while True:
            libvirt.virEventRunDefaultImpl()


class HypervisorConnection:
    """One libvirt. ``get`` is cheap; it connects where there is no living connection."""

    def __init__(self, uri: str) -> None:
        self.uri = uri
        self._connection: Any = None
        self._lock = threading.Lock()
        self._changed: Changed = lambda _uuid, _state: None
        self._queue: queue.SimpleQueue[tuple[str | None, int] | None] = queue.SimpleQueue()
        self._worker: threading.Thread | None = None
        self._stopped = threading.Event()

    def watch(self, changed: Changed) -> None:
        """Hand changes of guests to ``changed``, on a thread of its own."""
        self._changed = changed

    def start(self) -> None:
        """Connect for the first time; ``HypervisorUnreachable`` says what to do."""
        _EventLoop.ensure()
        self.get()
        self._worker = threading.Thread(target=self._deliver, name="guest-changes", daemon=True)
        self._worker.start()

    def stop(self) -> None:
        """Let go."""
        self._stopped.set()
        self._queue.put(None)
        with self._lock:
            connection, self._connection = self._connection, None
        if connection is not None:
            with contextlib.suppress(libvirt.libvirtError):
                connection.close()

    def get(self) -> Any:
        """The living connection; ``HypervisorUnreachable`` where there is none to be had."""
        with self._lock:
            if self._connection is None:
                self._connection = self._open()
            return self._connection

    def domain(self, uuid: str) -> Any:
        """A guest's domain; ``GuestNotFound`` where it is not defined."""
        found = self.find(uuid)
        if found is None:
            raise GuestNotFound(f"Guest {uuid} is not defined on this host.")
        return found

    def find(self, uuid: str) -> Any | None:
        """A guest's domain, or None."""
        with self.translated():
            try:
                return self.get().lookupByUUIDString(uuid)
            except libvirt.libvirtError as error:
                if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                    return None
                raise

    @contextlib.contextmanager
    def translated(self) -> Iterator[None]:
        """Turn libvirt's errors into ``VirtError``; a lost connection is opened at the next use."""
        try:
            yield
        except libvirt.libvirtError as error:
            if error.get_error_code() in _GONE and not self._alive():
                self._lost("an error")
                raise HypervisorUnreachable(
                    f"The connection to {self.uri} was lost: {error}"
                ) from None
            raise VirtError(f"libvirt: {error}") from error

    def _alive(self) -> bool:
        connection = self._connection
        try:
            return connection is not None and bool(connection.isAlive())
        except libvirt.libvirtError:
            return False

    def _open(self) -> Any:
        try:
            connection = libvirt.open(self.uri)
        except libvirt.libvirtError as error:
            raise HypervisorUnreachable(unreachable(self.uri, str(error))) from None
        with contextlib.suppress(libvirt.libvirtError):
            connection.setKeepAlive(5, 3)
        connection.registerCloseCallback(lambda *_: self._lost("the connection closed"), None)
        try:
            connection.domainEventRegisterAny(
                None, libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE, self._lifecycle, None
            )
        except libvirt.libvirtError as error:
            LOG.warning("%s tells no events of guests: %s", self.uri, error)
        return connection

    def _lost(self, reason: str) -> None:
        """Forget the connection, and look for libvirt until it is back."""
        if self._stopped.is_set():
            return
        with self._lock:
            if self._connection is None:
                return
            self._connection = None
        LOG.warning("lost %s: %s; looking for it again", self.uri, reason)
        threading.Thread(target=self._reconnect, name="libvirt-reconnect", daemon=True).start()

    def _reconnect(self) -> None:
        while not self._stopped.is_set():
            try:
                self.get()
            except HypervisorUnreachable:
                self._stopped.wait(_RETRY)
                continue
            LOG.warning("%s is back", self.uri)
            self._queue.put((None, 0))
            return

    def _lifecycle(
        self, _connection: Any, domain: Any, event: int, _detail: int, _opaque: Any
    ) -> None:
        """On libvirt's thread: no call into libvirt but the uuid, which is in the object."""
        if event in _EVENTS:
            self._queue.put((domain.UUIDString(), NOSTATE))

    def _state_of(self, uuid: str) -> int:
        domain = self.find(uuid)
        try:
            return NOSTATE if domain is None else power_state(domain)
        except libvirt.libvirtError as error:
            if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
                # It went between the two calls.
                return NOSTATE
            raise

    def _deliver(self) -> None:
        while (item := self._queue.get()) is not None:
            uuid = item[0]
            try:
                if uuid is None:
                    self._changed(None, 0)
                    continue
                # The state now, not that of the event: a stop may be the first half of a restart.
                time.sleep(0.05)
                self._changed(uuid, self._state_of(uuid))
            except HypervisorUnreachable:
                # All guests are compared when libvirt is back.
                LOG.debug("a change of guest %s is left to the next comparison", uuid)
            except Exception:
                LOG.exception("a change of guest %s was not told", uuid)


def power_state(domain: Any) -> int:
    """A domain's power state; one that was saved with its memory counts as suspended."""
    state = domain.state()[0]
    if state == libvirt.VIR_DOMAIN_SHUTOFF:
        with contextlib.suppress(libvirt.libvirtError):
            if domain.hasManagedSaveImage():
                return POWER_SUSPENDED
    return _POWER.get(state, NOSTATE)


def unreachable(uri: str, said: str) -> str:
    """What to do where libvirt cannot be reached, in one line."""
    return (
        f"libvirt cannot be reached at {uri} ({said.strip()}). Start libvirtd, make sure that this user "
        "may use it (group libvirt), or name another place by [libvirt] connection_uri."
    )
