# SPDX-License-Identifier: Apache-2.0
"""nova-api: the compute API, and the network API."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build import build_api
    from nova.daemons.process import run

    return run("nova-api", __doc__ or "", build_api, argv)


if __name__ == "__main__":
    sys.exit(main())
