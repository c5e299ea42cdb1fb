# SPDX-License-Identifier: Apache-2.0
"""Which servers a caller may know of."""

from __future__ import annotations

from nova.api.compute.request import ApiRequest
from nova.db.engine import Transaction
from nova.errors import InstanceNotFound
from nova.objects.instance import Instance


def visible_instance(
    request: ApiRequest, tx: Transaction, uuid: str, *, deleted: bool = False
) -> Instance:
    """The server of that uuid, where it is the caller's project's or the caller is administrator.

    Raises ``InstanceNotFound`` for all others, so that nobody learns which uuids exist.
    """
    instance = tx.instances.get(uuid, deleted=deleted)
    caller = request.caller
    if instance is None or not (caller.is_admin or instance.project_id == caller.project_id):
        raise InstanceNotFound(uuid[:64])
    return instance
