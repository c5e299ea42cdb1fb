# SPDX-License-Identifier: Apache-2.0
"""Who makes a request: the guest at the other end of the connection, or the one that a proxy signs for."""

from __future__ import annotations

import hashlib
import hmac
import ipaddress
import logging

import falcon

from nova.api.metadata.guests import Guests
from nova.conf import Config
from nova.errors import BadRequest, Forbidden, NovaError
from nova.metadata.tree import GuestTree

LOG = logging.getLogger(__name__)

#: Where a listener of one bridge alone says which, in the WSGI environment.
BRIDGE = "nova.bridge"


class SecretMissing(NovaError):
    """A metadata proxy needs a secret to sign with."""


class Callers:
    """Finds the guest of a request. Raises ``SecretMissing`` for a proxy without a secret."""

    def __init__(self, config: Config, guests: Guests) -> None:
        self._guests = guests
        self._proxied = config.metadata_proxy.service_metadata_proxy
        self._secret = config.metadata_proxy.metadata_proxy_shared_secret.encode()
        self._forwarded = config.metadata_service.use_forwarded_for
        if self._proxied and not self._secret:
            raise SecretMissing(
                "[neutron] service_metadata_proxy is set, but metadata_proxy_shared_secret is not: "
                "anybody could claim to be any guest. Set it to the secret of your metadata proxy."
            )

    def find(self, request: falcon.Request) -> GuestTree | None:
        """The guest's tree; None where nobody is known there.

        Raises ``BadRequest`` where a proxy leaves a header out, ``Forbidden`` for a wrong signature.
        """
        if self._proxied:
            return self._named(request)
        text = str(request.env["REMOTE_ADDR"])
        if self._forwarded:
            # What stands before the last one came with the request and may say anything.
            text = (request.get_header("X-Forwarded-For") or text).rpartition(",")[2].strip()
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return None
        mapped = getattr(address, "ipv4_mapped", None)
        return self._guests.at(request.env.get(BRIDGE), str(mapped or address))

    def _named(self, request: falcon.Request) -> GuestTree | None:
        values = []
        for name in ("X-Instance-ID", "X-Instance-ID-Signature", "X-Tenant-ID"):
            value = request.get_header(name)
            if value is None:
                raise BadRequest(f"{name} header is missing from request.")
            values.append(value)
        uuid, signature, project = values
        if "," in uuid or "," in project:
            raise BadRequest("Multiple X-Instance-ID or X-Tenant-ID headers found within request.")
        expected = hmac.new(self._secret, uuid.encode(), hashlib.sha256).hexdigest()
        if not hmac.compare_digest(expected.encode(), signature.encode()):
            LOG.warning("a wrong signature for instance %.64s came from %s", uuid, request.remote_addr)
            raise Forbidden("Invalid proxy request signature.")
        tree = self._guests.of(uuid)
        if tree is not None and tree.instance.project_id != project:
            LOG.warning("instance %s is not of project %.64s, which a proxy named", uuid, project)
            return None
        return tree
