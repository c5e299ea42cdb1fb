# SPDX-License-Identifier: Apache-2.0
"""The files of a config drive, as a mapping of paths to contents.

Source: OpenStack's "Config drives" and "Metadata service" pages, and the EC2 metadata of 2009-04-04.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
import os
from typing import Any

import msgspec

from nova.objects.instance import Instance, Vif
from nova.virt.driver import GuestSpec

#: Versions of the metadata format that the drive has a directory for.
VERSIONS = (
    "2012-08-10", "2013-04-04", "2013-10-17", "2015-10-15", "2016-06-30", "2016-10-06",
    "2017-02-22", "2018-08-27", "latest",
)
_EC2_VERSIONS = ("2009-04-04", "latest")
_NETWORK_DATA_SINCE = "2015-10-15"
_VENDOR_DATA_SINCE = "2013-10-17"


def drive_files(spec: GuestSpec, domain: str) -> dict[str, bytes]:
    """Every file of the drive. ``domain`` is appended to the host name."""
    instance = spec.instance
    files: dict[str, bytes] = {}
    named = []
    for number, (path, text) in enumerate(sorted(spec.files.items())):
        content = f"content/{number:04d}"
        named.append({"path": path, "content_path": f"/{content}"})
        files[f"openstack/{content}"] = _decoded(text)
    metadata = _encode(meta_data(spec, domain, named))
    network = _encode(network_data(spec.vifs))
    user_data = _decoded(instance.user_data) if instance.user_data else None
    for version in VERSIONS:
        files[f"openstack/{version}/meta_data.json"] = metadata
        if user_data is not None:
            files[f"openstack/{version}/user_data"] = user_data
        if version >= _VENDOR_DATA_SINCE:
            files[f"openstack/{version}/vendor_data.json"] = b"{}"
        if version >= _NETWORK_DATA_SINCE:
            files[f"openstack/{version}/network_data.json"] = network
    ec2 = _encode(ec2_meta_data(instance, spec.vifs, domain))
    for version in _EC2_VERSIONS:
        files[f"ec2/{version}/meta-data.json"] = ec2
        if user_data is not None:
            files[f"ec2/{version}/user-data"] = user_data
    return files


def meta_data(spec: GuestSpec, domain: str, named: list[dict[str, str]]) -> dict[str, Any]:
    """``meta_data.json``; ``named`` tells where injected files are."""
    instance = spec.instance
    found: dict[str, Any] = {
        "uuid": instance.uuid, "name": instance.name, "hostname": full_name(instance, domain),
        "launch_index": instance.launch_index, "availability_zone": instance.availability_zone,
        "project_id": instance.project_id, "devices": [],
        "random_seed": base64.b64encode(os.urandom(512)).decode(),
    }
    if instance.metadata:
        found["meta"] = instance.metadata
    if named:
        found["files"] = named
    if instance.key_name and instance.key_data:
        found["public_keys"] = {instance.key_name: instance.key_data}
        found["keys"] = [
            {"name": instance.key_name, "type": "ssh", "data": instance.key_data}
        ]
    if spec.admin_password:
        found["admin_pass"] = spec.admin_password
    return found


def full_name(instance: Instance, domain: str) -> str:
    """The host name with the domain."""
    return f"{instance.hostname}.{domain}" if domain else instance.hostname


def network_data(vifs: tuple[Vif, ...]) -> dict[str, Any]:
    """``network_data.json``: a link and its networks for each NIC."""
    links: list[dict[str, Any]] = []
    networks: list[dict[str, Any]] = []
    services: list[dict[str, str]] = []
    for vif in vifs:
        link = f"tap{vif.id[:11]}"
        links.append(
            {"id": link, "vif_id": vif.id, "type": "bridge", "mtu": vif.mtu,
             "ethernet_mac_address": vif.mac}
        )
        for address in vif.addresses:
            networks.append(_network(vif, link, address.address, len(networks)))
        services += [
            {"type": "dns", "address": address} for address in vif.dns
            if {"type": "dns", "address": address} not in services
        ]
    return {"links": links, "networks": networks, "services": services}


def _network(vif: Vif, link: str, address: str, number: int) -> dict[str, Any]:
    version = ipaddress.ip_address(address).version
    gateway = vif.gateway if version == 4 else vif.gateway_v6
    cidr = vif.cidr if version == 4 else vif.cidr_v6
    mask = vif.netmask if version == 4 and vif.netmask else _mask(cidr)
    routes = []
    if gateway:
        everywhere = "0.0.0.0" if version == 4 else "::"  # noqa: S104
        routes.append({"network": everywhere, "netmask": everywhere, "gateway": gateway})
    return {
        "id": f"network{number}", "type": f"ipv{version}", "link": link, "ip_address": address,
        "netmask": mask, "routes": routes, "network_id": vif.network_id,
        "services": [
            {"type": "dns", "address": each} for each in vif.dns
            if ipaddress.ip_address(each).version == version
        ],
    }


def _mask(cidr: str | None) -> str | None:
    return str(ipaddress.ip_network(cidr, strict=False).netmask) if cidr else None


def ec2_meta_data(instance: Instance, vifs: tuple[Vif, ...], domain: str) -> dict[str, Any]:
    """The EC2 form."""
    fixed = [each for vif in vifs for each in vif.addresses if each.version == 4]
    floating = [each for address in fixed for each in address.floating]
    name = full_name(instance, domain)
    found: dict[str, Any] = {
        "ami-id": instance.image_ref, "ami-launch-index": instance.launch_index,
        "instance-id": f"i-{instance.id:08x}", "instance-type": instance.flavor.name,
        "instance-action": "none", "hostname": name, "local-hostname": name,
        "public-hostname": name, "local-ipv4": fixed[0].address if fixed else "",
        "public-ipv4": floating[0] if floating else "", "reservation-id": instance.reservation_id,
        "security-groups": instance.security_groups,
        "placement": {"availability-zone": instance.availability_zone},
        "block-device-mapping": {
            "ami": (instance.root_device_name or "/dev/vda").removeprefix("/dev/"),
            "root": instance.root_device_name or "/dev/vda",
        },
    }
    if instance.key_name and instance.key_data:
        found["public-keys"] = {
            "0": {"_name": f"0={instance.key_name}", "openssh-key": instance.key_data}
        }
    return found


def _decoded(text: str) -> bytes:
    """Base64 as bytes; what is no base64 stays as it is."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text.encode()


_encode = msgspec.json.encode
