# SPDX-License-Identifier: Apache-2.0
"""The host's side of every flow, one module per flow.

A step is a function ``(host, task, undo) -> StepResult``. The manager runs it, reports its end, and undoes
what ``undo`` was told when it fails. A step may be run again after an interruption (``task.resumed``).

    create   place (conductor) -> spawn
    resize   place (conductor) -> migrate_out (source) -> migrate_in (destination)
    confirm  forget (source);  revert  destroy (destination) -> revert (source)
    live     place (conductor) -> connect (destination) -> live_migrate (source)
             -> arrive (destination) -> leave (source)
    a failed move    -> back (source) -> drop (destination of a live one)
    delete   destroy -> clean (each other host with a guest)
    volumes  attach, detach, swap, extend; snapshots of theirs
    rebuild over a volume  halt -> (conductor) -> run
    cards    plug, unplug, where the API died while it did so
    others   run (the instance's host)
"""

from __future__ import annotations

from nova.compute.flows import build, interfaces, maintenance, moves, power, snapshot, volumes
from nova.compute.flows.host import StepFunction

STEPS: dict[tuple[str, str], StepFunction] = {
    ("create", "spawn"): build.spawn,
    ("create", "unpause"): power.unpause,
    ("create", "drop"): build.destroy,
    ("delete", "destroy"): build.destroy,
    ("delete", "clean"): build.destroy,
    ("force_delete", "destroy"): build.destroy,
    ("force_delete", "clean"): build.destroy,
    ("soft_delete", "run"): power.set_aside,
    ("soft_delete", "clean"): build.destroy,
    ("restore", "run"): power.start,
    ("start", "run"): power.start,
    ("stop", "run"): power.stop,
    ("reboot_soft", "run"): power.reboot,
    ("reboot_hard", "run"): power.reboot,
    ("pause", "run"): power.pause,
    ("unpause", "run"): power.unpause,
    ("suspend", "run"): power.suspend,
    ("resume", "run"): power.resume,
    ("rescue", "run"): maintenance.rescue,
    ("unrescue", "run"): maintenance.unrescue,
    ("rebuild", "run"): maintenance.rebuild,
    ("rebuild", "halt"): maintenance.halt,
    ("change_password", "run"): maintenance.change_password,
    ("crash_dump", "run"): maintenance.crash_dump,
    ("snapshot", "run"): snapshot.take,
    ("backup", "run"): snapshot.take,
    ("shelve", "snapshot"): snapshot.shelve,
    ("shelve", "offload"): build.destroy,
    ("shelve_offload", "offload"): build.destroy,
    ("unshelve", "run"): power.start,
    ("unshelve", "spawn"): build.spawn,
    ("resize", "migrate_out"): moves.migrate_out,
    ("resize", "migrate_in"): moves.migrate_in,
    ("migrate", "migrate_out"): moves.migrate_out,
    ("migrate", "migrate_in"): moves.migrate_in,
    ("resize", "back"): moves.take_back,
    ("migrate", "back"): moves.take_back,
    ("confirm_resize", "forget"): moves.forget,
    ("revert_resize", "destroy"): moves.drop_arrived,
    ("revert_resize", "revert"): moves.revert,
    ("live_migrate", "connect"): moves.connect,
    ("live_migrate", "live_migrate"): moves.live_migrate,
    ("live_migrate", "arrive"): moves.arrive,
    ("live_migrate", "leave"): moves.forget,
    ("live_migrate", "back"): moves.take_back,
    ("live_migrate", "drop"): moves.drop,
    ("evacuate", "spawn"): build.spawn,
    ("attach_interface", "plug"): interfaces.plug,
    ("detach_interface", "unplug"): interfaces.unplug,
    ("attach_volume", "attach"): volumes.attach,
    ("detach_volume", "detach"): volumes.detach,
    ("swap_volume", "swap"): volumes.swap,
    ("extend_volume", "run"): volumes.extend,
    ("snapshot_volume", "run"): volumes.snapshot,
    ("delete_volume_snapshot", "run"): volumes.delete_snapshot,
}
