# SPDX-License-Identifier: Apache-2.0
"""Whether a project that an administrator names is one: asked of the identity service, and kept for a while.

Facts: nova/api/openstack/identity.py (``verify_project_id``): only a clear "there is none" is refused.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from nova.errors import BadRequest
from nova.objects.context import RequestContext

#: Whether there is the project; None where that cannot be found out.
Ask = Callable[[RequestContext, str], bool | None]

#: Seconds that a project counts as there; and that nobody is asked again who could not tell.
_KEEP = 300.0
_UNSURE = 15.0
_MOST = 10_000


def unknown(_caller: RequestContext, _project_id: str) -> bool | None:
    """The answer where there is nobody to ask."""
    return None


class Projects:
    """The projects of the cloud, as far as requests need them. A project that is missing is asked for
    every time: it may be made in between."""

    def __init__(self, ask: Ask = unknown) -> None:
        self._ask = ask
        self._good_until: dict[str, float] = {}

    def require(self, caller: RequestContext, project_id: str) -> None:
        """Raise ``BadRequest`` where the identity service says that there is no such project."""
        if project_id == caller.project_id:
            return  # the caller's token stands for it
        if self._good_until.get(project_id, 0.0) > time.monotonic():
            return
        found = self._ask(caller, project_id)
        if found is False:
            raise BadRequest(f"Project ID {project_id} is not a valid project.")
        if len(self._good_until) >= _MOST:
            self._good_until.clear()
        self._good_until[project_id] = time.monotonic() + (_UNSURE if found is None else _KEEP)
