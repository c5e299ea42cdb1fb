# SPDX-License-Identifier: Apache-2.0
"""The filter by what a flavor's extra specs ask of a host."""

from __future__ import annotations

from typing import Any

import msgspec
import numpy as np

from nova.decoding import decode_json
from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.filters.extra_specs import matches
from nova.scheduler.host_state import HOST_STATE_NAMES, state_value
from nova.scheduler.table import HostFacts, HostTable, Mask

SCOPE = "capabilities"


class ComputeCapabilitiesFilter(Filter):
    """The host meets the flavor's extra specs under ``capabilities:``, and those without a scope
    that name something known of hosts (other names without a scope are not for this filter).
    """

    def applies(self, spec: RequestSpec) -> bool:
        """Only if an extra spec may be for this filter."""
        return any(self._is_ours(key) for key in spec.flavor.extra_specs)

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows that meet every one."""
        mask = np.ones(len(table), dtype=bool)
        for key, requirement in spec.flavor.extra_specs.items():
            if not self._is_ours(key):
                continue
            if key == "hw:maxphysaddr_bits":
                path, requirement = ["cpu_info", "maxphysaddr", "bits"], f">= {requirement}"
            else:
                path = key.split(":")
                if len(path) > 1:
                    del path[0]
            mask &= self._mask_of(table, path, requirement, scoped=":" in key)
        return mask

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """The extra specs asked for."""
        ours = [
            f"{key}={value}" for key, value in spec.flavor.extra_specs.items() if self._is_ours(key)
        ]
        return f"extra specs {', '.join(ours)}"

    def _is_ours(self, key: str) -> bool:
        return ":" not in key or key.startswith(f"{SCOPE}:") or key == "hw:maxphysaddr_bits"

    def _mask_of(
        self, table: HostTable, path: list[str], requirement: str, *, scoped: bool
    ) -> Mask:
        if path[0] in HOST_STATE_NAMES and path[0] not in HostFacts.__struct_fields__:
            return np.array(
                [
                    _meets(state_value(table, row, path[0]), path[1:], requirement)
                    for row in range(len(table))
                ],
                dtype=bool,
            )
        verdicts = []
        for facts in table.facts:
            if path[0] in HostFacts.__struct_fields__:
                found: Any = getattr(facts, path[0])
            elif path[0] in facts.capabilities:
                found = facts.capabilities[path[0]]
            else:
                verdicts.append(not scoped)
                continue
            verdicts.append(_meets(found, path[1:], requirement))
        return table.by_facts(verdicts)


def _meets(value: Any, path: list[str], requirement: str) -> bool:
    for name in path:
        if isinstance(value, str):
            try:
                value = decode_json(value)
            except msgspec.DecodeError:
                return False
        if not isinstance(value, dict) or value.get(name) is None:
            return False
        value = value[name]
    return value is not None and matches(str(value), requirement)
