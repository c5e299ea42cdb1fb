# SPDX-License-Identifier: Apache-2.0
"""Per-host plug-ins of operators, adapted to masks and vectors."""

from __future__ import annotations

import importlib
from types import SimpleNamespace
from typing import Any

import numpy as np

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter, Surroundings
from nova.scheduler.filters.image import image_properties
from nova.scheduler.host_state import HostState
from nova.scheduler.table import Floats, HostTable, Mask


def load_class(path: str, option: str) -> type:
    """The class of a dotted path. Raises ``ValueError`` that names the option."""
    module, _, name = path.rpartition(".")
    try:
        found = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise ValueError(f"{option}: {path} cannot be imported: {error}") from error
    if not isinstance(found, type):
        raise ValueError(f"{option}: {path} is not a class")
    return found


class PluginRequest(dict[str, Any]):
    """A request as plug-ins read it.

    As an object it has the names of the present request specification, as a dictionary those of the
    older filter properties (``instance_type``, ``request_spec``, ``scheduler_hints``,
    ``group_hosts``).
    """

    def __init__(self, spec: RequestSpec, attempt: Attempt) -> None:
        flavor = {name: getattr(spec.flavor, name) for name in spec.flavor.__struct_fields__}
        properties = dict(image_properties(spec.image))
        super().__init__(
            instance_type=flavor,
            scheduler_hints={
                name: values[0] if len(values) == 1 else list(values)
                for name, values in spec.hints.items()
            },
            request_spec={
                "image": {**spec.image, "properties": properties},
                "instance_type": flavor,
                "num_instances": 1,
                "instance_properties": {
                    "uuid": spec.instance_uuid,
                    "project_id": spec.project_id,
                    "user_id": spec.user_id,
                    "availability_zone": spec.availability_zone,
                    "vcpus": spec.flavor.vcpus,
                    "memory_mb": spec.flavor.memory_mb,
                    "root_gb": spec.flavor.root_gb,
                    "ephemeral_gb": spec.flavor.ephemeral_gb,
                },
            },
            project_id=spec.project_id,
            ignore_hosts=list(spec.ignore_hosts),
            group_hosts=set(attempt.group_hosts),
            group_policies={spec.group_policy} if spec.group_policy else set(),
        )
        self.instance_uuid = spec.instance_uuid
        self.project_id = spec.project_id
        self.user_id = spec.user_id
        self.flavor = spec.flavor
        self.image = SimpleNamespace(id=spec.image.get("id"), properties=properties)
        self.availability_zone = spec.availability_zone
        self.num_instances = 1
        self.ignore_hosts = list(spec.ignore_hosts)
        self.memory_mb = spec.flavor.memory_mb
        self.vcpus = spec.flavor.vcpus
        self.root_gb = spec.flavor.root_gb
        self.ephemeral_gb = spec.flavor.ephemeral_gb
        self.swap = spec.flavor.swap
        self.instance_group = (
            SimpleNamespace(
                uuid=spec.group_uuid,
                policy=spec.group_policy,
                policies=[spec.group_policy],
                rules=spec.group_rules,
                hosts=list(attempt.group_hosts),
            )
            if spec.group_policy
            else None
        )
        self._hints = spec.hints

    def get_scheduler_hint(self, name: str, default: Any = None) -> Any:
        """A hint: its one value, or the list of its values."""
        values = self._hints.get(name)
        if not values:
            return default
        return values[0] if len(values) == 1 else values


def host_states(table: HostTable, rows: Any, surroundings: Surroundings) -> list[HostState]:
    """One state for each row."""
    look_up = surroundings.instances_of_host
    return [
        HostState(
            table,
            int(row),
            look_up(table.nodes[row].host) if look_up is not None else (),
            surroundings.default_zone,
        )
        for row in rows
    ]


class HostFilterAdapter(Filter):
    """A plug-in with ``host_passes`` as a mask."""

    def __init__(self, plugin: Any, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._plugin = plugin

    @property
    def name(self) -> str:
        """The plug-in's class."""
        return type(self._plugin).__name__

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows that the plug-in lets pass."""
        request = PluginRequest(spec, attempt)
        states = host_states(table, range(len(table)), self.surroundings)
        return np.array(
            [bool(self._plugin.host_passes(state, request)) for state in states], dtype=bool
        )


class PluginWeights:
    """The raw weights and multipliers of a plug-in with ``_weigh_object``."""

    def __init__(self, plugin: Any, surroundings: Surroundings) -> None:
        self.plugin = plugin
        self._surroundings = surroundings

    def weigh(
        self, table: HostTable, rows: Any, spec: RequestSpec, attempt: Attempt
    ) -> tuple[Floats, Floats]:
        """(weight, multiplier) of each row."""
        request = PluginRequest(spec, attempt)
        states = host_states(table, rows, self._surroundings)
        weights = [float(self.plugin._weigh_object(state, request)) for state in states]
        multiplier = self.plugin.weight_multiplier
        if not callable(multiplier):
            multipliers = [float(multiplier)] * len(states)
        else:
            multipliers = [float(_multiplier(multiplier, state)) for state in states]
        return np.array(weights), np.array(multipliers)


def _multiplier(method: Any, state: HostState) -> Any:
    try:
        return method(state)
    except TypeError:
        # The oldest plug-ins take no host here.
        return method()
