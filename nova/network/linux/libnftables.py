# SPDX-License-Identifier: Apache-2.0
"""nft's commands carried out by its own library, in this process (libnftables(3), a part of nftables).

A process of its own for each change costs its start, and at its end the wait until the kernel has freed
what the change removed: most of what a change takes (``docs/design/0021-security-groups-on-hosts.md``).
"""

from __future__ import annotations

import ctypes
import functools
import threading
import weakref

from nova.errors import NovaError

_LIBRARY = "libnftables.so.1"
#: ``NFT_CTX_OUTPUT_JSON`` of nftables/libnftables.h.
_JSON = 1 << 4
#: The library says nothing of threads: one is in it at a time.
_LOCK = threading.Lock()


class FilterError(NovaError):
    """The kernel did not take a change of its tables; what it had before still holds."""


@functools.cache
def _library() -> ctypes.CDLL:
    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        raise FilterError(f"The library {_LIBRARY} is not installed (package nftables).") from None
    context, text = ctypes.c_void_p, ctypes.c_char_p
    library.nft_ctx_new.argtypes, library.nft_ctx_new.restype = [ctypes.c_uint32], context
    library.nft_ctx_free.argtypes, library.nft_ctx_free.restype = [context], None
    for name in ("nft_ctx_buffer_output", "nft_ctx_buffer_error"):
        getattr(library, name).argtypes = [context]
    for name in ("nft_ctx_get_output_buffer", "nft_ctx_get_error_buffer"):
        getattr(library, name).argtypes, getattr(library, name).restype = [context], text
    library.nft_ctx_output_set_flags.argtypes = [context, ctypes.c_uint]
    library.nft_ctx_output_set_flags.restype = None
    library.nft_run_cmd_from_buffer.argtypes = [context, text]
    return library


def available() -> bool:
    """Whether the library is installed."""
    try:
        _library()
    except FilterError:
        return False
    return True


class NftCommands:
    """Carries out commands in the network namespace of the thread that gives the first one."""

    def __init__(self, *, json: bool = False) -> None:
        self._json = json
        self._context: int | None = None

    def run(self, commands: str) -> str:
        """Carry out all of these, or none; returns what is listed, as JSON if that was wanted.

        Raises ``FilterError`` with nft's own words.
        """
        with _LOCK:
            library, context = _library(), self._opened()
            failed = library.nft_run_cmd_from_buffer(context, commands.encode())
            # Both are emptied by reading them.
            listed, said = (
                getattr(library, f"nft_ctx_get_{name}_buffer")(context).decode(errors="replace")
                for name in ("output", "error")
            )
        if failed:
            raise FilterError(f"nft refused: {' '.join(said.split())[:300]}")
        return str(listed)

    def _opened(self) -> int:
        if self._context is None:
            library = _library()
            context = library.nft_ctx_new(0)
            if not context or library.nft_ctx_buffer_output(context) or library.nft_ctx_buffer_error(context):
                raise FilterError("libnftables gave no context: there is no memory left.")
            library.nft_ctx_output_set_flags(context, _JSON if self._json else 0)
            weakref.finalize(self, library.nft_ctx_free, context)
            self._context = context
        return self._context
