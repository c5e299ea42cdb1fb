# SPDX-License-Identifier: Apache-2.0
"""A guest's sockets, cores and threads, as far as image and flavor prefer and limit them."""

from __future__ import annotations

from nova.errors import VirtError
from nova.objects.instance import Instance
from nova.virt.libvirt.hardware import Wishes

_NO_LIMIT = 65536



def cpu_topology(instance: Instance) -> tuple[int, int, int]:
    """(sockets, cores, threads) that make up the vCPUs, within the limits of flavor and image.

    Among those the one that has most of the counts preferred by the image, or else by the flavor; then
    the one with most sockets, then cores. ``VirtError`` where the limits leave none, or an image's go
    over a flavor's.
    """
    wishes = Wishes(instance)
    if not any(name.startswith(("hw:cpu_", "hw_cpu_")) for name in (*wishes.properties, *wishes.specs)):
        return instance.vcpus, 1, 1
    limits, preferred = _topology_limits(wishes), _preferred_topology(wishes)
    vcpus = instance.vcpus
    possible = [
        (sockets, cores, vcpus // (sockets * cores))
        for sockets in range(min(vcpus, limits[0]), 0, -1) if vcpus % sockets == 0
        for cores in range(min(vcpus // sockets, limits[1]), 0, -1) if vcpus // sockets % cores == 0
        if vcpus // (sockets * cores) <= limits[2]
    ]
    if not possible:
        raise VirtError(
            f"At most {limits[0]} sockets of {limits[1]} cores of {limits[2]} threads do not make "
            f"{vcpus} vCPUs."
        )
    return max(
        possible, key=lambda each: sum(a == b for a, b in zip(each, preferred, strict=True))
    )


def _counts(wishes: Wishes, form: str) -> tuple[int, int, int]:
    """(sockets, cores, threads) by names of this form; 0 for what is not said."""
    sockets, cores, threads = (
        wishes.number(form.format(name)) or 0 for name in ("sockets", "cores", "threads")
    )
    return sockets, cores, threads


def _topology_limits(wishes: Wishes) -> tuple[int, int, int]:
    flavor, image = _counts(wishes, "hw:cpu_max_{}"), _counts(wishes, "hw_cpu_max_{}")
    for name, own, most in zip(("sockets", "cores", "threads"), image, flavor, strict=True):
        if most and own > most:
            raise VirtError(
                f"Image property hw_cpu_max_{name}={own} is more than the flavor's hw:cpu_max_{name}={most}."
            )
    sockets, cores, threads = (
        own or most or _NO_LIMIT for own, most in zip(image, flavor, strict=True)
    )
    return sockets, cores, threads


def _preferred_topology(wishes: Wishes) -> tuple[int, int, int]:
    """The image's, else the flavor's where it is within the limits; ``VirtError`` for an image's beyond."""
    limits = _topology_limits(wishes)
    flavor, image = _counts(wishes, "hw:cpu_{}"), _counts(wishes, "hw_cpu_{}")
    for name, own, most in zip(("sockets", "cores", "threads"), image, limits, strict=True):
        if own > most:
            raise VirtError(f"Image property hw_cpu_{name}={own} is more than the {most} allowed.")
    if any(image):
        return image
    if any(own > most for own, most in zip(flavor, limits, strict=True)):
        return 0, 0, 0
    return flavor
