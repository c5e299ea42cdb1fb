# SPDX-License-Identifier: Apache-2.0
"""The last step of some operations: what is not wanted any more is given up, and who waits is told, surely.

The image of a failed snapshot, of a shelved server that is back or was deleted; the attachments of a host
that a server has left; the volumes of a boot that came to nothing. The operation stays open until all of it
is gone, so that a crash in between leaves nothing behind.
"""

from __future__ import annotations

import datetime
import functools
import logging

from nova.conductor.core import ConductorCore
from nova.conductor.dispatch import PREPARING
from nova.conductor.ended import about_operation, count_end
from nova.conductor.volume_attachments import give_up_attachments, surely
from nova.conductor.volume_rows import GivenUp
from nova.db.schema.base import now
from nova.decoding import convert
from nova.errors import NovaError, ServiceUnavailable
from nova.objects.context import RequestContext, internal_context
from nova.objects.operation import Operation

LOG = logging.getLogger(__name__)


#: What a process prepares for an operation is there by then, or the process is dead: one that lives and is
#: slower gives up by itself what nobody wants.
_PREPARED_WITHIN = datetime.timedelta(seconds=15)
#: When it is looked for again, should that process not say that it is there.
_LOOK_AGAIN = datetime.timedelta(seconds=3)


def discard_image(core: ConductorCore, operation_id: int, *, alone: bool = False) -> None:
    """Give up what an operation at its step ``discard`` names, and end the operation.

    One that somebody else prepares still stays open until that is done: it may come to be at any moment.
    ``alone`` says that there is nobody else.

    Raises ``ServiceUnavailable`` where a service does not answer: recovery comes back to it.
    """
    with core.db.read() as tx:
        operation = tx.operations.get(operation_id)
    if operation is None or operation.finished_at is not None or operation.step != "discard":
        return
    payload = operation.payload
    context = internal_context(operation.request_id)
    with about_operation(operation):
        if payload.get("given_up"):
            _give_up(core, context, operation, convert(payload["given_up"], GivenUp))
        if payload.get("image_id"):
            _delete_image(core, context, str(payload["image_id"]), bool(payload.get("keep_active")))
    if payload.get(PREPARING) and not alone and now() - operation.started_at < _PREPARED_WITHIN:
        core.db.run(lambda tx: tx.operations.advance(
            operation_id, step="discard", host=None, lease_owner=core.dispatcher.owner,
            lease_until=now() + _LOOK_AGAIN,
        ))
        return
    failed = bool(payload.get("failed"))
    ended = core.db.run(
        lambda tx: tx.operations.finish(
            operation_id, failed=failed, message="Error" if failed else None
        )
    )
    if ended:
        count_end(operation, failed=failed)


def _delete_image(
    core: ConductorCore, context: RequestContext, image_id: str, keep_active: bool
) -> None:
    def delete() -> None:
        if not (keep_active and core.images.show(context, image_id).status == "active"):
            core.images.delete(context, image_id)

    surely("image", image_id, delete)


def _give_up(
    core: ConductorCore, context: RequestContext, operation: Operation, what: GivenUp
) -> None:
    """Attachments first: what is attached cannot be deleted."""
    volumes = core.volumes
    give_up_attachments(core, context, operation.instance_uuid, what)
    for kind, ids, act in (
        ("snapshot", what.snapshots, volumes.delete_snapshot),
        ("volume", what.volumes, volumes.delete), ("volume", what.rolled, volumes.roll_detaching),
    ):
        for identifier in ids:
            surely(kind, identifier, functools.partial(act, context, identifier))
    for volume_id, target_id, failed in what.migrated:
        surely("volume", volume_id, functools.partial(
            volumes.complete_migration, context, volume_id, target_id, failed=failed
        ))
    for snapshot_id, status in what.told:
        _tell(core, context, snapshot_id, status)


def _tell(core: ConductorCore, context: RequestContext, snapshot_id: str, status: str) -> None:
    """Say how a host's part in a snapshot ended; a service that does not want to know is told no more."""
    try:
        core.volumes.update_snapshot_status(context, snapshot_id, status)
    except ServiceUnavailable:
        raise
    except NovaError as error:
        LOG.warning("snapshot %s is %s, but its service says: %s", snapshot_id, status, error.message)
