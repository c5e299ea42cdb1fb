# SPDX-License-Identifier: Apache-2.0
"""Modules that load at their first use: not before, once, and whichever way they are asked for."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from nova.lazy_import import import_later

_CODE = """
import threading, time
from . import inner
ran = globals().get("ran", 0) + 1
time.sleep(0.05)
late = "made last"
"""


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    home = tmp_path / "hardly_used"
    home.mkdir()
    (home / "__init__.py").write_text(_CODE)
    (home / "inner.py").write_text("value = 1\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "hardly_used"
    for name in [each for each in sys.modules if each.startswith("hardly_used")]:
        del sys.modules[name]


def test_an_import_statement_loads_nothing_and_a_use_does(package: str) -> None:
    import_later(package)
    module = importlib.import_module(package)
    assert "ran" not in vars(module)
    assert "hardly_used.inner" not in sys.modules
    assert module.late == "made last"
    assert module.ran == 1
    with pytest.raises(AttributeError, match="no attribute 'never'"):
        _ = module.never


def test_threads_that_use_it_at_once_run_it_once_and_see_all_of_it(package: str) -> None:
    import_later(package)
    module = importlib.import_module(package)
    seen: list[str] = []
    threads = [threading.Thread(target=lambda: seen.append(module.late)) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert seen == ["made last"] * 4
    assert module.ran == 1


def test_a_part_of_a_package_is_given_to_those_who_import_it_from_there(package: str) -> None:
    import_later("hardly_used.inner")
    assert "value" not in vars(sys.modules["hardly_used.inner"])
    from hardly_used import inner  # type: ignore[import-not-found]

    assert inner is sys.modules["hardly_used.inner"]
    assert inner.value == 1


def test_what_is_not_there_stays_so() -> None:
    import_later("hardly_used_and_not_there")
    import_later("neither.the_package")
    assert "hardly_used_and_not_there" not in sys.modules
