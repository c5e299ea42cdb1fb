# SPDX-License-Identifier: Apache-2.0
"""What flavor and image say of sockets, cores, threads and serial ports has to agree.

The texts are the original's (nova, virt/hardware.py and exception.py).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nova.errors import BadRequest
from nova.objects.flavor import Flavor
from nova.topology.cpus import count_of

_PARTS = ("sockets", "cores", "threads")
_MOST = 65536


def check_guest_shape(flavor: Flavor, properties: Mapping[str, Any] | None) -> None:
    """Raises ``BadRequest`` where the image passes what the flavor allows, or a number is none."""
    specs, image = flavor.extra_specs, properties or {}
    if not any(name.startswith(("hw:cpu_", "hw:serial")) for name in specs) and not any(
        name.startswith(("hw_cpu_", "hw_serial")) for name in image
    ):
        return
    _check_cpus(specs, image)
    _check_serial_ports(specs, image)


def _check_cpus(specs: Mapping[str, str], image: Mapping[str, Any]) -> None:
    allowed = _numbers(specs, "hw:cpu_max_")
    lowered = _numbers(image, "hw_cpu_max_")
    if any(flavor and own > flavor for flavor, own in zip(allowed, lowered, strict=True)):
        raise BadRequest(
            f"Image vCPU topology limits ({_shown(lowered)}) exceeds the limits of the flavor "
            f"({_shown(allowed)})"
        )
    most = [own or flavor or _MOST for flavor, own in zip(allowed, lowered, strict=True)]
    _numbers(specs, "hw:cpu_")
    wanted = _numbers(image, "hw_cpu_")
    if any(number > limit for number, limit in zip(wanted, most, strict=True)):
        raise BadRequest(
            f"Image vCPU topology ({_shown(wanted)}) exceeds the limits of the flavor or image "
            f"({_shown(most)})"
        )


def _numbers(source: Mapping[str, Any], prefix: str) -> list[int]:
    try:
        return [int(source.get(f"{prefix}{part}") or 0) for part in _PARTS]
    except ValueError as error:
        raise BadRequest(f"Invalid flavor extra spec. Error: {error}") from None


def _shown(numbers: list[int]) -> str:
    return ", ".join(f"{part}={number}" for part, number in zip(_PARTS, numbers, strict=True))


def _check_serial_ports(specs: Mapping[str, str], image: Mapping[str, Any]) -> None:
    text = specs.get("hw:serial_port_count")
    if text is None:
        return
    most = count_of(text)
    if most is None:
        raise BadRequest(
            "Number of serial ports specified in flavor is invalid: expected an integer, got "
            f"'{text}'"
        )
    if (count_of(str(image.get("hw_serial_port_count") or "0")) or 0) > most:
        raise BadRequest(
            "Forbidden to exceed flavor value of number of serial ports passed in image meta."
        )
