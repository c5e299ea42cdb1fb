# SPDX-License-Identifier: Apache-2.0
"""Guests as the metadata service knows them: read through the conductor, remembered for a while."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from nova.metadata.tree import GuestTree
from nova.objects.instance import Instance
from nova.rpc.calls import CONDUCTOR
from nova.rpc.transport import Transport

#: Requests of different guests rarely wait for the same of so many locks.
_STRIPES = 256
#: From so many remembered on, those whose time is over are dropped.
_MANY = 1024


class GuestSource(Protocol):
    """Where guests are read from."""

    def by_address(self, bridge: str | None, address: str) -> Instance | None:
        """The server that speaks from an address on a bridge; None where it is nobody's."""
        ...

    def by_uuid(self, uuid: str) -> Instance | None:
        """The server of that uuid."""
        ...

    def set_password(self, uuid: str, ciphertext: str) -> None:
        """Keep a password; ``Conflict`` where there is one."""
        ...


class HostGuests:
    """The guests of one host, through the conductor."""

    def __init__(self, transport: Transport, host: str) -> None:
        self._transport = transport
        self._host = host

    def by_address(self, bridge: str | None, address: str) -> Instance | None:
        """The server on this host that speaks from an address."""
        found: Instance | None = self._transport.call(
            CONDUCTOR, None, "guest_by_address", self._host, bridge, address
        )
        return found

    def by_uuid(self, uuid: str) -> Instance | None:
        """The server of that uuid on this host."""
        found: Instance | None = self._transport.call(
            CONDUCTOR, None, "guest_by_uuid", self._host, uuid
        )
        return found

    def set_password(self, uuid: str, ciphertext: str) -> None:
        """Keep the password of a server on this host."""
        self._transport.call(CONDUCTOR, None, "set_guest_password", self._host, uuid, ciphertext)


#: (bridge, address), or (None, uuid) of a guest that a proxy names.
_Key = tuple[str | None, str]


class Guests:
    """Trees of guests, each read once however many requests come at a time, and kept for ``seconds``.

    ``forget`` makes the next request read again. A read that was under way then is answered but not kept.
    """

    def __init__(
        self,
        source: GuestSource,
        make_tree: Callable[[Instance], GuestTree],
        seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._make_tree = make_tree
        self._seconds = seconds
        self._clock = clock
        self._trees: dict[_Key, tuple[float, GuestTree]] = {}
        self._keys: dict[str, set[_Key]] = {}
        self._forgotten: dict[str, float] = {}
        self._lock = threading.Lock()
        self._stripes = tuple(threading.Lock() for _ in range(_STRIPES))

    def at(self, bridge: str | None, address: str) -> GuestTree | None:
        """The guest that speaks from an address; None where there is none."""
        return self._get(
            (bridge, address), lambda: self._source.by_address(bridge, address)
        )

    def of(self, uuid: str) -> GuestTree | None:
        """The guest of that uuid; None where there is none."""
        return self._get((None, uuid), lambda: self._source.by_uuid(uuid))

    def set_password(self, uuid: str, ciphertext: str) -> None:
        """Keep a password that a guest posted; ``Conflict`` where there is one."""
        self._source.set_password(uuid, ciphertext)
        self.forget(uuid)

    def forget(self, uuid: str) -> None:
        """Something about a guest changed."""
        moment = self._clock()
        with self._lock:
            self._forgotten.pop(uuid, None)
            self._forgotten[uuid] = moment
            if len(self._forgotten) > _MANY:
                del self._forgotten[next(iter(self._forgotten))]
            for key in self._keys.pop(uuid, ()):
                self._trees.pop(key, None)

    def _get(self, key: _Key, read: Callable[[], Instance | None]) -> GuestTree | None:
        known = self._trees.get(key)
        if known is not None and known[0] > self._clock():
            return known[1]
        with self._stripes[hash(key) % _STRIPES]:
            began = self._clock()
            known = self._trees.get(key)
            if known is not None and known[0] > began:
                return known[1]
            instance = read()
            if instance is None:
                return None
            tree = self._make_tree(instance)
            if self._seconds > 0:
                self._keep(key, tree, began)
            return tree

    def _keep(self, key: _Key, tree: GuestTree, began: float) -> None:
        uuid = tree.instance.uuid
        with self._lock:
            if self._forgotten.get(uuid, began - 1) >= began:
                return
            if len(self._trees) >= _MANY:
                self._drop_old()
            self._trees[key] = (began + self._seconds, tree)
            self._keys.setdefault(uuid, set()).add(key)

    def _drop_old(self) -> None:
        """Drop what is over, and everything where that is nothing. The lock is held."""
        moment = self._clock()
        rest = {key: kept for key, kept in self._trees.items() if kept[0] > moment}
        self._trees = rest if len(rest) < _MANY else {}
        self._keys = {}
        for key, (_until, tree) in self._trees.items():
            self._keys.setdefault(tree.instance.uuid, set()).add(key)


class ForgetGuest:
    """Endpoint of the ``metadata`` topic: the conductor tells that something about a guest changed."""

    def __init__(self, guests: Guests) -> None:
        self._guests = guests

    def forget_guest(self, uuid: str) -> None:
        """Read it again at the next request."""
        self._guests.forget(uuid)
