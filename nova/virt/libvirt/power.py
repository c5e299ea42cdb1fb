# SPDX-License-Identifier: Apache-2.0
"""Making, removing and switching guests."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import libvirt

from nova.objects.device_addresses import has_tags
from nova.objects.instance import Instance
from nova.objects.states import POWER_PAUSED, POWER_SUSPENDED, RUNNING, SHUTDOWN
from nova.virt.driver import GuestSpec
from nova.virt.libvirt.host import power_state
from nova.virt.libvirt.volumes import GuestVolumes

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

LOG = logging.getLogger(__name__)


class GuestPower(GuestVolumes):
    """The ``Power`` protocol."""

    _parts: DriverParts

    def spawn(self, spec: GuestSpec) -> int:
        """Make disks, define, start; what an earlier try did already stays."""
        parts = self._parts
        domain = parts.connection.find(spec.instance.uuid)
        if domain is not None and domain.isActive():
            return power_state(domain)
        self.connect_volumes(spec.instance, spec.volumes)
        parts.storage.create(spec)
        domain = parts.define(spec.instance)
        if has_tags(spec.instance):
            parts.storage.tell_addresses(spec, parts.device_addresses(domain, spec.instance))
        return parts.start(domain, paused=spec.paused) if spec.power_on else SHUTDOWN

    def destroy(self, uuid: str) -> None:
        """Remove the guest, its description and its disks; volumes are merely closed."""
        volumes = self._parts.storage.volume_records(uuid).load()
        self._parts.undefine(uuid)
        self._parts.storage.remove(uuid)
        for volume in volumes:
            self._close(volume.connection)

    def power_on(self, instance: Instance) -> int:
        """Start, described anew: bridges and options may have changed since."""
        parts = self._parts
        domain = parts.connection.find(instance.uuid)
        if domain is not None and domain.isActive():
            return power_state(domain)
        return parts.restart_hard(instance)

    def power_off(self, instance: Instance) -> int:
        """ACPI, then off after ``shutdown_timeout``."""
        self._parts.stop_guest(instance)
        return SHUTDOWN

    def reboot(self, instance: Instance, *, hard: bool) -> int:
        """A soft reboot that the guest does not follow becomes a hard one."""
        parts = self._parts
        if not hard:
            domain = parts.connection.domain(instance.uuid)
            if parts.shut_down(domain, parts.section.wait_soft_reboot_seconds):
                return parts.start(domain)
            LOG.info("guest %s did not follow the soft reboot; rebooting it hard", instance.uuid)
        return parts.restart_hard(instance)

    def pause(self, instance: Instance) -> int:
        """Freeze."""
        domain = self._parts.connection.domain(instance.uuid)
        with self._parts.connection.translated():
            if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
                domain.suspend()
        return POWER_PAUSED

    def unpause(self, instance: Instance) -> int:
        """Thaw."""
        domain = self._parts.connection.domain(instance.uuid)
        with self._parts.connection.translated():
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
                domain.resume()
        return RUNNING

    def suspend(self, instance: Instance) -> int:
        """Save memory to disk and stop."""
        domain = self._parts.connection.domain(instance.uuid)
        with self._parts.connection.translated():
            if domain.isActive():
                try:
                    domain.managedSave(0)
                except libvirt.libvirtError:
                    # Half of its memory is nothing to start with.
                    if domain.isActive() and domain.hasManagedSaveImage():
                        domain.managedSaveRemove()
                    raise
        return POWER_SUSPENDED

    def resume(self, instance: Instance) -> int:
        """Start with the saved memory."""
        return self._parts.start(self._parts.connection.domain(instance.uuid))
