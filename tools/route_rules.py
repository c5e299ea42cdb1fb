# SPDX-License-Identifier: Apache-2.0
"""Which policy rules a handler checks by itself, read from its source.

A route names its rule where the rule needs no target. Otherwise the handler asks
``request.check(f"{_ROOT}:show", project_id=…)``, at times through a helper that is given the rule's last
part. This module follows the calls of a handler through its own module and evaluates those texts.
"""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable, Mapping
from types import ModuleType
from typing import Any

_QUESTIONS = ("check", "allows")
_MODULE_PREFIX = "nova.api.compute."


def rules_of(handler: Callable[..., Any]) -> list[str]:
    """The names of the rules that ``handler`` checks, in the order of the source, without repeats."""
    found: list[str] = []
    _collect(handler, {}, found, set())
    return list(dict.fromkeys(found))


def _collect(
    function: Callable[..., Any],
    known: Mapping[str, Any],
    found: list[str],
    seen: set[tuple[str, str]],
) -> None:
    mark = (f"{function.__module__}.{function.__qualname__}", repr(sorted(known.items())))
    if mark in seen:
        return
    seen.add(mark)
    module = inspect.getmodule(function)
    assert module is not None
    tree = ast.parse(textwrap.dedent(inspect.getsource(function)))
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    for call in sorted(calls, key=lambda node: (node.lineno, node.col_offset)):
        name = call.func.attr if isinstance(call.func, ast.Attribute) else None
        if name in _QUESTIONS and call.args:
            found += _texts(call.args[0], module, known)
        helper = _helper(call, module)
        if helper is not None:
            _collect(helper, _bound(helper, call, module, known), found, seen)


def _helper(call: ast.Call, module: ModuleType) -> Callable[..., Any] | None:
    """The function of the compute API that a call by plain name means."""
    if not isinstance(call.func, ast.Name):
        return None
    target = getattr(module, call.func.id, None)
    ours = inspect.isfunction(target) and target.__module__.startswith(_MODULE_PREFIX)
    return target if ours else None


def _bound(
    helper: Callable[..., Any], call: ast.Call, module: ModuleType, known: Mapping[str, Any]
) -> dict[str, Any]:
    """The arguments of a call that are texts known before it runs."""
    names = list(inspect.signature(helper).parameters)
    pairs = [*zip(names, call.args, strict=False),
             *((word.arg, word.value) for word in call.keywords if word.arg)]
    bound = {}
    for name, value in pairs:
        texts = _texts(value, module, known)
        if len(texts) == 1:
            bound[name] = texts[0]
    return bound


def _texts(node: ast.expr, module: ModuleType, known: Mapping[str, Any]) -> list[str]:
    """The texts an expression can have; none where they are only known at run time."""
    if isinstance(node, ast.Constant):
        return [node.value] if isinstance(node.value, str) else []
    if isinstance(node, ast.Name):
        value = known.get(node.id, getattr(module, node.id, None))
        return [value] if isinstance(value, str) else []
    if isinstance(node, ast.IfExp):
        return _texts(node.body, module, known) + _texts(node.orelse, module, known)
    if isinstance(node, ast.JoinedStr):
        results = [""]
        for part in node.values:
            inner = part.value if isinstance(part, ast.FormattedValue) else part
            texts = _texts(inner, module, known)
            results = [left + right for left in results for right in texts]
        return results
    return []
