# SPDX-License-Identifier: Apache-2.0
"""The pages that a proxy serves beside its WebSocket: the files of one directory, such as noVNC's."""

from __future__ import annotations

import mimetypes
import posixpath
from pathlib import Path
from urllib.parse import unquote, urlsplit

#: Types that a bare system may not know; browsers refuse modules of any other.
_TYPES = {".js": "text/javascript", ".mjs": "text/javascript", ".wasm": "application/wasm"}
#: Pages are small; what is larger is no page.
_LIMIT = 16 << 20


class Pages:
    """The regular files under a directory; nothing is listed."""

    def __init__(self, directory: Path | None) -> None:
        self._directory = directory if directory is not None and directory.is_dir() else None

    @property
    def present(self) -> bool:
        """Whether there are any."""
        return self._directory is not None

    def find(self, target: str) -> tuple[bytes, str] | None:
        """The content and the media type of a request's target; None where there is no such file."""
        if self._directory is None:
            return None
        path = unquote(urlsplit("//x/" + target.lstrip("/")).path)
        if "\0" in path:
            return None
        # Leading ".." are gone after this; a link inside the directory is the operator's own.
        file = self._directory / posixpath.normpath("/" + path).lstrip("/")
        try:
            if not file.is_file() or file.stat().st_size > _LIMIT:
                return None
            data = file.read_bytes()
        except OSError:
            return None
        kind = _TYPES.get(file.suffix) or mimetypes.guess_type(file.name)[0]
        return data, kind or "application/octet-stream"
