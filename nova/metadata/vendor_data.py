# SPDX-License-Identifier: Apache-2.0
"""What the operator tells guests: a file that is the same for all, and answers of the operator's services.

Source: https://docs.openstack.org/nova/latest/admin/vendordata.html.
"""

from __future__ import annotations

import logging
import ssl
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import msgspec

from nova.conf.metadata import ApiMetadataSection
from nova.decoding import decode_json
from nova.errors import NovaError
from nova.objects.instance import Instance

LOG = logging.getLogger(__name__)

STATIC = "StaticJSON"
DYNAMIC = "DynamicJSON"
#: Most bytes that are taken of a service's answer.
_LIMIT = 1 << 20


class VendorDataUnavailable(NovaError):
    """A vendor data service failed, and ``vendordata_dynamic_failure_fatal`` is set."""

    status = 503


class VendorData:
    """Both kinds, by the options. The file is read when it is asked for and read again when it changed."""

    def __init__(self, section: ApiMetadataSection) -> None:
        self._section = section
        self._file: tuple[tuple[int, int], Any] | None = None

    def static(self) -> Any:
        """The file's content; an empty object where there is none that can be read."""
        name = self._section.vendordata_jsonfile_path
        if not name or STATIC not in self._section.vendordata_providers:
            return {}
        path = Path(name)
        try:
            facts = path.stat()
            stamp = (facts.st_mtime_ns, facts.st_size)
            known = self._file
            if known is not None and known[0] == stamp:
                return known[1]
            content = decode_json(path.read_bytes())
        except (OSError, msgspec.DecodeError) as error:
            LOG.warning("vendordata_jsonfile_path %s: %s", path, error)
            return {}
        self._file = (stamp, content)
        return content

    def all(self, instance: Instance) -> dict[str, Any]:
        """The whole of ``vendor_data2.json``: ``static``, and an answer for each target by its name.

        Raises ``VendorDataUnavailable`` where a service fails and that is to be fatal.
        """
        found: dict[str, Any] = {}
        for provider in self._section.vendordata_providers:
            if provider == STATIC:
                found["static"] = self.static()
            elif provider == DYNAMIC:
                for target in self._section.vendordata_dynamic_targets:
                    name, at, url = target.partition("@")
                    if not at or not url.startswith(("http://", "https://")):
                        LOG.warning("vendordata_dynamic_targets: %s is not NAME@URL", target)
                    elif name in found:
                        LOG.warning("vendordata_dynamic_targets: there are two named %s", name)
                    else:
                        found[name] = self._ask(name, url, instance)
        return found

    def _ask(self, name: str, url: str, instance: Instance) -> Any:
        body = msgspec.json.encode(
            {
                "project-id": instance.project_id, "instance-id": instance.uuid,
                "image-id": instance.image_ref, "user-data": instance.user_data,
                "hostname": instance.hostname, "metadata": instance.metadata,
                "boot-roles": instance.system_metadata.get("boot_roles", ""),
            }
        )
        request = urllib.request.Request(  # noqa: S310 - the scheme was checked
            url, body,
            {"Content-Type": "application/json", "Accept": "application/json",
             "User-Agent": "openstack-nova-vendordata"},
        )
        certificates = self._section.vendordata_dynamic_ssl_certfile or None
        # One limit stands for both: a socket has a single timeout, for connecting and for each read.
        seconds = max(
            self._section.vendordata_dynamic_connect_timeout,
            self._section.vendordata_dynamic_read_timeout,
        )
        try:
            context = ssl.create_default_context(cafile=certificates) if url[4] == "s" else None
            with urllib.request.urlopen(request, timeout=seconds, context=context) as answer:  # noqa: S310
                data = answer.read(_LIMIT + 1)
            if len(data) > _LIMIT:
                raise ValueError(f"more than {_LIMIT} bytes")
            return decode_json(data) if data.strip() else {}
        except (OSError, ValueError, msgspec.DecodeError) as error:
            LOG.warning("vendor data service %s at %s: %s", name, url, error)
            if self._section.vendordata_dynamic_failure_fatal:
                raise VendorDataUnavailable(
                    f"The vendor data service {name} does not answer."
                ) from None
            return {}
