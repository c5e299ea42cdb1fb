# SPDX-License-Identifier: Apache-2.0
"""Prints the compute API as an OpenAPI 3.1 document: ``python -m nova.cmd.openapi``."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

import msgspec

from nova.api.compute.openapi import document
from nova.api.compute.versions import MAXIMUM, MINIMUM


def main(argv: Sequence[str] | None = None) -> int:
    """Print it; 2 for bad usage."""
    parser = argparse.ArgumentParser(prog="python -m nova.cmd.openapi", description=__doc__)
    parser.add_argument(
        "--version", metavar="2.N", default=f"2.{MAXIMUM}",
        help=f"the microversion, 2.{MINIMUM} to 2.{MAXIMUM} (default: the newest)",
    )
    parser.add_argument(
        "--server", metavar="URL", default="http://127.0.0.1:8774/v2.1",
        help="the URL of the v2.1 endpoint (default: %(default)s)",
    )
    arguments = parser.parse_args(argv)
    major, _, minor = arguments.version.partition(".")
    if major != "2" or not minor.isdecimal() or not MINIMUM <= int(minor) <= MAXIMUM:
        parser.error(f"--version {arguments.version}: name one from 2.{MINIMUM} to 2.{MAXIMUM}")
    made = msgspec.json.encode(document(int(minor), arguments.server))
    print(msgspec.json.format(made).decode())
    return 0


if __name__ == "__main__":
    sys.exit(main())
