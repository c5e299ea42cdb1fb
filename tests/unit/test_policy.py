# SPDX-License-Identifier: Apache-2.0
"""The policy: defaults, the operator's file over them, and a file that is wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from nova.objects.context import RequestContext
from nova.policy import Policy, PolicyFileError, Rule

RULES = (
    Rule("admin", "role:admin"),
    Rule("servers:show", "rule:admin or project_id:%(project_id)s"),
    Rule("servers:migrate", "rule:admin"),
)
ROOT = Path(__file__).parents[2]
ADMIN = RequestContext(user_id="a", project_id="p", roles=("admin",), is_admin=True)
MEMBER = RequestContext(user_id="m", project_id="p", roles=("member",))


def test_defaults_without_a_file() -> None:
    policy = Policy(RULES)
    assert policy.allows("servers:migrate", ADMIN)
    assert not policy.allows("servers:migrate", MEMBER)
    assert policy.allows("servers:show", MEMBER)
    assert not policy.allows("servers:show", MEMBER, project_id="other")


def test_the_file_is_laid_over_the_defaults_and_read_again_when_it_changes(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    policy = Policy(RULES, str(path))
    assert not policy.allows("servers:migrate", MEMBER)
    path.write_text('"servers:migrate": "role:member"\n')
    policy.reload_if_changed()
    assert policy.allows("servers:migrate", MEMBER)
    assert policy.allows("servers:show", MEMBER)
    path.unlink()
    policy.reload_if_changed()
    assert not policy.allows("servers:migrate", MEMBER)


def test_a_file_that_becomes_wrong_changes_nothing(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text('"servers:migrate": "role:member"\n')
    policy = Policy(RULES, str(path))
    path.write_text("- this\n  is: [no mapping")
    os.utime(path, (1, 1))
    policy.reload_if_changed()
    assert policy.allows("servers:migrate", MEMBER)
    assert not policy.allows("servers:show", MEMBER, project_id="other")


def test_a_file_that_is_wrong_at_start_is_refused_by_name(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    path.write_text("- a\n- b\n")
    with pytest.raises(PolicyFileError, match=r"policy\.yaml"):
        Policy(RULES, str(path))


def loaded_after(statement: str, *modules: str) -> list[str]:
    """Which of the modules a fresh process has loaded after a statement."""
    text = f"import sys, json; {statement}; print(json.dumps([m for m in {modules!r} if m in sys.modules]))"
    done = subprocess.run(
        [sys.executable, "-c", text], cwd=ROOT, capture_output=True, text=True, timeout=60, check=True
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_rules_of_the_operator_may_use_checks_that_the_defaults_do_not_load(tmp_path: Path) -> None:
    path = tmp_path / "policy.yaml"
    make = f"from nova.policy import Policy, Rule; Policy([Rule('a', 'role:x')], {str(path)!r})"
    assert loaded_after(make, "requests") == []
    path.write_text('"a": "http://127.0.0.1:1/%(project_id)s"\n')
    assert loaded_after(make, "requests") == ["requests"]


def test_a_refusal_is_logged_with_its_credentials_at_level_debug(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG", "oslo_policy")
    assert not Policy(RULES).allows("servers:migrate", MEMBER)
    assert "cannot format data" not in caplog.text


def test_what_oslo_policy_hardly_ever_uses_is_loaded_when_it_is_used() -> None:
    lazy = "import nova.policy; from oslo_utils import strutils; kind = type(strutils).__name__"
    assert loaded_after(f"{lazy}; assert kind == '_LazyModule', kind", "oslo_utils.strutils")
    assert loaded_after(f"{lazy}; assert strutils.bool_from_string('yes')", "oslo_utils.strutils")
