# SPDX-License-Identifier: Apache-2.0
"""Modules that are loaded when they are first used, not where they are imported."""

from __future__ import annotations

import importlib.util
import sys
import threading
import types
from typing import Any


class _LazyModule(types.ModuleType):
    """A module whose code runs when somebody looks for what it has not yet.

    ``importlib.util.LazyLoader`` would run it at the first ``import`` statement already, which looks at
    ``__spec__``, and twice where two threads use it at once.
    """

    def __getattr__(self, name: str) -> Any:
        values = vars(self)
        with values["__later_lock__"]:
            # The thread that runs the module's code gets here for what the code has not made so far.
            if values["__later__"] and not values["__later_runs__"]:
                values["__later_runs__"] = True
                try:
                    values["__spec__"].loader.exec_module(self)
                    values["__later__"] = False
                finally:
                    values["__later_runs__"] = False
            if name in values:
                return values[name]
        raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}", name=name, obj=self)


def import_later(name: str) -> None:
    """Let a module of another package load at its first use; nothing where it is there already or nowhere.

    For what a dependency imports and this program hardly ever uses.
    """
    if name in sys.modules:
        return
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    vars(module).update(__later__=True, __later_runs__=False, __later_lock__=threading.RLock())
    module.__class__ = _LazyModule
    sys.modules[name] = module
    package, dot, last = name.rpartition(".")
    if dot:
        # Or ``from package import last`` would import it once more.
        setattr(sys.modules[package], last, module)
