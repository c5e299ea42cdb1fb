# SPDX-License-Identifier: Apache-2.0
"""Where operators' own weighers derive from; built-in ones are in ``nova.scheduler.weighers``."""

from __future__ import annotations

from typing import Any, ClassVar


class BaseHostWeigher:
    """A weigher that looks at one host at a time; the higher the weight, the better.

    Weights are scaled to 0..1 between the lowest and the highest of the candidates, or ``minval``
    and ``maxval`` where set, then multiplied and added to those of the other weighers.
    """

    minval: ClassVar[float | None] = None
    maxval: ClassVar[float | None] = None

    def weight_multiplier(self, host_state: Any) -> float:
        """How much this weigher counts for a host."""
        return 1.0

    def _weigh_object(self, host_state: Any, weight_properties: Any) -> float:
        """The weight of a host for the request."""
        raise NotImplementedError


def all_weighers() -> list[type]:
    """Every built-in weigher of the original's (option ``weight_classes``)."""
    from nova.scheduler.weighers.registry import ORIGINAL

    return list(ORIGINAL.values())
