# SPDX-License-Identifier: Apache-2.0
"""Whether a process can do its work: the parts that it needs, each asked on a thread of its own.

The short answer costs at most one look at the parts a second, however many ask. Knows no room, so that hosts
can use it; ``nova/control_health.py`` has the parts of the control side.
"""

from __future__ import annotations

import dataclasses
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from nova.errors import NovaError

LOG = logging.getLogger(__name__)

#: Seconds that a part gets to answer, and that a short answer may be old.
PATIENCE = 3.0
FRESH = 1.0

Facts = dict[str, Any]


class Unwell(Exception):
    """A part cannot do its work; the text says why, for administrators."""


@dataclasses.dataclass(frozen=True)
class Part:
    """Something to be asked: its facts, or ``Unwell`` or any other exception.

    A process without a ``needed`` part takes no requests; other parts are only told about.
    """

    ask: Callable[[], Facts]
    needed: bool = True


@dataclasses.dataclass(frozen=True)
class Report:
    """What was found: each part as ``{"ok": …, facts}``; ``reasons`` are the needed parts that failed."""

    reasons: tuple[str, ...]
    parts: dict[str, Facts]

    @property
    def ok(self) -> bool:
        """Whether requests can be served."""
        return not self.reasons


class Health:
    """Asks the parts, each on a thread of its own so that one that hangs holds up no answer."""

    def __init__(
        self, parts: Mapping[str, Part], *, disabled_by_file: str | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self._probes = {name: _Probe(name, part, patience) for name, part in parts.items()}
        self._disabled_by = Path(disabled_by_file) if disabled_by_file else None
        self._draining = False
        self._lock = threading.Lock()
        self._last: tuple[float, Report] | None = None

    def drain(self) -> None:
        """From now on say that no new requests are wanted: the process is about to end."""
        self._draining = True

    def short(self) -> tuple[bool, str]:
        """Whether requests can be served, and in a word why not."""
        if self._draining:
            return False, "DRAINING"
        if self._disabled_by is not None and self._disabled_by.exists():
            return False, "DISABLED BY FILE"
        with self._lock:
            if self._last is None or time.monotonic() - self._last[0] > FRESH:
                report = self._look(needed_only=True)
                self._last = time.monotonic(), report
            report = self._last[1]
        return report.ok, "OK" if report.ok else f"UNAVAILABLE: {', '.join(report.reasons)}"

    def full(self) -> Report:
        """All parts with their facts, asked now."""
        report = self._look(needed_only=False)
        if self._draining:
            return dataclasses.replace(report, reasons=("draining", *report.reasons))
        return report

    def _look(self, *, needed_only: bool) -> Report:
        asked = {
            name: probe for name, probe in self._probes.items()
            if probe.part.needed or not needed_only
        }
        for probe in asked.values():
            probe.begin()
        parts = {name: probe.result() for name, probe in asked.items()}
        reasons = tuple(
            name for name, probe in asked.items() if probe.part.needed and not parts[name]["ok"]
        )
        return Report(reasons, parts)


class _Probe:
    """One part, asked by at most one thread at a time."""

    def __init__(self, name: str, part: Part, patience: float) -> None:
        self.part = part
        self._name = name
        self._patience = patience
        self._lock = threading.Lock()
        self._done = threading.Event()
        self._done.set()
        self._began = 0.0
        self._facts: Facts = {"ok": False, "reason": "not asked yet"}

    def begin(self) -> None:
        """Ask, unless it is being asked already."""
        with self._lock:
            if not self._done.is_set():
                return
            self._done.clear()
            self._began = time.monotonic()
        threading.Thread(target=self._ask, name=f"health-{self._name}", daemon=True).start()

    def result(self) -> Facts:
        """What it answered, within its time."""
        if self._done.wait(self._patience):
            return self._facts
        waited = time.monotonic() - self._began
        return {"ok": False, "reason": f"no answer for {waited:.0f} s"}

    def _ask(self) -> None:
        try:
            self._facts = {"ok": True, **self.part.ask()}
        except Unwell as error:
            self._facts = {"ok": False, "reason": str(error)}
        except NovaError as error:
            self._facts = {"ok": False, "reason": error.message}
        except Exception as error:
            LOG.debug("health of %s", self._name, exc_info=True)
            text = (str(getattr(error, "orig", None) or error).splitlines() or [""])[0]
            self._facts = {"ok": False, "reason": f"{type(error).__name__}: {text}"}
        finally:
            self._done.set()
