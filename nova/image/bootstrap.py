# SPDX-License-Identifier: Apache-2.0
"""The image that a new cloud has from its first start, so that a server can be booted at once."""

from __future__ import annotations

from nova.errors import AlreadyExists, Conflict
from nova.image.qcow2 import boot_sector, minimal_qcow2
from nova.image.service import ImageService
from nova.objects.context import internal_context

#: Always the same, so that several services that start together register one image.
TEST_IMAGE_ID = "6e6f7661-7465-4374-8000-000000000001"
TEST_IMAGE_NAME = "nova-test"
TEST_IMAGE_BYTES = 10 << 20


def ensure_test_image(service: ImageService, owner: str) -> str:
    """Register the public image ``nova-test``, owned by the project ``owner``; returns its id.

    A qcow2 disk of 10 MiB whose boot sector prints a line and halts. Repeating it changes nothing,
    and an operator's delete is final.
    """
    context = internal_context()
    status = service.status_of(TEST_IMAGE_ID)
    if status is None:
        fields = {
            "id": TEST_IMAGE_ID, "name": TEST_IMAGE_NAME, "owner": owner, "visibility": "public",
            "disk_format": "qcow2", "container_format": "bare",
        }
        try:
            service.create(context, fields, {})
        except AlreadyExists:
            return TEST_IMAGE_ID
    elif status != "queued":
        return TEST_IMAGE_ID
    data = minimal_qcow2(TEST_IMAGE_BYTES, boot_sector("nova-test: booted, nothing to do."))
    try:
        service.upload(context, TEST_IMAGE_ID, [data])
    except Conflict:
        # Another service that starts at the same time is giving it its data.
        return TEST_IMAGE_ID
    return TEST_IMAGE_ID
