# SPDX-License-Identifier: Apache-2.0
"""The one tree of files about a guest. The metadata service looks paths up in it; the config drive is it.

    /<ec2 version>/{meta-data/...,user-data}      also under /ec2
    /openstack/<version>/{meta_data.json, user_data, password, vendor_data.json, ...}
    /openstack/content/<nnnn>                     injected files
"""

from __future__ import annotations

import base64
import binascii
import datetime
import os
import posixpath
import threading
from collections.abc import Mapping
from typing import Any

import msgspec

from nova.metadata import ec2
from nova.metadata.network_data import network_data
from nova.metadata.vendor_data import VendorData
from nova.metadata.versions import (
    EC2_VERSIONS,
    FILES_SINCE,
    LATEST,
    META_DATA_SINCE,
    OPENSTACK_VERSIONS,
    VF_TRUSTED_SINCE,
    ec2_version,
    openstack_version,
)
from nova.objects.device_addresses import known_address
from nova.objects.instance import Instance, Vif

#: Where a guest's encrypted password is kept, in ``system_metadata``.
PASSWORD_KEY = "password"  # noqa: S105

JSON = "application/json"
TEXT = "text/plain; charset=UTF-8"

_encode = msgspec.json.encode


class Document(msgspec.Struct, frozen=True):
    """A file or a listing, and its media type."""

    data: bytes
    media_type: str = TEXT


class GuestTree:
    """Everything a guest is told. What a path leads to is made once and kept.

    ``domain`` is appended to host names; ``zone`` is that of guests in none. ``admin_password`` and
    ``files`` (path in the guest -> base64) are known while the guest is made and never again: the config
    drive alone has them.
    """

    def __init__(
        self,
        instance: Instance,
        vendor_data: VendorData,
        *,
        vifs: tuple[Vif, ...] | None = None,
        domain: str = "",
        zone: str = "nova",
        admin_password: str | None = None,
        files: Mapping[str, str] | None = None,
    ) -> None:
        self.instance = instance
        self._vifs = instance.network_info if vifs is None else vifs
        self._vendor_data = vendor_data
        self._name = f"{instance.hostname}.{domain}" if domain else instance.hostname
        self._zone = instance.availability_zone or zone
        self._admin_password = admin_password
        self._seed = base64.b64encode(os.urandom(512)).decode()
        self._user_data = decoded(instance.user_data) if instance.user_data else None
        self._content: dict[str, bytes] = {}
        self._named: list[dict[str, str]] = []
        for number, (path, text) in enumerate(sorted((files or {}).items())):
            self._content[f"{number:04d}"] = decoded(text)
            self._named.append({"path": path, "content_path": f"/content/{number:04d}"})
        self._made: dict[str, Document | None] = {}
        self._lock = threading.Lock()

    # --- the service -----------------------------------------------------------------------------

    def lookup(self, path: str) -> Document | None:
        """What is at a path; None where nothing is.

        Raises ``VendorDataUnavailable`` as vendor data does.
        """
        try:
            return self._made[path]
        except KeyError:
            pass
        with self._lock:
            if path in self._made:
                return self._made[path]
            found = self._find(path)
            # What a guest asks for is few paths; what it makes up must not fill the memory.
            if found is not None and len(self._made) < 256:
                self._made[path] = found
            return found

    def _find(self, path: str) -> Document | None:
        parts = posixpath.normpath("/" + path).strip("/").split("/")
        if parts[0] == "openstack":
            return self._openstack(parts[1:])
        if parts[0] == "ec2":
            parts = parts[1:]
        if not parts or parts == [""]:
            return Document(listing_of_versions())
        version = ec2_version(parts[0])
        if version is None:
            return None
        node: Any = self._ec2_directory(version)
        for part in parts[1:]:
            if not isinstance(node, Mapping) or part not in node or part == ec2.LISTED_AS:
                return None
            node = node[part]
        return Document(ec2.as_text(node))

    def _ec2_directory(self, version: str) -> dict[str, Any]:
        found: dict[str, Any] = {
            "meta-data": ec2.meta_data(
                self.instance, self._vifs, self._name, self._zone, version
            )
        }
        if self._user_data is not None:
            found["user-data"] = self._user_data
        return found

    def _openstack(self, parts: list[str]) -> Document | None:
        if not parts:
            today = datetime.datetime.now(datetime.UTC).date().isoformat()
            shown = [version for version in OPENSTACK_VERSIONS if version <= today]
            return Document("\n".join([*shown, LATEST]).encode())
        if parts[0] == "content":
            content = self._content.get(parts[1]) if len(parts) == 2 else None
            return None if content is None else Document(content, "application/octet-stream")
        version = openstack_version(parts[0])
        if version is None or len(parts) > 2:
            return None
        if len(parts) == 1:
            return Document("\n".join(self._names(version)).encode())
        return self._file(version, parts[1]) if parts[1] in self._names(version) else None

    def _names(self, version: str) -> list[str]:
        """The files of a version's directory."""
        return [
            name for name, since in FILES_SINCE.items()
            if since <= version and (name != "user_data" or self._user_data is not None)
        ]

    def _file(self, version: str, name: str) -> Document:
        if name == "meta_data.json":
            return Document(_encode(self._meta_data(version)), JSON)
        if name == "network_data.json":
            return Document(_encode(network_data(self._vifs)), JSON)
        if name == "vendor_data.json":
            return Document(_encode(self._vendor_data.static()), JSON)
        if name == "vendor_data2.json":
            return Document(_encode(self._vendor_data.all(self.instance)), JSON)
        if name == "user_data":
            return Document(self._user_data or b"", "application/octet-stream")
        return Document(str(self.instance.system_metadata.get(PASSWORD_KEY, "")).encode())

    def _meta_data(self, version: str) -> dict[str, Any]:
        instance = self.instance
        found: dict[str, Any] = {"uuid": instance.uuid}
        if instance.metadata:
            found["meta"] = instance.metadata
        if self._named:
            found["files"] = self._named
        if self._admin_password:
            found["admin_pass"] = self._admin_password
        if instance.key_name and instance.key_data:
            found["public_keys"] = {instance.key_name: instance.key_data}
            found["keys"] = [
                {"name": instance.key_name, "type": _key_type(instance.key_data),
                 "data": instance.key_data}
            ]
        found |= {
            "hostname": self._name, "name": instance.name, "launch_index": instance.launch_index,
            "availability_zone": self._zone, "random_seed": self._seed,
            "project_id": instance.project_id, "devices": self._devices(version),
            "dedicated_cpus": dedicated_cpus(instance),
        }
        return {
            key: value for key, value in found.items() if META_DATA_SINCE.get(key, "") <= version
        }

    def _devices(self, version: str) -> list[dict[str, Any]]:
        """The devices that the user tagged, with where the hypervisor put them."""
        found: list[dict[str, Any]] = []
        facts = self.instance.system_metadata
        for vif in self._vifs:
            if vif.tag:
                trusted = {"vf_trusted": False} if version >= VF_TRUSTED_SINCE else {}
                bus, address = known_address(facts, vif.mac)
                found.append(
                    {**trusted, "type": "nic", "mac": vif.mac, "bus": bus, "address": address,
                     "tags": [vif.tag]}
                )
        for device in self.instance.block_devices:
            if device.tag:
                bus, address = known_address(facts, device.bdm_uuid)
                found.append(
                    {"type": "disk", "serial": device.volume_id, "bus": bus, "address": address,
                     "tags": [device.tag]}
                )
        return found

    # --- the config drive ------------------------------------------------------------------------

    def drive_files(self, skipped: tuple[str, ...] = ()) -> dict[str, bytes]:
        """Every file of the config drive; ``skipped`` names EC2 versions that it has no directory for.

        A guest cannot post a password to a drive, so that there is no such file.
        """
        files: dict[str, bytes] = {}
        for name in (*EC2_VERSIONS, LATEST):
            version = ec2_version(name)
            if name in skipped or version is None:
                continue
            directory = self._ec2_directory(version)
            files[f"ec2/{name}/meta-data.json"] = _encode(
                ec2.without_names(directory["meta-data"])
            )
            if self._user_data is not None:
                files[f"ec2/{name}/user-data"] = self._user_data
        for name in (*OPENSTACK_VERSIONS, LATEST):
            version = openstack_version(name)
            assert version is not None
            for file in self._names(version):
                found = self.lookup(f"/openstack/{version}/{file}") if file != "password" else None
                if found is not None:
                    files[f"openstack/{name}/{file}"] = found.data
        for number, content in self._content.items():
            files[f"openstack/content/{number}"] = content
        return files


def listing_of_versions() -> bytes:
    """The root: what anybody may know."""
    return "\n".join([*EC2_VERSIONS, LATEST]).encode()


def dedicated_cpus(instance: Instance) -> list[int]:
    """The vCPUs that have a host CPU of their own."""
    if instance.topology is None:
        return []
    return sorted(vcpu for cell in instance.topology.cells for vcpu, _cpu in cell.pinning)


def decoded(text: str) -> bytes:
    """Base64 as bytes; what is no base64 stays as it is."""
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError):
        return text.encode()


def _key_type(data: str) -> str:
    return "x509" if data.startswith("-----BEGIN CERTIFICATE") else "ssh"
