# SPDX-License-Identifier: Apache-2.0
"""A host with a bridge, in namespaces of the test's own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.network.namespaces import Host


@pytest.fixture
def host() -> Iterator[Host]:
    """A host; its guests go with it."""
    made = Host()
    try:
        yield made
    finally:
        made.close()
