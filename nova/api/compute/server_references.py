# SPDX-License-Identifier: Apache-2.0
"""What a body names and is not there is a bad request; only the path's server can be missing."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from nova import errors


@contextlib.contextmanager
def references_refused() -> Iterator[None]:
    """Turn ``NotFound`` of images, flavors, networks, keys and hosts into ``BadRequest``."""
    try:
        yield
    except errors.InstanceNotFound:
        raise
    except errors.NotFound as error:
        raise errors.BadRequest(error.message) from None
