# SPDX-License-Identifier: Apache-2.0
"""[host_identity]: the keys that messages between hosts and the control side are sealed with."""

from __future__ import annotations

import dataclasses

from nova.conf.section import option

GROUP = "host_identity"


@dataclasses.dataclass(frozen=True)
class HostIdentitySection:
    """Options of host identity."""

    control_key_file: str = option(
        "/etc/nova/control.key",
        "The control side's own key, the same file for every control daemon and on no host. "
        "`nova-manage host control_key` makes it.",
    )
    key_directory: str = option(
        "/etc/nova/host-keys",
        "Where a host finds its key, as HOST.key. `nova-manage host enrol` makes the file.",
    )
