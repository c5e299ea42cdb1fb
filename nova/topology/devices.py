# SPDX-License-Identifier: Apache-2.0
"""PCI devices: aliases, which of a host's devices guests may have, and which a guest gets."""

from __future__ import annotations

import fnmatch
import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from nova.decoding import decode_json
from nova.errors import BadRequest
from nova.objects.topology import (
    DeviceRequest,
    GuestDevice,
    HostTopology,
    HostUsage,
    PciDevice,
)

POLICIES = ("required", "preferred", "legacy", "socket")
#: What must not be far from the guest is chosen before what may be anywhere.
_STRICTEST_FIRST = {"required": 0, "socket": 1, "legacy": 2, "preferred": 3}
_TYPES = ("type-PCI", "type-PF", "type-VF")
_HEXADECIMAL = re.compile(r"[\da-fA-F]{4}")
_ADDRESS = re.compile(r"([\da-fA-F]{4}):([\da-fA-F]{2}):([\da-fA-F]{2})\.([0-7])")
_TRUE = frozenset({"1", "t", "true", "on", "y", "yes"})


class Alias(msgspec.Struct, frozen=True):
    """A name under which flavors ask for PCI devices; a device that meets one of ``specs`` fits."""

    policy: str
    specs: tuple[tuple[tuple[str, str], ...], ...]


class DeviceSpec(msgspec.Struct, frozen=True, kw_only=True):
    """An entry of ``[pci] device_spec``: which devices of a host guests may have."""

    vendor_id: str | None = None
    product_id: str | None = None
    address: tuple[str, ...] | str | None = None
    managed: bool = True
    live_migratable: bool = False

    def matches(self, device: PciDevice) -> bool:
        """Whether it names the device."""
        if self.vendor_id not in (None, "*", device.vendor_id):
            return False
        if self.product_id not in (None, "*", device.product_id):
            return False
        parts = _ADDRESS.fullmatch(device.address)
        if self.address is None or parts is None:
            return self.address is None
        if isinstance(self.address, str):
            return fnmatch.fnmatchcase(device.address.lower(), self.address.lower())
        return all(
            re.fullmatch(pattern, part, re.IGNORECASE) is not None
            for pattern, part in zip(self.address, parts.groups(), strict=True)
        )


def choose_devices(
    host: HostTopology,
    usage: HostUsage,
    requests: Sequence[DeviceRequest],
    cells: Iterable[int] | None,
) -> tuple[GuestDevice, ...] | None:
    """Free devices for all requests, or None. ``cells`` are the guest's; None for one without NUMA."""
    free = _free(host, usage)
    at = None if cells is None else frozenset(cells)
    sockets = {cell.id: cell.socket for cell in host.cells}
    chosen: list[tuple[int, GuestDevice]] = []
    for place, request in sorted(
        enumerate(requests), key=lambda pair: _STRICTEST_FIRST[pair[1].policy]
    ):
        fitting = [
            device for device in free
            if any(_meets(device, spec) for spec in request.specs)
            and _near(device, request.policy, at, sockets)
        ]
        if at is not None:
            fitting.sort(key=lambda device: (device.cell not in at, device.cell is not None))
        else:
            # A guest without NUMA leaves the devices of cells to those that need them.
            fitting.sort(key=lambda device: device.cell is not None)
        for device in fitting[: request.count]:
            chosen.append((place, _given(device, request.alias)))
            free = _without(free, device)
        if len(fitting) < request.count:
            return None
    chosen.sort(key=lambda pair: pair[0])
    return tuple(device for _place, device in chosen)


def _given(device: PciDevice, alias: str) -> GuestDevice:
    return GuestDevice(
        address=device.address, alias=alias, vendor_id=device.vendor_id,
        product_id=device.product_id, managed=device.managed,
        live_migratable=device.live_migratable,
    )


def free_devices(host: HostTopology, usage: HostUsage) -> int:
    """How many devices are free."""
    return len(_free(host, usage))


def _free(host: HostTopology, usage: HostUsage) -> list[PciDevice]:
    used = set(usage.devices)
    free = list(host.devices)
    for device in host.devices:
        if device.address in used:
            free = _without(free, device)
    return free


def _without(free: list[PciDevice], taken: PciDevice) -> list[PciDevice]:
    """A physical function that is taken takes its virtual ones along, and the other way round."""
    return [
        device for device in free
        if device.address != taken.address
        and device.parent != taken.address
        and device.address != taken.parent
    ]


def _meets(device: PciDevice, spec: tuple[tuple[str, str], ...]) -> bool:
    wanted = dict(spec)
    kind = wanted.pop("device_type", None)
    if kind is None and device.device_type == "type-PF":
        # A physical function is given away only where one is asked for.
        return False
    if kind is not None and kind != device.device_type:
        return False
    live = wanted.pop("live_migratable", None)
    if live is not None and (live == "true") != device.live_migratable:
        return False
    return all(getattr(device, key) == value for key, value in wanted.items())


def _near(
    device: PciDevice,
    policy: str,
    cells: frozenset[int] | None,
    sockets: Mapping[int, int | None],
) -> bool:
    if cells is None or policy == "preferred":
        return True
    if policy == "legacy":
        return device.cell is None or device.cell in cells
    if device.cell is None:
        return False
    if policy == "socket":
        socket = sockets.get(device.cell)
        return socket is not None and socket in {sockets.get(cell) for cell in cells}
    return device.cell in cells


@functools.lru_cache(maxsize=16)
def parse_aliases(texts: tuple[str, ...]) -> Mapping[str, Alias]:
    """The aliases of ``[pci] alias``, each text a JSON object or a list of them.

    Raises ``BadRequest`` with the original's message, as whoever asks for one is told.
    """
    aliases: dict[str, Alias] = {}
    for values in _objects(texts, "Invalid PCI alias definition"):
        name, policy, spec = _alias(values)
        known = aliases.get(name)
        if known is None:
            aliases[name] = Alias(policy, (spec,))
            continue
        if known.policy != policy:
            raise _bad_alias(f"NUMA policy mismatch for alias '{name}'")
        if dict(known.specs[0]).get("device_type") != dict(spec).get("device_type"):
            raise _bad_alias(f"Device type mismatch for alias '{name}'")
        aliases[name] = Alias(policy, (*known.specs, spec))
    return aliases


def _bad_alias(reason: str) -> BadRequest:
    return BadRequest(f"Invalid PCI alias definition: {reason}")


def _alias(values: dict[str, Any]) -> tuple[str, str, tuple[tuple[str, str], ...]]:
    spec = {key: str(value) for key, value in values.items()}
    name = spec.pop("name", "").strip()
    if not name:
        raise _bad_alias("'name' is a required property")
    spec.pop("capability_type", None)
    policy = spec.pop("numa_policy", "legacy") or "legacy"
    if policy not in POLICIES:
        raise _bad_alias(f"'{policy}' is not one of {list(POLICIES)}")
    if spec.get("device_type", "type-PCI") not in _TYPES:
        raise _bad_alias(f"'{spec['device_type']}' is not one of {list(_TYPES)}")
    for key in ("vendor_id", "product_id"):
        if not _HEXADECIMAL.fullmatch(spec.get(key, "")):
            raise BadRequest(
                f"The PCI alias(es) {name} does not have vendor_id and product_id fields set."
            )
        spec[key] = spec[key].lower()
    if "live_migratable" in spec:
        spec["live_migratable"] = "true" if spec["live_migratable"].lower() in _TRUE else "false"
    unknown = spec.keys() - {"vendor_id", "product_id", "device_type", "live_migratable"}
    if unknown:
        raise _bad_alias(f"additional properties are not allowed: {', '.join(sorted(unknown))}")
    return name, policy, tuple(sorted(spec.items()))


def parse_device_specs(texts: Sequence[str]) -> list[DeviceSpec]:
    """The entries of ``[pci] device_spec``. Raises ``BadRequest`` naming what is wrong."""
    return [_device_spec(values) for values in _objects(texts, "Invalid PCI device_spec")]


def _device_spec(values: dict[str, Any]) -> DeviceSpec:
    address = values.get("address")
    found: tuple[str, ...] | str | None
    if address is None:
        found = None
    elif isinstance(address, dict):
        found = tuple(
            str(address.get(part, ".*")) for part in ("domain", "bus", "slot", "function")
        )
        for pattern in found:
            try:
                re.compile(pattern)
            except re.error as error:
                raise BadRequest(f"Invalid PCI device_spec: {pattern}: {error}") from None
    else:
        found = _glob(str(address))
    vendor, product = values.get("vendor_id"), values.get("product_id")
    return DeviceSpec(
        vendor_id=None if vendor is None else str(vendor).lower(),
        product_id=None if product is None else str(product).lower(), address=found,
        managed=str(values.get("managed", "yes")).lower() in _TRUE,
        live_migratable=str(values.get("live_migratable", "no")).lower() in _TRUE,
    )


def _glob(address: str) -> str:
    """``[[[domain]:]bus]:][slot][.[function]]`` with every part that is left out as ``*``."""
    front, _dot, function = address.partition(".")
    parts = ["*"] * 3
    given = front.split(":")[-3:]
    parts[3 - len(given):] = [part or "*" for part in given]
    return f"{parts[0]}:{parts[1]}:{parts[2]}.{function or '*'}"


def offered(devices: Iterable[PciDevice], specs: Sequence[DeviceSpec]) -> tuple[PciDevice, ...]:
    """Those of a host's devices that guests may have, by address."""
    found = []
    for device in sorted(devices, key=lambda each: each.address):
        spec = next((each for each in specs if each.matches(device)), None)
        if spec is not None:
            found.append(
                msgspec.structs.replace(
                    device, managed=spec.managed, live_migratable=spec.live_migratable
                )
            )
    return tuple(found)


def _objects(texts: Iterable[str], what: str) -> Iterable[dict[str, Any]]:
    for text in texts:
        try:
            value = decode_json(text)
        except msgspec.DecodeError as error:
            raise BadRequest(f"{what}: {error}") from None
        for each in value if isinstance(value, list) else [value]:
            if not isinstance(each, dict):
                raise BadRequest(f"{what}: {each!r} is not of type 'object'")
            yield dict(each)
