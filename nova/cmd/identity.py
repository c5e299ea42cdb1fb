# SPDX-License-Identifier: Apache-2.0
"""nova-identity: the built-in identity service."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build import build_identity
    from nova.daemons.process import run

    return run("nova-identity", __doc__ or "", build_identity, argv)


if __name__ == "__main__":
    sys.exit(main())
