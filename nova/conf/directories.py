# SPDX-License-Identifier: Apache-2.0
"""The configuration files of directories, as ``--config-dir`` names them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def files_in(directories: Sequence[str]) -> list[str]:
    """All ``*.conf`` of the directories, in the order in which they are read.

    Raises ``ValueError`` naming a directory that is not there.
    """
    files: list[str] = []
    for directory in directories:
        if not Path(directory).is_dir():
            raise ValueError(f"--config-dir {directory}: there is no such directory")
        files += sorted(str(path) for path in Path(directory).glob("*.conf"))
    return files
