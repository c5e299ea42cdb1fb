# SPDX-License-Identifier: Apache-2.0
"""Domains that run on a host and belong to no server: told of once, and stopped where that is asked for."""

from __future__ import annotations

import logging
from collections.abc import Mapping

import libvirt

from nova.errors import VirtError
from nova.objects.states import RUNNING
from nova.virt.libvirt.domain_xml import NOVA_NAMESPACE
from nova.virt.libvirt.files import HostFiles
from nova.virt.libvirt.host import HypervisorConnection

LOG = logging.getLogger(__name__)


class Strangers:
    """The running domains that have no directory among the guests' and no mark of ours.

    ``stop`` switches them off, as pulling the plug does. Nothing of them is undefined or deleted. A domain
    with our mark is never stopped: the guests' directories may only be missing for now, as an NFS share.
    """

    def __init__(self, connection: HypervisorConnection, files: HostFiles, *, stop: bool) -> None:
        self._connection = connection
        self._files = files
        self._stop = stop
        self._told: set[str] = set()

    def look(self, found: Mapping[str, int]) -> None:
        """Go through all domains of the host and their power states."""
        for uuid, state in found.items():
            if state != RUNNING or uuid in self._told or self._files.guest(uuid).exists():
                continue
            self._told.add(uuid)
            if self._stop and self._stopped(uuid):
                self._told.discard(uuid)
                LOG.warning("domain %s ran here and belongs to no server; it was stopped", uuid)
            else:
                LOG.warning("domain %s runs here and belongs to no server; it is left alone", uuid)
        self._told.intersection_update(found)

    def _stopped(self, uuid: str) -> bool:
        try:
            domain = self._connection.domain(uuid)
            with self._connection.translated():
                if _marked(domain):
                    return False
                domain.destroy()
        except VirtError as error:
            LOG.warning("domain %s could not be stopped: %s", uuid, error)
            return False
        return True


def _marked(domain: libvirt.virDomain) -> bool:
    try:
        domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NOVA_NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return False
        raise
    return True
