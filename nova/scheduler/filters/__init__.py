# SPDX-License-Identifier: Apache-2.0
"""Filters: which hosts may take a server.

The built-in ones are masks over the host table (``nova.scheduler.filters.base.Filter``). A filter
of an operator's own derives from ``BaseHostFilter`` and is named in the options by its dotted path.
"""

from __future__ import annotations

from typing import Any, ClassVar


class BaseHostFilter:
    """A filter that looks at one host at a time.

    ``host_passes`` gets a ``nova.scheduler.host_state.HostState`` and the request, which can be
    read as the present request specification (``request.flavor``) and as the older filter
    properties (``request.get("instance_type")``).
    """

    #: The answer for a host is the same for all servers of one request.
    run_filter_once_per_request: ClassVar[bool] = False
    RUN_ON_REBUILD: ClassVar[bool] = False

    def host_passes(self, host_state: Any, filter_properties: Any) -> bool:
        """Whether the host may take the server."""
        raise NotImplementedError


def all_filters() -> list[type]:
    """Every built-in filter class (option ``available_filters``)."""
    from nova.scheduler.filters.registry import BUILT_IN

    return list(BUILT_IN.values())
