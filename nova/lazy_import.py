# SPDX-License-Identifier: Apache-2.0
"""Modules that are loaded when they are first used, not where they are imported."""

from __future__ import annotations

import importlib.util
import sys


def import_later(name: str) -> None:
    """Let a module of another package load at its first use; nothing where it is there already or nowhere.

    For what a dependency imports and this program hardly ever uses. It is the interpreter's own mechanism:
    https://docs.python.org/3/library/importlib.html#implementing-lazy-imports
    """
    if name in sys.modules:
        return
    try:
        spec = importlib.util.find_spec(name)
    except ModuleNotFoundError:
        return
    if spec is None or spec.loader is None:
        return
    loader = importlib.util.LazyLoader(spec.loader)
    spec.loader = loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    loader.exec_module(module)
    package, dot, last = name.rpartition(".")
    if dot:
        # Or ``from package import last`` looks for the module, and to look at it is to use it.
        setattr(sys.modules[package], last, module)
