# SPDX-License-Identifier: Apache-2.0
"""Block storage where there is none: whatever is asked is refused with words that say so."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from nova.errors import ServiceUnavailable
from nova.volume.interface import BlockStorage


class _Absent:
    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in BlockStorage.__dict__ or name.startswith("_"):
            raise AttributeError(name)

        def refuse(*_arguments: Any, **_options: Any) -> Any:
            raise ServiceUnavailable("There is no volume service in this cloud.")

        return refuse


def no_volumes() -> BlockStorage:
    """A block storage service that refuses everything with ``ServiceUnavailable``."""
    return cast(BlockStorage, _Absent())
