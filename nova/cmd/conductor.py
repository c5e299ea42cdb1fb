# SPDX-License-Identifier: Apache-2.0
"""nova-conductor: the hosts' only way to the database, and what brings interrupted work on."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build import build_conductor
    from nova.daemons.process import run

    return run("nova-conductor", __doc__ or "", build_conductor, argv)


if __name__ == "__main__":
    sys.exit(main())
