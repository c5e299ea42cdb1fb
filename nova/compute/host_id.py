# SPDX-License-Identifier: Apache-2.0
"""The ``hostId`` by which a project can tell its hosts apart without learning their names."""

from __future__ import annotations

import functools
import hashlib


@functools.lru_cache(maxsize=65536)
def host_id(project_id: str, host: str | None) -> str:
    """SHA-224 of project and host as hexadecimal digits; empty where there is no host yet."""
    if not host:
        return ""
    return hashlib.sha224(f"{project_id}{host}".encode()).hexdigest()
