# SPDX-License-Identifier: Apache-2.0
"""Resize and migration, of guests that are off and of guests that run."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

import libvirt

from nova.errors import GuestNotFound, VirtError
from nova.objects.instance import Instance
from nova.objects.migration import Arrival, MigrationProgress, VolumePlace
from nova.objects.states import PAUSED, SHUTDOWN
from nova.virt.driver import GuestSpec
from nova.virt.libvirt.arrival_xml import expects_other_consoles, relistened, resourced, serials_of
from nova.virt.libvirt.copy_jobs import cancel_quietly
from nova.virt.libvirt.domain_xml import NOVA_NAMESPACE
from nova.virt.libvirt.guest_config import place_of
from nova.virt.libvirt.host import power_state
from nova.virt.libvirt.remote_disks import drop_sent, fetch_kept, other_host, send_disks
from nova.virt.libvirt.topology_xml import repinned
from nova.virt.libvirt.volumes import GuestVolumes

if TYPE_CHECKING:
    from nova.virt.libvirt.parts import DriverParts

LOG = logging.getLogger(__name__)

_POLL = 0.2
#: Seconds that an abort may take. libvirt 9 can wait for ever for the copy of a disk whose receiver is gone.
_ABORT_SECONDS = 60.0
#: Seconds after which such copies are cancelled in QEMU itself, and cancelled again.
_PATIENCE = 10.0
#: Seconds that libvirt takes to forget a migration after the end of its receiver.
_TIDY = 2.0
#: Type of a job that still runs, as ``jobStats`` tells it.
_RUNNING_JOBS = frozenset({libvirt.VIR_DOMAIN_JOB_BOUNDED, libvirt.VIR_DOMAIN_JOB_UNBOUNDED})


class GuestMoves(GuestVolumes):
    """The ``Moves`` protocol."""

    _parts: DriverParts
    #: Guests whose live migration is to end now.
    _hurried: set[str]

    def migrate_out(self, instance: Instance, destination: str) -> None:
        """Stop the guest, let libvirt forget it, and put its disks aside."""
        parts = self._parts
        directory = parts.storage.files.guest(instance.uuid)
        if parts.connection.find(instance.uuid) is not None:
            parts.stop_guest(instance)
            parts.undefine(instance.uuid)
        if not directory.exists() and not parts.storage.files.keeps(instance.uuid):
            raise VirtError(f"The disks of {instance.uuid} are not on host {parts.host}.")
        parts.storage.keep(instance.uuid)

    def migrate_in(self, spec: GuestSpec, source: str) -> int:
        """Bring the disks here, fit them to the flavor, define, start."""
        parts = self._parts
        uuid = spec.instance.uuid
        domain = parts.connection.find(uuid)
        if domain is not None and domain.isActive():
            return power_state(domain)
        if parts.storage.files.kept(uuid).exists():
            parts.storage.copy_kept(uuid)
        else:
            fetch_kept(parts, spec, source)
        self.connect_volumes(spec.instance, spec.volumes)
        parts.storage.fit(spec.instance)
        domain = parts.define(spec.instance)
        return parts.start(domain) if spec.power_on else SHUTDOWN

    def forget_outgoing(self, instance: Instance) -> None:
        """Drop what was put aside, or what a guest that moved away while it ran left behind."""
        parts = self._parts
        gone = parts.connection.find(instance.uuid) is None
        if gone:
            self.close_volumes(instance.uuid)
        parts.storage.drop_kept(instance.uuid)
        if gone:
            parts.storage.remove(instance.uuid)

    def revert_outgoing(self, spec: GuestSpec) -> int:
        """Give the guest back what was put aside, and start it."""
        parts = self._parts
        uuid = spec.instance.uuid
        if parts.storage.files.keeps(uuid):
            parts.undefine(uuid)
            parts.storage.restore_kept(uuid)
        else:
            domain = parts.connection.find(uuid)
            if domain is not None and domain.isActive():
                return power_state(domain)
            parts.storage.restore_moved(uuid)
        self.connect_volumes(spec.instance, spec.volumes)
        domain = parts.define(spec.instance)
        return parts.start(domain) if spec.power_on else SHUTDOWN

    def arrival(self, instance: Instance) -> Arrival:
        """Where data of a guest that is about to come goes, and where its consoles will be served."""
        parts = self._parts
        serial = parts.serial(instance)
        return Arrival(
            address=parts.section.live_migration_inbound_addr, vnc_listen=parts.guest_host.vnc_listen,
            spice_listen=parts.guest_host.spice_listen,
            serial_listen=serial[0] if serial else None, serial_port=serial[1] if serial else None,
            volumes=tuple(self.places(instance.uuid).values()),
        )

    def live_migrate(
        self,
        instance: Instance,
        destination: str,
        progress: Callable[[MigrationProgress], bool],
        arrival: Arrival,
    ) -> None:
        """Copy the running guest; its disks go along unless both hosts share them.

        The instance's topology is the place that it will have there.

        A try after an interruption finds the guest here, or there and nothing left to do.
        """
        parts = self._parts
        self._hurried.discard(instance.uuid)
        domain = parts.connection.find(instance.uuid)
        with other_host(parts, destination) as other:
            if domain is not None:
                _end_earlier(instance.uuid, domain, other)
            if domain is None or not domain_is_active(domain):
                if _runs(other, instance.uuid):
                    return
                raise GuestNotFound(f"Guest {instance.uuid} does not run on host {parts.host}")
            shared = send_disks(parts, instance, other)
            try:
                self._copy(instance, domain, destination, shared, progress, arrival)
            except BaseException:
                # Where the last word was lost the guest may run there: then nothing of it goes.
                if not shared and not _runs(other, instance.uuid):
                    drop_sent(parts, instance, other)
                raise
        if not shared:
            parts.storage.mark_moved(instance.uuid)

    def _copy(
        self,
        instance: Instance,
        domain: Any,
        destination: str,
        shared: bool,
        progress: Callable[[MigrationProgress], bool],
        arrival: Arrival,
    ) -> None:
        section = self._parts.section
        flags = (
            libvirt.VIR_MIGRATE_LIVE | libvirt.VIR_MIGRATE_PEER2PEER
            | libvirt.VIR_MIGRATE_PERSIST_DEST | libvirt.VIR_MIGRATE_UNDEFINE_SOURCE
        )
        parameters: dict[str, Any] = {
            libvirt.VIR_MIGRATE_PARAM_URI: f"tcp://{migration_address(arrival.address or destination)}",
        }
        if section.live_migration_bandwidth:
            parameters[libvirt.VIR_MIGRATE_PARAM_BANDWIDTH] = section.live_migration_bandwidth
        disks = self._parts.storage.disks(instance)
        local = [each.target for each in disks if not each.read_only and each.serial is None]
        if not shared and local:
            flags |= libvirt.VIR_MIGRATE_NON_SHARED_DISK
            parameters[libvirt.VIR_MIGRATE_PARAM_MIGRATE_DISKS] = local
        if shared or any(each.serial is not None for each in disks):
            # libvirt knows a few shared file systems by name. That the guest's directory is one was just
            # tried, and the destination has said that it has the volumes open.
            flags |= libvirt.VIR_MIGRATE_UNSAFE
        there = self._description_there(instance, domain, arrival)
        if there is not None:
            parameters[libvirt.VIR_MIGRATE_PARAM_DEST_XML] = there
            parameters[libvirt.VIR_MIGRATE_PARAM_PERSIST_XML] = there
        failure: list[libvirt.libvirtError] = []

        def run() -> None:
            try:
                domain.migrateToURI3(
                    section.live_migration_uri.replace("%s", destination), parameters, flags
                )
            except libvirt.libvirtError as error:
                failure.append(error)

        thread = threading.Thread(target=run, name=f"migrate-{instance.uuid}", daemon=True)
        thread.start()
        aborted = self._follow(instance, domain, thread, progress)
        if failure:
            reason = "it was aborted" if aborted else str(failure[0])
            raise VirtError(f"The live migration to {destination} did not succeed: {reason}")

    def _description_there(self, instance: Instance, domain: Any, arrival: Arrival) -> str | None:
        """The guest as its destination is to define it; None where it is as it is here."""
        elsewhere = expects_other_consoles(arrival)
        places = self._places_there(instance.uuid, arrival)
        if instance.topology is None and not elsewhere and not places:
            return None
        with self._parts.connection.translated():
            text: str = domain.XMLDesc(
                libvirt.VIR_DOMAIN_XML_MIGRATABLE | libvirt.VIR_DOMAIN_XML_SECURE
            )
        namespaces = {"nova": NOVA_NAMESPACE}
        if instance.topology is not None:
            # The guest goes to other CPUs and cells than it has here.
            text = repinned(text, place_of(instance, self._parts.guest_host), namespaces=namespaces)
        if places:
            text = resourced(text, places, namespaces=namespaces)
        return relistened(text, arrival, namespaces=namespaces) if elsewhere else text

    def _places_there(self, uuid: str, arrival: Arrival) -> dict[str, VolumePlace]:
        """Where the destination has the guest's volumes, by the serial numbers of their disks."""
        there = {each.volume_id: each for each in arrival.volumes}
        return {
            each.serial: there[each.connection.volume_id] for each in self._records(uuid).load()
            if each.connection.volume_id in there
        }

    def _follow(
        self,
        instance: Instance,
        domain: Any,
        thread: threading.Thread,
        progress: Callable[[MigrationProgress], bool],
    ) -> bool:
        """Tell how far the copy is until it ends; whether it was asked to stop.

        Raises ``VirtError`` where libvirt does not end what was aborted.
        """
        abort, tuned = _Abort(instance.uuid, domain), False
        while thread.is_alive():
            thread.join(_POLL)
            try:
                stats = domain.jobStats()
                if stats.get("type") in _RUNNING_JOBS:
                    if not tuned:
                        domain.migrateSetMaxDowntime(self._parts.section.live_migration_downtime, 0)
                        tuned = True
                    if instance.uuid in self._hurried:
                        self._hurried.discard(instance.uuid)
                        domain.suspend()
                    if not progress(progress_of(stats)):
                        abort.ask()
            except libvirt.libvirtError as error:
                # Between two phases there is no job to look at.
                LOG.debug("following the migration of %s: %s", instance.uuid, error)
                time.sleep(_POLL)
            if thread.is_alive():
                abort.insist()
        return abort.asked > 0

    def force_complete_live_migration(self, instance_uuid: str) -> None:
        """Let a live migration of this guest end now: it stands still, so that nothing changes any more."""
        self._parts.connection.domain(instance_uuid)
        self._hurried.add(instance_uuid)

    def live_migrated_in(self, spec: GuestSpec) -> int:
        """Take over a guest that has arrived; one that stood still for the end goes on."""
        uuid = spec.instance.uuid
        domain = self._parts.connection.domain(uuid)
        self._parts.storage.files.hold(uuid)
        with self._parts.connection.translated():
            # A disk whose volume was exchanged has the number of the one before.
            self._records(uuid).set_serials(serials_of(domain.XMLDesc(0), self.places(uuid)))
            if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED and spec.instance.vm_state != PAUSED:
                domain.resume()
            return power_state(domain)


class _Abort:
    """The end of a migration before its time: libvirt is asked, then QEMU, and then it is given up."""

    def __init__(self, uuid: str, domain: Any) -> None:
        self._uuid = uuid
        self._domain = domain
        self._again = 0.0
        #: When libvirt took the request; 0 is not yet.
        self.asked = 0.0

    def ask(self) -> None:
        """Ask libvirt, once."""
        if not self.asked:
            self._domain.abortJob()
            self.asked = time.monotonic()
            self._again = self.asked + _PATIENCE

    def insist(self) -> None:
        """See that what was asked for comes about; ``VirtError`` where it does not."""
        if not self.asked or time.monotonic() < self._again:
            return
        if time.monotonic() - self.asked > _ABORT_SECONDS:
            raise VirtError(
                f"libvirt does not end the migration of {self._uuid}, which was aborted "
                f"{_ABORT_SECONDS:.0f} s ago. The guest runs on here; restart libvirtd to free it."
            )
        self._again = time.monotonic() + _PATIENCE
        cancel_quietly(self._domain)


def _end_earlier(uuid: str, domain: Any, other: Any) -> None:
    """End a migration that a service which died had begun: it still writes into what is to be made anew."""
    abort = _Abort(uuid, domain)
    while True:
        try:
            running = domain.jobStats().get("type") in _RUNNING_JOBS
            if running:
                abort.ask()
        except libvirt.libvirtError as error:
            if error.get_error_code() not in (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_OPERATION_INVALID):
                raise
            # It has arrived, or has just ended.
            running = False
        if not running and not (abort.asked and domain_is_active(domain) and _runs(other, uuid)):
            break
        abort.insist()
        time.sleep(_POLL)
    if abort.asked:
        # libvirt tidies up a little after the receiver is gone, and takes no other migration until then.
        time.sleep(_TIDY)


def domain_is_active(domain: Any) -> bool:
    """Whether a domain runs; one that is gone does not."""
    try:
        return bool(domain.isActive())
    except libvirt.libvirtError:
        return False


def progress_of(stats: Mapping[str, Any]) -> MigrationProgress:
    """What libvirt's job statistics say of a migration (virDomainGetJobStats)."""
    return MigrationProgress(
        **{
            f"{what}_{part}": int(stats.get(f"{what}_{part}", 0))
            for what in ("memory", "disk")
            for part in ("total", "processed", "remaining")
        }
    )


_ADDRESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]*|[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*")


def migration_address(told: str) -> str:
    """A host name or address as it stands in a migration's URI.

    Raises ``VirtError`` for what is neither: it came from another host.
    """
    if not _ADDRESS.fullmatch(told):
        raise VirtError(f"{told!r} is no address that a guest could be sent to.")
    return f"[{told}]" if ":" in told else told


def _runs(connection: Any, uuid: str) -> bool:
    try:
        return bool(connection.lookupByUUIDString(uuid).isActive())
    except libvirt.libvirtError:
        return False
