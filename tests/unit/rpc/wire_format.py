# SPDX-License-Identifier: Apache-2.0
"""What goes between daemons, as text: each call's arguments and answer, each Struct that is a part of them.

``python -m tests.unit.rpc.wire_format`` writes it down as what is agreed on from now on.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, get_args, get_type_hints

import msgspec

from nova.api.metadata.guests import ForgetGuest
from nova.compute.caches import Caches
from nova.compute.consoles import ConsoleTokens
from nova.compute.manager import ComputeManager
from nova.conductor.manager import Conductor
from nova.network.host_manager import HostNetworkManager
from nova.rpc import codec, envelope
from nova.rpc.calls import CALLS
from nova.scheduler.service import SchedulerService

AGREED = Path(__file__).with_name("wire-format.txt")

#: Who serves each topic.
ENDPOINTS: Mapping[str, Any] = {
    "conductor": Conductor, "compute": ComputeManager, "scheduler": SchedulerService, "caches": Caches,
    "network": HostNetworkManager, "consoles": ConsoleTokens, "metadata": ForgetGuest,
}
#: What every message is wrapped in.
_WRAPPING = (envelope.Sealed, envelope.Header, codec._Answer, codec._Failure)


def _name(kind: Any) -> str:
    if kind is type(None):
        return "None"
    text = kind.__name__ if isinstance(kind, type) and not get_args(kind) else repr(kind)
    return re.sub(r"\b(?:[a-z_]\w*\.)+", "", text).replace("NoneType", "None")


def structs() -> list[type[msgspec.Struct]]:
    """Every Struct that is sent, each once."""
    found: dict[str, type[msgspec.Struct]] = {}

    def visit(kind: Any) -> None:
        for part in get_args(kind):
            visit(part)
        if isinstance(kind, type) and issubclass(kind, msgspec.Struct) and kind.__name__ not in found:
            found[kind.__name__] = kind
            for field in msgspec.structs.fields(kind):
                visit(field.type)

    for kind in _WRAPPING:
        visit(kind)
    for row in CALLS.values():
        for hint in get_type_hints(getattr(ENDPOINTS[row.topic], row.method)).values():
            visit(hint)
    return [found[name] for name in sorted(found)]


def _calls() -> Iterator[str]:
    for row in CALLS.values():
        method = getattr(ENDPOINTS[row.topic], row.method)
        hints = get_type_hints(method)
        said = ", ".join(
            f"{each.name}: {_name(hints[each.name])}"
            + ("" if each.default is inspect.Parameter.empty else f" = {each.default!r}")
            for each in list(inspect.signature(method).parameters.values())[1:]
        )
        kind = "cast" if row.cast else "call"
        host = " from hosts" if row.from_host else " to every process" if row.every else ""
        yield f"{kind}{host} {row.topic}.{row.method}({said}) -> {_name(hints['return'])}"


def lines() -> list[str]:
    """All of it, a line for each thing that may change."""
    said = list(_calls())
    for kind in structs():
        config = kind.__struct_config__
        form = "array" if config.array_like else "map"
        for place, field in enumerate(msgspec.structs.fields(kind)):
            where = f"{form} {place}" if config.array_like else form
            missing = "" if field.required else ", may be missing"
            said.append(f"{kind.__name__}.{field.encode_name}: {_name(field.type)} ({where}{missing})")
    return said


if __name__ == "__main__":
    AGREED.write_text("\n".join(lines()) + "\n")
