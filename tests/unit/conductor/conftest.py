# SPDX-License-Identifier: Apache-2.0
"""Small clouds for tests of the conductor."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.unit.compute.small_cloud import SmallCloud

Make = Callable[..., SmallCloud]


@pytest.fixture
def make(tmp_path: Path) -> Iterator[Make]:
    made: list[SmallCloud] = []

    def one(**options: Any) -> SmallCloud:
        made.append(SmallCloud(tmp_path, **options))
        return made[-1]

    yield one
    for cloud in made:
        cloud.stop()
