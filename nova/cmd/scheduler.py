# SPDX-License-Identifier: Apache-2.0
"""nova-scheduler: chooses hosts for servers."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build import build_scheduler
    from nova.daemons.process import run

    return run("nova-scheduler", __doc__ or "", build_scheduler, argv)


if __name__ == "__main__":
    sys.exit(main())
