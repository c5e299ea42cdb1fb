# SPDX-License-Identifier: Apache-2.0
"""The EC2 tree: names and texts as the EC2 metadata of 2009-04-04 has them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from nova.metadata.versions import EC2_SINCE
from nova.objects.instance import Instance, Vif

#: A directory, a text, or a list that is shown as one line for each item.
Node = Mapping[str, Any] | str | bytes | Sequence[str]

#: In a directory's mapping: its name in the listing of the one above, which is otherwise its key and a slash.
LISTED_AS = "_name"


def meta_data(
    instance: Instance, vifs: tuple[Vif, ...], name: str, zone: str, version: str
) -> dict[str, Any]:
    """The ``meta-data`` directory of a version; ``name`` is the full host name, ``zone`` the guest's."""
    fixed = [each for vif in vifs for each in vif.addresses if each.version == 4]
    floating = [each for address in fixed for each in address.floating]
    found: dict[str, Any] = {
        "ami-id": ec2_image_id("ami", instance.image_ref),
        "ami-launch-index": str(instance.launch_index),
        "ami-manifest-path": "FIXME",
        "instance-id": f"i-{instance.id:08x}",
        "hostname": name,
        "local-ipv4": fixed[0].address if fixed else "",
        "reservation-id": instance.reservation_id,
        "security-groups": list(instance.security_groups),
        "local-hostname": name,
        "public-hostname": name,
        "public-ipv4": floating[0] if floating else "",
        "instance-type": instance.flavor.name,
        "block-device-mapping": block_device_mapping(instance),
        "placement": {"availability-zone": zone},
        "instance-action": "none",
    }
    if instance.kernel_id:
        found["kernel-id"] = ec2_image_id("aki", instance.kernel_id)
    if instance.ramdisk_id:
        found["ramdisk-id"] = ec2_image_id("ari", instance.ramdisk_id)
    if instance.key_name and instance.key_data:
        found["public-keys"] = {
            "0": {LISTED_AS: f"0={instance.key_name}", "openssh-key": instance.key_data}
        }
    return {key: value for key, value in found.items() if EC2_SINCE.get(key, "") <= version}


def ec2_image_id(kind: str, image: str) -> str:
    """An image's name in the form of EC2: the first eight digits of its uuid."""
    return f"{kind}-{image.replace('-', '')[:8]}" if image else ""


def block_device_mapping(instance: Instance) -> dict[str, str]:
    """What the disks are called: root, ephemeral and swap as the drivers name them, then volumes."""
    root = instance.root_device_name or "/dev/vda"
    found = {"ami": root.removeprefix("/dev/"), "root": root}
    prefix, letter = root[:-1], root[-1]
    if instance.ephemeral_gb:
        letter = chr(ord(letter) + 1)
        found["ephemeral0"] = f"{prefix}{letter}"
    if instance.flavor.swap:
        letter = chr(ord(letter) + 1)
        found["swap"] = f"{prefix}{letter}"
    volumes = [
        device.device_name for device in instance.block_devices
        if device.volume_id and device.device_name
    ]
    found.update({f"ebs{number}": str(name) for number, name in enumerate(volumes)})
    return found


def as_text(node: Node) -> bytes:
    """A node as the service answers it: a listing for a directory, without a newline at its end."""
    if isinstance(node, bytes):
        return node
    if isinstance(node, str):
        return node.encode()
    if isinstance(node, Mapping):
        return "\n".join(_listed(key, node[key]) for key in sorted(node) if key != LISTED_AS).encode()
    return "\n".join(node).encode()


def _listed(key: str, value: Node) -> str:
    if not isinstance(value, Mapping):
        return key
    return str(value.get(LISTED_AS, f"{key}/"))


def without_names(node: Any) -> Any:
    """A directory as plain JSON, for the config drive."""
    if not isinstance(node, Mapping):
        return node
    return {key: without_names(value) for key, value in node.items() if key != LISTED_AS}
