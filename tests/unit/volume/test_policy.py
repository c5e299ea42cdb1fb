# SPDX-License-Identifier: Apache-2.0
"""The policy of the volume API follows the operator's file, as that of the compute API does."""

from __future__ import annotations

from pathlib import Path

from nova.objects.context import RequestContext
from nova.volume.api.policies import RULES
from nova.volume.build import VolumePolicy


def test_a_changed_policy_file_was_never_read_again(tmp_path: Path) -> None:
    file = tmp_path / "policy.yaml"
    rule = next(each.name for each in RULES if each.name == "volume:create")
    caller = RequestContext(user_id="u", project_id="p", roles=("member", "reader"))
    policy = VolumePolicy(file)
    # Nothing is made for a cloud that holds no volume.
    policy.reload_if_changed()
    assert policy.get().allows(rule, caller)
    file.write_text(f'"{rule}": "!"\n')
    assert policy.get().allows(rule, caller)
    policy.reload_if_changed()
    assert not policy.get().allows(rule, caller)
