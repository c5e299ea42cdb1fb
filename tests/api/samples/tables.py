# SPDX-License-Identifier: Apache-2.0
"""All cases of v2.1."""

from __future__ import annotations

from tests.api.samples import (
    host_cases,
    network_cases,
    resource_cases,
    server_cases,
    volume_cases,
)
from tests.api.samples.stage import Case

CASES: tuple[Case, ...] = (
    *volume_cases.CASES, *server_cases.CASES, *resource_cases.CASES, *host_cases.CASES, *network_cases.CASES,
)
