# SPDX-License-Identifier: Apache-2.0
"""nova-api-metadata: what the guests of one host are told about themselves."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build_host import build_metadata
    from nova.daemons.process import run

    return run("nova-api-metadata", __doc__ or "", build_metadata, argv)


if __name__ == "__main__":
    sys.exit(main())
