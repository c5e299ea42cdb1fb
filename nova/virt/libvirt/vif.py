# SPDX-License-Identifier: Apache-2.0
"""How a virtual interface becomes a NIC: its bridge, its model and its queues."""

from __future__ import annotations

import array
import dataclasses
import fcntl
import logging
import re
import socket
import struct
from collections.abc import Mapping
from typing import Any

from nova.errors import VirtError
from nova.objects.instance import Instance, Vif
from nova.virt.libvirt.domain_xml import NicConfig

LOG = logging.getLogger(__name__)

#: NIC models that QEMU has; others in an image's property are refused.
MODELS = frozenset(
    {"virtio", "e1000", "e1000e", "ne2k_pci", "pcnet", "rtl8139", "vmxnet3", "igb"}
)
_SIOCETHTOOL = 0x8946
_ETHTOOL_GDRVINFO = 3
_FALSE = frozenset({"0", "f", "false", "off", "n", "no"})
_BANDWIDTH = re.compile(r"quota:vif_(inbound|outbound)_(average|peak|burst)")


@dataclasses.dataclass(frozen=True)
class NicHost:
    """What the host offers to NICs.

    ``tap_queues`` is the most queues of a tap device, ``user_network`` allows QEMU's user-mode
    network where a bridge is missing.
    """

    virt_type: str
    tap_queues: int
    vhost: bool
    user_network: bool
    virtio: bool = True


def tap_queue_limit(kernel: str, configured: int | None) -> int:
    """The most queues of a tap device: 1 before Linux 3, 8 before 4, 256 since.

    ``kernel`` is the release as ``uname -r`` tells it; an option may set less.
    """
    found = re.match(r"\d+", kernel)
    major = int(found.group()) if found else 2
    limit = 1 if major <= 2 else 8 if major == 3 else 256
    return min(limit, configured) if configured else limit


def bridge_exists(bridge: str) -> bool:
    """Whether there is a bridge of that name in this process's network namespace.

    Asked of the kernel (ethtool's driver information), for /sys may show another namespace.
    """
    answer = array.array("B", struct.pack("I", _ETHTOOL_GDRVINFO) + bytes(192))
    request = struct.pack("16sP", bridge.encode()[:15], answer.buffer_info()[0])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as control:
        try:
            fcntl.ioctl(control, _SIOCETHTOOL, request)
        except OSError:
            return False
    return answer[4:36].tobytes().rstrip(b"\0") == b"bridge"


def nic_config(
    instance: Instance, vif: Vif, host: NicHost, *, has_bridge: bool
) -> NicConfig:
    """The NIC of a virtual interface.

    Raises ``VirtError`` where its bridge is missing and may not be replaced, and for an unknown model.
    """
    properties = instance.image_properties or {}
    model = _model(properties, host)
    bridge = vif.bridge if has_bridge else None
    if bridge is None and not host.user_network:
        raise VirtError(
            f"The bridge {vif.bridge} of network {vif.label} is not on this host; the network "
            "service of this host has to set it up first."
        )
    driver, queues = None, None
    # QEMU's user-mode network has neither vhost nor queues.
    if model == "virtio" and bridge is not None and host.virt_type in ("kvm", "qemu"):
        driver = "vhost" if host.vhost else "qemu"
        if _multiqueue(properties, instance.flavor.extra_specs):
            queues = min(instance.vcpus, host.tap_queues)
    return NicConfig(
        mac=vif.mac, bridge=bridge, target=tap_name(vif), model=model, driver=driver,
        queues=queues, mtu=vif.mtu,
        ovs_port=vif.id if vif.kind == "ovs" and bridge is not None else None,
        bandwidth=_bandwidth(instance.flavor.extra_specs) if bridge else {},
    )


def tap_name(vif: Vif) -> str:
    """The name of a NIC's tap device: ``tap`` and the first 11 characters of the interface's id."""
    return f"tap{vif.id[:11]}"


def _model(properties: Mapping[str, Any], host: NicHost) -> str | None:
    if host.virt_type == "lxc":
        return None
    wanted = properties.get("hw_vif_model")
    if wanted is None:
        if host.virt_type == "xen":
            return None
        return "virtio" if host.virtio else None
    if wanted not in MODELS:
        raise VirtError(
            f"Image property hw_vif_model: {wanted} is no model of {host.virt_type}; "
            f"it has to be one of {', '.join(sorted(MODELS))}."
        )
    return str(wanted)


def _multiqueue(properties: Mapping[str, Any], extra_specs: Mapping[str, str]) -> bool:
    """On unless the image or the flavor switches it off."""
    said = (properties.get("hw_vif_multiqueue_enabled"), extra_specs.get("hw:vif_multiqueue_enabled"))
    return not any(str(each).lower() in _FALSE for each in said)


def _bandwidth(extra_specs: Mapping[str, str]) -> dict[tuple[str, str], int]:
    found: dict[tuple[str, str], int] = {}
    for key, value in extra_specs.items():
        match = _BANDWIDTH.fullmatch(key)
        if match:
            found[match.group(1), match.group(2)] = _number(key, value)
    return found


def _number(key: str, value: str) -> int:
    try:
        return int(value)
    except ValueError:
        raise VirtError(f"Extra spec {key}: {value} is no whole number.") from None
