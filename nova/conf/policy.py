# SPDX-License-Identifier: Apache-2.0
"""[oslo_policy]: who may do what."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "oslo_policy"


@dataclasses.dataclass(frozen=True)
class PolicySection:
    """Options of the policy."""

    policy_file: str = option("policy.yaml", "File of rules that differ from the defaults.")
