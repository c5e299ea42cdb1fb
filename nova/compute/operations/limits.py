# SPDX-License-Identifier: Apache-2.0
"""Limits of what one server may carry."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping

from nova.errors import BadRequest, QuotaExceeded


def check_metadata(limits: Mapping[str, int], metadata: Mapping[str, str]) -> None:
    """Raise ``QuotaExceeded`` for more metadata items than allowed."""
    limit = limits["metadata_items"]
    if 0 <= limit < len(metadata):
        raise QuotaExceeded(f"Maximum number of metadata items exceeds {limit}")


def check_injected_files(limits: Mapping[str, int], files: Mapping[str, str]) -> None:
    """Raise ``QuotaExceeded`` for too many, too long or too deep files; ``BadRequest`` for bad base64."""
    limit = limits["injected_files"]
    if 0 <= limit < len(files):
        raise QuotaExceeded("Quota exceeded for injected files")
    for path, contents in files.items():
        if 0 <= limits["injected_file_path_bytes"] < len(path.encode()):
            raise QuotaExceeded("Quota exceeded for the path of an injected file")
        try:
            size = len(base64.b64decode("".join(contents.split()), validate=True))
        except (binascii.Error, ValueError):
            raise BadRequest(f"Personality content for {path} cannot be decoded") from None
        if 0 <= limits["injected_file_content_bytes"] < size:
            raise QuotaExceeded("Quota exceeded for the content of an injected file")
