# SPDX-License-Identifier: Apache-2.0
"""What each microversion changes, as seen from outside."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Answer:
    """A path, and {version: (what appears in its answer, what vanishes)}."""

    path: str
    changes: dict[int, tuple[set[str], set[str]]]
    by: str = "admin"


@dataclasses.dataclass(frozen=True)
class Request:
    """A request, and the statuses just before a version and at it."""

    minor: int
    method: str
    path: str
    body: Any
    before: int
    after: int
    by: str = "admin"

    def __repr__(self) -> str:
        return f"2.{self.minor} {self.method} {self.path}"


ANSWERS: tuple[Answer, ...] = ()
REQUESTS: tuple[Request, ...] = ()
ELSEWHERE: dict[int, str] = {}
