# SPDX-License-Identifier: Apache-2.0
"""``Operations``: the functions of this room as methods of one object, as a literal table."""

from __future__ import annotations

from nova.compute.operations import boot as _boot
from nova.compute.operations import consoles as _consoles
from nova.compute.operations import deletion as _deletion
from nova.compute.operations import facts as _facts
from nova.compute.operations import interfaces as _interfaces
from nova.compute.operations import moves as _moves
from nova.compute.operations import power as _power
from nova.compute.operations import rebuild as _rebuild
from nova.compute.operations import snapshot as _snapshot
from nova.compute.operations import volumes as _volumes
from nova.compute.operations.core import OperationsCore


class Operations(OperationsCore):
    """Everything that may be asked of an instance; see the functions for what each does and raises."""

    get = _facts.get
    boot = _boot.boot
    update = _facts.update
    delete = _deletion.delete
    restore = _deletion.restore

    start = _power.start
    stop = _power.stop
    reboot = _power.reboot
    pause = _power.pause
    unpause = _power.unpause
    suspend = _power.suspend
    resume = _power.resume
    change_password = _power.change_password
    crash_dump = _power.crash_dump

    rebuild = _rebuild.rebuild
    rescue = _rebuild.rescue
    unrescue = _rebuild.unrescue
    snapshot = _snapshot.snapshot
    backup = _snapshot.backup
    shelve = _snapshot.shelve
    shelve_offload = _snapshot.shelve_offload
    unshelve = _snapshot.unshelve

    resize = _moves.resize
    migrate = _moves.migrate
    confirm_resize = _moves.confirm_resize
    revert_resize = _moves.revert_resize
    live_migrate = _moves.live_migrate
    live_migrate_abort = _moves.live_migrate_abort
    live_migrate_force_complete = _moves.live_migrate_force_complete
    evacuate = _moves.evacuate

    attach_volume = _volumes.attach_volume
    detach_volume = _volumes.detach_volume
    swap_volume = _volumes.swap_volume
    update_volume_attachment = _volumes.update_attachment
    volume_extended = _volumes.volume_extended
    volume_reimaged = _volumes.volume_reimaged
    snapshot_volume = _volumes.snapshot_volume
    delete_volume_snapshot = _volumes.delete_volume_snapshot

    lock = _facts.lock
    unlock = _facts.unlock
    reset_state = _facts.reset_state
    set_metadata = _facts.set_metadata
    set_tags = _facts.set_tags
    console_output = _facts.console_output
    open_console = _consoles.open_console
    console_of_token = _consoles.console_of_token
    diagnostics = _facts.diagnostics
    attach_interface = _interfaces.attach_interface
    detach_interface = _interfaces.detach_interface
    add_fixed_ip = _facts.add_fixed_ip
    remove_fixed_ip = _facts.remove_fixed_ip
    refresh_addresses = _facts.refresh_addresses
    refresh_from_outside = _facts.refresh_from_outside
    port_plugged = _facts.port_plugged
    add_security_group = _facts.add_security_group
    remove_security_group = _facts.remove_security_group
