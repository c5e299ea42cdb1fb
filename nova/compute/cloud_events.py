# SPDX-License-Identifier: Apache-2.0
"""What the API tells the rest of the cloud after it changed what others keep in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence


def _nobody() -> None:
    """The listener where none was wired."""


def _no_cache(_hosts: Sequence[str], _image_ids: Sequence[str]) -> None:
    """Nobody keeps images."""


@dataclasses.dataclass(frozen=True)
class CloudEvents:
    """Called after the commit of a change, on the thread of the request; they must not block.

    ``services_changed``: a service was enabled, disabled, forced down or deleted.
    ``aggregates_changed``: an aggregate, its hosts or its metadata changed.
    ``networks_changed``: a network, its addresses or its owner changed.
    ``security_groups_changed``: the rules of a security group changed, or a group is gone.
    ``images_wanted(hosts, image_ids)``: these hosts should fetch these images into their caches.
    """

    services_changed: Callable[[], object] = _nobody
    aggregates_changed: Callable[[], object] = _nobody
    networks_changed: Callable[[], object] = _nobody
    security_groups_changed: Callable[[], object] = _nobody
    images_wanted: Callable[[Sequence[str], Sequence[str]], object] = _no_cache
