# SPDX-License-Identifier: Apache-2.0
"""The steps of every flow, in order, and where each runs.

``conductor`` steps run on the control side; ``host`` is the instance's own host, ``source`` and ``dest``
are the two sides of a move and ``other`` one more host with a guest to remove, named in the operation's
payload. ``back`` follows a failed move: the source takes the guest back; then the destination of a live
migration drops (``drop``) what arrived. ``discard`` gives up what is not wanted any more (an image,
attachments, volumes), and tells the block storage service how a host's part in its snapshot ended.
``volumes`` is what that service has to do before the operation goes on:
see ``nova/conductor/volume_work.py``. ``event`` is the public name of the step in
os-instance-actions (the original's names).
"""

from __future__ import annotations

import dataclasses


@dataclasses.dataclass(frozen=True)
class Step:
    """One step."""

    name: str
    where: str
    event: str


def _run(event: str, *more: Step) -> tuple[Step, ...]:
    return (Step("run", "host", event), *more)


_DISCARD = Step("discard", "conductor", "conductor_discard_image")
_DELETE = (
    Step("destroy", "host", "compute_terminate_instance"),
    Step("clean", "other", "compute_terminate_instance"),
    Step("volumes", "conductor", "conductor_terminate_volumes"),
    _DISCARD,
)
_COLD_MIGRATE = (
    Step("place", "conductor", "conductor_migrate_server"),
    Step("migrate_out", "source", "compute_resize_instance"),
    Step("migrate_in", "dest", "compute_finish_resize"),
    Step("back", "source", "compute_finish_revert_resize"),
    _DISCARD,
)


FLOWS: dict[str, tuple[Step, ...]] = {
    "create": (
        # Only where a disk is a volume.
        Step("volumes", "conductor", "conductor_prepare_volumes"),
        Step("place", "conductor", "conductor_schedule_instances"),
        # Only where the network service is not ours: it is not asked inside a transaction.
        Step("allocate", "conductor", "conductor_allocate_networks"),
        Step("spawn", "host", "compute__do_build_and_run_instance"),
        # Only where an external network service has yet to plug a port: the guest stands still until then.
        Step("plugging", "conductor", "conductor_wait_for_networks"),
        Step("unpause", "host", "compute__do_build_and_run_instance"),
        Step("drop", "host", "compute__do_build_and_run_instance"),
        _DISCARD,
    ),
    "delete": _DELETE,
    "force_delete": _DELETE,
    "soft_delete": _run(
        "compute_soft_delete_instance", Step("clean", "other", "compute_confirm_resize"),
        # Only where it overtook a server's way off a host, to which its volumes are open.
        Step("volumes", "conductor", "conductor_reserve_volumes"),
    ),
    "restore": _run("compute_restore_instance", _DISCARD),
    "start": _run("compute_start_instance"),
    "stop": _run("compute_stop_instance"),
    "reboot_soft": _run("compute_reboot_instance"),
    "reboot_hard": _run("compute_reboot_instance"),
    "pause": _run("compute_pause_instance"),
    "unpause": _run("compute_unpause_instance"),
    "suspend": _run("compute_suspend_instance"),
    "resume": _run("compute_resume_instance"),
    "rescue": _run("compute_rescue_instance"),
    "unrescue": _run("compute_unrescue_instance"),
    "rebuild": (
        Step("run", "host", "compute_rebuild_instance"),
        # Only where the image is written over a root volume: then these two go first.
        Step("halt", "host", "compute_rebuild_block_device_mapping"),
        Step("volumes", "conductor", "conductor_reimage_volume"),
        _DISCARD,
    ),
    "change_password": _run("compute_set_admin_password"),
    "crash_dump": _run("compute_trigger_crash_dump"),
    "snapshot": _run("compute_snapshot_instance", _DISCARD),
    "backup": _run("compute_backup_instance", _DISCARD),
    "shelve": (
        Step("snapshot", "host", "compute_shelve_instance"),
        Step("offload", "host", "compute_shelve_offload_instance"),
        Step("volumes", "conductor", "conductor_reserve_volumes"),
        _DISCARD,
    ),
    "shelve_offload": (
        Step("offload", "host", "compute_shelve_offload_instance"),
        Step("volumes", "conductor", "conductor_reserve_volumes"),
        _DISCARD,
    ),
    "unshelve": (
        Step("run", "host", "compute_unshelve_instance"),
        Step("place", "conductor", "conductor_unshelve_instance"),
        Step("spawn", "host", "compute_unshelve_instance"),
        # Only where that failed, once volumes were opened to the host.
        Step("volumes", "conductor", "conductor_reserve_volumes"),
        _DISCARD,
    ),
    "resize": _COLD_MIGRATE,
    "migrate": _COLD_MIGRATE,
    "confirm_resize": (Step("forget", "source", "compute_confirm_resize"), _DISCARD),
    "revert_resize": (
        Step("destroy", "dest", "compute_revert_resize"),
        Step("revert", "source", "compute_finish_revert_resize"),
        _DISCARD,
    ),
    "live_migrate": (
        Step("place", "conductor", "conductor_live_migrate_instance"),
        # The destination has the guest's networks and volumes before the guest comes.
        Step("connect", "dest", "compute_pre_live_migration"),
        Step("live_migrate", "source", "compute_live_migration"),
        Step("arrive", "dest", "compute_post_live_migration_at_destination"),
        Step("leave", "source", "compute_post_live_migration"),
        Step("back", "source", "compute_rollback_live_migration"),
        Step("drop", "dest", "compute_rollback_live_migration_at_destination"),
        _DISCARD,
    ),
    "evacuate": (
        Step("place", "conductor", "conductor_rebuild_instance"),
        Step("spawn", "dest", "compute_rebuild_instance"),
        _DISCARD,
    ),
    "attach_volume": (
        Step("volumes", "conductor", "conductor_reserve_volume"),
        Step("attach", "host", "compute_attach_volume"),
        _DISCARD,
    ),
    "detach_volume": (
        Step("detach", "host", "compute_detach_volume"),
        Step("volumes", "conductor", "conductor_terminate_volume"),
        _DISCARD,
    ),
    "swap_volume": (
        Step("volumes", "conductor", "conductor_reserve_volume"),
        Step("swap", "host", "compute_swap_volume"),
        _DISCARD,
    ),
    "extend_volume": _run("compute_extend_volume"),
    # The API does these itself; where it died, the conductor takes them up.
    "attach_interface": (Step("plug", "host", "compute_attach_interface"),),
    "detach_interface": (Step("unplug", "host", "compute_detach_interface"),),
    # The block storage service waits to be told how it ended, which is the step ``discard``.
    "snapshot_volume": _run("compute_volume_snapshot_create", _DISCARD),
    "delete_volume_snapshot": _run("compute_volume_snapshot_delete", _DISCARD),
}

STEPS: dict[tuple[str, str], Step] = {
    (flow, step.name): step for flow, steps in FLOWS.items() for step in steps
}

#: Steps of a boot in which its host may have a guest.
BEGUN_STEPS = frozenset({"spawn", "plugging", "unpause", "drop"})
#: Steps during which a host builds a guest.
BUILDING_STEPS = frozenset({"spawn", "migrate_in", "arrive"})
