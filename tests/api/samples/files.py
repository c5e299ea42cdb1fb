# SPDX-License-Identifier: Apache-2.0
"""The sample files: where they are, how they are named, which one is nearest below a version."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

SAMPLES = Path(__file__).parents[4] / "shared" / "reference" / "api-samples"

_VERSION = re.compile(r"v2\.(\d+)")


class Sample:
    """One file. ``name`` is ``<folder>/<file>`` without version and ending."""

    def __init__(self, path: Path, root: Path) -> None:
        self.path = path
        parts = path.relative_to(root).with_suffix("").parts
        found = _VERSION.fullmatch(parts[1]) if len(parts) == 3 else None
        self.minor = int(found.group(1)) if found else 1
        self.name = f"{parts[0]}/{parts[-1]}"

    def __repr__(self) -> str:
        return self.name if self.minor == 1 else f"{self.name}@2.{self.minor}"

    def json(self) -> Any:
        """The content; ``ValueError`` where it is no JSON."""
        return json.loads(self.path.read_text())


@cache
def all_samples(api: str) -> tuple[Sample, ...]:
    """Every sample of ``v2.1`` or ``kilo-v2``, in order."""
    return tuple(_walk(SAMPLES / api))


def _walk(root: Path) -> Iterator[Sample]:
    found = [Sample(path, root) for path in root.rglob("*.json")]
    yield from sorted(found, key=lambda sample: (sample.name, sample.minor))


@cache
def _by_name(api: str) -> dict[str, list[Sample]]:
    names: dict[str, list[Sample]] = {}
    for sample in all_samples(api):
        names.setdefault(sample.name, []).append(sample)
    return names


def nearest(api: str, name: str, minor: int) -> Sample:
    """The sample of that name for a version: the newest that is not newer."""
    known = [sample for sample in _by_name(api).get(name, []) if sample.minor <= minor]
    if not known:
        raise LookupError(f"there is no sample {name} for 2.{minor}")
    return known[-1]
