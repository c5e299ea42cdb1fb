# SPDX-License-Identifier: Apache-2.0
"""Durable operations: what was accepted and how far it is."""

from __future__ import annotations

import datetime
from typing import Any

import msgspec

from nova.objects.instance import Instance

QUEUED = "queued"
RUNNING = "running"
DONE = "done"
FAILED = "failed"


class Operation(msgspec.Struct, frozen=True):
    """One accepted request on one instance. The field order is that of the table's columns.

    ``action`` is the public name (os-instance-actions); ``flow`` names the steps that carry it out and is
    None where the request was finished at once. ``host`` is where the present step runs, None for a
    conductor.
    """

    id: int
    instance_uuid: str
    request_id: str
    project_id: str
    user_id: str
    action: str
    flow: str | None
    step: str | None
    state: str
    host: str | None
    payload: dict[str, Any]
    attempt: int
    lease_owner: str | None
    lease_until: datetime.datetime | None
    message: str | None
    started_at: datetime.datetime
    updated_at: datetime.datetime
    finished_at: datetime.datetime | None


class OperationEvent(msgspec.Struct, frozen=True):
    """One step of an operation as it went. The field order is that of the table's columns."""

    id: int
    operation_id: int
    event: str
    started_at: datetime.datetime
    finished_at: datetime.datetime | None
    result: str | None
    host: str | None
    details: str | None
    traceback: str | None


class StepTask(msgspec.Struct, frozen=True, kw_only=True):
    """One step handed to a host: which operation, which step, the instance, what else it needs.

    ``resumed`` is true where an earlier try of the same step may have done part of it. After
    ``lease_until`` somebody else may have taken the step; a host that comes to it later asks first.
    """

    operation_id: int
    request_id: str
    flow: str
    step: str
    host: str
    instance: Instance
    payload: dict[str, Any]
    attempt: int = 0
    resumed: bool = False
    lease_until: datetime.datetime | None = None


class StepFailure(msgspec.Struct, frozen=True):
    """Why a step failed: the text for the user, and the trace for the administrator."""

    message: str
    details: str = ""
    code: int = 500
    retriable: bool = False


class StepResult(msgspec.Struct, frozen=True, kw_only=True):
    """What a host tells of a step that it did: the guest's power state, and facts the flow asked for."""

    power_state: int | None = None
    data: dict[str, Any] = {}
