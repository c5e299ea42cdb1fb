# SPDX-License-Identifier: Apache-2.0
"""nova-image: the built-in image service."""

from __future__ import annotations

import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.daemons.build import build_image
    from nova.daemons.process import run

    return run("nova-image", __doc__ or "", build_image, argv)


if __name__ == "__main__":
    sys.exit(main())
