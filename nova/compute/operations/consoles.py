# SPDX-License-Identifier: Apache-2.0
"""Opening consoles: the address with a token that a user is given."""

from __future__ import annotations

from nova.compute import consoles
from nova.compute.operations.core import OperationsCore, ask_guest, host_of
from nova.errors import (
    BadRequest,
    Conflict,
    InstanceInvalidState,
    InstanceNotFound,
    NotFound,
)
from nova.objects.console import ConsoleEndpoint, ConsoleToken
from nova.objects.context import RequestContext
from nova.objects.instance import Instance
from nova.objects.states import BUILDING, DELETING, MIGRATING

#: Consoles whose drivers are gone; they are still understood.
_FORMER = frozenset({"xvpvnc"})


def open_console(
    core: OperationsCore, context: RequestContext, instance: Instance, console_type: str
) -> str:
    """The address at which a user reaches a server's console, for as long as its token lasts.

    Raises ``Conflict`` for a server that is on no host, not made yet or on its way, ``BadRequest`` for
    a type that its host does not offer.
    """
    host = host_of(instance)
    if instance.task_state in (DELETING, MIGRATING):
        raise InstanceInvalidState(
            "get_console", instance.uuid, "task_state", instance.task_state
        )
    if console_type in _FORMER:
        raise BadRequest(f"Invalid console type {console_type}")
    base = consoles.base_urls(core.config).get(console_type)
    if base is None:
        raise BadRequest(f"Unavailable console type {console_type}.")
    try:
        endpoint: ConsoleEndpoint = ask_guest(core, host, "console_endpoint", instance, console_type)
    except InstanceNotFound:
        if instance.vm_state == BUILDING:
            raise Conflict(f"Instance {instance.uuid} is not ready.") from None
        raise
    token = consoles.new_token(
        core.db, instance_uuid=instance.uuid, compute_host=host,
        console_type=console_type, endpoint=endpoint, base=base,
        seconds=core.config.consoleauth.token_ttl,
    )
    return consoles.access_url(console_type, base, token)


def console_of_token(core: OperationsCore, token: str) -> ConsoleToken:
    """What a token opens; ``NotFound`` for one that is not or no longer valid."""
    with core.db.read() as tx:
        found = tx.console_tokens.authorize(token)
    if found is None:
        raise NotFound("Token not found")
    return found
