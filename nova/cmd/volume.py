# SPDX-License-Identifier: Apache-2.0
"""nova-volume: the built-in block storage service."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build import build_volume
    from nova.daemons.process import run

    return run("nova-volume", __doc__ or "", build_volume, argv)


if __name__ == "__main__":
    sys.exit(main())
