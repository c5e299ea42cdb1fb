# SPDX-License-Identifier: Apache-2.0
"""The metadata service over a few guests that are known from the start."""

from __future__ import annotations

import base64
import dataclasses
import threading
from typing import Any

import falcon
import msgspec
from falcon.testing import TestClient

from nova import wiring_host
from nova.api.metadata.app import make_metadata_app
from nova.api.metadata.callers import Callers
from nova.api.metadata.guests import Guests
from nova.conf import Config, load
from nova.errors import Conflict
from nova.objects.instance import Address, Instance
from tests.unit.virt.guests import UUID, VIF, instance

ADDRESS = "10.9.0.3"
KEY = "ssh-rsa AAAA någon@here"
USER_DATA = b"#!/bin/sh\n\xff\x00echo hej\n"


def guest(**values: Any) -> Instance:
    """A guest with everything that a tree can show."""
    facts: dict[str, Any] = {
        "user_data": base64.b64encode(USER_DATA).decode(), "key_name": "nyckel", "key_data": KEY,
        "metadata": {"rôle": "wëb"}, "kernel_id": "aaaaaaaa-0000-4000-8000-000000000000",
        "ramdisk_id": "bbbbbbbb-0000-4000-8000-000000000000", "availability_zone": "öst",
        "security_groups": ["default", "wëb"], "vm_state": "active",
        "network_info": (
            msgspec.structs.replace(
                VIF, tag="nic-tag", addresses=(Address(ADDRESS, 4, ("203.0.113.9",)),)
            ),
        ),
    }
    return instance(**{**facts, **values})


class KnownGuests:
    """A source of guests that counts what is read of it. Keys are (bridge, address)."""

    def __init__(self, **guests: Instance) -> None:
        self.guests: dict[tuple[str | None, str], Instance] = {}
        self.reads = 0
        self.lock = threading.Lock()

    def by_address(self, bridge: str | None, address: str) -> Instance | None:
        with self.lock:
            self.reads += 1
        return self.guests.get((bridge, address))

    def by_uuid(self, uuid: str) -> Instance | None:
        with self.lock:
            self.reads += 1
        return next((each for each in self.guests.values() if each.uuid == uuid), None)

    def set_password(self, uuid: str, ciphertext: str) -> None:
        for key, found in self.guests.items():
            if found.uuid == uuid:
                if found.system_metadata.get("password"):
                    raise Conflict("There is a password already.")
                self.guests[key] = msgspec.structs.replace(
                    found, system_metadata={"password": ciphertext}
                )


@dataclasses.dataclass
class Service:
    """The application, what it knows, and a client."""

    source: KnownGuests
    guests: Guests
    app: Any

    def get(self, path: str, address: str = ADDRESS, **more: Any) -> falcon.testing.Result:
        return self.ask("GET", path, address, **more)

    def ask(
        self, method: str, path: str, address: str = ADDRESS, *, bridge: str | None = None, **more: Any
    ) -> falcon.testing.Result:
        extras = {"nova.bridge": bridge} if bridge else {}
        return TestClient(self.app).simulate_request(
            method, path, remote_addr=address, extras=extras, **more
        )


def service(source: KnownGuests | None = None, **options: Any) -> Service:
    """``options`` are configuration by ``group__option``."""
    settings = {}
    for name, value in options.items():
        group, _, option = name.partition("__")
        settings[group if option else "DEFAULT", option or group] = value
    config: Config = load(overrides=settings)
    if source is None:
        source = KnownGuests()
        source.guests[None, ADDRESS] = guest()
    _listeners, guests = wiring_host.build_metadata(config, source)
    return Service(source, guests, make_metadata_app(Callers(config, guests), guests))


__all__ = ["ADDRESS", "KEY", "USER_DATA", "UUID", "KnownGuests", "Service", "guest", "service"]
