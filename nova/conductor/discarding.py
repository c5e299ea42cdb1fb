# SPDX-License-Identifier: Apache-2.0
"""The last step of some operations: an image that is not wanted any more is deleted, surely.

The image of a failed snapshot, of a shelved server that is back or was deleted. The operation stays open
until the image is gone, so that a crash in between leaves no image behind.
"""

from __future__ import annotations

import logging

from nova.conductor.core import ConductorCore
from nova.conductor.ended import about_operation, count_end
from nova.errors import ImageNotFound, NovaError, ServiceUnavailable
from nova.objects.context import internal_context

LOG = logging.getLogger(__name__)


def discard_image(core: ConductorCore, operation_id: int) -> None:
    """Delete the image that an operation at its step ``discard`` names, and end the operation.

    Raises ``ServiceUnavailable`` where the image service does not answer: recovery comes back to it.
    """
    with core.db.read() as tx:
        operation = tx.operations.get(operation_id)
    if operation is None or operation.finished_at is not None or operation.step != "discard":
        return
    payload = operation.payload
    context = internal_context(operation.request_id)
    image_id = str(payload["image_id"])
    try:
        spared = payload.get("keep_active") and core.images.show(context, image_id).status == "active"
        if not spared:
            core.images.delete(context, image_id)
    except ImageNotFound:
        pass
    except ServiceUnavailable:
        raise
    except NovaError as error:
        with about_operation(operation):
            LOG.warning("image %s is not wanted any more but stays: %s", image_id, error.message)
    failed = bool(payload.get("failed"))
    ended = core.db.run(
        lambda tx: tx.operations.finish(
            operation_id, failed=failed, message="Error" if failed else None
        )
    )
    if ended:
        count_end(operation, failed=failed)
