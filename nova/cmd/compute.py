# SPDX-License-Identifier: Apache-2.0
"""nova-compute: the guests of one host."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build_host import build_compute
    from nova.daemons.process import run

    return run("nova-compute", __doc__ or "", build_compute, argv)


if __name__ == "__main__":
    sys.exit(main())
