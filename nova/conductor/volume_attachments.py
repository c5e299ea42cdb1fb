# SPDX-License-Identifier: Apache-2.0
"""Attachments of a server's volumes: asked for, and given up.

The service answers a repeated request with the attachment that is reserved already. So what an operation that
has ended gives up is given up before anything is reserved for the same server: nobody is answered with what
somebody else is about to give up.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable
from typing import Protocol

from nova.conductor.release import Holder
from nova.conductor.volume_rows import ASKED_FOR, ATTACHING, GivenUp
from nova.db.engine import Database
from nova.decoding import convert
from nova.errors import ImageNotFound, NotFound, NovaError, ServiceUnavailable
from nova.objects.context import RequestContext, internal_context
from nova.volume.interface import BlockStorage

LOG = logging.getLogger(__name__)


class VolumeHolder(Holder, Protocol):
    """What is needed of the control side."""

    @property
    def db(self) -> Database:
        """The database."""
        ...

    @property
    def volumes(self) -> BlockStorage:
        """The block storage service."""
        ...


def reserve(core: VolumeHolder, context: RequestContext, instance_uuid: str, volume_id: str) -> str:
    """Reserve a volume for a server; answers the attachment's id. See ``BlockStorage.reserve``."""
    with core.db.read() as tx:
        left = [
            each.payload["given_up"] for each in tx.operations.open_for(instance_uuid)
            if each.step == "discard" and each.payload.get("given_up")
        ]
    for each in left:
        give_up_attachments(
            core, internal_context(context.request_id), instance_uuid, convert(each, GivenUp)
        )
    return core.volumes.reserve(context, volume_id, instance_uuid)


def give_up_attachments(
    core: VolumeHolder, context: RequestContext, instance_uuid: str, what: GivenUp
) -> None:
    """Give up the attachments that are named, and those that the service may have made without an answer."""
    for volume_id in what.unsure:
        surely("attachment of volume", volume_id, functools.partial(
            _give_up_unknown, core, context, instance_uuid, volume_id
        ))
    for attachment in what.attachments:
        surely("attachment", attachment, functools.partial(core.volumes.detach, context, attachment))


def _give_up_unknown(
    core: VolumeHolder, context: RequestContext, instance_uuid: str, volume_id: str
) -> None:
    """Give up the attachments of a volume to a server that no row tells of.

    Where one is being asked for once more, it is the answer, and not given up.
    """
    found = core.volumes.show(context, volume_id).attachments
    with core.db.read() as tx:
        instance = tx.instances.get(instance_uuid)
    devices = () if instance is None else instance.volumes
    known = {each for device in devices for each in (device.attachment_id, device.next_attachment_id)}
    if any(
        device.volume_id == volume_id and (
            (device.state == ATTACHING and device.attachment_id is None)
            or device.next_attachment_id == ASKED_FOR
        )
        for device in devices
    ):
        return
    for attachment in found:
        if attachment.instance_uuid == instance_uuid and attachment.uuid not in known:
            core.volumes.detach(context, attachment.uuid)


def surely(kind: str, identifier: str, act: Callable[[], object]) -> None:
    """Do it; what is gone is gone, and what the service refuses is left to it and told."""
    try:
        act()
    except (NotFound, ImageNotFound):
        return
    except ServiceUnavailable:
        raise
    except NovaError as error:
        LOG.warning("%s %s is not wanted any more but stays: %s", kind, identifier, error.message)
