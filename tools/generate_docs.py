# SPDX-License-Identifier: Apache-2.0
"""Writes the pages of docs/ that are made from tables of the code. ``--check`` only compares.

    python tools/generate_docs.py            write all pages
    python tools/generate_docs.py --check    name the pages that are out of date; status 1 if any

Run it after a change of options, routes, policy rules, microversions or the state table.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from compute_pages import compute_page, lifecycle_page, microversions_page, policy_page
from configuration_page import configuration_page

DOCS = Path(__file__).parent.parent / "docs"

PAGES: dict[str, Callable[[], Iterable[str]]] = {
    "operators/configuration.md": configuration_page,
    "operators/policy.md": policy_page,
    "api/microversions.md": microversions_page,
    "api/compute.md": compute_page,
    "api/lifecycle.md": lifecycle_page,
}


def render(page: str) -> str:
    """A page's text as the code of now makes it."""
    return "\n".join(PAGES[page]()) + "\n"


def out_of_date() -> list[str]:
    """The pages whose text in docs/ is not the one that the code makes."""
    return [
        page
        for page in PAGES
        if not (DOCS / page).exists() or (DOCS / page).read_text() != render(page)
    ]


def main(argv: Sequence[str] | None = None) -> int:
    """Write, or compare; returns the exit status."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing; compare")
    arguments = parser.parse_args(argv)
    stale = out_of_date()
    for page in stale:
        if arguments.check:
            print(f"docs/{page} is out of date: run 'make docs-generate'", file=sys.stderr)
        else:
            (DOCS / page).parent.mkdir(parents=True, exist_ok=True)
            (DOCS / page).write_text(render(page))
            print(f"wrote docs/{page}")
    return 1 if arguments.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
