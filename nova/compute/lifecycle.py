# SPDX-License-Identifier: Apache-2.0
"""The one state table: what each action needs, passes through and leads to.

The API's refusals, the flows, recovery after a crash, the page in the docs and a property test all read
``ACTIONS``. Source: the original's state checks (vm_states.py, task_states.py, compute/api.py).
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from nova.objects.instance import Instance
from nova.objects.states import (
    ACTIVE,
    BLOCK_DEVICE_MAPPING,
    BUILDING,
    DELETING,
    ERROR,
    IMAGE_BACKUP,
    IMAGE_PENDING_UPLOAD,
    IMAGE_SNAPSHOT,
    IMAGE_SNAPSHOT_PENDING,
    IMAGE_UPLOADING,
    MIGRATING,
    NETWORKING,
    PAUSED,
    PAUSING,
    POWERING_OFF,
    POWERING_ON,
    REBOOT_PENDING,
    REBOOT_STARTED,
    REBOOTING,
    REBOOTING_HARD,
    REBUILD_BLOCK_DEVICE_MAPPING,
    REBUILD_SPAWNING,
    REBUILDING,
    RESCUED,
    RESCUING,
    RESIZE_FINISH,
    RESIZE_MIGRATED,
    RESIZE_MIGRATING,
    RESIZE_PREP,
    RESIZE_REVERTING,
    RESIZED,
    RESTORING,
    RESUMING,
    SCHEDULING,
    SHELVED,
    SHELVED_OFFLOADED,
    SHELVING,
    SHELVING_IMAGE_PENDING_UPLOAD,
    SHELVING_IMAGE_UPLOADING,
    SHELVING_OFFLOADING,
    SOFT_DELETED,
    SOFT_DELETING,
    SPAWNING,
    STOPPED,
    SUSPENDED,
    SUSPENDING,
    UNPAUSING,
    UNRESCUING,
    UNSHELVING,
    UPDATING_PASSWORD,
)

IDLE: frozenset[str | None] = frozenset({None})


class Action(msgspec.Struct, frozen=True, kw_only=True):
    """One row.

    ``vm_states`` and ``task_states`` are those the action is allowed in (None: any). ``running`` is the task
    state from the 202 on; ``passes`` the further ones that its steps report, in order. ``success`` is the
    vm state at the end (None: as it was), ``failure`` that after a failed step (None: as it was before).
    ``lockable`` actions are refused on a locked instance; ``launched`` ones need one that has run.
    ``public`` is the name shown by os-instance-actions; ``shown`` the name used in a 409's text. ``beside``
    actions leave the instance's states alone and may be under way while others are.
    """

    name: str
    public: str
    shown: str
    vm_states: frozenset[str] | None
    task_states: frozenset[str | None] | None = IDLE
    running: str | None = None
    passes: tuple[str, ...] = ()
    success: str | None = None
    failure: str | None = None
    lockable: bool = True
    launched: bool = True
    needs_host: bool = False
    beside: bool = False


def _on(*states: str) -> frozenset[str]:
    return frozenset(states)


_REBOOT_TASKS: frozenset[str | None] = frozenset(
    {
        None, REBOOTING, REBOOT_PENDING, REBOOT_STARTED, REBOOTING_HARD, RESUMING, UNPAUSING,
        PAUSING, SUSPENDING,
    }
)

_ROWS = (
    Action(name="create", public="create", shown="create", vm_states=_on(BUILDING),
           task_states=None, running=SCHEDULING,
           passes=(BLOCK_DEVICE_MAPPING, NETWORKING, SPAWNING),
           success=ACTIVE, failure=ERROR, launched=False),
    Action(name="delete", public="delete", shown="delete", vm_states=None, task_states=None,
           running=DELETING, success="deleted", failure=ERROR, launched=False),
    Action(name="force_delete", public="delete", shown="forceDelete", vm_states=None,
           task_states=None, running=DELETING, success="deleted", failure=ERROR, launched=False),
    Action(name="soft_delete", public="delete", shown="delete", vm_states=None, task_states=None,
           running=SOFT_DELETING, success=SOFT_DELETED, launched=False),
    Action(name="restore", public="restore", shown="restore", vm_states=_on(SOFT_DELETED),
           running=RESTORING, success=ACTIVE, failure=ERROR),
    Action(name="start", public="start", shown="start", vm_states=_on(STOPPED),
           running=POWERING_ON, success=ACTIVE, needs_host=True),
    Action(name="stop", public="stop", shown="stop", vm_states=_on(ACTIVE, ERROR),
           running=POWERING_OFF, success=STOPPED, needs_host=True),
    Action(name="reboot_soft", public="reboot", shown="reboot", vm_states=_on(ACTIVE),
           running=REBOOTING, passes=(REBOOT_STARTED,), success=ACTIVE),
    Action(name="reboot_hard", public="reboot", shown="reboot",
           vm_states=_on(ACTIVE, STOPPED, PAUSED, SUSPENDED, ERROR), task_states=_REBOOT_TASKS,
           running=REBOOTING_HARD, success=ACTIVE, failure=ERROR),
    Action(name="pause", public="pause", shown="pause", vm_states=_on(ACTIVE),
           running=PAUSING, success=PAUSED),
    Action(name="unpause", public="unpause", shown="unpause", vm_states=_on(PAUSED),
           running=UNPAUSING, success=ACTIVE),
    Action(name="suspend", public="suspend", shown="suspend", vm_states=_on(ACTIVE),
           running=SUSPENDING, success=SUSPENDED),
    Action(name="resume", public="resume", shown="resume", vm_states=_on(SUSPENDED),
           running=RESUMING, success=ACTIVE),
    Action(name="rescue", public="rescue", shown="rescue",
           vm_states=_on(ACTIVE, STOPPED, ERROR), running=RESCUING, success=RESCUED),
    Action(name="unrescue", public="unrescue", shown="unrescue", vm_states=_on(RESCUED),
           running=UNRESCUING, success=ACTIVE),
    Action(name="rebuild", public="rebuild", shown="rebuild",
           vm_states=_on(ACTIVE, STOPPED, ERROR), running=REBUILDING,
           passes=(REBUILD_BLOCK_DEVICE_MAPPING, REBUILD_SPAWNING), success=ACTIVE, failure=ERROR),
    Action(name="evacuate", public="evacuate", shown="evacuate",
           vm_states=_on(ACTIVE, STOPPED, ERROR), task_states=None, running=REBUILDING,
           passes=(REBUILD_SPAWNING,), success=ACTIVE, failure=ERROR, lockable=False),
    Action(name="resize", public="resize", shown="resize", vm_states=_on(ACTIVE, STOPPED),
           running=RESIZE_PREP, passes=(RESIZE_MIGRATING, RESIZE_MIGRATED, RESIZE_FINISH),
           success=RESIZED, failure=ERROR),
    Action(name="migrate", public="migrate", shown="migrate", vm_states=_on(ACTIVE, STOPPED),
           running=RESIZE_PREP, passes=(RESIZE_MIGRATING, RESIZE_MIGRATED, RESIZE_FINISH),
           success=RESIZED, failure=ERROR),
    Action(name="confirm_resize", public="confirmResize", shown="confirmResize",
           vm_states=_on(RESIZED), success=ACTIVE, failure=ERROR),
    Action(name="revert_resize", public="revertResize", shown="revertResize",
           vm_states=_on(RESIZED), running=RESIZE_REVERTING, success=ACTIVE, failure=ERROR),
    Action(name="live_migrate", public="live-migration", shown="os-migrateLive",
           vm_states=_on(ACTIVE, PAUSED), running=MIGRATING),
    Action(name="snapshot", public="createImage", shown="createImage",
           vm_states=_on(ACTIVE, STOPPED, PAUSED, SUSPENDED), running=IMAGE_SNAPSHOT_PENDING,
           passes=(IMAGE_SNAPSHOT, IMAGE_PENDING_UPLOAD, IMAGE_UPLOADING), lockable=False),
    Action(name="backup", public="createBackup", shown="createBackup",
           vm_states=_on(ACTIVE, STOPPED, PAUSED, SUSPENDED), running=IMAGE_BACKUP,
           passes=(IMAGE_PENDING_UPLOAD, IMAGE_UPLOADING), lockable=False),
    Action(name="change_password", public="changePassword", shown="changePassword",
           vm_states=_on(ACTIVE), running=UPDATING_PASSWORD),
    Action(name="shelve", public="shelve", shown="shelve",
           vm_states=_on(ACTIVE, STOPPED, PAUSED, SUSPENDED), running=SHELVING,
           passes=(SHELVING_IMAGE_PENDING_UPLOAD, SHELVING_IMAGE_UPLOADING,
                   SHELVING_OFFLOADING), success=SHELVED),
    Action(name="shelve_offload", public="shelveOffload", shown="shelveOffload",
           vm_states=_on(SHELVED), running=SHELVING_OFFLOADING, success=SHELVED_OFFLOADED),
    Action(name="unshelve", public="unshelve", shown="unshelve",
           vm_states=_on(SHELVED, SHELVED_OFFLOADED), running=UNSHELVING, passes=(SPAWNING,),
           success=ACTIVE),
    Action(name="crash_dump", public="trigger_crash_dump", shown="trigger_crash_dump",
           vm_states=_on(ACTIVE, PAUSED, RESCUED, RESIZED, ERROR)),
    Action(name="attach_interface", public="attach_interface", shown="attach_interface",
           vm_states=_on(ACTIVE, PAUSED, STOPPED), beside=True),
    Action(name="detach_interface", public="detach_interface", shown="detach_interface",
           vm_states=_on(ACTIVE, PAUSED, STOPPED), beside=True),
    Action(name="attach_volume", public="attach_volume", shown="attach_volume",
           vm_states=_on(ACTIVE, PAUSED, STOPPED, RESIZED, SOFT_DELETED, SHELVED,
                         SHELVED_OFFLOADED), beside=True),
    Action(name="detach_volume", public="detach_volume", shown="detach_volume",
           vm_states=_on(ACTIVE, PAUSED, STOPPED, RESIZED, SOFT_DELETED, SHELVED,
                         SHELVED_OFFLOADED), beside=True),
    Action(name="swap_volume", public="swap_volume", shown="swap_volume",
           vm_states=_on(ACTIVE, PAUSED, RESIZED), beside=True),
    Action(name="extend_volume", public="extend_volume", shown="extend_volume",
           vm_states=None, task_states=None, lockable=False, beside=True),
    Action(name="snapshot_volume", public="snapshot_volume", shown="snapshot_volume",
           vm_states=None, lockable=False, launched=False, beside=True),
    Action(name="delete_volume_snapshot", public="delete_volume_snapshot", shown="delete_volume_snapshot",
           vm_states=None, lockable=False, launched=False, beside=True),
    Action(name="update_metadata", public="update_metadata", shown="update_instance_metadata",
           vm_states=_on(ACTIVE, PAUSED, SUSPENDED, STOPPED), task_states=None, launched=False),
    Action(name="lock", public="lock", shown="lock", vm_states=None, task_states=None,
           lockable=False, launched=False),
    Action(name="unlock", public="unlock", shown="unlock", vm_states=None, task_states=None,
           lockable=False, launched=False),
    Action(name="reset_state", public="resetState", shown="resetState", vm_states=None,
           task_states=None, launched=False),
)

ACTIONS: Mapping[str, Action] = {row.name: row for row in _ROWS}


def allowed(instance: Instance, action: Action) -> tuple[str, object] | None:
    """None where the instance's state allows the action; else (attribute, value) that forbids it."""
    if action.vm_states is not None and instance.vm_state not in action.vm_states:
        return ("vm_state", instance.vm_state)
    if action.task_states is not None and instance.task_state not in action.task_states:
        return ("task_state", instance.task_state)
    if action.launched and instance.launched_at is None:
        return ("launched_at", None)
    return None


#: (vm state, task state or "*") -> the API's status. Source: the original's common.py ``_STATE_MAP``.
STATUS: Mapping[str, Mapping[str | None, str]] = {
    ACTIVE: {
        "*": "ACTIVE", REBOOTING: "REBOOT", REBOOT_PENDING: "REBOOT", REBOOT_STARTED: "REBOOT",
        REBOOTING_HARD: "HARD_REBOOT", "reboot_pending_hard": "HARD_REBOOT",
        "reboot_started_hard": "HARD_REBOOT", UPDATING_PASSWORD: "PASSWORD",
        REBUILDING: "REBUILD", "rebuild_block_device_mapping": "REBUILD",
        REBUILD_SPAWNING: "REBUILD", MIGRATING: "MIGRATING", RESIZE_PREP: "RESIZE",
        RESIZE_MIGRATING: "RESIZE", RESIZE_MIGRATED: "RESIZE", RESIZE_FINISH: "RESIZE",
    },
    BUILDING: {"*": "BUILD"},
    STOPPED: {
        "*": "SHUTOFF", RESIZE_PREP: "RESIZE", RESIZE_MIGRATING: "RESIZE",
        RESIZE_MIGRATED: "RESIZE", RESIZE_FINISH: "RESIZE", REBUILDING: "REBUILD",
        "rebuild_block_device_mapping": "REBUILD", REBUILD_SPAWNING: "REBUILD",
    },
    RESIZED: {"*": "VERIFY_RESIZE", RESIZE_REVERTING: "REVERT_RESIZE"},
    PAUSED: {"*": "PAUSED", MIGRATING: "MIGRATING"},
    SUSPENDED: {"*": "SUSPENDED"},
    RESCUED: {"*": "RESCUE"},
    ERROR: {
        "*": "ERROR", REBUILDING: "REBUILD", "rebuild_block_device_mapping": "REBUILD",
        REBUILD_SPAWNING: "REBUILD",
    },
    "deleted": {"*": "DELETED"},
    SOFT_DELETED: {"*": "SOFT_DELETED"},
    SHELVED: {"*": "SHELVED"},
    SHELVED_OFFLOADED: {"*": "SHELVED_OFFLOADED"},
}


def status_of(vm_state: str, task_state: str | None) -> str:
    """The API's status of a server."""
    row = STATUS.get(vm_state)
    if row is None:
        return "UNKNOWN"
    return row.get(task_state) or row["*"]


def states_of(status: str) -> list[tuple[str, list[str] | None, list[str]]]:
    """The states behind a status: (vm state, its task states or None for all the rest, those left out)."""
    found: list[tuple[str, list[str] | None, list[str]]] = []
    for vm_state, row in STATUS.items():
        named = [task for task, name in row.items() if name == status and task not in ("*", None)]
        if row["*"] == status:
            others = [t for t, name in row.items() if t not in ("*", None) and name != status]
            found.append((vm_state, None, [str(t) for t in others]))
        elif named:
            found.append((vm_state, [str(t) for t in named], []))
    return found
