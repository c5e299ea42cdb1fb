# SPDX-License-Identifier: Apache-2.0
"""How much of each fault is tried: a short round within ``make test``, long ones by ``make cluster-test``."""

from __future__ import annotations

import os

#: How often each fault comes.
ROUNDS = int(os.environ.get("CLUSTER_ROUNDS", "1"))
#: Whether faults last as long as they do in operation.
LONG = ROUNDS > 1
#: What chance begins with: which requests the load makes, which daemons die.
SEED = int(os.environ.get("CLUSTER_SEED", "7"))
