# SPDX-License-Identifier: Apache-2.0
"""The filter by what an image needs of a host: architecture, hypervisor type, virtual machine
mode.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Mapping
from typing import Any

from nova.objects.request_spec import RequestSpec
from nova.scheduler.filters.base import Attempt, Filter
from nova.scheduler.table import HostFacts, HostTable, Mask

_ARCHITECTURES = {
    "i386": "i686", "i486": "i686", "i586": "i686", "x86": "i686", "x86_32": "i686",
    "amd64": "x86_64", "arm64": "aarch64", "armv7": "armv7l",
}  # fmt: skip
_HYPERVISORS = {"xapi": "xen", "powervm": "phyp"}
_MODES = {"pv": "xen", "hv": "hvm", "baremetal": "hvm"}

_COMPARISONS = {
    ">=": operator.ge, "<=": operator.le, "==": operator.eq,
    "!=": operator.ne, ">": operator.gt, "<": operator.lt,
}  # fmt: skip


def image_properties(image: Mapping[str, Any]) -> Mapping[str, Any]:
    """The properties of an image as a request has it: under ``properties``, or the mapping."""
    properties = image.get("properties")
    return properties if isinstance(properties, Mapping) else image


class ImagePropertiesFilter(Filter):
    """The host can run what the image asks for by ``hw_architecture``, ``img_hv_type``,
    ``hw_vm_mode``, ``img_hv_requested_version`` and ``hw_maxphysaddr_bits``, or their older names.
    """

    fixed = True

    def applies(self, spec: RequestSpec) -> bool:
        """Only if the image asks for one of the first three."""
        return any(self._wanted(spec))

    def mask(self, table: HostTable, spec: RequestSpec, attempt: Attempt) -> Mask:
        """Rows that can run it."""
        wanted = [each for each in self._wanted(spec) if each]
        properties = image_properties(spec.image)
        return table.by_facts([_can_run(facts, wanted, properties) for facts in table.facts])

    def reason(self, table: HostTable, spec: RequestSpec, left: Mask) -> str:
        """What the image asks for."""
        return f"the image wants {', '.join(each for each in self._wanted(spec) if each)}"

    def _wanted(self, spec: RequestSpec) -> tuple[str | None, str | None, str | None]:
        properties = image_properties(spec.image)
        architecture = _first(properties, "hw_architecture", "architecture")
        if architecture is None:
            architecture = self.section.image_properties_default_architecture
        return (
            _canonical(architecture, _ARCHITECTURES),
            _canonical(_first(properties, "img_hv_type", "hypervisor_type"), _HYPERVISORS),
            _canonical(_first(properties, "hw_vm_mode", "vm_mode"), _MODES),
        )


def _can_run(facts: HostFacts, wanted: list[str], properties: Mapping[str, Any]) -> bool:
    if not any(
        all(each in [str(part).lower() for part in supported] for each in wanted)
        for supported in facts.supported_instances
    ):
        return False
    version = _first(properties, "img_hv_requested_version", "hypervisor_version_requires")
    if version and facts.hypervisor_version:
        number = facts.hypervisor_version
        has = (number // 1_000_000, number // 1000 % 1000, number % 1000)
        if not version_meets(has, str(version)):
            return False
    bits = properties.get("hw_maxphysaddr_bits")
    has_bits = (facts.cpu_info.get("maxphysaddr") or {}).get("bits")
    return not bits or not has_bits or int(has_bits) >= int(bits)


def version_meets(version: tuple[int, ...], predicate: str) -> bool:
    """Whether ``version`` meets every comparison of ``predicate`` ("``>=1.0, <2.0``")."""
    for part in predicate.split(","):
        found = re.fullmatch(r"\s*(<=|>=|<|>|!=|==)\s*(\d+(?:\.\d+)*)\s*", part)
        if found is None:
            return False
        wanted = tuple(int(each) for each in found[2].split("."))
        length = max(len(wanted), len(version))
        if not _COMPARISONS[found[1]](_filled(version, length), _filled(wanted, length)):
            return False
    return True


def _filled(version: tuple[int, ...], length: int) -> tuple[int, ...]:
    return version + (0,) * (length - len(version))


def _first(properties: Mapping[str, Any], *names: str) -> Any:
    return next((properties[name] for name in names if properties.get(name)), None)


def _canonical(value: Any, names: Mapping[str, str]) -> str | None:
    if value is None:
        return None
    lower = str(value).lower()
    return names.get(lower, lower)
