# SPDX-License-Identifier: Apache-2.0
"""nova-novncproxy: guests' screens by VNC, in a browser."""

from __future__ import annotations

import functools
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run the daemon in the foreground."""
    from nova.console.build import NOVNC_PROXY
    from nova.daemons.build_host import build_console_proxy
    from nova.daemons.process import run

    build = functools.partial(build_console_proxy, NOVNC_PROXY)
    return run(NOVNC_PROXY, __doc__ or "", build, argv)


if __name__ == "__main__":
    sys.exit(main())
