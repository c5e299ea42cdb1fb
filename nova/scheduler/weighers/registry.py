# SPDX-License-Identifier: Apache-2.0
"""The built-in weighers by name, and how the names in options become weighers."""

from __future__ import annotations

from typing import Any

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Surroundings
from nova.scheduler.plugins import PluginWeights, load_class
from nova.scheduler.table import Floats, HostTable, Integers
from nova.scheduler.weighers.affinity import (
    ServerGroupSoftAffinityWeigher,
    ServerGroupSoftAntiAffinityWeigher,
)
from nova.scheduler.weighers.base import Weigher, scale
from nova.scheduler.weighers.capacity import (
    BuildFailureWeigher,
    CPUWeigher,
    DiskWeigher,
    HypervisorVersionWeigher,
    IoOpsWeigher,
    NumInstancesWeigher,
    RAMWeigher,
)
from nova.scheduler.weighers.image import ImagePropertiesWeigher
from nova.scheduler.weighers.load_and_hash import LoadAndHashWeigher
from nova.scheduler.weighers.metrics import MetricsWeigher
from nova.scheduler.weighers.pci import PCIWeigher

#: The weighers that ``nova.scheduler.weights.all_weighers`` stands for.
ORIGINAL: dict[str, type[Weigher]] = {
    each.__name__: each
    for each in (
        BuildFailureWeigher,
        CPUWeigher,
        DiskWeigher,
        HypervisorVersionWeigher,
        ImagePropertiesWeigher,
        IoOpsWeigher,
        MetricsWeigher,
        NumInstancesWeigher,
        PCIWeigher,
        RAMWeigher,
        ServerGroupSoftAffinityWeigher,
        ServerGroupSoftAntiAffinityWeigher,
    )
}
BUILT_IN: dict[str, type[Weigher]] = {**ORIGINAL, "LoadAndHashWeigher": LoadAndHashWeigher}

_ALL = ("nova.scheduler.weights.all_weighers", "all_weighers")
_PACKAGES = ("nova.scheduler.weights.", "nova.scheduler.weighers.")


class HostWeigherAdapter(Weigher):
    """A plug-in with ``_weigh_object`` as a vector."""

    def __init__(self, plugin: Any, surroundings: Surroundings) -> None:
        super().__init__(surroundings)
        self._weights = PluginWeights(plugin, surroundings)

    @property
    def name(self) -> str:
        """The plug-in's class."""
        return type(self._weights.plugin).__name__

    def score(
        self, table: HostTable, rows: Integers, spec: RequestSpec, attempt: Attempt
    ) -> Floats:
        """The plug-in's weights, scaled, times its multipliers."""
        plugin = self._weights.plugin
        weights, multipliers = self._weights.weigh(table, rows, spec, attempt)
        scaled = scale(weights, getattr(plugin, "minval", None), getattr(plugin, "maxval", None))
        return scaled * multipliers


def make_weighers(surroundings: Surroundings) -> list[Weigher]:
    """The weighers of ``weight_classes``, each once.

    A name is that of a built-in weigher, a dotted path, or ``nova.scheduler.weights.all_weighers``.
    Raises ``ValueError`` for a name that is none.
    """
    names: dict[str, None] = {}
    for name in surroundings.section.weight_classes:
        names.update(dict.fromkeys(ORIGINAL if name in _ALL else [name]))
    return [_make(name, surroundings) for name in names]


def _make(name: str, surroundings: Surroundings) -> Weigher:
    last = name.rpartition(".")[2]
    if (name == last or name.startswith(_PACKAGES)) and last in BUILT_IN:
        return BUILT_IN[last](surroundings)
    if "." not in name:
        raise ValueError(f"weight_classes: there is no weigher {name}")
    found = load_class(name, "weight_classes")
    if issubclass(found, Weigher):
        return found(surroundings)
    if hasattr(found, "_weigh_object"):
        return HostWeigherAdapter(found(), surroundings)
    raise ValueError(f"weight_classes: {name} has no _weigh_object")
