# SPDX-License-Identifier: Apache-2.0
"""Keys on disk, readable by their owner only.

A key set is a directory of files with whole numbers for names. The highest number encrypts, every
one decrypts, so a new key is brought in by adding a file with the next number to the directory on
every machine, and an old one taken out by deleting its file.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from cryptography.fernet import Fernet, MultiFernet


def load_keys(directory: Path) -> MultiFernet:
    """The key set in ``directory``; makes the directory and a first key where there is none.

    Raises ``ValueError`` for a file that is not a Fernet key, ``OSError`` where it cannot be read.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    numbers = _numbers(directory)
    if not numbers:
        _create_first(directory)
        numbers = _numbers(directory)
    return MultiFernet([_load(directory / str(number)) for number in reversed(numbers)])


def _numbers(directory: Path) -> list[int]:
    return sorted(int(one.name) for one in directory.iterdir() if one.name.isdecimal())


def _load(path: Path) -> Fernet:
    try:
        return Fernet(path.read_bytes().strip())
    except ValueError as error:
        raise ValueError(f"{path} does not hold a Fernet key: {error}") from None


def _create_first(directory: Path) -> None:
    """Write key 1 whole or not at all; of several processes that start at once, one wins."""
    handle, name = tempfile.mkstemp(dir=directory, prefix=".new-")
    temporary = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(Fernet.generate_key())
            file.flush()
            os.fsync(file.fileno())
        try:
            os.link(temporary, directory / "1")
        except FileExistsError:
            return
    finally:
        temporary.unlink()
