# SPDX-License-Identifier: Apache-2.0
"""[oslo_policy]: who may do what."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from nova.conf.section import option

if TYPE_CHECKING:
    from nova.conf import Config

GROUP = "oslo_policy"
#: The directory of the usual nova.conf.
USUAL = Path("/etc/nova")


@dataclasses.dataclass(frozen=True)
class PolicySection:
    """Options of the policy."""

    policy_file: str = option("policy.yaml", "File of rules that differ from the defaults.")


def policy_directory(config: Config) -> Path:
    """Where daemons look for the policy file: beside the usual nova.conf, or in the state directory."""
    return USUAL if (USUAL / config.policy.policy_file).exists() else Path(config.default.state_path)
